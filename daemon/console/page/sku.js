// One SKU: its numbers and where they come from, its listings, and its timeline.

import { get, skuPath } from "./api.js";
import { command, outcome } from "./commands.js";
import { h, name, region } from "./dom.js";
import { number, prose } from "./format.js";
import { listings } from "./listings.js";
import { link } from "./stock.js";
import { table } from "./table.js";
import { Timeline } from "./timeline.js";

/** The view of the SKU in the address. */
export function openSku(body, { rest, heading, refresh }) {
  const sku = rest[0] ?? "";
  const head = h("section", { "aria-label": "Stock" });
  const buttons = h("div");
  const shown = h("section", { "aria-labelledby": "listings" });
  const timeline = new Timeline(sku);
  heading.before(h("p", { class: "trail" }, h("a", { href: "#/stock" }, "Stock")));
  body.append(head, buttons, outcome() ?? "", shown, timeline.element);
  const showHead = region(head, headOf);
  const showButtons = region(buttons, (frozen) => buttonsOf(sku, frozen, refresh));
  const showListings = region(shown, listings);
  return {
    async refresh() {
      const [state, why, history] = await Promise.all([
        get(skuPath(sku)), get(skuPath(sku, "explain")), timeline.newest(),
      ]);
      showHead(state, why.stock, why.open_orders, why.open_orders_count);
      showButtons(Boolean(state.frozen));
      showListings(why.listings);
      timeline.show(history);
    },
  };
}

function headOf(state, stock, orders, ordersCount) {
  const numbers = [
    ["Available", state.available, "may be sold now"],
    ["On the shelf", state.on_hand, state.components ? "a kit is not on the shelf itself" : "counted, and what moved since"],
    ["Held", state.held, "sold, not yet handed over"],
    ["Debt", state.debt, "sold too many"],
  ];
  return [
    h("dl", { class: "figures" }, numbers.map(([title, value, more]) => h("div", { class: title === "Debt" && value ? "bad" : null },
      h("dt", {}, title), h("dd", { class: "value" }, number(value)), h("dd", { class: "small" }, more)))),
    state.frozen ? h("p", { class: "notice wait" }, `Frozen by ${state.frozen.by}`, state.frozen.reason ? `: ${state.frozen.reason}` : "") : null,
    state.quarantined ? h("p", { class: "notice bad" }, "Nothing is applied to it: ", state.quarantined) : null,
    h("h2", {}, "Where the number comes from"),
    h("ul", { class: "plain" }, stock.map((sentence) => h("li", {}, prose(sentence)))),
    state.components ? components(state.components) : null,
    state.kits.length ? h("p", {}, "It is a component of ", state.kits.map((kit, place) => [place ? ", " : "", h("a", { href: link(kit) }, name(kit))])) : null,
    orders.length ? openOrders(orders, ordersCount) : null,
  ];
}

function components(rows) {
  return table("What one kit holds", [
    { title: "Component", head: true, cell: (row) => h("a", { href: link(row.sku) }, name(row.sku)) },
    { title: "In one kit", number: true, cell: (row) => number(row.units) },
    { title: "Available", number: true, cell: (row) => number(row.available) },
    { title: "Makes", number: true, cell: (row) => [number(row.makes), row.limits ? " (sets the number)" : ""] },
  ], rows);
}

function openOrders(orders, total) {
  const title = `Orders not yet handed over: ${number(total)}`;
  return h("details", { "data-key": "open orders" }, h("summary", {}, title), table(title, [
    { title: "Order", head: true, cell: (row) => name(row.order) },
    { title: "Line", cell: (row) => name(row.line) },
    { title: "Channel", cell: (row) => name(row.channel) },
    { title: "Held", number: true, cell: (row) => number(row.held) },
  ], orders, { captionHidden: true }));
}

function buttonsOf(sku, frozen, done) {
  const asked = (answer) => answer.note;
  const made = [
    command({ label: "Push now", about: sku, path: skuPath(sku, "push"), said: asked, done }),
    command({ label: "Read the listings", about: sku, path: skuPath(sku, "pull"), said: asked, done }),
    frozen
      ? command({ label: "Unfreeze", about: sku, path: skuPath(sku, "unfreeze"), said: () => `${sku} follows its stock again`, done, key: "freeze" })
      : command({
        label: "Freeze", about: sku, path: skuPath(sku, "freeze"), said: () => `${sku} is frozen`, done, key: "freeze",
        ask: { question: `Let all listings of ${sku} keep their levels?`, reason: "Why (it stands in the history)", yes: "Freeze it" },
      }),
  ].filter(Boolean);
  return made.length ? h("p", { class: "row" }, made) : null;
}
