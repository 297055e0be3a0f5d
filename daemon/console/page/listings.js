// The listings of a SKU: what each should show, what we believe it shows, and why.

import { badge } from "./badge.js";
import { h, name } from "./dom.js";
import { moment, number, prose } from "./format.js";
import { table } from "./table.js";

/** The section of the listings, as `explain` tells them. */
export function listings(rows) {
  return [
    h("h2", { id: "listings" }, "Listings"),
    table("What each listing should show, and what we believe it shows", [
      { title: "Channel", head: true, cell: (row) => [name(row.channel), " ", h("span", { class: "small" }, "listing ", name(row.listing))] },
      { title: "Should show", number: true, cell: (row) => number(row.should_show) },
      { title: "Shows", number: true, cell: (row) => number(row.shows) },
      { title: "State", cell: (row) => badge(row.state) },
      { title: "Why", wide: true, cell: why },
    ], rows, { empty: "No channel lists it." }),
  ];
}

function why(row) {
  const letter = row.dead_letter
    ? h("li", {}, h("a", { href: "#/letters", "data-key": `letter ${row.dead_letter}` }, `dead letter ${row.dead_letter}`), " names what to do")
    : null;
  return h("ul", { class: "plain" }, row.why.map((sentence) => h("li", {}, prose(sentence))), letter,
    h("li", { class: "small" }, "last push: ", moment(row.last_push_at, "never")));
}
