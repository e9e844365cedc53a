/**
 * Short messages that go away by themselves, with one action at most (Undo).
 */
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./strings.js";

const SHOWN_MS = 6000;
const WITH_ACTION_MS = 12000;
const MOST = 2;

const polite = h("div.toasts", { role: "status", "aria-live": "polite", "data-testid": "toasts" });
const urgent = h("div.toasts.toasts-urgent", { role: "alert", "data-testid": "alerts" });

/**
 * A dialog makes everything outside of it inert: while one is open, the messages are shown within it.
 * @param {HTMLElement} home
 */
export function moveToasts(home) {
  // What only tells has been read by now; what can be undone stays.
  for (const old of polite.querySelectorAll(".toast:not(:has(.button))")) old.remove();
  home.append(polite, urgent);
}

/**
 * @param {string} text
 * @param {{kind?: "done"|"error", action?: {label: string, run: () => any}}} [options]
 */
export function toast(text, { kind = "done", action } = {}) {
  const box = h(
    "div.toast",
    { class: `toast-${kind}`, "data-testid": "toast" },
    icon(kind === "error" ? "warning" : "check"),
    h("span.toast-text", {}, text),
    action &&
      h(
        "button.button.button-quiet",
        { type: "button", "data-testid": "toast-action", on: { click: act } },
        icon("undo"),
        action.label,
      ),
    h("button.icon-button", { type: "button", "aria-label": t.close, on: { click: close } }, icon("close")),
  );
  const place = kind === "error" ? urgent : polite;
  while (place.childElementCount >= MOST) place.firstElementChild.remove();
  place.append(box);
  let timer = 0;
  later();
  box.addEventListener("pointerenter", () => clearTimeout(timer));
  box.addEventListener("focusin", () => clearTimeout(timer));
  box.addEventListener("pointerleave", later);
  box.addEventListener("focusout", later);

  function later() {
    clearTimeout(timer);
    timer = setTimeout(close, action ? WITH_ACTION_MS : SHOWN_MS);
  }
  function close() {
    clearTimeout(timer);
    box.remove();
  }
  async function act() {
    close();
    await attempt(action.run);
  }
}

/**
 * Runs something and shows its error as a message.
 * @returns {Promise<any>} what it gave; undefined where it failed
 */
export async function attempt(run) {
  try {
    return await run();
  } catch (error) {
    if (error?.name === "AbortError") return undefined;
    if (!error?.code && !error?.status) console.warn(error);
    toast(error.message || String(error), { kind: "error" });
    return undefined;
  }
}
