// What the platforms' own libraries say: one JSON object a line comes in, one goes out, in the same order.
// The folder that holds the libraries is the only argument. An `ask` that nobody knows, or that raises, ends it.
'use strict';

const { createRequire } = require('node:module');
const { createInterface } = require('node:readline');
const path = require('node:path');

const library = createRequire(path.join(path.resolve(process.argv[2]), 'package.json'));
console.log = console.error = () => {}; // eBay's library tells of each message; only answers belong on stdout

// --- Shopify: @shopify/shopify-api ---

library('@shopify/shopify-api/adapters/node');
const { shopifyApi, ApiVersion } = library('@shopify/shopify-api');
const { createSHA256HMAC } = library('@shopify/shopify-api/runtime');

function shopify(secret) {
  return shopifyApi({
    apiKey: 'key', apiSecretKey: secret, apiVersion: Object.values(ApiVersion)[0], isEmbeddedApp: false,
    hostName: 'sync.example.com', scopes: ['read_orders'], logger: { level: 0 },
  });
}

async function shopifyVerifies({ secret, headers, body }) {
  const rawBody = Buffer.from(body, 'base64').toString('utf8');
  const found = await shopify(secret).webhooks.validate({ rawBody, rawRequest: { method: 'POST', url: '/', headers } });
  return { valid: found.valid, reason: found.reason ?? '' };
}

async function shopifySigns({ secret, body }) {
  return { signature: await createSHA256HMAC(secret, Buffer.from(body, 'base64').toString('utf8')) };
}

// --- eBay: event-notification-nodejs-sdk. It fetches public keys; here they are given with the question. ---

const ebay = library('event-notification-nodejs-sdk');
const ebayClient = library('event-notification-nodejs-sdk/lib/client');
const who = { clientId: 'app', clientSecret: 'cert' };

async function ebayVerifies({ keys, header, body }) {
  ebayClient.getPublicKey = async (id) => {
    if (!(id in keys)) throw new Error(`no key ${id}`);
    return keys[id];
  };
  const message = JSON.parse(Buffer.from(body, 'base64').toString('utf8'));
  return { status: await ebay.process(message, header, { PRODUCTION: { ...who }, SANDBOX: { ...who } }, 'PRODUCTION') };
}

function ebayAnswers({ code, token, endpoint }) {
  return { answer: ebay.validateEndpoint(code, { endpoint, verificationToken: token }) };
}

function ebayOwnVectors() {
  return library('event-notification-nodejs-sdk/test/test.json');
}

// --- WooCommerce: @woocommerce/woocommerce-rest-api. Its request is caught where it would be sent. ---

const Woo = library('@woocommerce/woocommerce-rest-api').default;

function wooOf({ url, key, secret, in_query }, caught) {
  const adapter = async (config) => {
    Object.assign(caught, config);
    return { data: {}, status: 200, statusText: 'OK', headers: {}, config };
  };
  return new Woo({
    url, consumerKey: key, consumerSecret: secret, version: 'wc/v3', queryStringAuth: in_query, axiosConfig: { adapter },
  });
}

async function wooSends(asked) {
  const caught = {};
  await wooOf(asked, caught)._request(asked.method, asked.endpoint, asked.data, asked.params);
  return { url: caught.url, params: caught.params, auth: caught.auth ?? null };
}

function wooSigns(asked) {
  const { method, signed_url: url, proof } = asked;
  return { signature: wooOf(asked, {})._getOAuth().getSignature({ method, url, data: {} }, undefined, proof) };
}

const answers = {
  'shopify.verifies': shopifyVerifies, 'shopify.signs': shopifySigns,
  'ebay.verifies': ebayVerifies, 'ebay.answers': ebayAnswers, 'ebay.own_vectors': ebayOwnVectors,
  'woo.sends': wooSends, 'woo.signs': wooSigns,
};

async function main() {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const asked = JSON.parse(line);
    process.stdout.write(`${JSON.stringify(await answers[asked.ask](asked))}\n`);
  }
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
