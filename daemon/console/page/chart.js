// A small line over the last minutes, with its newest and highest value in words.

import { h, svg } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 48;
const SPAN_MIN_MS = 60_000;

/** points: {at, value}, a value is null where there is none · show: a value as text · title: what it is. */
export function chart(title, points, show, now = Date.now()) {
  const known = points.filter((point) => point.value !== null);
  const highest = Math.max(0, ...known.map((point) => point.value));
  const newest = known.length ? known[known.length - 1].value : null;
  const since = points.length ? Math.max(1, Math.round((now - points[0].at) / 60_000)) : 0;
  const told = newest === null
    ? `${title}: nothing measured yet`
    : `${title}: now ${show(newest)}, at most ${show(highest)} in the last ${since} min`;
  return h("figure", { class: "chart" },
    h("figcaption", {}, h("span", {}, title), h("strong", {}, show(newest))),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": told, preserveAspectRatio: "none" },
      svg("line", { class: "floor", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }),
      lines(points, highest, now, Math.max(SPAN_MIN_MS, points.length ? now - points[0].at : 0))),
    h("p", { class: "small" }, newest === null ? "nothing measured yet" : `highest in the last ${since} min: ${show(highest)}`));
}

function lines(points, highest, now, span) {
  const made = [];
  let run = [];
  const end = () => {
    if (run.length === 1) made.push(svg("circle", { class: "dot", cx: run[0][0], cy: run[0][1], r: 2 }));
    if (run.length > 1) made.push(svg("polyline", { class: "line", points: run.map((xy) => xy.join(",")).join(" ") }));
    run = [];
  };
  for (const { at, value } of points) {
    if (value === null) end();
    else run.push([across(at, now, span), upward(value, highest)]);
  }
  end();
  return made;
}

function across(at, now, span) {
  return (WIDTH * (1 - (now - at) / span)).toFixed(1);
}

function upward(value, highest) {
  return (HEIGHT - 2 - (highest ? (value / highest) * (HEIGHT - 6) : 0)).toFixed(1);
}
