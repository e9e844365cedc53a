/** The three pages about the machine itself. */
import { h } from "./dom.js";
import { t } from "./strings.js";

const TABS = [
  ["cameras", "#/cameras"],
  ["system", "#/system"],
  ["log", "#/log"],
];

export const systemTabs = (current) =>
  h(
    "nav.tabs",
    { "aria-label": t.system.tabs },
    TABS.map(([name, href]) =>
      h(
        "a.tab",
        { href, "aria-current": name === current ? "page" : null, "data-testid": `tab-${name}` },
        t.system.tab[name],
      ),
    ),
  );
