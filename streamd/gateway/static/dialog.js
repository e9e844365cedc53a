/**
 * Modal dialogs, on the browser's own <dialog>: it keeps the focus inside and gives it back.
 */
import { freshId, h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./strings.js";
import { moveToasts } from "./toast.js";

const stack = [];

/**
 * @param {{title: string, body: any, foot?: any, wide?: boolean, testid?: string, onClose?: () => void, fixed?: boolean}} options
 *   `fixed`: no button to close it
 * @returns {{element: HTMLDialogElement, close: (value?: any) => void, closed: Promise<any>}}
 */
export function openDialog({ title, body, foot, wide = false, testid = "dialog", fixed = false }) {
  const id = freshId("dialog");
  let value;
  let settle;
  const closed = new Promise((resolve) => (settle = resolve));
  const element = h(
    "dialog.dialog",
    { class: wide ? "dialog-wide" : "", "aria-labelledby": id, "data-testid": testid },
    h(
      "div.dialog-box",
      {},
      h(
        "header.dialog-head",
        {},
        h("h2", { id, tabindex: "-1" }, title),
        !fixed &&
          h(
            "button.icon-button",
            { type: "button", "aria-label": t.close, "data-testid": "dialog-close", on: { click: () => close() } },
            icon("close"),
          ),
      ),
      h("div.dialog-body", {}, body),
      foot && h("footer.dialog-foot", {}, foot),
    ),
  );
  element.addEventListener("close", () => {
    element.remove();
    stack.splice(stack.indexOf(element), 1);
    moveToasts(stack.at(-1) ?? document.body);
    settle(value);
  });
  document.body.append(element);
  stack.push(element);
  element.showModal();
  moveToasts(element);
  if (!element.querySelector("[autofocus]")) element.querySelector("h2").focus();
  return { element, closed, close };

  function close(result) {
    value = result;
    if (element.open) element.close();
  }
}

/** Closes all dialogs: the view under them was left. */
export function closeDialogs() {
  for (const element of [...stack].reverse()) if (!element.dataset.keep) element.close();
}

/**
 * A question with two answers.
 * @param {{title: string, text: any, yes: string, danger?: boolean, typed?: string}} options
 *   `typed`: what has to be typed before the answer can be given
 * @returns {Promise<boolean>}
 */
export async function confirm({ title, text, yes, danger = false, typed }) {
  const go = h(
    "button.button",
    {
      type: "submit",
      class: danger ? "button-danger" : "button-main",
      disabled: Boolean(typed),
      "data-testid": "confirm-yes",
    },
    yes,
  );
  const input =
    typed &&
    h("input.input", {
      type: "text",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      "data-testid": "confirm-typed",
      autofocus: true,
    });
  input?.addEventListener("input", () => (go.disabled = !sameText(input.value, typed)));
  const form = h(
    "form.stack",
    { method: "dialog" },
    h("div.prose", {}, text),
    typed && h("label.field", {}, h("span.field-label", {}, t.typeToConfirm, " ", h("strong.break", {}, typed)), input),
    h(
      "div.row.row-end",
      {},
      h(
        "button.button",
        { type: "button", autofocus: !typed, "data-testid": "confirm-no", on: { click: () => dialog.close(false) } },
        t.cancel,
      ),
      go,
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close(true);
  });
  const dialog = openDialog({ title, body: form, testid: "confirm" });
  return Boolean(await dialog.closed);
}

/** Whether somebody typed what was asked for; blanks and capitals are no matter. */
const sameText = (a, b) => a.trim().replace(/\s+/g, " ").toLowerCase() === b.trim().replace(/\s+/g, " ").toLowerCase();
