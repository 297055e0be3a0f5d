// Buttons that give commands. There are none unless the console was started with --write.

import { post } from "./api.js";
import { announce } from "./announce.js";
import { confirmed } from "./confirm.js";
import { h } from "./dom.js";

let allowed = false;

/** Are commands allowed here? */
export function mayWrite() {
  return allowed;
}

export function allowCommands(yes) {
  allowed = yes;
}

/**
 * A button for one command, or null where the page only reads.
 * path: what to post to · said(answer): what came of it, in words · ask: {question, reason?, yes} before it is done ·
 * done(): afterwards.
 */
export function command({ label, about, path, said, ask = null, done, tone = "", key = path }) {
  if (!allowed) return null;
  const button = h("button", {
    type: "button", class: tone || null, "data-key": key, "aria-label": about ? `${label}: ${about}` : null,
    onclick: async () => {
      if (button.hasAttribute("aria-disabled")) return; // it is on its way
      const answer = ask ? await confirmed(ask) : {};
      if (!answer) return;
      button.setAttribute("aria-disabled", "true");
      await give(path, ask?.reason && answer.reason ? { reason: answer.reason } : {}, said);
      button.removeAttribute("aria-disabled");
      await done();
    },
  }, label);
  return button;
}

/** Give one command and tell the person what came of it. */
export async function give(path, body, said) {
  tell("…", "busy");
  try {
    tell(said(await post(path, body)), "good");
    return true;
  } catch (error) {
    tell(error.sentence ?? String(error), "bad");
    return false;
  }
}

/** What came of the last command, where everybody finds it. */
export function tell(text, tone) {
  const place = document.getElementById("outcome");
  if (place) {
    place.className = `outcome ${tone}`;
    place.textContent = text;
  }
  if (tone !== "busy") announce(text);
}

/** Where `tell` tells. */
export function outcome() {
  return allowed ? h("p", { id: "outcome", class: "outcome" }) : null;
}
