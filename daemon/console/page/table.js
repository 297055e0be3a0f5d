// A table that a narrow window shows as cards. The roles stay said, whatever the style sheet makes of the boxes.

import { h } from "./dom.js";

/**
 * columns: {title, cell(row), number?, head?}; `head` marks the column that names the row.
 * `wide` one that has a line of its own on a card. A cell gives text or nodes. `empty` is said where there are no
 * rows; `compact`: all cells are short.
 */
export function table(caption, columns, rows, { empty = "Nothing here.", captionHidden = false, compact = false } = {}) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const head = h("tr", { role: "row" }, columns.map((column) => h(
    "th", { role: "columnheader", scope: "col", class: column.number ? "number" : null }, column.title,
  )));
  const body = rows.map((row) => h("tr", { role: "row" }, columns.map((column) => cell(column, row))));
  return h("table", { role: "table", class: compact ? "compact" : null },
    h("caption", { class: captionHidden ? "unseen" : null }, caption),
    h("thead", { role: "rowgroup" }, head),
    h("tbody", { role: "rowgroup" }, body));
}

function cell(column, row) {
  const role = column.head ? { role: "rowheader", scope: "row" } : { role: "cell" };
  const kind = [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ");
  return h(column.head ? "th" : "td", { ...role, class: kind || null, "data-title": column.title },
    h("div", { class: "value" }, column.cell(row)));
}
