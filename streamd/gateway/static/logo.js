/** The mark and the name. */
import { h, svg } from "./dom.js";
import { t } from "./strings.js";

export const logo = () =>
  h(
    "span.logo",
    {},
    svg(
      "svg",
      { viewBox: "0 0 32 32", "aria-hidden": "true", class: "logo-mark" },
      svg("path", {
        class: "logo-frame",
        d: "M4 11V7a3 3 0 0 1 3-3h4M21 4h4a3 3 0 0 1 3 3v4M28 21v4a3 3 0 0 1-3 3h-4M11 28H7a3 3 0 0 1-3-3v-4",
      }),
      svg("circle", { class: "logo-face", cx: 16, cy: 13.5, r: 4 }),
      svg("path", { class: "logo-face", d: "M9 24c1-4.500 3.600-6 7-6s6 1.500 7 6z" }),
    ),
    h("span.logo-name", {}, t.app),
  );
