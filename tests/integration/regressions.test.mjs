// Faults that were found once, straight at the gateway's own socket.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { converse, describeStand, gatewayPort, request, requestBytes, sendRaw, sessionCookie, startStand, statusesOf, variant, waitFor } from './lib/stand.mjs';

const UPGRADE = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' };

function leaveAfter(port, bytes, ms) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.write(bytes);
      setTimeout(() => socket.destroy(), ms);
    });
    socket.on('error', () => {});
    socket.once('close', resolve);
  });
}

describeStand('regressions', { topology: 'gateway' }, (the) => {
  let cookie;
  const hostOf = () => new URL(the().url).host;
  const send = (spec, options) =>
    converse(gatewayPort(the()), requestBytes({ ...spec, headers: { Host: hostOf(), Cookie: cookie, ...spec.headers } }), options);
  before(async () => { cookie = await sessionCookie(the(), 'dora'); });

  test('a request that is refused unread has a trace and its client in the log', async () => {
    const { answers } = await send({ target: '/github/acme/site/', headers: { 'X-Forwarded-For': '192.0.2.9' }, lines: ['Authorization: Bearer a', 'Authorization: Bearer b'] });
    assert.deepEqual(answers.map(({ status }) => status), [400]);
    const [line] = await the().auditUntil((entry) => entry.reason?.code === 'malformed_request');
    assert.match(line.trace_id, /^[0-9a-f]{32}$/);
    assert.equal(line.request.ip, '192.0.2.9');
    const upgrade = await send({ target: '/github/acme/site/ws', headers: { ...UPGRADE, Origin: 'http://elsewhere.example' } });
    assert.equal(upgrade.answers[0].status, 403);
    const [refused] = await the().auditUntil((entry) => entry.reason?.code === 'origin_mismatch');
    assert.match(refused.trace_id, /^[0-9a-f]{32}$/);
    assert.equal(refused.request.action, 'connect');
  });

  test('an answer without a body does not claim an empty one', async () => {
    const head = await send({ method: 'HEAD', target: '/github/acme/site/stream?chunks=1' }, { isBodiless: true });
    assert.equal(head.answers[0].status, 200);
    assert.deepEqual(head.answers[0].values('content-length'), []);
    const known = await send({ method: 'HEAD', target: '/github/acme/site/download?bytes=77' }, { isBodiless: true });
    assert.deepEqual(known.answers[0].values('content-length'), ['77']);
    const cached = await send({ target: '/github/acme/site/answer?status=304&header=ETag:%20x' });
    assert.equal(cached.answers[0].status, 304);
    assert.deepEqual(cached.answers[0].values('content-length'), []);
  });

  test('H7: an answer without a body is not followed by a byte of one, whatever is known of its length', async () => {
    const cases = [
      ['HEAD', '/stream?chunks=1'], ['HEAD', '/echo'], ['HEAD', '/download?bytes=77'], ['HEAD', '/status/304'],
      ['GET', '/status/304'], ['GET', '/answer?status=304&header=Content-Length:%205'], ['GET', '/status/204'],
    ];
    for (const [method, target] of cases) {
      const asked = { method, target: `/github/acme/site${target}`, headers: { Host: hostOf(), Cookie: cookie, Connection: 'keep-alive' } };
      const last = { target: '/health', headers: { Host: hostOf() } };
      const { raw } = await converse(gatewayPort(the()), requestBytes(asked) + requestBytes(last), { untilClosed: true });
      const [, ...rest] = raw.split('\r\n\r\n');
      // either closed at once, or the next answer stands right behind the head
      if (rest.join('') !== '') assert.match(rest[0], /^HTTP\/1\.1 200 OK\r\n/, `${method} ${target}: ${JSON.stringify(raw)}`);
    }
  });

  test('no WebSocket is opened by a request with a body', async () => {
    const { answers } = await send({ target: '/github/acme/site/ws', headers: { ...UPGRADE, Origin: the().url, 'Content-Length': '5' }, body: 'hello' });
    assert.equal(answers[0].status, 200);
  });

  test('a target too long to come back to does not make a head that proxies refuse', async () => {
    const { answers } = await send({ target: `/github/acme/site/?${'/'.repeat(7000)}`, headers: { Accept: 'text/html', Cookie: null } });
    assert.equal(answers[0].status, 302);
    assert.equal(answers[0].values('location')[0], `${the().url}/_repogate/login?rd=%2F`);
  });

  test('the portal leads to configured forges only', async () => {
    const { answers } = await send({ target: '/_repogate/open?repo=acme/site&forge=elsewhere' });
    assert.equal(answers[0].values('location')[0], '/github/acme/site/');
  });

  test('a browser that keeps no cookies is told so, instead of sent round', async () => {
    const callback = await send({ target: '/_repogate/callback?state=x&code=y', headers: { Cookie: null } });
    assert.equal(callback.answers[0].status, 302);
    const again = callback.answers[0].values('location')[0];
    const forgetful = await send({ target: again, headers: { Cookie: null } });
    assert.equal(forgetful.answers[0].status, 400);
    const keeping = await send({ target: again, headers: { Cookie: 'repogate-login-again=1' } });
    assert.equal(keeping.answers[0].status, 302);
    assert.deepEqual(keeping.answers[0].values('set-cookie').filter((line) => line.startsWith('repogate-login-again')), [], 'the mark stays');
    const second = await send({ target: '/_repogate/callback?state=x&code=y', headers: { Cookie: 'repogate-login-again=1' } });
    assert.equal(second.answers[0].status, 400);
  });

  test('pipelined requests are answered in order, and each once', async () => {
    const one = (target) => requestBytes({ target, headers: { Host: hostOf(), Cookie: cookie, Connection: null } });
    const bytes = [one('/health'), one('/github/acme/site/echo?1'), one('/_repogate/whoami'), one('/github/acme/vault/echo?2'), one('/nothing')].join('');
    const { answers } = await converse(gatewayPort(the()), bytes, { count: 5 });
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 200, 404]);
    assert.match(answers[1].body, /echo\?1/);
    assert.match(answers[3].body, /echo\?2/);
  });

  test('a query of very many arguments is answered, and leaves no connection behind when its client leaves', async () => {
    const target = `/health?${'a&'.repeat(3000)}`;
    const { answers } = await send({ target });
    assert.equal(answers[0].status, 200);
    const bytes = requestBytes({ target, headers: { Host: hostOf() } });
    await Promise.all(Array.from({ length: 50 }, (_, i) => leaveAfter(gatewayPort(the()), bytes, i % 5)));
    await waitFor('their connections to be closed', async () => {
      const { text } = await request(`${the().adminUrl}/metrics`);
      return Number(/^repogate_connections_open (\d+)/m.exec(text)[1]) < 10;
    }, { timeoutMs: 5000 });
  });
});

