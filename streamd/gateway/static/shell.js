/**
 * What stands around every view: navigation, the user, the theme, and whether the daemon answers.
 */
import { auth } from "./api.js";
import { connection } from "./connection.js";
import { confirm } from "./dialog.js";
import { h, replace } from "./dom.js";
import { feed } from "./feed.js";
import { icon } from "./icons.js";
import { logo } from "./logo.js";
import { button, iconButton } from "./parts.js";
import { refresh } from "./router.js";
import { session } from "./session.js";
import { t } from "./strings.js";
import { onSystemTheme, theme, toggleTheme } from "./theme.js";
import { attempt } from "./toast.js";

const ENTRIES = [
  { nav: "live", href: "#/" },
  { nav: "events", href: "#/events" },
  { nav: "people", href: "#/people" },
  { nav: "unknowns", href: "#/unknowns" },
  { nav: "system", href: "#/cameras" },
];

/**
 * @param {{onLogout: () => void}} options
 * @returns {{element: DocumentFragment, main: HTMLElement, setNav: (nav: string) => void}}
 */
export function shell({ onLogout }) {
  const links = ENTRIES.map(({ nav, href }) =>
    h(
      "a.nav-link",
      { href, data: { nav }, "data-testid": `nav-${nav}` },
      icon(nav),
      h("span.nav-label", {}, t.nav[nav]),
    ),
  );
  const main = h("main.main", { id: "main", tabindex: "-1" });
  const element = document.createDocumentFragment();
  element.append(
    h("a.skip", { href: "#main", on: { click: skip } }, t.skip),
    h(
      "header.top",
      {},
      h("a.top-home", { href: "#/", "aria-label": t.home }, logo()),
      h("div.top-tools", {}, themeButton(), userBox(onLogout)),
    ),
    h("nav.nav", { "aria-label": t.nav.label, "data-testid": "nav" }, links),
    h("div.page", {}, banner(), endedBanner(), main),
  );
  return { element, main, setNav };

  function skip(event) {
    event.preventDefault();
    const target = main.querySelector("h1") ?? main;
    target.tabIndex = -1;
    target.focus();
  }
  function setNav(current) {
    for (const link of links) {
      if (link.dataset.nav === current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
}

/** Says that the daemon does not answer, until it does. */
export function banner() {
  const box = h("div.banner", { role: "alert", hidden: connection.up, "data-testid": "offline-banner" });
  const down = () => {
    box.hidden = false;
    replace(
      box,
      icon("off"),
      h("span", {}, t.offline.text),
      button(t.offline.now, { click: () => connection.probe() }),
    );
  };
  connection.addEventListener("down", down);
  connection.addEventListener("back", () => {
    box.hidden = true;
    feed.stop();
    feed.start();
  });
  if (!connection.up) down();
  return box;
}

/** Says that the session has ended, to who declined to log in again. */
function endedBanner() {
  const again = button(t.login.submit, {
    sign: "in",
    testid: "login-again",
    click: async () => (await auth.login(true)) && refresh(),
  });
  const box = h(
    "div.banner",
    { role: "alert", hidden: true, "data-testid": "logged-out-banner" },
    icon("lock"),
    h("span", {}, t.login.ended),
    again,
  );
  document.addEventListener("streamd:out", () => (box.hidden = false));
  document.addEventListener("streamd:in", () => (box.hidden = true));
  return box;
}

/** Exchanges light and dark. */
export function themeButton() {
  const control = iconButton("", "sun", {
    testid: "theme",
    click: () => {
      toggleTheme();
      draw();
    },
  });
  const draw = () => {
    const dark = theme() === "dark";
    const label = dark ? t.theme.light : t.theme.dark;
    control.setAttribute("aria-label", label);
    control.title = label;
    replace(control, icon(dark ? "sun" : "moon"));
  };
  onSystemTheme(draw);
  draw();
  return control;
}

function userBox(onLogout) {
  const box = h("div.user");
  const draw = () => {
    const { user, role, authentication } = session.current ?? {};
    const words = authentication
      ? h(
          "span.user-words",
          { "data-testid": "user" },
          h("span.user-name", {}, user),
          h("span.user-role", {}, t.roles[role] ?? role),
        )
      : h("span.user-words", { "data-testid": "user" }, h("span.user-role", {}, t.noLogin));
    replace(box, words, authentication && iconButton(t.logout.action, "out", { testid: "logout", click: leave }));
  };
  session.addEventListener("change", () => session.current && draw());
  draw();
  return box;

  async function leave() {
    if (!(await confirm({ title: t.logout.title, text: t.logout.text, yes: t.logout.action }))) return;
    await attempt(async () => {
      await session.logout();
      onLogout();
    });
  }
}
