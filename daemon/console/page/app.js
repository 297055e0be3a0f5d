// The page: which view is open, and the round that keeps it up to date.

import { get, takeToken } from "./api.js";
import { trouble } from "./announce.js";
import { allowCommands, mayWrite } from "./commands.js";
import { h, region } from "./dom.js";
import { openDrift } from "./drift.js";
import { number, prose } from "./format.js";
import { openLetters } from "./letters.js";
import { openOverview } from "./overview.js";
import { Samples } from "./samples.js";
import { openSku } from "./sku.js";
import { openStock } from "./stock.js";
import { showMoment, showSilence } from "./top.js";

const ROUND_MS = 3_000;
const SILENT = ["no_daemon", "no_answer", "no_console"];

const VIEWS = {
  "": { title: "Overview", open: openOverview, listed: true },
  stock: { title: "Stock", open: openStock, listed: true },
  letters: { title: "Dead letters", open: openLetters, listed: true },
  drift: { title: "Drift", open: openDrift, listed: true },
  sku: { title: "SKU", open: openSku, under: "stock" },
};

const main = document.getElementById("content");
const samples = new Samples();
let view = null;
let running = Promise.resolve();
let waiting = null;
let status = null;

/** `#/stock?begins=A` as its parts. */
function place() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [word, ...rest] = path.split("/");
  return { word: word in VIEWS ? word : "", rest: rest.map(decoded), query: new URLSearchParams(search) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // somebody wrote this address by hand
  }
}

function open(first = false) {
  const here = place();
  const kind = VIEWS[here.word];
  const names = [here.rest[0], kind.title].filter(Boolean);
  document.title = `${names[0]} · onhand`;
  const heading = h("h1", { tabindex: "-1" }, h("bdi", {}, names[0]));
  const body = h("div", { class: "view" });
  main.replaceChildren(heading, body);
  view = kind.open(body, { ...here, heading, samples, refresh: round });
  showViews(kind.under ?? here.word, status?.dead_letters);
  if (!first) {
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  round();
}

const showViews = region(document.getElementById("views"), (current, letters) => {
  return Object.entries(VIEWS).filter(([, each]) => each.listed).map(([word, each]) => {
    const many = word === "letters" && letters ? h("span", { class: "count" }, number(letters)) : null;
    const chosen = word === current ? "page" : null;
    return h("li", {}, h("a", { href: `#/${word}`, "aria-current": chosen, "data-key": `view ${word}` }, each.title, many));
  });
});

/** Ask the daemon, and show what it says: one round at a time, and at most one that waits for it. */
function round() {
  waiting ??= running.then(() => {
    waiting = null;
    running = once();
    return running;
  });
  return waiting;
}

async function once() {
  const shown = view;
  try {
    status = await get("/v1/status");
    samples.take(status);
    showMoment(status, mayWrite());
    showViews(VIEWS[place().word].under ?? place().word, status.dead_letters);
    await shown.refresh(status);
    if (shown === view) trouble([]);
  } catch (error) {
    const silent = SILENT.includes(error.code);
    if (silent) {
      samples.miss();
      showSilence();
    }
    if (silent || shown === view) trouble(prose(error.sentence ?? `this page failed: ${error.message}`));
  }
}

async function start() {
  takeToken();
  try {
    allowCommands((await get("/console")).write);
  } catch (error) {
    trouble(prose(error.sentence));
  }
  addEventListener("hashchange", () => open());
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  open(true);
  setInterval(() => document.hidden || round(), ROUND_MS);
  document.addEventListener("visibilitychange", () => document.hidden || round());
}

start();
