// The history of a SKU, newest first: what happened, who or what told it, and the number before and after.

import { get, skuPath } from "./api.js";
import { announce, trouble } from "./announce.js";
import { h, name, region } from "./dom.js";
import { count, moment, number, prose } from "./format.js";
import { KINDS, SOURCES, spaced } from "./words.js";

const PAGE = 50;

/** The timeline of one SKU. Older pages, once asked for, stay. */
export class Timeline {
  #sku;
  #events = [];
  #older = null;
  #all = false;
  #list = h("ol", { class: "timeline", id: "events" });
  #more = h("p", { class: "row" });
  #show = region(this.#list, (events) => events.map(entry));
  #showMore = region(this.#more, (hidden, older) => [
    h("span", { class: "small" }, hidden ? `${count(hidden, "event")} that moved no stock not shown` : ""),
    older && h("button", { type: "button", "data-key": "older", onclick: () => this.#grow() }, "Older events"),
  ]);

  constructor(sku) {
    this.#sku = sku;
    const box = h("input", { type: "checkbox", id: "all", onchange: () => { this.#all = box.checked; this.#render(); } });
    this.element = h("section", { "aria-labelledby": "timeline" },
      h("h2", { id: "timeline" }, "Timeline"),
      h("p", { class: "check" }, box, h("label", { for: "all" }, "also what did not change the stock: pushes, readings")),
      this.#list, this.#more);
  }

  /** The newest page. Raises Refused. */
  newest() {
    return get(skuPath(this.#sku, "history"), { limit: PAGE });
  }

  /** Take a newest page in, before what is there. */
  show(page) {
    const last = page.history.length ? page.history[page.history.length - 1].seq : Infinity;
    const joins = this.#events.length && this.#events[0].seq >= last;
    const kept = joins ? this.#events.filter((event) => event.seq < last) : [];
    if (!kept.length) this.#older = page.next;
    this.#events = [...page.history, ...kept];
    this.#render();
  }

  async #grow() {
    let page;
    try {
      page = await get(skuPath(this.#sku, "history"), { limit: PAGE, before: this.#older });
    } catch (error) {
      trouble(prose(error.sentence));
      return;
    }
    this.#events = [...this.#events, ...page.history];
    this.#older = page.next;
    announce(`${count(page.history.length, "older event")} shown`);
    this.#render();
  }

  #render() {
    const shown = this.#all ? this.#events : this.#events.filter(moved);
    this.#show(shown);
    this.#showMore(this.#events.length - shown.length, this.#older);
  }
}

/** Does the event belong to the story of the number? */
function moved(event) {
  return event.before !== event.after || ["count", "adjustment", "order", "freeze", "unfreeze", "recipe"].includes(event.kind);
}

function entry(event) {
  return h("li", {},
    h("div", { class: "when" }, moment(event.at)),
    h("div", { class: "what" },
      h("p", {}, h("strong", {}, KINDS[event.kind] ?? spaced(event.kind)), event.channel ? [" · ", name(event.channel)] : null),
      h("p", {}, prose(event.note)),
      h("p", { class: "small" }, causes(event))),
    change(event));
}

function causes(event) {
  const { delivery, order, line, by } = event.cause;
  return [
    `told by ${SOURCES[by] ?? `a person (${by})`}`,
    delivery ? ` · delivery ${delivery}` : "",
    order ? [" · order ", name(order)] : "",
    line ? [" · line ", name(line)] : "",
    ` · event ${event.seq}`,
  ].flat();
}

function change(event) {
  if (event.before === event.after) return h("div", { class: "change same" }, event.after === null ? "" : `stays ${number(event.after)}`);
  const up = (event.after ?? 0) > (event.before ?? 0);
  return h("div", { class: "change" },
    h("span", { class: "unseen" }, "available from "), number(event.before),
    h("span", { "aria-hidden": "true" }, " → "), h("span", { class: "unseen" }, " to "), h("strong", {}, number(event.after)),
    h("span", { class: up ? "delta up" : "delta down" }, delta(event)));
}

function delta({ before, after }) {
  if (before === null || after === null) return "";
  return after > before ? `+${number(after - before)}` : `−${number(before - after)}`;
}
