// While somebody presses what is shown, it stays where it is: a button made anew would never be told of the click.

let pressed = null;
const later = new Map();

addEventListener("pointerdown", (event) => { pressed = event.target; }, true);
for (const over of ["pointerup", "pointercancel"]) addEventListener(over, () => setTimeout(release), true);

function release() {
  pressed = null;
  const waiting = [...later.values()];
  later.clear();
  for (const change of waiting) change();
}

/** Do `change` to what `element` holds: now, or when it is let go. The newest one wins. */
export function unpressed(element, change) {
  if (pressed && element.contains(pressed)) later.set(element, change);
  else {
    later.delete(element);
    change();
  }
}
