// Dead letters by what is wrong with them: cause, what to do, and another try.

import { get } from "./api.js";
import { command, give, mayWrite, outcome, tell } from "./commands.js";
import { h, name, region } from "./dom.js";
import { count, moment, prose } from "./format.js";
import { link } from "./stock.js";
import { table } from "./table.js";
import { LETTERS, spaced } from "./words.js";

const PAGE = 200;
const MOST = 1000;

/** The view. */
export function openLetters(body, { refresh }) {
  const groups = h("div");
  const more = h("p", { class: "row" });
  body.append(
    h("p", { class: "lead" }, "What could not be applied or pushed was put aside here. Nothing of it is lost."),
    outcome() ?? "", groups, more);
  const show = region(groups, (letters) => grouped(letters, refresh));
  let limit = PAGE;
  const showMore = region(more, (next) => next && (limit < MOST
    ? h("button", { type: "button", "data-key": "more", onclick: () => { limit += PAGE; refresh(); } }, "More letters")
    : h("span", { class: "small" }, `the oldest ${MOST}: mend these first`)));
  return {
    async refresh() {
      const page = await get("/v1/dead-letters", { limit });
      show(page.dead_letters);
      showMore(page.next);
    },
  };
}

/** Letters of one kind and one cause stand together: one mending helps them all. */
function grouped(letters, refresh) {
  if (!letters.length) return h("p", { class: "headline good" }, h("span", { "aria-hidden": "true" }, "✓ "), "There are no dead letters");
  const kinds = Map.groupBy(letters, (letter) => letter.kind);
  return [...kinds].map(([kind, ofKind]) => h("section", { "aria-label": LETTERS[kind] ?? spaced(kind) },
    h("h2", {}, LETTERS[kind] ?? spaced(kind)),
    h("p", { class: "todo" }, h("strong", {}, "What to do: "), prose(ofKind[0].next_action)),
    [...Map.groupBy(ofKind, (letter) => letter.cause)].map(([cause, same]) => group(kind, cause, same, refresh))));
}

function group(kind, cause, letters, refresh) {
  return h("article", { class: "card" },
    h("header", {}, h("h3", {}, cause), h("span", { class: "small" }, count(letters.length, "letter"))),
    table(`Dead letters: ${cause}`, [
      { title: "Letter", head: true, cell: (letter) => String(letter.id) },
      { title: "About", wide: true, cell: (letter) => [name(letter.subject), content(letter)] },
      { title: "SKU", cell: (letter) => (letter.sku ? h("a", { href: link(letter.sku), "data-key": `sku ${letter.id}` }, name(letter.sku)) : "–") },
      { title: "Channel", cell: (letter) => (letter.channel ? name(letter.channel) : "–") },
      { title: "Since", cell: (letter) => moment(letter.at) },
      ...(mayWrite() ? [{ title: "Commands", cell: (letter) => buttons(letter, refresh) }] : []),
    ], letters, { captionHidden: true }),
    mayWrite() && letters.length > 1 ? h("p", { class: "row" }, retryAll(kind, cause, letters, refresh)) : null);
}

function content(letter) {
  const place = h("pre", {}, "…");
  return h("details", {
    "data-key": `content ${letter.id}`,
    ontoggle: async (event) => {
      if (!event.target.open) return;
      try {
        const held = (await get(`/v1/dead-letters/${letter.id}`)).content;
        place.textContent = held.text ?? held.hex;
      } catch (error) {
        place.textContent = error.sentence ?? String(error);
      }
    },
  }, h("summary", { "aria-label": `content of letter ${letter.id}` }, "content"), place);
}

function said(answer) {
  return `${answer.id}: ${answer.result}${answer.still_there ? " (it is still there)" : ""}`;
}

function buttons(letter, done) {
  const at = `/v1/dead-letters/${letter.id}`;
  return h("div", { class: "row" },
    command({ label: "Retry", about: `letter ${letter.id}`, path: `${at}/retry`, said, done }),
    command({
      label: "Discard", about: `letter ${letter.id}`, path: `${at}/discard`, said, done,
      ask: { question: `Give letter ${letter.id} up for good? ${letter.subject}`, yes: "Discard it" },
    }));
}

function retryAll(kind, cause, letters, refresh) {
  return h("button", {
    type: "button", "data-key": `all ${kind} ${cause}`,
    onclick: async () => {
      let done = 0;
      for (const letter of letters) done += await give(`/v1/dead-letters/${letter.id}/retry`, {}, said);
      tell(`${count(letters.length, "letter")} tried again, ${done} taken`, done === letters.length ? "good" : "bad");
      await refresh();
    },
  }, `Retry all ${letters.length}`);
}
