// How each proxy asks about a client's request, as its documentation and source say; only NGINX, HAProxy and Caddy are also run for real.
import assert from 'node:assert/strict';
import { converse, gatewayPort, requestBytes } from './wire.mjs';

const AUTH_HEAD_MAX = 4096;
const CLIENT = '192.0.2.7';
const HOP = ['connection', 'upgrade', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'proxy-connection'];
/* What a configuration of Envoy has to let through, besides Authorization, which it always does. */
export const ENVOY_ALLOWED = ['accept', 'cookie', 'sec-fetch-dest', 'sec-fetch-mode', 'sec-websocket-key', 'x-forwarded-for', 'x-requested-with', 'x-repogate-proxy-secret'];

function drop(headers, names) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name.toLowerCase())));
}

function keep(headers, names) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => names.includes(name.toLowerCase())));
}

function isUpgrade(headers) {
  return Object.keys(headers).some((name) => name.toLowerCase() === 'upgrade');
}

function nginx(target) {
  return ({ origin, method, path, headers }) => ({
    method: 'GET',
    target,
    headers: {
      ...drop(headers, [...HOP, 'content-length']),
      Host: origin.host,
      'X-Original-URL': `${origin.origin}${path}`,
      'X-Original-Method': method,
      'X-Real-IP': CLIENT,
    },
  });
}

function ingressNginx(target) {
  return (asked) => {
    const { headers, ...rest } = nginx(target)(asked);
    const { path } = asked;
    return { ...rest, headers: { ...headers, Host: 'repogate.default.svc', 'X-Sent-From': 'nginx-ingress-controller', 'X-Auth-Request-Redirect': path, 'X-Forwarded-For': CLIENT, 'X-Request-ID': '5e1f' } };
  };
}

// Authentik's documented snippet: the URL, and nothing else that says what is asked about.
function outpostNginx(target) {
  return ({ origin, path, headers }) => ({
    method: 'GET',
    target,
    headers: { ...drop(headers, [...HOP, 'content-length']), Host: origin.host, 'X-Original-URL': `${origin.origin}${path}` },
  });
}

// auth-request.lua sends HEAD, and all headers but two.
function haproxy(target) {
  return ({ origin, method, path, headers }) => ({
    method: 'HEAD',
    target,
    headers: { ...drop(headers, ['content-length']), Host: '127.0.0.1', 'X-Original-URL': `${origin.origin}${path}`, 'X-Original-Method': method, 'X-Real-IP': CLIENT },
  });
}

function forwarded({ origin, method, path }, proto) {
  return { 'X-Forwarded-Method': method, 'X-Forwarded-Proto': proto, 'X-Forwarded-Host': origin.host, 'X-Forwarded-Uri': path, 'X-Forwarded-For': CLIENT };
}

function traefik(target, { keepsMethod = false } = {}) {
  return (asked) => {
    const { origin, method, headers } = asked;
    const scheme = origin.protocol.slice(0, -1);
    return {
      method: keepsMethod ? method : 'GET',
      target,
      headers: {
        ...drop(headers, [...HOP, 'content-length']),
        Host: '127.0.0.1',
        ...forwarded(asked, isUpgrade(headers) ? scheme.replace('http', 'ws') : scheme),
        'X-Forwarded-Port': origin.port,
        'X-Forwarded-Server': 'traefik-0',
        'X-Real-Ip': CLIENT,
      },
    };
  };
}

// It passes a client's Upgrade on.
function caddy(target) {
  return (asked) => ({
    method: 'GET',
    target,
    headers: { ...drop(asked.headers, ['content-length']), Host: asked.origin.host, ...forwarded(asked, asked.origin.protocol.slice(0, -1)) },
  });
}

// Its own address is the last of X-Forwarded-For.
function envoy(prefix) {
  return ({ origin, method, path, headers }) => ({
    method,
    target: `${prefix}${path}`,
    headers: { ...keep(headers, ['authorization', ...ENVOY_ALLOWED]), Host: origin.host, 'Content-Length': '0', 'X-Forwarded-For': `${CLIENT},127.0.0.1` },
  });
}

/* name: as the audit log has it. word: in server.dialects. isPassedOn: what we answer is what the client gets. believed: the headers that must be
 * there, once. */
const X_ORIGINAL = ['X-Original-URL', 'X-Original-Method', 'X-Real-IP'];
const X_FORWARDED = ['X-Forwarded-Proto', 'X-Forwarded-Host', 'X-Forwarded-Uri', 'X-Forwarded-Method', 'X-Forwarded-For'];
const OURS = '/_repogate/auth';
const OUTPOST = '/outpost.goauthentik.io/auth';
export const PROXIES = {
  NGINX: { name: 'nginx', word: 'nginx', build: nginx(`${OURS}/nginx`), believed: X_ORIGINAL },
  'ingress-nginx': { name: 'nginx', word: 'nginx', build: ingressNginx(`${OURS}/nginx`), believed: X_ORIGINAL },
  'NGINX as set up for the outpost': { name: 'outpost_nginx', word: 'nginx', build: outpostNginx(`${OUTPOST}/nginx`), believed: ['X-Original-URL'], hasUrlOnly: true },
  HAProxy: { name: 'haproxy', word: 'haproxy', build: haproxy(`${OURS}/haproxy`), believed: X_ORIGINAL, isHead: true },
  Traefik: { name: 'traefik', word: 'traefik', build: traefik(`${OURS}/traefik`), believed: X_FORWARDED, isPassedOn: true },
  'Traefik with preserveRequestMethod': { name: 'traefik', word: 'traefik', build: traefik(`${OURS}/traefik`, { keepsMethod: true }), believed: X_FORWARDED, isPassedOn: true },
  'Traefik as set up for the outpost': { name: 'traefik', word: 'traefik', build: traefik(`${OUTPOST}/traefik`), believed: X_FORWARDED, isPassedOn: true },
  Caddy: { name: 'caddy', word: 'caddy', build: caddy(`${OURS}/caddy`), believed: X_FORWARDED, isPassedOn: true },
  'Caddy as set up for the outpost': { name: 'caddy', word: 'caddy', build: caddy(`${OUTPOST}/caddy`), believed: X_FORWARDED, isPassedOn: true },
  Envoy: { name: 'envoy', word: 'envoy', build: envoy(`${OURS}/envoy`), believed: ['X-Forwarded-For'], isPassedOn: true },
  'Envoy as set up for the outpost': { name: 'envoy', word: 'envoy', build: envoy(`${OUTPOST}/envoy`), believed: ['X-Forwarded-For'], isPassedOn: true },
};
export const DIALECTS = ['nginx', 'traefik', 'caddy', 'envoy', 'haproxy'];

