// The end of the top bar: is the daemon ready, when was it asked, and may this page give commands?

import { announce } from "./announce.js";
import { toned } from "./badge.js";
import { fill, h } from "./dom.js";
import { count, moment } from "./format.js";

let told = "";

/** Show it; a screen reader is told when the answer is another one than before. */
export function showMoment(status, write) {
  fill(document.getElementById("moment"),
    readiness(status),
    h("span", { class: "small asked" }, "asked at ", moment(status.now)),
    h("span", { class: "small" }, write ? "commands allowed" : "read only"));
  const now = status.ready
    ? `ready, ${status.alarms.length ? count(status.alarms.length, "open alarm") : "no alarm"}`
    : `not ready: ${status.not_ready}`;
  if (now !== told) announce(now);
  told = now;
}

/** The daemon, or the console, does not answer: what is shown is the last that it said. */
export function showSilence() {
  const place = document.getElementById("moment");
  if (place.firstChild) place.firstChild.replaceWith(toned("bad", "✕", "no answer"));
  else fill(place, toned("bad", "✕", "no answer"));
  told = "";
}

function readiness(status) {
  if (!status.ready) return toned("bad", "✕", "not ready");
  return status.alarms.length ? toned("wait", "!", count(status.alarms.length, "alarm")) : toned("good", "✓", "ready");
}
