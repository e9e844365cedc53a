/**
 * Elements without markup: every text becomes a text node, so that no name or message is ever read as HTML.
 */

/** @typedef {Node|string|number|null|undefined|false|Child[]} Child */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element.
 * @param {string} tag a name, with classes after dots: `div.card.wide`
 * @param {Object<string, any>} [props] attributes; `on` holds listeners, `style` CSS properties, `data` data-attributes;
 *   `value`, `checked`, `disabled` and the like are set as properties
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  assign(element, props);
  return fill(element, children);
}

/** An SVG element; like `h`. */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  assign(element, props);
  return fill(element, children);
}

const PROPERTIES = new Set([
  "value",
  "checked",
  "disabled",
  "selected",
  "hidden",
  "open",
  "srcObject",
  "muted",
  "autoplay",
  "playsInline",
  "indeterminate",
]);

function assign(element, props) {
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (key === "on") Object.entries(value).forEach(([type, listener]) => element.addEventListener(type, listener));
    else if (key === "style")
      Object.entries(value).forEach(([name, css]) => element.style.setProperty(name, String(css)));
    else if (key === "data") Object.entries(value).forEach(([name, text]) => (element.dataset[name] = text));
    else if (key === "class") value && element.classList.add(...String(value).split(" ").filter(Boolean));
    else if (PROPERTIES.has(key)) element[key] = value;
    else if (value === false) element.removeAttribute(key);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
}

function fill(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** Puts `children` where the element's were. */
export function replace(element, ...children) {
  element.replaceChildren();
  return fill(element, children);
}

let serial = 0;
/** An id that no other element has. */
export const freshId = (stem) => `${stem}-${++serial}`;
