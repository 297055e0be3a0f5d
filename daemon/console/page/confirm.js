// Asks a person once more before something that cannot be taken back.

import { h } from "./dom.js";

/** {reason} where the person says yes, null otherwise. The focus goes back to where it was. */
export function confirmed({ question, yes, reason = "" }) {
  const asker = document.activeElement?.dataset.key;
  const input = reason ? h("input", { type: "text", id: "reason", maxlength: "200", autocomplete: "off" }) : null;
  return new Promise((resolve) => {
    const dialog = h("dialog", {
      "aria-labelledby": "question",
      onclose: () => {
        dialog.remove();
        // The button that asked may have been made anew meanwhile.
        if (document.activeElement === document.body) byKey(asker)?.focus();
        resolve(dialog.returnValue === "yes" ? { reason: input?.value.trim() ?? "" } : null);
      },
    },
    h("p", { id: "question" }, question),
    input ? h("p", {}, h("label", { for: "reason" }, reason), input) : null,
    h("p", { class: "row" },
      h("button", { type: "button", class: "primary", onclick: () => dialog.close("yes") }, yes),
      h("button", { type: "button", onclick: () => dialog.close("no") }, "Leave it")));
    document.body.append(dialog);
    dialog.showModal();
  });
}

function byKey(key) {
  return [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
}
