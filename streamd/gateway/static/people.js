/**
 * The names that can be chosen, and a field that proposes them while one types.
 */
import { api, at, url } from "./api.js";
import { freshId, h, replace } from "./dom.js";
import { portrait } from "./parts.js";

const KEPT_MS = 15000;
const PROPOSED = 8;
let kept = null;

/** Everybody, not asked for again within a few seconds. @returns {Promise<object[]>} */
export function everybody() {
  if (!kept || Date.now() - kept.at > KEPT_MS) {
    const asked = api.get("people");
    kept = { at: Date.now(), asked };
    asked.catch(() => (kept = null));
  }
  return kept.asked;
}

/** To be called after a change. */
export const peopleChanged = () => (kept = null);

/** The address of a person's picture. */
export const portraitOf = (person) => (person.portrait ? faceUrl(person.portrait) : null);
export const faceUrl = (id) => url(at`faces/${id}.jpg`);

/**
 * A text field with the people that match, as the ARIA pattern "editable combobox with list" has it.
 * @param {{label: string, value?: string, exclude?: string, testid?: string, hideLabel?: boolean, onChoose?: () => void}} options
 * @returns {HTMLElement & {name: string, input: HTMLInputElement}}
 */
export function personField({
  label,
  value = "",
  exclude,
  testid = "person-name",
  hideLabel = false,
  onChoose,
  placeholder,
  autofocus = false,
}) {
  const id = freshId("people");
  let found = [];
  let marked = -1;
  const list = h("ul.options", { id, role: "listbox", "aria-label": label, hidden: true });
  const input = h("input.input", {
    type: "text",
    role: "combobox",
    value,
    placeholder,
    maxlength: 200,
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    autofocus,
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": id,
    "data-testid": testid,
    on: { input: propose, focus: propose, keydown: key, blur: () => setTimeout(hide, 150) },
  });
  const element = h(
    "div.combo",
    {},
    h("label.field", {}, h("span.field-label", { class: hideLabel ? "unseen" : "" }, label), input),
    list,
  );
  Object.defineProperty(element, "name", { get: () => input.value.trim() });
  return Object.assign(element, { input });

  async function propose() {
    const people = await everybody().catch(() => []);
    if (document.activeElement !== input) return;
    const typed = input.value.trim().toLowerCase();
    found = people
      .filter((p) => p.name !== exclude && p.name.toLowerCase().includes(typed) && p.name !== input.value)
      .slice(0, PROPOSED);
    marked = -1;
    replace(
      list,
      found.map((person, i) =>
        h(
          "li.option",
          {
            role: "option",
            id: `${id}-${i}`,
            "aria-selected": "false",
            on: {
              pointerdown: (event) => {
                event.preventDefault();
                choose(person);
              },
            },
          },
          portrait(portraitOf(person), { size: "small" }),
          h("span.option-name", {}, person.name),
        ),
      ),
    );
    list.hidden = found.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    input.removeAttribute("aria-activedescendant");
  }
  function key(event) {
    if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      event.stopPropagation();
      return hide();
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) return void propose();
      const step = event.key === "ArrowDown" ? 1 : -1;
      marked = marked < 0 ? (step > 0 ? 0 : found.length - 1) : (marked + step + found.length) % found.length;
      [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === marked)));
      input.setAttribute("aria-activedescendant", `${id}-${marked}`);
      list.children[marked]?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && marked >= 0) {
      event.preventDefault();
      choose(found[marked]);
    }
  }
  function choose(person) {
    input.value = person.name;
    hide();
    onChoose?.(person);
  }
  function hide() {
    list.hidden = true;
    marked = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
}
