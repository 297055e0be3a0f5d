// The words of the shop for the words of the protocol, and a sign and a tone for each state.

/** Tones: good, busy, wait, bad, plain. The sign stands beside the word, so that no colour is needed. */
const STATES = {
  settled: ["good", "✓", "settled"],
  pending: ["busy", "…", "pending"],
  in_flight: ["busy", "↑", "in flight"],
  held: ["wait", "‖", "held"],
  paused: ["wait", "‖", "paused"],
  shadow: ["wait", "◌", "in shadow: nothing is written"],
  dead: ["bad", "✕", "dead letter"],
  live: ["good", "✓", "live"],
  throttled: ["wait", "…", "throttled"],
  down: ["bad", "✕", "down"],
  trusted: ["good", "✓", "trusted"],
  doubted: ["wait", "?", "doubted"],
  downgraded: ["bad", "✕", "read back every time"],
  resolved: ["good", "✓", "resolved"],
  corrected: ["good", "✓", "corrected"],
  adopted: ["good", "✓", "adopted"],
  reported: ["wait", "!", "reported"],
  kept: ["wait", "‖", "kept"],
};

/** [tone, sign, words] of a state. */
export function state(word) {
  return STATES[word] ?? ["plain", "·", spaced(word)];
}

/** snake_case as words. */
export function spaced(word) {
  return String(word).replaceAll("_", " ");
}

export const CONDITIONS = {
  webhooks_silent: "Webhooks are silent",
  acknowledgements_lie: "Acknowledgements do not hold",
  mass_change: "Too many levels differ at once",
  breaker_open: "The channel does not answer",
  raise_held: "Raising waits for orders",
  feed_unread: "Orders cannot be read",
  pushes_dead: "Listings refuse their level",
  queue_unread: "The platform's queue cannot be read",
  filter_ignored: "The order feed ignores its filter",
};

/** Where the page shows what an alarm is about: [address, words]. */
export const PLACES = {
  pushes_dead: ["#/letters", "See the dead letters"],
  mass_change: ["#/drift", "See what differs"],
};

export const LETTERS = {
  push: "Levels that a channel refuses",
  unlinked: "Orders of goods without a SKU",
  puzzle: "Webhooks that nobody understands",
  late: "Facts that came too late",
  poison: "Facts that could not be applied",
};

export const KINDS = {
  order: "Order", count: "Count", adjustment: "Adjustment", link: "Linked", push_sent: "Push sent",
  push_confirmed: "Push confirmed", push_failed: "Push failed", push_doubted: "Push in doubt",
  read_back: "Read back", revive: "Asked for", hold: "Hold", settle: "Settled into the count",
  reprice: "Rules changed", recipe: "Kit recipe", component: "Component", freeze: "Frozen", unfreeze: "Unfrozen",
};

export const RULES = {
  correct: "our level is pushed over it", adopt: "it is taken for a fact", report: "it is reported",
};

/** What told a fact, as its cause names it; anything else is a person. */
export const SOURCES = {
  webhook: "a webhook", poll: "the order feed", catalogue: "the catalogue", push: "the channel's answer to a push",
  refetch: "a second look at the order", sweep: "a comparison", drift: "a drift", mass: "too many drifts at once", retry: "a retried dead letter",
  settlement: "the settlement", start: "the start of the daemon", rebuild: "a rebuild",
};
