// Makes elements. A text is always set as text: there is no way here to make markup of one.

import { unpressed } from "./press.js";

const SHORT = 24;
const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes: `onclick` and the like are listeners, true is an empty attribute, false and null none. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Put `children` in the place of what `element` holds; what had the focus keeps it, found again by its data-key. */
export function fill(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const open = [...element.querySelectorAll("details[open][data-key]")].map((each) => each.dataset.key);
  element.replaceChildren(...present(children));
  for (const each of element.querySelectorAll("[data-key]")) {
    if (each.localName === "details" && open.includes(each.dataset.key)) each.open = true;
    if (focused !== undefined && each.dataset.key === focused) each.focus({ preventScroll: true });
  }
}

/** Fills an element only when what it is made from has changed: a reader's place and selection stay. */
export function region(element, render) {
  let last;
  return (...seen) => {
    const now = JSON.stringify(seen);
    if (now === last) return;
    last = now;
    unpressed(element, () => fill(element, [render(...seen)]));
  };
}

/** A name that somebody else chose: its direction of writing stays its own affair. */
export function name(text) {
  return h("bdi", { class: text.length > SHORT ? "name long" : "name" }, text);
}
