// One channel: its state, its lag and queue over the last minutes, and how far its word is believed.

import { badge } from "./badge.js";
import { chart } from "./chart.js";
import { command } from "./commands.js";
import { h, name, region } from "./dom.js";
import { count, lag, moment, number, share } from "./format.js";

/** The card of a channel, for as long as it is shown; `refresh` is called after a command. */
export class ChannelCard {
  #head = h("header");
  #charts = h("div", { class: "charts" });
  #facts = h("div", { class: "facts" });
  #buttons = h("p", { class: "row" });
  #parts;

  constructor(channel, refresh) {
    this.element = h("article", { class: "card", "aria-label": `channel ${channel}` },
      this.#head, this.#charts, this.#facts, this.#buttons);
    this.#parts = [
      region(this.#head, heading), region(this.#facts, facts),
      region(this.#buttons, ({ state }) => buttons(channel, state === "paused", refresh)),
    ];
  }

  /** Show the channel's newest state, and its samples. A button stays the same one while it means the same. */
  show(channel, samples) {
    const [showHead, showFacts, showButtons] = this.#parts;
    showHead({ name: channel.name, platform: channel.platform, state: channel.state });
    showFacts(channel);
    showButtons({ state: channel.state === "paused" ? "paused" : "" });
    this.#charts.replaceChildren(
      chart("Push lag, 95 of 100 pushes", samples.map(({ at, lag: value }) => ({ at, value })), lag),
      chart("Listings in the queue", samples.map(({ at, queue: value }) => ({ at, value })), number));
  }
}

function heading(channel) {
  return [h("h3", {}, name(channel.name), " ", h("span", { class: "small" }, channel.platform)), badge(channel.state)];
}

function facts(channel) {
  const pairs = [
    ["Webhooks told", captured(channel)],
    ["Acknowledgements", badge(channel.acknowledgements)],
    ["Levels pushed", number(channel.pushes)],
    ["Stopped by a dead letter", number(channel.dead)],
    ["Orders seen until", moment(channel.orders_seen_until, "not yet")],
    ["Listings compared", number(channel.swept)],
  ];
  return [
    channel.last_error ? h("p", { class: "notice wait" }, h("strong", {}, "Last error: "), channel.last_error) : null,
    h("dl", { class: "pairs" }, pairs.map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value)))),
  ];
}

/** Of the versions of orders that webhooks should tell, the part they told: in the last hour, else in the last day. */
function captured(channel) {
  if (channel.webhooks_silent_since) return ["silent since ", moment(channel.webhooks_silent_since)];
  for (const window of ["hour", "day"]) {
    const told = sum(channel.webhook_capture, (topic) => topic[window].told);
    const missed = sum(channel.webhook_capture, (topic) => topic[window].missed);
    if (told + missed) return `${share(told, told + missed)} of ${number(told + missed)}, last ${window}`;
  }
  return "nothing to tell yet";
}

function sum(rows, value) {
  return rows.reduce((total, row) => total + value(row), 0);
}

function buttons(channel, paused, done) {
  const at = `/v1/channels/${encodeURIComponent(channel)}`;
  return [
    command({
      label: paused ? "Resume" : "Pause", about: channel, path: `${at}/${paused ? "resume" : "pause"}`, done,
      key: `${at} state`, said: (answer) => `${answer.name} is ${answer.state}`,
      ask: paused ? null : { question: `Push nothing to ${channel} until it is resumed?`, yes: "Pause it" },
    }),
    command({
      label: "Compare now", about: channel, path: `${at}/reconcile`, done,
      said: (it) => `${it.channel}: ${count(it.listings, "listing")}, ${it.linked} newly linked, ${it.mismatched} differ`,
    }),
  ];
}
