// Levels that were not ours: which channels are held, what was found, its likeliest cause, and what was done.

import { get } from "./api.js";
import { badge, toned } from "./badge.js";
import { h, name, region } from "./dom.js";
import { count, moment, number, prose, share } from "./format.js";
import { link } from "./stock.js";
import { table } from "./table.js";
import { RULES, spaced } from "./words.js";

const PAGE = 100;

/** The view. */
export function openDrift(body, { refresh }) {
  const channels = h("section", { "aria-labelledby": "rules" });
  const found = h("section", { "aria-labelledby": "drifts" });
  const pages = h("nav", { class: "row", "aria-label": "Pages of drifts" });
  body.append(
    h("p", { class: "lead" }, "Every listing is read now and then. What shows another level than we believed, seen twice, is a drift."),
    channels, found, pages);
  const showChannels = region(channels, channelsOf);
  const showFound = region(found, driftsOf);
  const before = [0];
  const turn = (change) => { change(); refresh(); };
  const showPages = region(pages, (depth, next) => [
    depth > 1 && h("button", { type: "button", "data-key": "newer", onclick: () => turn(() => before.pop()) }, "Newer"),
    next && h("button", { type: "button", "data-key": "older", onclick: () => turn(() => before.push(next)) }, "Older"),
  ]);
  return {
    async refresh() {
      const page = await get("/v1/drift", { limit: PAGE, before: before[before.length - 1] });
      showChannels(page.channels);
      showFound(page.drifts);
      showPages(before.length, page.next);
    },
  };
}

function channelsOf(channels) {
  const held = channels.filter((each) => each.held);
  return [
    held.map(({ channel, held: hold }) => h("article", { class: "alarm" },
      h("h3", {}, h("span", { "aria-hidden": "true" }, "! "), name(channel), " is held"),
      h("p", {}, prose(hold.sentence)),
      h("p", { class: "small" }, `${number(hold.listings)} of ${count(hold.linked, "listing")} differ, since `, moment(hold.since)))),
    h("h2", { id: "rules" }, "By channel"),
    table("Drifts by channel over the days that are kept, and what is done with them", [
      { title: "Channel", head: true, cell: (row) => name(row.channel) },
      { title: "What is done", wide: true, cell: (row) => RULES[row.rule] ?? row.rule },
      { title: "State", cell: (row) => (row.held ? toned("bad", "!", "held") : toned("good", "✓", "compared")) },
      { title: "Found", number: true, cell: (row) => number(total(row.totals)) },
      { title: "By cause", wide: true, cell: (row) => byCause(row.totals) },
    ], channels, { captionHidden: true }),
  ];
}

function total(totals) {
  return Object.values(totals).reduce((sum, each) => sum + each, 0);
}

function byCause(totals) {
  const causes = Object.entries(totals).sort(([, one], [, other]) => other - one);
  return causes.length ? h("ul", { class: "plain" }, causes.map(([cause, times]) => h("li", {}, `${spaced(cause)}: ${number(times)}`))) : "none";
}

function driftsOf(drifts) {
  return [
    h("h2", { id: "drifts" }, "What was found"),
    table("Drifts, newest first", [
      { title: "SKU and channel", head: true, cell: whose },
      { title: "When", cell: (row) => moment(row.at) },
      { title: "Showed", number: true, cell: (row) => number(row.shown) },
      { title: "Should have", number: true, cell: (row) => number(row.expected) },
      { title: "Likely cause, and what was done", wide: true, cell: (row) => [cause(row), done(row)] },
    ], drifts, { captionHidden: true, empty: "No drift was found: every level read was ours." }),
  ];
}

function whose(row) {
  const sku = h("a", { href: link(row.sku), "data-key": `drift ${row.number}` }, name(row.sku));
  return [sku, " ", h("span", { class: "small" }, name(row.channel))];
}

function done(row) {
  return h("p", {}, badge(row.done), " ", h("span", { class: "small" }, prose(row.what_was_done)));
}

function cause(row) {
  const [likeliest, ...others] = row.causes;
  return [
    h("p", {}, h("strong", {}, spaced(row.cause)), likeliest ? `: ${likeliest.because}` : ""),
    others.length ? h("p", { class: "small" }, `or: ${others.map((each) => `${spaced(each.cause)} (${share(each.score, 1)})`).join(", ")}`) : null,
  ];
}