describe('regressions: a workspace that answers while it reads', () => {
  let stand;
  let workspace;
  before(async () => {
    workspace = http.createServer((req, res) => {
      res.writeHead(200, { 'content-type': 'application/octet-stream' });
      res.flushHeaders();
      req.pipe(res);
    });
    workspace.listen(0, '127.0.0.1');
    await once(workspace, 'listening');
    stand = await startStand({ variant: variant(), topology: 'gateway', config: { workspace: { url: `http://127.0.0.1:${workspace.address().port}` } } });
  });
  after(async () => {
    await stand?.close();
    workspace.closeAllConnections();
    workspace.close();
  });

  test('gets the rest of the body', async () => {
    const cookie = await sessionCookie(stand, 'dora');
    const head = requestBytes({ method: 'POST', target: '/github/acme/site/pipe', headers: { Host: new URL(stand.url).host, Cookie: cookie, 'Content-Length': '30000' } });
    const reply = await sendRaw(gatewayPort(stand), [head, 'a'.repeat(10000), 'b'.repeat(10000), 'c'.repeat(10000)], { pauseMs: 200 });
    assert.deepEqual(statusesOf(reply), [200]);
    for (const letter of 'abc') assert.equal(reply.slice(reply.indexOf('\r\n\r\n')).split(letter).length - 1 >= 10000, true, letter);
  });
});

describe('regressions: stopping', () => {
  test('clients that never pause, and one that never reads, do not keep the gateway alive', async () => {
    const stand = await startStand({ variant: variant(), topology: 'gateway' });
    const cookie = await sessionCookie(stand, 'dora');
    const port = gatewayPort(stand);
    const headers = { Host: new URL(stand.url).host, Connection: null };
    const ask = (target, more) => requestBytes({ target, headers: { ...headers, ...more } });
    const sockets = [];
    const open = (bytes, onData) => {
      const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes()));
      socket.on('error', () => {});
      if (onData) socket.on('data', () => socket.write(bytes()));
      else socket.pause();
      sockets.push(socket);
    };
    let n = 0;
    const unknown = () => ask('/_repogate/whoami', { Cookie: `repogate=${String(n++).padStart(43, 'A')}` });
    const questions = [unknown, () => ask('/_repogate/login'), () => ask('/_repogate/whoami', { Authorization: 'Bearer a.b.c' }), () => ask('/_repogate/whoami', { Cookie: cookie })];
    open(() => ask('/github/acme/site/download?bytes=100000000', { Cookie: cookie }));
    for (let i = 0; i < 40; i++) open(() => questions[i % questions.length]().repeat(5), true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await stand.close(); /* fails unless the gateway ends by itself, in time and clean */
    sockets.forEach((socket) => socket.destroy());
  });
});
