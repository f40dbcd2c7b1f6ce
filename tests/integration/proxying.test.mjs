// What is permitted gets there whole and says who is asking; nothing else does. Both topologies, then the gateway's own relay against
// workspaces that speak HTTP badly. THREATS groups D (upgrades), H (headers both ways), L (secrets towards workspaces).
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import WebSocket from 'ws';
import { CookieJar } from '../../scripts/lib/browser.mjs';
import { closeStand, converse, describeStand, describeTopologies, gatewayPort, lineOf, request, requestBytes, sessionCookie, startStand, valuesOf, variant, waitFor } from './lib/stand.mjs';
import { startUpstream } from './lib/upstream.mjs';

const SITE = '/github/acme/site';
const MIB = 1024 * 1024;
const IDENTITY = ['x-authentik-username', 'x-authentik-groups', 'x-authentik-entitlements', 'x-authentik-email', 'x-authentik-name', 'x-authentik-uid', 'x-authentik-user', 'x-request-path', 'x-github-repo', 'x-repogate-repo', 'x-repogate-decision-id',
  'x-repogate-assertion', 'traceparent', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-real-ip'];
// NGINX leaves headers out that have no value.
const MAYBE_EMPTY = ['x-authentik-entitlements'];

const portOf = (stand) => Number(new URL(stand.url).port);
const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const spellings = (name) => [name, name.toUpperCase(), name.replaceAll('-', '_'), name.replaceAll('-', '.'), name.replaceAll('-', ''), `${name}_`, name.replace('-', '_')];

// A streamed request: gives the response as soon as its head is there.
function open(stand, path, { method = 'GET', headers = {}, body } = {}) {
  const { hostname, port } = new URL(stand.url);
  return new Promise((resolve, reject) => {
    const req = http.request({ host: hostname, port, method, path, headers, agent: false }, resolve);
    req.once('error', reject);
    if (typeof body === 'function') body(req);
    else req.end(body);
  });
}

async function digestOf(stream) {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    length += chunk.length;
  }
  return { length, sha256: hash.digest('hex') };
}

// The status with which a WebSocket is refused; 101 if it is not.
function refusal(socket) {
  return new Promise((resolve) => {
    const end = (status) => {
      resolve(status);
      socket.on('error', () => {});
      socket.terminate();
    };
    socket.once('unexpected-response', (req, answer) => end(answer.statusCode));
    socket.once('open', () => end(101));
    socket.once('error', ({ message }) => end(message));
  });
}

function download(bytes) {
  const block = Buffer.alloc(64 * 1024, 'repogate');
  return sha256(Buffer.concat([...Array.from({ length: Math.floor(bytes / block.length) }, () => block), block.subarray(0, bytes % block.length)]));
}

