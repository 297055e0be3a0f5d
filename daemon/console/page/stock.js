// The SKUs by the beginning of their names, a page at a time: thousands stay quick.

import { get } from "./api.js";
import { announce } from "./announce.js";
import { badge } from "./badge.js";
import { h, name, region } from "./dom.js";
import { count, number } from "./format.js";
import { table } from "./table.js";

const PAGE = 50;
const TYPING_MS = 150;

/** The view; what is searched for stands in the address. */
export function openStock(body, { query, refresh }) {
  const asked = { begins: query.get("begins") ?? "", cursors: [""] };
  const rows = h("div", { class: "scroll" });
  const pages = h("nav", { class: "row", "aria-label": "Pages of SKUs" });
  const told = h("p", { class: "small", id: "found" });
  let typing;
  const input = h("input", {
    type: "search", id: "search", autocomplete: "off", spellcheck: "false", maxlength: "200",
    "aria-describedby": "hint", value: asked.begins,
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(search, TYPING_MS);
    },
  });
  body.append(
    h("form", { role: "search", class: "search", onsubmit: (event) => { event.preventDefault(); search(); } },
      h("label", { for: "search" }, "SKUs that begin with"), input,
      h("p", { class: "small", id: "hint" }, "capitals and zeros count, as on the channels")),
    h("section", { "aria-label": "SKUs" }, told, rows, pages));
  const showPages = region(pages, (cursors, next) => turners(cursors, next, turn));
  const show = region(rows, (skus) => listed(skus, asked.begins));

  function search() {
    if (input.value === asked.begins || !input.isConnected) return; // nothing new, or another view by now
    asked.begins = input.value;
    asked.cursors = [""];
    const search = asked.begins ? `?${new URLSearchParams({ begins: asked.begins })}` : "";
    history.replaceState(null, "", `${location.pathname}#/stock${search}`);
    refresh();
  }

  function turn(cursors) {
    asked.cursors = cursors;
    refresh();
  }

  let before = "";
  return {
    async refresh() {
      const cursor = asked.cursors[asked.cursors.length - 1];
      const wish = JSON.stringify(asked);
      const page = await get("/v1/skus", { prefix: asked.begins, limit: PAGE, cursor });
      if (wish !== JSON.stringify(asked)) return; // somebody typed on: the next round shows that
      show(page.skus);
      told.textContent = from(asked, page);
      showPages(asked.cursors, page.next);
      if (before && before !== wish) announce(told.textContent);
      before = wish;
    },
  };
}

function from({ cursors }, page) {
  const first = (cursors.length - 1) * PAGE + 1;
  if (!page.skus.length) return "no SKU";
  const last = first + page.skus.length - 1;
  return page.next || first > 1 ? `SKU ${number(first)} to ${number(last)}${page.next ? ", and more" : ""}` : count(last, "SKU");
}

function turners(cursors, next, turn) {
  return [
    cursors.length > 1 && h("button", { type: "button", "data-key": "back", onclick: () => turn(cursors.slice(0, -1)) }, "Back"),
    next && h("button", { type: "button", "data-key": "on", onclick: () => turn([...cursors, next]) }, "Next page"),
  ];
}

function listed(skus, begins) {
  return table("Stock by SKU, in pieces", [
    { title: "SKU", head: true, cell: (row) => h("a", { href: link(row.sku), "data-key": row.sku }, name(row.sku)) },
    { title: "Available", number: true, cell: (row) => available(row) },
    { title: "On the shelf", number: true, cell: (row) => number(row.on_hand) },
    { title: "Sold, held", number: true, cell: (row) => number(row.held) },
    { title: "Listings", number: true, cell: (row) => number(row.listings) },
    { title: "State", cell: (row) => badge(row.state) },
  ], skus, { captionHidden: true, compact: true, empty: begins ? `No SKU begins with ${begins}.` : "No SKU is known yet." });
}

function available(row) {
  if (!row.debt) return number(row.available);
  return [number(row.available), " ", h("span", { class: "badge bad" }, `${number(row.debt)} sold too many`)];
}

/** The address of a SKU's view. */
export function link(sku) {
  return `#/sku/${encodeURIComponent(sku)}`;
}
