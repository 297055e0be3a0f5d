// What this page saw of each channel over the last minutes: nothing of it is stored anywhere.

const KEPT_MS = 10 * 60_000;
const KEPT_MAX = 300;

/** Samples by channel: {at, lag, queue}; lag is milliseconds, null before the first push, queue listings. */
export class Samples {
  #channels = new Map();

  /** Take one sample of every channel of a status document. */
  take(status, now = Date.now()) {
    for (const channel of Object.values(status.channels)) {
      const kept = this.of(channel.name).filter((each) => each.at > now - KEPT_MS).slice(1 - KEPT_MAX);
      kept.push({ at: now, lag: channel.push_lag_ms.p95, queue: channel.pending + channel.in_flight });
      this.#channels.set(channel.name, kept);
    }
  }

  /** Nobody answered: the lines have a gap here. */
  miss(now = Date.now()) {
    for (const kept of this.#channels.values()) if (kept[kept.length - 1].queue !== null) kept.push({ at: now, lag: null, queue: null });
  }

  /** The samples of a channel, oldest first. */
  of(channel) {
    return this.#channels.get(channel) ?? [];
  }
}