describeTopologies('proxying', {}, (the) => {
  let dora;
  const get = (path, options = {}) => the().request(`${SITE}${path}`, { ...options, headers: { cookie: dora, ...options.headers } });
  const send = (options) => converse(portOf(the()), requestBytes({ ...options, target: `${SITE}${options.target ?? '/echo'}`, headers: { Host: new URL(the().url).host, Cookie: dora, ...options.headers } }));

  before(async () => { dora = await sessionCookie(the(), 'dora'); });

  test('the prefix is cut off, the rest arrives byte for byte with its query', async () => {
    for (const rest of ['/', '/?', '/?a=b', '/x', '/x/', '/x//y', '/x//', '/%2f', '/%2F', '/a%2fb%2Fc', '/%20', '/+', '/a+b', '/;', '/;a=b', '/a;b', '/%C3%A9', '/%c3%a9', '/%E5%B1%B1', '/%25', '/%2525', '/~', '/%7e', '/*', "/'", '/(x)', '/a,b', '/a:b', '/:80', '/@x', '/$&',
      '/x?y?z', '/x?/../..', '/x?%2e%2e', '/x?a=1&a=2&&=', '/?http://x/', '/x?a=%00', '/...', '/.x', '/x.', '/a|b', '/a^b', '/[x]', `/${'x'.repeat(3000)}`, `/?${'y'.repeat(3000)}`]) {
      const seen = the().workspace.requests.length;
      await get(rest);
      const [arrived] = the().workspace.requests.slice(seen);
      assert.equal(arrived?.target, rest);
    }
  });

  test('a repository without its slash: redirected after an allow only, with its query, for GET and HEAD only', async () => {
    for (const [query, method] of [['', 'GET'], ['?', 'GET'], ['?a=b%2f&c', 'GET'], ['?a', 'HEAD']]) {
      const answer = await get(query, { method });
      assert.equal(answer.status, 302, query);
      assert.equal(new URL(answer.headers.location, the().url).href, new URL(`${SITE}/${query}`, the().url).href);
    }
    assert.equal((await the().request(SITE)).status, 401);
    assert.equal((await the().request('/github/acme/payments', { headers: { cookie: dora } })).status, 403);
    const posted = await get('?x', { method: 'POST', body: 'hello' });
    assert.notEqual(posted.status, 302);
  });

  test('upload of 20 MiB arrives whole, with a length or in chunks', async () => {
    const body = randomBytes(20 * MIB);
    for (const isChunked of [false, true]) {
      const answer = await open(the(), `${SITE}/upload`, {
        method: 'POST',
        headers: { cookie: dora, ...(isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.length }) },
        body: (req) => {
          let at = 0;
          const more = () => {
            while (at < body.length) {
              const piece = body.subarray(at, at + 100001);
              at += piece.length;
              if (!req.write(piece)) return req.once('drain', more);
            }
            return req.end();
          };
          more();
        },
      });
      let text = '';
      for await (const chunk of answer) text += chunk;
      assert.deepEqual(JSON.parse(text), { length: body.length, sha256: sha256(body) }, isChunked ? 'chunked' : 'with a length');
    }
  });

  test('download of 20 MiB arrives whole', async () => {
    const answer = await open(the(), `${SITE}/download?bytes=${20 * MIB}`, { headers: { cookie: dora } });
    assert.equal(Number(answer.headers['content-length']), 20 * MIB);
    assert.deepEqual(await digestOf(answer), { length: 20 * MIB, sha256: download(20 * MIB) });
  });

  test('small and odd sizes arrive whole', async () => {
    for (const bytes of [0, 1, 16383, 16384, 16385, 32768, 65535, 65536, 65537, 131072, 200001]) {
      const answer = await get(`/download?bytes=${bytes}`);
      assert.equal(answer.body.length, bytes);
      assert.equal(sha256(answer.body), download(bytes));
      const uploaded = (await get('/upload', { method: 'PUT', body: Buffer.alloc(bytes, 'u') })).json();
      assert.deepEqual(uploaded, { length: bytes, sha256: sha256(Buffer.alloc(bytes, 'u')) });
    }
  });

  test('an answer streams: its beginning is here before its end is written', async () => {
    const answer = await open(the(), `${SITE}/stream?chunks=3&ms=400`, { headers: { cookie: dora } });
    const pieces = [];
    let isOver = false;
    answer.on('data', (chunk) => pieces.push(chunk.toString()));
    answer.once('end', () => { isOver = true; });
    await waitFor('the first line', () => pieces.length > 0);
    assert.equal(isOver, false);
    await waitFor('the end', () => isOver);
    assert.equal(pieces.join(''), 'line 1\nline 2\nline 3\n');
  });

  test('an upload streams too, and many at once do not mix', async () => {
    const results = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const body = Buffer.alloc(50000 + i * 7919, String.fromCharCode(97 + i));
      return (await get('/upload', { method: 'POST', body })).json().sha256 === sha256(body);
    }));
    assert.deepEqual([...new Set(results)], [true]);
  });

  test('HEAD, 204, 304 and odd statuses come through without a body of their own', async () => {
    const head = await get('/download?bytes=12345', { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '12345', 0]);
    for (const status of [200, 201, 204, 205, 206, 300, 304, 400, 401, 403, 404, 405, 409, 410, 418, 422, 429, 451, 500, 501, 502, 503, 504]) {
      const answer = await get(`/status/${status}`);
      assert.equal(answer.status, status);
      if (status === 204 || status === 304) assert.equal(answer.body.length, 0);
    }
    const two = await converse(portOf(the()), ['/status/304', '/status/204', '/echo'].map((target) => requestBytes({ target: `${SITE}${target}`, headers: { Host: new URL(the().url).host, Cookie: dora, Connection: 'keep-alive' } })).join(''), { count: 3 });
    assert.deepEqual(two.answers.map(({ status }) => status), [304, 204, 200], 'and the connection goes on');
  });

  test('D7: redirects of a workspace are passed on, not followed', async () => {
    for (const location of ['../elsewhere', 'http://127.0.0.1:1/', '/github/acme/vault/']) {
      const answer = await get(`/answer?status=302&header=${encodeURIComponent(`Location: ${location}`)}`);
      assert.deepEqual([answer.status, answer.headers.location], [302, location]);
    }
  });

  test('every method with its body gets there', async () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'REPORT', 'MKCOL']) {
      const echo = (await get('/echo', method === 'GET' ? {} : { method, headers: { 'content-length': '5' }, body: 'hello' })).json();
      assert.deepEqual([echo.method, echo.body.length], [method, method === 'GET' ? 0 : 5]);
    }
  });

  describe('H: headers towards the workspace', () => {
    const attributed = (seen, message) => {
      for (const name of IDENTITY) assert.ok(valuesOf(seen, name).length === 1 || (valuesOf(seen, name).length === 0 && MAYBE_EMPTY.includes(name)), `${name} ${JSON.stringify(valuesOf(seen, name))}: ${message}`);
      assert.deepEqual(valuesOf(seen, 'x-authentik-username'), ['dora'], message);
      assert.deepEqual(valuesOf(seen, 'x-authentik-groups'), ['developers|staff'], message);
      assert.deepEqual(valuesOf(seen, 'x-authentik-user'), ['dora'], message);
      assert.deepEqual(valuesOf(seen, 'x-repogate-repo'), ['github:acme/site'], message);
      assert.deepEqual(valuesOf(seen, 'x-github-repo'), ['https://github.com/acme/site'], message);
      assert.deepEqual(valuesOf(seen, 'x-request-path'), [`${SITE}/echo`], message);
      for (const name of ['x-forwarded-for', 'x-real-ip']) assert.deepEqual(valuesOf(seen, name), ['127.0.0.1'], `${name}: ${message}`);
      assert.deepEqual(valuesOf(seen, 'x-forwarded-proto'), ['http'], message);
      assert.deepEqual(valuesOf(seen, 'x-forwarded-host'), [new URL(the().url).host], message);
    };
    const echoOf = async (options) => {
      const seen = the().workspace.requests.length;
      const { answers } = await send(options);
      return { status: answers[0]?.status, arrived: the().workspace.requests.slice(seen)[0] };
    };

    test('H5: every identity header is there once, and it is ours', async () => {
      const { arrived } = await echoOf({});
      attributed(arrived, 'plain');
      await lineOf(the(), valuesOf(arrived, 'x-repogate-decision-id')[0]);
    });

    test('H1, H2, H3, H5, H9, H13: whatever the client sends in any spelling of them is gone', async () => {
      // NGINX cannot remove by prefix: there, names that we do not use pass.
      const families = the().topology === 'gateway' ? ['X-authentik-anything', 'X-Repogate-Anything', 'X-Policy-Grant'] : [];
      const names = [...IDENTITY, 'X-authentik-jwt', 'X-authentik-meta-jwks', 'X-Repogate-Upstream', 'X-Repogate-Upstream-Host', 'X-Repogate-Assertion', 'X-Repogate-Proxy-Secret', ...families];
      // Nor can it remove a name without its hyphens, which is another name to it as to CGI.
      for (const spelling of names.flatMap(spellings).filter((name) => the().topology === 'gateway' || name.includes('-'))) {
        const { status, arrived } = await echoOf({ lines: [`${spelling}: forged`] });
        if (!arrived) {
          assert.ok(status >= 400, `${spelling}: ${status}`);
          continue;
        }
        attributed(arrived, spelling);
        assert.deepEqual(arrived.headers.filter(([, value]) => value.includes('forged')), [], spelling);
      }
    });

    test('H14: other families that claim something about the request are gone', async () => {
      const names = ['Forwarded', 'X-Original-URL', 'X-Original-URI', 'X-Original-Method', 'X-Rewrite-URL', 'X-Forwarded-Uri', 'X-Forwarded-Method', 'X-Forwarded-Prefix', 'X-Forwarded-Port', 'X-Forwarded-Server'];
      for (const name of names) {
        const { status, arrived } = await echoOf({ lines: [`${name}: forged`] });
        if (!arrived) assert.ok(status >= 400, name);
        else assert.deepEqual(arrived.headers.filter(([, value]) => value === 'forged'), [], name);
      }
    });

    test('Knative\'s controls are gone, and probes do not look like probes', async () => {
      for (const name of ['K-Network-Probe', 'K-Network-Hash', 'K-Proxy-Request', 'K-Original-Host', 'K-Passthrough-Lb', 'K-Kubelet-Probe', 'Knative-Serving-Revision', 'Knative-Serving-Namespace', 'Knative-Serving-Tag', 'Knative-Serving-Default-Route']) {
        for (const spelling of [name, name.toLowerCase(), name.replaceAll('-', '_')]) {
          const { arrived } = await echoOf({ lines: [`${spelling}: queue`] });
          assert.deepEqual(arrived.headers.filter(([, value]) => value === 'queue'), [], spelling);
        }
      }
      for (const agent of ['kube-probe/1.30', 'Kube-Probe/x']) assert.deepEqual(valuesOf((await echoOf({ lines: [`User-Agent: ${agent}`] })).arrived, 'user-agent'), []);
      assert.deepEqual(valuesOf((await echoOf({ lines: ['User-Agent: curl/8 kube-probe/'] })).arrived, 'user-agent'), ['curl/8 kube-probe/']);
    });

    test('H6, H7: hop-by-hop headers end here, and no Connection token takes one of ours away', async () => {
      const hops = ['Keep-Alive: timeout=5', 'Proxy-Connection: keep-alive', 'TE: trailers', 'Trailer: X-Late', 'Proxy-Authorization: Basic eA==', 'Upgrade: h2c'];
      const { arrived } = await echoOf({ lines: [...hops] });
      for (const line of hops.filter((one) => the().topology === 'gateway' || !/^(TE|Trailer|Proxy-|Keep)/.test(one))) assert.deepEqual(valuesOf(arrived, line.split(':')[0]), [], line);
      for (const token of ['X-authentik-username', 'x-authentik-groups', 'X-Repogate-Repo', 'x-request-path, x-authentik-uid', 'traceparent', 'X-Forwarded-For', 'X-Real-IP', 'Host', 'Cookie', 'close, X-Authentik-User', 'keep-alive, x-authentik-username']) {
        const seen = await echoOf({ headers: { Connection: token } });
        assert.equal(seen.status, 200, token);
        attributed(seen.arrived, `Connection: ${token}`);
        assert.equal(valuesOf(seen.arrived, 'host').length, 1);
      }
      if (the().topology === 'gateway') {
        // NGINX in front forwards neither list nor header; asked directly, both are ours to drop.
        const direct = await converse(gatewayPort(the()), requestBytes({ target: `${SITE}/echo`, headers: { Host: new URL(the().url).host, Cookie: dora, Connection: 'close, X-Mine, x-authentik-username' }, lines: ['X-Mine: 1', 'X-Other: 2'] }));
        const echo = JSON.parse(direct.answers[0].body);
        assert.deepEqual([valuesOf(echo, 'x-mine'), valuesOf(echo, 'x-other'), valuesOf(echo, 'x-authentik-username')], [[], ['2'], ['dora']]);
      }
    });

    test('L2, L4: our cookies and tokens are not the workspace\'s business, its own are', async () => {
      const value = dora.split('=')[1];
      const { arrived } = await echoOf({ headers: { Cookie: `a=1; ${dora}; repogate-login-x=y; authentik_proxy_abc=z; b=2; __Host-repogate2=c` } });
      assert.deepEqual(valuesOf(arrived, 'cookie').map((text) => text.replace('; __Host-repogate2=c', '')), ['a=1; b=2']);
      const alone = await echoOf({});
      assert.deepEqual(valuesOf(alone.arrived, 'cookie'), []);
      const token = await the().bearer('dora');
      const byToken = await echoOf({ headers: { Cookie: null, Authorization: `Bearer ${token}` } });
      assert.equal(byToken.status, 200);
      for (const seen of [arrived, alone.arrived, byToken.arrived]) {
        assert.deepEqual(valuesOf(seen, 'authorization'), []);
        assert.equal(JSON.stringify(seen).includes(value), false);
        assert.equal(JSON.stringify(seen).includes(token), false);
      }
    });

    test('the rest of the client\'s headers arrives as sent', async () => {
      const lines = ['Accept: text/x', 'Accept-Language: de, en;q=0.5', 'X-Custom: a  b\tc', 'If-None-Match: "x"', 'Range: bytes=0-1', 'Origin: null', 'Referer: http://x/', 'X-Custom-2: caf\xe9', 'Content-Type: text/plain', 'Sec-Fetch-Site: none', 'DNT: 1'];
      const { arrived } = await echoOf({ lines });
      for (const line of lines) {
        const [name, value] = line.split(/: (.*)/s);
        assert.deepEqual(valuesOf(arrived, name), [value], name);
      }
      assert.deepEqual(valuesOf((await echoOf({ lines: ['X-Twice: 1', 'X-Twice: 2'] })).arrived, 'x-twice').join(', '), '1, 2');
      assert.deepEqual(valuesOf(arrived, 'host'), [new URL(the().workspace.url).host]);
    });

    test('a trace goes on if the proxy in front says so, with a step of ours', async () => {
      const { arrived } = await echoOf({ lines: ['traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'] });
      assert.match(valuesOf(arrived, 'traceparent')[0], /^00-[0-9a-f]{32}-(?!b7ad6b7169203331)[0-9a-f]{16}-[0-9a-f]{2}$/);
      for (const bad of ['00-0-0-0', 'x', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-00`, '01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01']) {
        const seen = await echoOf({ lines: [`traceparent: ${bad}`] });
        assert.match(valuesOf(seen.arrived, 'traceparent')[0], /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/, bad);
      }
    });
  });

  test('F5: a workspace cannot set our cookies for anybody, nor reach beyond its own pages', async () => {
    const cookies = ['repogate=evil; Path=/', 'repogate=evil; Path=/_repogate', 'repogate-login-x=evil; Path=/', 'authentik_proxy_x=evil; Path=/', 'wide=1; Domain=example.org; Path=/', 'wide=1; Path=/; domain=.localhost', '=repogate=evil', 'nameless', ' repogate =evil; Path=/'];
    const headers = [...cookies.map((line) => `Set-Cookie: ${line}`), 'Set-Cookie: mine=1; HttpOnly'];
    const answer = await get(`/answer?${headers.map((line) => `header=${encodeURIComponent(line)}`).join('&')}`);
    const jar = new CookieJar();
    for (const line of answer.headers['set-cookie'] ?? []) jar.store(`${the().url}${SITE}/answer`, line);
    for (const path of ['/', '/_repogate/whoami', '/github/acme/vault/']) assert.equal(jar.header(`${the().url}${path}`), '', path);
    assert.match(jar.header(`${the().url}${SITE}/`), /mine=1/);
    if (the().topology === 'gateway') assert.deepEqual(answer.headers['set-cookie'].map((line) => line.split(/[=;]/)[0]), ['mine']);
  });

  test('H9: a workspace can neither name who is asking to NGINX nor steer it', async () => {
    for (const line of ['X-Accel-Redirect: /_repogate/auth/nginx', 'X-authentik-username: admin', 'X-Repogate-Upstream: http://127.0.0.1:1', 'Connection: X-Custom', 'Strict-Transport-Security: max-age=1', 'Clear-Site-Data: "*"']) {
      const answer = await get(`/answer?body=mine&header=${encodeURIComponent(line)}`);
      assert.deepEqual([answer.status, answer.text], [200, 'mine'], line);
      if (the().topology === 'gateway') assert.equal(answer.headers[line.split(':')[0].toLowerCase()] ?? 'absent', line.startsWith('Connection') ? answer.headers.connection : 'absent', line);
    }
  });

  describe('WebSockets', () => {
    const socketTo = (path, { cookie = dora, origin = the().url, headers = {} } = {}) => new WebSocket(`${the().url.replace('http', 'ws')}${path}`, { ...(origin !== null && { origin }), headers: { ...(cookie && { cookie }), ...headers } });

    test('echo: text, binary and large messages come back, in order', async () => {
      const socket = socketTo(`${SITE}/ws-echo`);
      await once(socket, 'open');
      const got = [];
      socket.on('message', (data) => got.push(data));
      const sent = ['hello', '', 'ünïcödé', randomBytes(70000), randomBytes(3 * MIB), ...Array.from({ length: 200 }, (_, i) => `message ${i}`)];
      for (const message of sent) socket.send(message);
      await waitFor('the messages', () => got.length === sent.length);
      sent.forEach((message, i) => assert.ok(Buffer.from(message).equals(got[i]), `message ${i}`));
      socket.close(4001, 'bye');
      await once(socket, 'close');
      await waitFor('the workspace to notice', () => the().workspace.openSockets === 0);
    });

    test('a clock ticks, and its end is told', async () => {
      const socket = socketTo(`${SITE}/ws`);
      const ticks = [];
      socket.on('message', (data) => ticks.push(data.toString()));
      await waitFor('two ticks', () => ticks.length >= 2);
      assert.match(ticks[1], /^\d\d:\d\d:\d\d$/);
      the().workspace.dropSockets();
      await once(socket, 'close');
    });

    test('it is judged as connect, recorded, and says who is asking', async () => {
      const seen = the().workspace.requests.length;
      const socket = socketTo(`${SITE}/ws-echo?x=1`, { headers: { 'X-authentik-username': 'admin' } });
      await once(socket, 'open');
      const [arrived] = the().workspace.requests.slice(seen);
      assert.equal(arrived.target, '/ws-echo?x=1');
      assert.deepEqual(valuesOf(arrived, 'x-authentik-username'), ['dora']);
      assert.deepEqual(valuesOf(arrived, 'cookie'), []);
      assert.equal(valuesOf(arrived, 'sec-websocket-key').length, 1);
      const line = await lineOf(the(), valuesOf(arrived, 'x-repogate-decision-id')[0]);
      assert.deepEqual([line.request.action, line.decision], ['connect', 'allow']);
      socket.terminate();
    });

    test('D2, F12: not without a login, not for the wrong person, not from elsewhere', async () => {
      const before = the().workspace.requests.length;
      const cells = [
        [{ cookie: null }, SITE, 401], [{ cookie: 'repogate=x' }, SITE, 401], [{}, '/github/acme/payments', 403], [{ origin: 'http://evil.example' }, SITE, 403], [{ origin: 'null' }, SITE, 403], [{ origin: `https://${new URL(the().url).host}` }, SITE, 403],
        [{ origin: 'http://127.0.0.1' }, SITE, 403], [{ origin: null }, SITE, 403], [{ origin: '' }, SITE, 403], [{ headers: { authorization: 'Bearer x' } }, SITE, 401], [{ cookie: null, origin: null, headers: { authorization: 'Bearer x' } }, SITE, 401], [{ cookie: null, origin: null }, SITE, 403],
      ];
      for (const [options, path, status] of cells) assert.equal(await refusal(socketTo(`${path}/ws-echo`, options)), status, JSON.stringify(options));
      assert.equal(the().workspace.requests.length, before, 'nothing reached the workspace');
    });

    test('a program with a token needs no Origin', async () => {
      const socket = socketTo(`${SITE}/ws-echo`, { cookie: null, origin: null, headers: { authorization: `Bearer ${await the().bearer('dora')}` } });
      await once(socket, 'open');
      socket.send('hello');
      assert.equal((await once(socket, 'message'))[0].toString(), 'hello');
      socket.terminate();
    });

    test('a path that does not upgrade says so', async () => {
      assert.equal(await refusal(socketTo(`${SITE}/status/404`)), 400);
      assert.equal(await refusal(socketTo(`${SITE}/..%2fvault/ws`)), 400);
    });
  });
});

