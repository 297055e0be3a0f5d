// Tells a screen reader what a person asked for, or must know; never what merely ticks.

/** Say it, when there is a pause. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** Show what is wrong above everything, until it is no more ("" takes it away). */
export function trouble(parts) {
  const place = document.getElementById("trouble");
  const text = parts.map((each) => each.textContent ?? each).join("");
  if (place.textContent === text) return;
  place.replaceChildren(...parts);
}
