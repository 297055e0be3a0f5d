// One open alarm: what it is, since when, and what to do.

import { h, name } from "./dom.js";
import { count, moment, prose } from "./format.js";
import { CONDITIONS, PLACES, spaced } from "./words.js";

/** An alarm as an article. */
export function alarm(each) {
  const [address, words] = PLACES[each.condition] ?? [];
  const about = [each.channel, each.subject].filter(Boolean);
  return h("article", { class: "alarm" },
    h("h3", {}, h("span", { "aria-hidden": "true" }, "! "), CONDITIONS[each.condition] ?? spaced(each.condition),
      about.map((text) => [" · ", name(text)])),
    h("p", {}, prose(each.text)),
    h("p", { class: "todo" }, h("strong", {}, "What to do: "), prose(each.what_to_do)),
    address ? h("p", {}, h("a", { href: address, "data-key": `alarm ${each.condition} ${each.channel}` }, words)) : null,
    h("p", { class: "small" }, "since ", moment(each.since), each.count > 1 ? `, found ${count(each.count, "time")}` : ""));
}
