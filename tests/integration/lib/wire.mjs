// HTTP/1.1 on a bare socket: any bytes out, parsed answers back, and what became of the connection.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { waitFor } from '../../../scripts/lib/processes.mjs';

const AUTH_STATUSES = [200, 401, 403];
const AUTH_HEAD_MAX = 4096;

// A chunked body from the front of a text: { body, size } once it is whole.
function takeChunks(text) {
  let body = '';
  let at = 0;
  for (;;) {
    const line = /^([0-9a-f]+)[^\r\n]*\r\n/i.exec(text.slice(at, at + 64));
    if (!line) return undefined;
    at += line[0].length;
    const size = parseInt(line[1], 16);
    if (text.length < at + size + 2) return undefined;
    body += text.slice(at, at + size);
    at += size + 2;
    if (size === 0) return { body, size: at };
  }
}

function takeAnswer(text, isClosed, isBodiless) {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first, ...lines] = text.slice(0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  const headers = lines.map((line) => /^([^:]*):[ \t]*(.*?)[ \t]*$/s.exec(line)?.slice(1) ?? [line, '']);
  const values = (name) => headers.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  const answer = { status, headers, values, head: text.slice(0, end + 4), body: '', isWhole: true };
  const rest = text.slice(end + 4);
  const bodiless = isBodiless || status === 204 || status === 304 || (status >= 100 && status < 200);
  const length = values('content-length')[0];
  if (bodiless) return { ...answer, rest };
  if (values('transfer-encoding').includes('chunked')) {
    const taken = takeChunks(rest);
    if (taken) return { ...answer, body: taken.body, rest: rest.slice(taken.size) };
    return isClosed ? { ...answer, body: rest, isWhole: false, rest: '' } : undefined;
  }
  if (length === undefined) return isClosed ? { ...answer, body: rest, rest: '' } : undefined;
  if (rest.length >= Number(length)) return { ...answer, body: rest.slice(0, Number(length)), rest: rest.slice(Number(length)) };
  return isClosed ? { ...answer, body: rest, isWhole: false, rest: '' } : undefined;
}

/* The answers in what came, as text of one byte per character. */
export function parseAnswers(text, { isClosed = true, isBodiless = false } = {}) {
  const answers = [];
  for (let rest = text; rest.length > 0;) {
    const answer = takeAnswer(rest, isClosed, isBodiless);
    if (!answer) break;
    rest = answer.rest;
    answers.push(answer);
  }
  return answers;
}

/* Sends bytes (a text of one byte per character) and waits for `count` answers, or, with untilClosed, for the end of the connection; never
 * longer than timeoutMs. `half`: our side of the connection is closed after sending. */
export function converse(port, bytes, { count = 1, untilClosed = false, half = false, isBodiless = false, timeoutMs = 8000 } = {}) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let raw = '';
    let isClosed = false;
    const finish = (isTimeout) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ raw, answers: parseAnswers(raw, { isClosed, isBodiless }), isClosed, isTimeout });
    };
    const timer = setTimeout(finish, timeoutMs, true);
    socket.setEncoding('latin1');
    socket.once('connect', () => (half ? socket.end(bytes, 'latin1') : socket.write(bytes, 'latin1')));
    socket.on('data', (text) => {
      raw += text;
      if (!untilClosed && parseAnswers(raw, { isClosed: false, isBodiless }).length >= count) finish(false);
    });
    socket.once('error', (error) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
    socket.once('close', () => {
      isClosed = true;
      finish(false);
    });
  });
}

/* The bytes of a request. headers: over the default ones, null takes one away; lines: raw header lines besides. */
export function requestBytes({ method = 'GET', target = '/', version = 'HTTP/1.1', headers = {}, lines = [], body = '' }) {
  const named = Object.entries({ Host: 'localhost', Connection: 'close', ...headers }).filter(([, value]) => value !== null);
  return [`${method} ${target} ${version}`, ...named.map(([name, value]) => `${name}: ${value}`), ...lines, '', body].join('\r\n');
}

/* The port of the gateway's public listener. */
export function gatewayPort(stand) {
  return Number(new URL(stand.gateway.url).port);
}

/* A question to an auth endpoint, as NGINX would ask it. */
export function questionBytes(stand, { url = '/github/acme/site/', endpoint = '/_repogate/auth/nginx', method = 'GET', cookie, token, headers = {}, ...rest } = {}) {
  return requestBytes({
    method,
    target: endpoint,
    headers: {
      Host: new URL(stand.url).host,
      'X-Original-URL': url.startsWith('/') ? `${stand.url}${url}` : url,
      'X-Original-Method': 'GET',
      'X-Real-IP': '192.0.2.7',
      Cookie: cookie ?? null,
      Authorization: token ? `Bearer ${token}` : null,
      ...headers,
    },
    ...rest,
  });
}

/* Asks straight at the gateway. Whatever is asked, the answer has to be one that NGINX understands. */
export async function ask(stand, options = {}) {
  const { answers, raw, isTimeout } = await converse(gatewayPort(stand), questionBytes(stand, options), { isBodiless: options.method === 'HEAD' });
  assert.equal(isTimeout, false, 'an answer in time');
  assert.equal(answers.length, 1, `one answer, not ${JSON.stringify(raw.slice(0, 300))}`);
  const [answer] = answers;
  assert.ok(AUTH_STATUSES.includes(answer.status), `200, 401 or 403, not ${answer.status}`);
  assert.ok(answer.head.length < AUTH_HEAD_MAX, `a head of ${answer.head.length} bytes`);
  assert.equal(answer.body, '');
  return Object.assign(answer, { reason: answer.values('x-repogate-reason')[0], decisionId: answer.values('x-repogate-decision-id')[0] });
}

/* The audit line of a decision, or of an answer that names one. */
export function lineOf(stand, decision) {
  const id = typeof decision === 'string' ? decision : decision.decisionId;
  assert.ok(id, 'a decision id');
  return waitFor(`the audit line of ${id}`, async () => {
    const text = await readFile(stand.auditFile, 'utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1); // the last line may be on its way
    const lines = whole.split('\n').filter((line) => line.includes(`"id":"${id}"`));
    assert.ok(lines.length <= 1, 'one line per decision');
    return lines.length === 1 && JSON.parse(lines[0]);
  });
}
