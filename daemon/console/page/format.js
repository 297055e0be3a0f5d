// Numbers and moments as a person reads them, in the clock of this machine.

import { h } from "./dom.js";

const NUMBER = new Intl.NumberFormat("en-GB");
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export const UNKNOWN = "–";

/** A number with its thousands apart; a dash for one that nobody knows. */
export function number(value) {
  return value === null || value === undefined ? UNKNOWN : NUMBER.format(value);
}

/** Milliseconds, as short as they can be told. */
export function lag(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${NUMBER.format(Math.round(ms / 60_000))} min`;
}

/** A part of a whole as per cent; a dash where the whole is nothing. */
export function share(part, whole) {
  if (!whole) return UNKNOWN;
  const percent = (100 * part) / whole;
  return `${percent === 100 || percent === 0 ? percent : percent.toFixed(1)} %`;
}

/** Bytes in MiB. */
export function mebibytes(bytes) {
  return `${NUMBER.format(Math.round(bytes / 2 ** 20))} MiB`;
}

/** 1 listing, 2 listings. */
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** A moment (RFC 3339) as <time>: the time of day, with the date unless it is today. */
export function moment(at, never = UNKNOWN) {
  if (!at) return h("span", {}, never);
  const then = new Date(at);
  const day = DAY.format(then);
  const text = day === DAY.format(new Date()) ? TIME.format(then) : `${day}, ${TIME.format(then)}`;
  return h("time", { datetime: at, title: `${at.slice(0, 19).replace("T", " ")} UTC` }, text);
}

/** A sentence of the daemon's: `commands` in it are set as code, moments in the clock of this machine. */
export function prose(text) {
  return String(text).split(/(`[^`]*`|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/).map((part, place) => {
    if (place % 2 === 0) return part;
    return part.startsWith("`") ? h("code", {}, part.slice(1, -1)) : moment(part);
  });
}
