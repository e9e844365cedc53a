/**
 * Pieces that several views are made of: heads, states, portraits, empty states.
 */
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { moment, ago } from "./format.js";
import { session } from "./session.js";
import { t } from "./strings.js";

/** A view's heading, with what can be done beside it. */
export function head(title, { lead, actions = [], back } = {}) {
  return h(
    "header.head",
    {},
    back && h("a.back", { href: back.href, "data-testid": "back" }, icon("back"), back.label),
    h(
      "div.head-row",
      {},
      h("div.head-words", {}, h("h1", {}, title), lead && h("p.lead", {}, lead)),
      actions.length > 0 && h("div.head-actions", {}, actions),
    ),
  );
}

const STATE_ICONS = {
  known: "check",
  unknown: "question",
  deciding: "dots",
  offline: "off",
  online: "check",
  waiting: "dots",
  ignored: "eyeoff",
  trouble: "warning",
};

/** A state as a word with a sign of its own: never by colour alone. */
export const state = (name, words = t.states[name]) =>
  h(
    "span.state",
    { class: `state-${name}`, "data-state": name },
    icon(STATE_ICONS[name] ?? "dots"),
    h("span", {}, words),
  );

/**
 * A face in the frame that tells its state: closed corners for the known, dashes for strangers.
 * @param {string|null} src
 * @param {{alt?: string, state?: string, size?: "small"|"big"}} [options]
 */
export function portrait(src, { alt = "", state: name = "known", size = "" } = {}) {
  const box = h("span.portrait", { class: `portrait-${name} ${size ? `portrait-${size}` : ""}` });
  if (src)
    box.append(
      h("img", {
        src,
        alt,
        loading: "lazy",
        decoding: "async",
        width: 112,
        height: 112,
        on: { error: () => box.replaceChildren(nobody(alt)) },
      }),
    );
  else box.append(nobody(alt));
  return box;
}

const nobody = (alt) =>
  h("span.portrait-none", alt ? { role: "img", "aria-label": t.noPicture(alt) } : {}, icon("people"));

/** What to show where there is nothing. */
export const empty = (title, text, action, sign = "people") =>
  h(
    "div.empty",
    { "data-testid": "empty" },
    h("span.empty-sign", {}, icon(sign)),
    h("p.empty-title", {}, title),
    text && h("p.empty-text", {}, text),
    action,
  );

/** A moment as a machine and a person read it; how long ago it was goes on being right. */
export const when = (at, words) =>
  h("time", { datetime: at, title: moment(at), data: words ? {} : { ago: "" } }, words ?? ago(at));

setInterval(() => {
  for (const element of document.querySelectorAll("time[data-ago]")) element.textContent = ago(element.dateTime);
}, 15000);

/** A button with an icon. */
export function button(label, { sign, kind = "", testid, click, type = "button", ...rest } = {}) {
  return h(
    "button.button",
    { type, class: kind && `button-${kind}`, "data-testid": testid, on: click ? { click } : {}, ...rest },
    sign && icon(sign),
    h("span", {}, label),
  );
}

/** A button of an icon alone. */
export const iconButton = (label, sign, { testid, click, ...rest } = {}) =>
  h(
    "button.icon-button",
    { type: "button", "aria-label": label, title: label, "data-testid": testid, on: click ? { click } : {}, ...rest },
    icon(sign),
  );

/** What needs a role: nothing where the user has not got it. */
export const only = (role, make) => (session.may(role) ? make() : null);

/** A labelled field. */
export const field = (label, input, hint) =>
  h("label.field", {}, h("span.field-label", {}, label), input, hint && h("span.field-hint", {}, hint));

/** A message beside a form; empty until there is something to say. */
export function notice() {
  const box = h("p.notice", { role: "alert", hidden: true, "data-testid": "notice" });
  return Object.assign(box, {
    say(text, kind = "error") {
      box.hidden = !text;
      box.className = `notice notice-${kind}`;
      box.textContent = text ?? "";
    },
  });
}

/** Marks a control as busy while something runs. */
export async function busy(control, run) {
  control.disabled = true;
  control.setAttribute("aria-busy", "true");
  try {
    return await run();
  } finally {
    control.disabled = false;
    control.removeAttribute("aria-busy");
  }
}
