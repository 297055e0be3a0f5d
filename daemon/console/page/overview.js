// How the shop is: ready or not, what wants a person, the figures, and every channel.

import { alarm } from "./alarms.js";
import { ChannelCard } from "./channel.js";
import { outcome } from "./commands.js";
import { h, region } from "./dom.js";
import { count, mebibytes, moment, number, share } from "./format.js";

/** The view; `refresh(status)` shows a new status. */
export function openOverview(body, { samples, refresh }) {
  const state = h("section", { "aria-labelledby": "state" });
  const figures = h("section", { "aria-labelledby": "figures" });
  const channels = h("div", { class: "cards" });
  body.append(state, h("section", { "aria-labelledby": "channels" },
    h("h2", { id: "channels" }, "Channels"), outcome(), channels), figures);
  const showState = region(state, stateOf);
  const showFigures = region(figures, figuresOf);
  const cards = new Map();
  const showCards = region(channels, (names) => {
    for (const each of names) if (!cards.has(each)) cards.set(each, new ChannelCard(each, refresh));
    return names.length ? names.map((each) => cards.get(each).element) : h("p", { class: "empty" }, "No channel is configured.");
  });
  return {
    async refresh(status) {
      showState(status.ready, status.not_ready, status.alarms, status.quarantined, status.storage.trouble, downs(status));
      showFigures(pick(status));
      showCards(Object.keys(status.channels));
      for (const each of Object.values(status.channels)) cards.get(each.name).show(each, samples.of(each.name));
    },
  };
}

/** Channels that do not answer, where no alarm says so yet. */
function downs(status) {
  const told = new Set(status.alarms.map((each) => each.channel));
  return Object.values(status.channels)
    .filter((each) => each.state === "down" && !told.has(each.name))
    .map((each) => `${each.name} does not answer: ${each.last_error ?? "nobody knows why yet"}`);
}

function stateOf(ready, notReady, alarms, quarantined, storage, down) {
  const troubles = [
    ...(ready ? [] : [`Not ready: ${notReady}`]),
    ...(storage ? [`Nothing new can be accepted: ${storage}`] : []),
    ...down,
    ...Object.entries(quarantined).map(([sku, why]) => `${sku} waits for a person: ${why}`),
  ];
  const wants = troubles.length + alarms.length;
  return [
    h("h2", { id: "state", class: wants ? "headline wait" : "headline good" },
      h("span", { "aria-hidden": "true" }, wants ? "! " : "✓ "),
      wants ? `${count(wants, "thing wants", "things want")} you` : "All is well"),
    wants ? null : h("p", { class: "lead" }, "Webhooks are answered, every channel answers, and no alarm is open."),
    troubles.map((text) => h("p", { class: "notice bad" }, text)),
    alarms.map(alarm),
  ];
}

function pick(status) {
  const { acked, duplicates, rejected, events, since, outbox, dead_letters, actors, counters } = status;
  const { used_bytes, map_bytes } = status.storage;
  return { acked, duplicates, rejected, events, since, outbox, dead_letters, actors, counters, used_bytes, map_bytes };
}

function figuresOf(of) {
  const { pushes = 0, confirmed = 0, push_failures = 0, drifts = 0 } = of.counters;
  const facts = [
    ["Listings waiting", number(of.outbox.pending), `${number(of.outbox.in_flight)} being pushed`],
    ["Listings stopped", number(of.outbox.dead), count(of.dead_letters, "dead letter")],
    ["Webhooks taken", number(of.acked), `${number(of.duplicates)} known already, ${number(of.rejected)} refused`],
    ["Pushes confirmed", number(confirmed), `${share(confirmed, pushes)} of ${number(pushes)} sent`],
    ["Pushes failed", number(push_failures), "tried again, or put aside"],
    ["Drifts found", number(drifts), "levels that were not ours"],
    ["Events in the log", number(of.events), `${count(of.actors, "SKU")} in memory`],
    ["Storage used", mebibytes(of.used_bytes), `of ${mebibytes(of.map_bytes)}`],
  ];
  return [
    h("h2", { id: "figures" }, "Figures ", h("span", { class: "small" }, "since the start, ", moment(of.since))),
    h("dl", { class: "figures" }, facts.map(([title, value, more]) => h("div", {},
      h("dt", {}, title), h("dd", { class: "value" }, value), h("dd", { class: "small" }, more)))),
  ];
}
