// What a broken, tired or hostile provider answers, whatever the endpoint.
import { messagePage } from './pages.mjs';

const HUGE_BYTES = 10 * 1024 * 1024;
const DEEP_LEVELS = 100_000;
const ENDLESS_BYTES = 256 * 1024 * 1024; // nobody should have the patience to see the end

function html(ctx, status) {
  ctx.status = status;
  ctx.type = 'html';
  ctx.body = messagePage('Authentik is starting', 'Please come back later.');
}

/* The answer goes past koa, over the bare response or socket. */
function bare(ctx) {
  ctx.respond = false;
  return ctx.res;
}

function jsonText(ctx) {
  return typeof ctx.body === 'object' && ctx.body !== null ? JSON.stringify(ctx.body) : String(ctx.body ?? '{}');
}

function replaceText(ctx, change, type = 'application/json') {
  const body = change(jsonText(ctx));
  ctx.body = body;
  ctx.type = type;
}

/* A member more, its value as raw text. */
const withMember = (text, value) => `${text.slice(0, -1)}${text.length > 2 ? ',' : ''}"padding":${value}}`;

/* Instead of doing what was asked. */
const INSTEAD = {
  down: (ctx) => html(ctx, 500),
  html: (ctx) => html(ctx, 200),
  busy: (ctx) => {
    html(ctx, 503);
    ctx.set('retry-after', '1');
  },
  rate_limited: (ctx) => html(ctx, 429),
  forbidden: (ctx) => html(ctx, 403),
  redirect: (ctx) => {
    ctx.status = 302;
    ctx.set('location', 'http://127.0.0.1:1/elsewhere');
    ctx.body = '';
  },
  hang: (ctx) => bare(ctx),
  reset: (ctx) => bare(ctx).socket.destroy(),
  garbage: (ctx) => bare(ctx).socket.end(Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc no HTTP\r\n\r\n', 'latin1')),
  header_flood: (ctx) => bare(ctx).socket.end(`HTTP/1.1 200 OK\r\n${`X-Flood: ${'x'.repeat(1000)}\r\n`.repeat(1000)}\r\n`),
  endless: (ctx) => {
    const res = bare(ctx);
    res.writeHead(200, { 'content-type': 'application/json' });
    let left = ENDLESS_BYTES / 65536;
    const more = () => {
      while (!res.destroyed && res.write(' '.repeat(65536)));
      if (--left <= 0) res.destroy();
    };
    res.on('drain', more);
    res.on('error', () => {});
    more();
  },
};

/* After it was done: the answer does not arrive as it was meant. */
const SPOILED = {
  truncated: (ctx) => {
    const text = jsonText(ctx);
    const res = bare(ctx);
    res.writeHead(ctx.status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    res.write(text.slice(0, text.length / 2), () => res.socket?.destroy());
  },
  stalled: (ctx) => {
    const text = jsonText(ctx);
    const res = bare(ctx);
    res.writeHead(ctx.status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    res.write(text.slice(0, text.length / 2));
  },
  lost: (ctx) => bare(ctx).socket.destroy(),
  empty: (ctx) => replaceText(ctx, () => ''),
  cut_json: (ctx) => replaceText(ctx, (text) => text.slice(0, text.length / 2)),
  wrong_content_type: (ctx) => replaceText(ctx, (text) => text, 'text/html'),
  huge: (ctx) => replaceText(ctx, (text) => withMember(text, `"${'x'.repeat(HUGE_BYTES)}"`)),
  deep: (ctx) => replaceText(ctx, (text) => withMember(text, `${'['.repeat(DEEP_LEVELS)}${']'.repeat(DEEP_LEVELS)}`)),
  deep_objects: (ctx) => replaceText(ctx, (text) => withMember(text, `${'{"a":'.repeat(DEEP_LEVELS)}1${'}'.repeat(DEEP_LEVELS)}`)),
  duplicate_members: (ctx) => replaceText(ctx, (text) => `${text.slice(0, -1)},${text.slice(1)}`),
  invalid_utf8: (ctx) => replaceText(ctx, (text) => Buffer.from(withMember(text, '"\xff\xfe\xc0\x80"'), 'latin1')),
  lone_surrogate: (ctx) => replaceText(ctx, (text) => withMember(text, '"\\ud800"')),
  twice: (ctx) => replaceText(ctx, (text) => text + text),
  trailing_nul: (ctx) => replaceText(ctx, (text) => `${text}\0`),
  array: (ctx) => replaceText(ctx, (text) => `[${text}]`),
  text: (ctx) => replaceText(ctx, (text) => JSON.stringify(text)),
  null: (ctx) => replaceText(ctx, () => 'null'),
  empty_object: (ctx) => replaceText(ctx, () => '{}'),
  wrong_iss: (ctx) => replaceText(ctx, (text) => JSON.stringify({ ...JSON.parse(text), issuer: 'http://127.0.0.1:1/application/o/repogate/' })),
};

export const ANSWERS = [...Object.keys(INSTEAD), ...Object.keys(SPOILED)];

const merge = (body, members) => Object.fromEntries(Object.entries({ ...body, ...members }).filter(([, value]) => value !== null));

/* An order is a name of ANSWERS, or { slow_ms?, answer?: name, status?, headers?, body?: text or JSON, set?: { members over the true ones; null takes
 * one away }, error?, error_description? }. Unknown names are an error of the test that gives them. */
export function readOrder(order) {
  const full = typeof order === 'string' ? { answer: order } : { ...order };
  if (full.answer && !ANSWERS.includes(full.answer)) throw new Error(`no such answer: ${full.answer}`);
  for (const name of Object.keys(full)) {
    if (!['slow_ms', 'answer', 'status', 'headers', 'body', 'set', 'error', 'error_description'].includes(name)) throw new Error(`no such member of an order: ${name}`);
  }
  return full;
}

/* Before the request is done: true if the order answers it instead. */
export function answerInstead(ctx, order) {
  if (order.error) {
    ctx.status = 400;
    ctx.body = { error: order.error, error_description: order.error_description };
    return true;
  }
  if (!INSTEAD[order.answer]) return false;
  INSTEAD[order.answer](ctx);
  return true;
}

/* After it: spoils what would have been answered. */
export function spoilAnswer(ctx, order) {
  if (order.set) ctx.body = merge(ctx.body, order.set);
  if (order.body !== undefined) replaceText(ctx, () => (typeof order.body === 'string' ? order.body : JSON.stringify(order.body)));
  if (order.status) ctx.status = order.status;
  for (const [name, value] of Object.entries(order.headers ?? {})) ctx.set(name, value);
  SPOILED[order.answer]?.(ctx);
}
