/**
 * The start: who is there, and which of the three pages is asked for.
 */
import { connection } from "./connection.js";
import { h, replace } from "./dom.js";
import { closeDialogs } from "./dialog.js";
import { feed } from "./feed.js";
import { loginPage } from "./login.js";
import { button } from "./parts.js";
import { notLoaded, startRouter } from "./router.js";
import { session } from "./session.js";
import { shell } from "./shell.js";
import { t } from "./strings.js";
import { moveToasts } from "./toast.js";

const app = document.getElementById("app");
moveToasts(document.body);
window.addEventListener("hashchange", closeDialogs);
void start();

async function start() {
  if (location.pathname === "/camera")
    return void import("./views/phone.js").then(({ showPhone }) => showPhone(app), notLoaded);
  try {
    if (await session.load()) inside();
    else outside({ loggedOut: location.hash === "#/out" });
  } catch (error) {
    replace(
      app,
      h(
        "main.login",
        { id: "main" },
        h(
          "div.login-card",
          {},
          h("h1.login-title", {}, t.offline.title),
          h("p.lead", { role: "alert", "data-testid": "failure" }, error.message),
          button(t.tryAgain, { click: start, kind: "main" }),
        ),
      ),
    );
    connection.addEventListener("back", start, { once: true });
  }
}

/** The login, in place of everything. */
function outside({ loggedOut }) {
  feed.stop();
  document.title = `${t.login.title} · ${t.app}`;
  // What is in the fragment is kept: after the login the same view is shown.
  replace(
    app,
    loginPage(
      () => {
        if (location.pathname === "/login") history.replaceState(null, "", `/${location.hash}`);
        inside();
      },
      { loggedOut },
    ),
  );
  app.querySelector("input")?.focus();
}

function inside() {
  const { element, main, setNav } = shell({
    onLogout: () => {
      history.replaceState(null, "", "/login#/out");
      location.reload();
    },
  });
  replace(app, element);
  feed.start();
  if (location.hash === "#/out") history.replaceState(null, "", "/");
  void startRouter(main, setNav);
}
