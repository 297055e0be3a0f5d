// Asks the daemon, through the console that served this page. The secret of the address is taken out of it here.

const KEPT = "onhand-token";

/** What the daemon, or the console, refused: `message` says what is wrong, `hint` what to do. */
export class Refused extends Error {
  constructor(status, code, message, hint) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }

  get sentence() {
    return this.hint ? `${this.message}: ${this.hint}` : this.message;
  }
}

let token = "";

/** Take the token from the address, where it is the first part of the path, and leave the address without it. */
export function takeToken() {
  token = location.pathname.split("/")[1];
  sessionStorage.setItem(KEPT, token);
  // The icon is fetched again at times, and its address is read against that of the page.
  for (const icon of document.querySelectorAll("link[rel=icon]")) icon.href = icon.href;
  history.replaceState(null, "", `/${location.hash}`);
}

/** The document at `path`; `query` holds the parameters that are given. Raises Refused. */
export function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const search = given.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  return ask(search ? `${path}?${search}` : path, { signal });
}

/** Give a command; its answer. Raises Refused. */
export function post(path, body = {}) {
  return ask(path, {
    method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
  });
}

/** The path of a SKU, whatever is in its name. */
export function skuPath(sku, ...below) {
  return ["/v1/skus", encodeURIComponent(sku), ...below].join("/");
}

async function ask(target, options) {
  const headers = { ...options.headers, Authorization: `Bearer ${token}` };
  let answer;
  try {
    answer = await fetch(`/api${target}`, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "no_console", "the console has ended", "start `onhand console` again and open its new address");
  }
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  throw refusal(answer.status, text);
}

function refusal(status, text) {
  try {
    const { code, message, hint } = JSON.parse(text).error;
    return new Refused(status, code, message, hint);
  } catch {
    return new Refused(status, "refused", text.trim() || `the console answered ${status}`, "");
  }
}