/* The bytes of a proxy's question about a client's request: { method, path, headers } (name to value, as the client sends them). set: headers of
 * the question over those (null takes one away); lines: raw ones besides; body: what follows the head. */
export function questionFrom(stand, proxy, { method = 'GET', path = '/github/acme/site/', headers = {}, cookie, token, set = {}, lines = [], body = '', target, keepAlive = false } = {}) {
  const who = { ...(cookie && { Cookie: cookie }), ...(token && { Authorization: `Bearer ${token}` }) };
  const asked = proxy.build({ origin: new URL(stand.url), method, path, headers: { ...headers, ...who } });
  const connection = keepAlive || Object.keys(asked.headers).some((name) => name.toLowerCase() === 'connection') ? { Connection: null, ...asked.headers } : asked.headers;
  return requestBytes({ method: asked.method, target: target ?? asked.target, headers: { ...connection, ...set }, lines, body });
}

/* Asks as that proxy would, and sees to what holds for every answer: one, small, nothing that a yes-or-no proxy could not read, no upgrade. */
export async function askAs(stand, proxy, options = {}) {
  const bytes = questionFrom(stand, proxy, options);
  const { answers, raw, isTimeout } = await converse(gatewayPort(stand), bytes, { isBodiless: bytes.startsWith('HEAD ') });
  assert.equal(isTimeout, false, 'an answer in time');
  assert.equal(answers.length, 1, `one answer, not ${JSON.stringify(raw.slice(0, 300))}`);
  const [answer] = answers;
  assert.ok(answer.head.length < AUTH_HEAD_MAX, `a head of ${answer.head.length} bytes`);
  assert.notEqual(answer.status, 101);
  if (answer.status === 200) assert.equal(answer.body, '');
  if (!proxy.isPassedOn) {
    assert.ok([200, 401, 403].includes(answer.status), `200, 401 or 403, not ${answer.status}`);
    assert.equal(answer.body, '');
    assert.deepEqual(answer.values('location'), []);
  }
  return Object.assign(answer, {
    reason: answer.values('x-repogate-reason')[0],
    decisionId: answer.values('x-repogate-decision-id')[0],
    json: () => JSON.parse(answer.body),
    isPage: (answer.values('content-type')[0] ?? '').startsWith('text/html'),
    isProblem: answer.values('content-type')[0] === 'application/problem+json',
  });
}

/* ---- clients ---- */

const PAGE = { Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };
const fetched = (site) => ({ Accept: '*/*', 'Sec-Fetch-Mode': 'cors', 'Sec-Fetch-Dest': 'empty', 'Sec-Fetch-Site': site });

/* What a client sends, by the name it has in the README's table of who gets what. */
export const CLIENTS = {
  'browser, navigation': { headers: { ...PAGE, 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document', 'Sec-Fetch-Site': 'none' } },
  'browser without `Sec-Fetch-*`, navigation': { headers: PAGE },
  'browser, frame': { headers: { ...PAGE, 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'iframe', 'Sec-Fetch-Site': 'same-origin' } },
  'browser, form sent with POST': { method: 'POST', headers: { ...PAGE, 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document', 'Content-Type': 'application/x-www-form-urlencoded' } },
  XMLHttpRequest: { headers: { Accept: 'text/html, */*', 'X-Requested-With': 'XMLHttpRequest' } },
  '`fetch`': { headers: fetched('same-origin') },
  '`fetch`, PUT or DELETE': { method: 'DELETE', headers: fetched('same-origin') },
  'image, script, style': { headers: { Accept: 'image/avif,image/webp,*/*;q=0.8', 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'image', 'Sec-Fetch-Site': 'same-origin' } },
  WebSocket: {
    path: 'ws',
    headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-Fetch-Mode': 'websocket', 'Sec-Fetch-Dest': 'empty' },
  },
  'CORS preflight': { method: 'OPTIONS', headers: { ...fetched('cross-site'), Origin: 'https://elsewhere.example', 'Access-Control-Request-Method': 'PUT', 'Access-Control-Request-Headers': 'x-one' } },
  git: { path: 'info/refs?service=git-upload-pack', headers: { 'User-Agent': 'git/2.39.5', Accept: '*/*', 'Accept-Encoding': 'deflate, gzip', 'Git-Protocol': 'version=2', Pragma: 'no-cache' } },
  curl: { headers: { 'User-Agent': 'curl/7.88.1', Accept: '*/*' } },
  'HEAD, by anyone': { method: 'HEAD', headers: PAGE },
};
