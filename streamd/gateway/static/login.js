/**
 * The login: as a view of its own, and as a dialog over whatever was being done when the session ended.
 */
import { auth } from "./api.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { logo } from "./logo.js";
import { busy, button, field, notice } from "./parts.js";
import { session } from "./session.js";
import { t } from "./strings.js";

/** A form that logs in. @param {() => void} done */
function form(done, lastUser = "") {
  const name = h("input.input", {
    type: "text",
    name: "name",
    autocomplete: "username",
    autocapitalize: "off",
    spellcheck: "false",
    required: true,
    value: lastUser,
    autofocus: !lastUser,
    "data-testid": "login-name",
  });
  const password = h("input.input", {
    type: "password",
    name: "password",
    autocomplete: "current-password",
    required: true,
    autofocus: Boolean(lastUser),
    "data-testid": "login-password",
  });
  const submit = button(t.login.submit, { type: "submit", kind: "main", testid: "login-submit", sign: "in" });
  const said = notice();
  const element = h(
    "form.stack",
    { "data-testid": "login", "aria-label": t.login.title },
    said,
    field(t.login.name, name),
    field(t.login.password, password),
    submit,
  );
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    said.say("");
    try {
      await busy(submit, () => session.login(name.value.trim(), password.value));
      done();
    } catch (error) {
      if (error.status === 429) return wait(said, submit, error.retryAfter || 30);
      said.say(error.status === 401 ? t.login.wrong : error.message);
      password.select();
    }
  });
  return element;
}

/** Counts down until the daemon takes another attempt. */
function wait(said, submit, seconds) {
  submit.disabled = true;
  said.say(t.login.throttled(seconds));
  if (seconds <= 0) {
    submit.disabled = false;
    return said.say(t.login.again, "plain");
  }
  setTimeout(() => wait(said, submit, seconds - 1), 1000);
}

/** The whole page, for who is not logged in. @param {{loggedOut?: boolean}} options */
export function loginPage(done, { loggedOut = false } = {}) {
  return h(
    "main.login",
    { id: "main" },
    h(
      "div.login-card",
      {},
      logo(),
      h("h1.login-title", {}, t.login.title),
      h("p.lead", {}, loggedOut ? t.login.loggedOut : t.login.lead),
      form(done),
    ),
  );
}

let asking = null;
let declined = false;
session.addEventListener("change", () => (declined &&= session.current === null));

/** Asks for a login over what is being done; nothing of it is lost. @returns {Promise<boolean>} */
function loginDialog(wanted) {
  if (declined && !wanted) return Promise.resolve(false);
  const user = session.current?.user ?? "";
  asking ??= (async () => {
    const body = h(
      "div.stack",
      {},
      h("p.lead", {}, t.login.expired),
      form(() => dialog.close(true), user),
    );
    const dialog = openDialog({ title: t.login.title, body, testid: "login-dialog" });
    dialog.element.dataset.keep = "yes";
    const inside = Boolean(await dialog.closed);
    asking = null;
    declined = !inside;
    document.dispatchEvent(new Event(inside ? "streamd:in" : "streamd:out"));
    return inside;
  })();
  return asking;
}
auth.login = loginDialog;