for (const topology of ['auth-request', 'gateway']) {
  describe(`a workspace that is not there (${topology})`, () => {
    let stand;
    let cookie;

    before(async () => {
      stand = await startStand({ variant: variant(), topology });
      cookie = await sessionCookie(stand, 'dora');
      await stand.workspace.close();
    });
    after(() => closeStand(stand));

    test('is a clear page for people, and JSON for programs', async () => {
      const page = await stand.request(`${SITE}/`, { headers: { cookie, accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' } });
      assert.equal(page.status, 502);
      assert.match(page.headers['content-type'], /text\/html/);
      assert.match(page.text, /workspace/i);
      assert.doesNotMatch(page.text, /nginx/i);
      const json = await stand.request(`${SITE}/x`, { method: 'POST', headers: { cookie }, body: 'hello' });
      assert.equal(json.status, 502);
      assert.match(json.headers['content-type'], /application\/problem\+json/);
      assert.equal(json.json().reason, 'workspace_unreachable');
    });

    test('nor for those who may not know', async () => {
      assert.equal((await stand.request(`${SITE}/`)).status, 401);
      assert.equal((await stand.request('/github/acme/payments/', { headers: { cookie } })).status, 403);
    });

    test('a WebSocket to it ends, and an upload is not left hanging', async () => {
      assert.equal(await refusal(new WebSocket(`${stand.url.replace('http', 'ws')}${SITE}/ws`, { origin: stand.url, headers: { cookie } })), 502);
      const upload = await request(stand.url, { path: `${SITE}/upload`, method: 'PUT', headers: { cookie }, body: Buffer.alloc(3 * MIB) }).then(({ status }) => status, ({ code }) => code);
      assert.ok([502, 'EPIPE', 'ECONNRESET'].includes(upload), String(upload));
    });
  });
}

describe('a workspace that speaks HTTP badly', () => {
  const OK = 'HTTP/1.1 200 OK\r\n';
  const writes = (bytes, { thenClose = true } = {}) => (socket) => (thenClose ? socket.end(bytes, 'latin1') : socket.write(bytes, 'latin1'));
  // What a client can make of these: an error of ours, or a transfer that breaks; never a whole, clean 2xx.
  const scripts = {
    '/length-cut': writes(`${OK}Content-Length: 1000\r\n\r\nhalf`),
    '/length-cut-late': (socket) => {
      socket.write(`${OK}Content-Length: 300000\r\n\r\n${'x'.repeat(100000)}`);
      setTimeout(() => socket.destroy(), 100);
    },
    '/chunk-cut': writes(`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`),
    '/chunk-half': writes(`${OK}Transfer-Encoding: chunked\r\n\r\n100\r\nhello`),
    '/chunk-bad': writes(`${OK}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n`),
    '/chunk-huge': writes(`${OK}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello`),
    '/reset': (socket) => socket.resetAndDestroy?.() ?? socket.destroy(),
    '/nothing': writes(''),
    '/garbage': writes('\x16\x03\x01\x02\x00\x01\x00'),
    '/not-http': writes('SSH-2.0-OpenSSH_9.2\r\n\r\n'),
    '/head-cut': writes(`${OK}Content-Type: text/plain\r\n`),
    '/two-lengths': writes(`${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc`),
    '/length-list': writes(`${OK}Content-Length: 2, 3\r\n\r\nabc`),
    '/length-odd': writes(`${OK}Content-Length: +2\r\n\r\nab`),
    '/both': writes(`${OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`),
    '/te-gzip': writes(`${OK}Transfer-Encoding: gzip\r\n\r\nabc`),
    '/te-twice': writes(`${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`),
    '/status-99': writes('HTTP/1.1 99 Odd\r\nContent-Length: 0\r\n\r\n'),
    '/status-1000': writes('HTTP/1.1 1000 Odd\r\nContent-Length: 0\r\n\r\n'),
    '/switch': writes('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n', { thenClose: false }),
    '/fold': writes(`${OK}X-A: b\r\n X-authentik-username: admin\r\nContent-Length: 2\r\n\r\nok`),
    '/no-colon': writes(`${OK}nonsense\r\nContent-Length: 2\r\n\r\nok`),
    '/nul': writes(`${OK}X-A: a\0b\r\nContent-Length: 2\r\n\r\nok`),
    '/bare-cr': writes(`${OK}X-A: a\rSet-Cookie: repogate=evil\r\nContent-Length: 2\r\n\r\nok`),
    '/endless-head': (socket) => {
      socket.write(OK);
      const more = () => !socket.destroyed && socket.write(`X-Filler: ${'x'.repeat(1000)}\r\n`, () => setTimeout(more, 1));
      more();
    },
    '/many-headers': writes(`${OK}${Array.from({ length: 500 }, (_, i) => `X-${i}: y\r\n`).join('')}Content-Length: 2\r\n\r\nok`),
    '/surplus': writes(`${OK}Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`),
  };
  const good = {
    '/hello': writes(`${OK}Content-Length: 5\r\n\r\nhello`, { thenClose: false }),
    '/until-close': writes(`${OK}Content-Type: text/plain\r\n\r\nuntil the end`),
    '/hints': writes(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${OK}Content-Length: 5\r\n\r\nhello`),
    '/trailers': writes(`${OK}Transfer-Encoding: chunked\r\nTrailer: X-authentik-username\r\n\r\n5\r\nhello\r\n0\r\nX-authentik-username: admin\r\nX-Late: 1\r\n\r\n`),
    '/bytewise': (socket) => {
      const bytes = [...`${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n`];
      const next = () => bytes.length > 0 && socket.write(bytes.shift(), () => setImmediate(next));
      next();
    },
    '/http10': writes('HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello'),
  };
  const dripping = new Set();
  const drip = (socket) => {
    dripping.add(socket);
    socket.once('close', () => dripping.delete(socket));
    socket.write(`${OK}Transfer-Encoding: chunked\r\n\r\n`);
    const more = () => !socket.destroyed && socket.write('4\r\ndrip\r\n', () => setTimeout(more, 5));
    more();
  };
  let stand;
  let upstream;
  let cookie;
  const through = (port, path, options = {}) => converse(port, requestBytes({ target: `${SITE}${path}`, headers: { Host: new URL(stand.url).host, Cookie: cookie, Connection: null }, ...options }), { timeoutMs: 4000, ...options });

  before(async () => {
    upstream = await startUpstream({ ...scripts, ...good, '/drip': drip });
    stand = await startStand({ variant: variant(), topology: 'gateway', config: { workspace: { url: upstream.url } } });
    cookie = await sessionCookie(stand, 'dora');
  });
  beforeEach(() => { upstream.heads.length = 0; });
  after(async () => {
    await closeStand(stand);
    await upstream.close();
  });

  for (const path of Object.keys(scripts)) {
    test(`H7, H10: ${path.slice(1)}: never a whole answer that looks good`, async () => {
      for (const port of [gatewayPort(stand), portOf(stand)]) {
        const { answers, raw, isTimeout } = await through(port, path, path === '/surplus' ? { count: 2, timeoutMs: 500 } : {});
        assert.doesNotMatch(raw, /evil|admin/);
        assert.equal(isTimeout, path === '/surplus', 'it ends');
        const [answer] = answers;
        if (answer === undefined || !answer.isWhole) continue;
        if (path === '/surplus') assert.deepEqual([answer.status, answer.body, answers.length], [200, 'ok', 1], 'and what follows belongs to nobody');
        else assert.ok(answer.status >= 500, `${answer.status} ${answer.body.slice(0, 20)}`);
      }
    });
  }

  for (const path of Object.keys(good)) {
    test(`${path.slice(1)}: understood`, async () => {
      for (const port of [gatewayPort(stand), portOf(stand)]) {
        const { answers, raw } = await through(port, path);
        assert.deepEqual([answers.length, answers[0].status, answers[0].body], [1, 200, path === '/until-close' ? 'until the end' : 'hello']);
        assert.doesNotMatch(raw, /admin/, 'no trailer passes');
      }
    });
  }

  test('H12: two answers on one connection are never mixed up, whatever came before', async () => {
    for (const path of ['/surplus', '/length-cut', '/chunk-bad', '/switch', '/hints', '/trailers']) {
      await through(gatewayPort(stand), path);
      for (let i = 0; i < 4; i++) {
        const { answers } = await through(gatewayPort(stand), '/hello');
        assert.deepEqual([answers[0].status, answers[0].body], [200, 'hello'], `after ${path}`);
      }
    }
  });

  test('the head that it gets is made anew: nothing of the client\'s framing is left', async () => {
    await through(gatewayPort(stand), '/hello', { method: 'POST', lines: ['Transfer-Encoding: chunked', 'X-A: b'], body: '5;x=y\r\nhello\r\n0\r\nX-Trailer: evil\r\n\r\n' });
    const [head] = upstream.heads;
    assert.match(head, /^POST \/hello HTTP\/1\.1\r\n/);
    assert.equal(head.match(/transfer-encoding: chunked/gi).length, 1);
    assert.doesNotMatch(head, /X-Trailer|x=y/);
  });

  test('a client that leaves in the middle ends the request to the workspace', async () => {
    const answer = await open(stand, `${SITE}/drip`, { headers: { cookie } });
    await once(answer, 'data');
    assert.equal(dripping.size, 1);
    answer.destroy();
    await waitFor('the request to end', () => dripping.size === 0);
    assert.equal((await through(gatewayPort(stand), '/hello')).answers[0].status, 200);
  });
});

describeStand('a Knative service', {
  topology: 'gateway',
  config: { workspace: { host: 'devcontainers.workspaces.svc.cluster.local' } },
}, (the) => {
  test('gets its own name as Host, and the public one as X-Forwarded-Host', async () => {
    const echo = (await the().request(`${SITE}/echo`, { headers: { cookie: await sessionCookie(the(), 'dora') } })).json();
    assert.deepEqual(valuesOf(echo, 'host'), ['devcontainers.workspaces.svc.cluster.local']);
    assert.deepEqual(valuesOf(echo, 'x-forwarded-host'), [new URL(the().url).host]);
  });
});

describe('DEVCONTAINER_SERVICE_URL', () => {
  test('names the workspace, over what the file says', async () => {
    const upstream = await startUpstream({ '/base/x': (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok') });
    const stand = await startStand({ variant: variant(), topology: 'auth-request', env: { DEVCONTAINER_SERVICE_URL: `${upstream.url}/base` } });
    try {
      const cookie = await sessionCookie(stand, 'dora');
      for (const port of [portOf(stand), gatewayPort(stand)]) {
        const { answers } = await converse(port, requestBytes({ target: `${SITE}/x?y`, headers: { Host: new URL(stand.url).host, Cookie: cookie } }));
        assert.equal(answers[0].body, 'ok');
      }
      assert.deepEqual(upstream.heads.map((head) => head.split(' ')[1]), ['/base/x?y', '/base/x?y']);
      for (const head of upstream.heads) assert.match(head, new RegExp(`\r\nHost: 127\\.0\\.0\\.1:${upstream.port}\r\n`));
    } finally {
      await closeStand(stand);
      await upstream.close();
    }
  });
});
