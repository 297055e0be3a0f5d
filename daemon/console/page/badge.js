// A state as a sign and a word; its colour only repeats them.

import { h } from "./dom.js";
import { state } from "./words.js";

/** The badge of one of our state words; `instead` says it otherwise. */
export function badge(word, instead = "") {
  if (!word) return h("span", { class: "badge plain" }, h("span", { "aria-hidden": "true" }, "·"), "no listing");
  const [tone, sign, words] = state(word);
  return toned(tone, sign, instead || words);
}

/** A badge of any tone, sign and text. */
export function toned(tone, sign, text) {
  return h("span", { class: `badge ${tone}` }, h("span", { class: "sign", "aria-hidden": "true" }, sign), h("span", {}, text));
}
