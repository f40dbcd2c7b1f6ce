// The NGINX files that we ship, on their own: real NGINX, a stand-in gateway that answers as the real one does, and the sample workspace.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import WebSocket from 'ws';
import { CookieJar, request } from '../../scripts/lib/browser.mjs';
import { startNginx } from '../../scripts/lib/nginx.mjs';
import { freePort } from '../../scripts/lib/processes.mjs';
import { startWorkspace } from '../../scripts/lib/workspace.mjs';
import { sendRaw, statusesOf } from './lib/raw.mjs';

const NAVIGATE = { accept: 'text/html,*/*', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const FORGED = {
  'X-authentik-username': 'admin',
  'X-authentik-groups': 'admins',
  'X-Authentik-User': 'admin',
  'X-Repogate-Upstream': 'http://127.0.0.1:1',
  'X-Repogate-Upstream-Host': 'evil',
  'X-Original-URI': '/github/acme/site/',
  'X-Original-Method': 'GET',
  'X-Original-URL': 'http://evil/github/acme/site/',
  'X-Forwarded-Uri': '/evil',
  'X-Forwarded-Method': 'GET',
  'X-Forwarded-For': '10.0.0.1',
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Host': 'evil.example',
  'X-Forwarded-Prefix': '/evil',
  'X-Real-IP': '10.0.0.1',
  'X-Rewrite-URL': '/evil',
  Forwarded: 'for=10.0.0.1',
  X_Original_URL: 'http://evil/',
  'X-Repogate-Proxy-Secret': 'guess',
  'K-Original-Host': 'evil',
  'Knative-Serving-Revision': 'evil-00001',
};

// Answers auth questions by a table of paths, and everything else by saying what arrived.
class StandInGateway {
  questions = [];
  others = [];
  verdict = () => ({ status: 200 });

  answer(req, res) {
    const pairs = [];
    for (let i = 0; i < req.rawHeaders.length; i += 2) pairs.push([req.rawHeaders[i].toLowerCase(), req.rawHeaders[i + 1]]);
    const seen = { method: req.method, target: req.url, headers: pairs };
    if (req.url.startsWith('/_repogate/auth/')) {
      this.questions.push(seen);
      const { status, headers = {} } = this.verdict(seen);
      res.writeHead(status, { 'content-length': 0, ...headers });
      res.end();
      return;
    }
    this.others.push(seen);
    let length = 0;
    req.on('data', (chunk) => { length += chunk.length; });
    req.on('end', () => {
      res.writeHead(299, { 'content-type': 'application/json' });
      res.end(JSON.stringify({ ...seen, length }));
    });
  }
}

function values(seen, name) {
  return seen.headers.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

let workspace;
let gateway;
let gatewayServer;
let dir;
const nginx = {};

before(async () => {
  workspace = await startWorkspace();
  gateway = new StandInGateway();
  gatewayServer = createServer({ requireHostHeader: false }, (req, res) => gateway.answer(req, res));
  gatewayServer.on('upgrade', (req, socket) => {
    gateway.others.push({ method: req.method, target: req.url, upgrade: req.headers.upgrade, connection: req.headers.connection, cookie: req.headers.cookie });
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  });
  gatewayServer.listen(0, '127.0.0.1');
  await once(gatewayServer, 'listening');
  dir = await mkdtemp(join(tmpdir(), 'repogate-nginx-'));
  for (const topology of ['auth-request', 'gateway']) {
    nginx[topology] = await startNginx({ dir: join(dir, topology), port: await freePort(), gatewayPort: gatewayServer.address().port, topology });
  }
});

after(async () => {
  await Promise.all(Object.values(nginx).map((one) => one.close()));
  gatewayServer.close();
  gatewayServer.closeAllConnections();
  await workspace.close();
  await rm(dir, { recursive: true, force: true });
});

function allow(extra = {}) {
  return {
    status: 200,
    headers: {
      'X-authentik-username': 'dora',
      'X-authentik-groups': 'developers|staff',
      'X-authentik-name': Buffer.from('Döra').toString('latin1'),
      'X-Authentik-User': 'dora',
      'X-GitHub-Repo': 'https://github.com/acme/site',
      'X-Repogate-Repo': 'github:acme/site',
      'X-Repogate-Decision-Id': 'decision-1',
      'X-Repogate-Upstream': workspace.url,
      'X-Repogate-Upstream-Host': 'site.ws.example.net',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      ...extra,
    },
  };
}

describe('NGINX routes', () => {
  let url;

  beforeEach(() => {
    url = nginx['auth-request'].url;
    gateway.questions.length = 0;
    gateway.others.length = 0;
    gateway.verdict = () => allow();
  });

  test('A1, A2, A3, A6, A8: asks about the raw URL, the method and the peer, whatever the client claims', async () => {
    await request(`${url}/`, { path: '/github/acme/site/a%2520b%2fc?x=1&y=%20', method: 'PUT', headers: FORGED, body: 'hello' });
    const [question] = gateway.questions;
    assert.equal(question.method, 'GET');
    assert.equal(question.target, '/_repogate/auth/nginx');
    assert.deepEqual(values(question, 'x-original-url'), [`${url}/github/acme/site/a%2520b%2fc?x=1&y=%20`]);
    assert.deepEqual(values(question, 'x-original-method'), ['PUT']);
    assert.deepEqual(values(question, 'x-real-ip'), ['127.0.0.1']);
    assert.deepEqual(values(question, 'content-length'), []);
    const forbidden = ['x-original-uri', 'x-forwarded-uri', 'x-forwarded-method', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-prefix',
      'x-rewrite-url', 'forwarded', 'x_original_url', 'x-repogate-proxy-secret', 'transfer-encoding', 'upgrade'];
    for (const name of forbidden) assert.deepEqual(values(question, name), [], name);
  });

  test('B7, B9: rebuilds the path byte for byte, query and all', async () => {
    for (const rest of ['/', '/?', '/a%2520b%2fc?x=1&y=%20', '/a//b/./c/%2e%2e/d;v=1', '/?q=/github/x/y/z', '/%7euser/~user', '/a+b?c=d?e']) {
      const echo = (await request(url, { path: `/github/acme/site${rest}` })).text;
      const seen = workspace.requests.at(-1);
      assert.equal(seen.target, rest, echo.slice(0, 200));
    }
  });

  test('A10, H1, H5, H9: sends what the gateway said about the person, once, and nothing the client claimed', async () => {
    const echo = (await request(`${url}/github/acme/site/echo`, { headers: { ...FORGED, authorization: 'Bearer secret', 'user-agent': 'kube-probe/1.30' } })).json();
    const one = (name) => values(echo, name);
    assert.deepEqual(one('x-authentik-username'), ['dora']);
    assert.deepEqual(one('x-authentik-groups'), ['developers|staff']);
    assert.equal(Buffer.from(one('x-authentik-name')[0], 'latin1').toString(), 'Döra');
    assert.deepEqual(one('x-authentik-user'), ['dora']);
    assert.deepEqual(one('x-repogate-repo'), ['github:acme/site']);
    assert.deepEqual(one('x-github-repo'), ['https://github.com/acme/site']);
    assert.deepEqual(one('x-repogate-decision-id'), ['decision-1']);
    assert.equal(one('traceparent').length, 1);
    assert.deepEqual(one('host'), ['site.ws.example.net']);
    assert.deepEqual(one('x-real-ip'), ['127.0.0.1']);
    assert.deepEqual(one('x-forwarded-for'), ['127.0.0.1']);
    assert.deepEqual(one('x-forwarded-proto'), ['http']);
    for (const name of ['authorization', 'user-agent', 'x-repogate-upstream', 'x-repogate-upstream-host', 'x-original-url', 'x-original-uri', 'x-forwarded-uri',
      'forwarded', 'k-original-host', 'knative-serving-revision', 'x-repogate-proxy-secret', 'x-authentik-email']) {
      assert.deepEqual(one(name), [], name);
    }
  });

  const cookies = [
    ['repogate=s', []],
    ['a=1; repogate=s; b=2', ['a=1; b=2']],
    ['repogate=s; a=1', ['a=1']],
    ['a=1; repogate=s', ['a=1']],
    ['a=1;repogate=s;b=2', ['a=1;b=2']],
    ['__Host-repogate=s; a=1; __Host-repogate-login-1=x; authentik_proxy_0a1b2c3d=y; b=2', ['a=1; b=2']],
    ['repogate=1; repogate-login-a=2; repogate-login-b=3; repogate-login-c=4; repogate-login-d=5; repogate-login-e=6; repogate-enter=7; authentik_proxy_1=8; z=9', ['z=9']],
    [`z=9; ${Array.from({ length: 9 }, (_, i) => `repogate${i}=x`).join('; ')}`, []],
    ['notrepogate=1; my_repogate=2', ['notrepogate=1; my_repogate=2']],
    ['a=repogate=1', ['a=repogate=1']],
    ['a=1; REPOGATE=s', ['a=1']],
  ];
  for (const [sent, expected] of cookies) {
    test(`takes our cookies out of: ${sent.slice(0, 60)}`, async () => {
      const echo = (await request(`${url}/github/acme/site/echo`, { headers: { cookie: sent } })).json();
      assert.deepEqual(values(echo, 'cookie'), expected);
    });
  }

  test('takes our cookies out of several Cookie headers', async () => {
    await sendRaw(nginx['auth-request'].port, 'GET /github/acme/site/two HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nCookie: repogate=s\r\nConnection: close\r\n\r\n');
    assert.deepEqual(values(workspace.requests.at(-1), 'cookie'), ['a=1']);
  });

  test('a navigation without a login is sent to it with its whole address, others get 401', async () => {
    gateway.verdict = () => ({ status: 401, headers: { 'www-authenticate': 'Bearer realm="repogate"' } });
    const path = '/github/acme/site/?folder=/x&y=2';
    const answer = await request(url, { path, headers: NAVIGATE });
    assert.equal(answer.status, 302);
    assert.equal(answer.headers.location, `/_repogate/login?rd=${url}${path}`);
    assert.match(answer.headers['cache-control'], /no-store/);
    assert.equal((await request(url, { path, headers: { accept: 'text/html' } })).status, 302);
    const programs = [
      [{ headers: {} }, 'no Accept'],
      [{ headers: { accept: 'application/json' } }, 'JSON'],
      [{ headers: { ...NAVIGATE, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' } }, 'fetch'],
      [{ headers: { ...NAVIGATE, 'sec-fetch-dest': 'iframe' } }, 'frame'],
      [{ headers: NAVIGATE, method: 'POST', body: 'x' }, 'POST'],
      [{ headers: NAVIGATE, method: 'HEAD' }, 'HEAD'],
    ];
    for (const [options, what] of programs) {
      const refused = await request(url, { path, ...options });
      assert.equal(refused.status, 401, what);
      assert.match(refused.headers['content-type'], /application\/problem\+json/);
      assert.match(refused.headers['www-authenticate'], /Bearer/);
    }
    assert.equal(gateway.others.length, 0);
  });

  test('E12: a denial is explained by the gateway itself, with the whole request', async () => {
    gateway.verdict = () => ({ status: 403 });
    const answer = await request(url, { path: '/github/acme/vault/x?y=1', method: 'POST', headers: { ...FORGED, cookie: 'repogate=s' }, body: 'hello' });
    assert.equal(answer.status, 299);
    const seen = answer.json();
    assert.deepEqual([seen.method, seen.target, seen.length], ['POST', '/github/acme/vault/x?y=1', 5]);
    assert.deepEqual(values(seen, 'cookie'), ['repogate=s']);
    assert.deepEqual(values(seen, 'x-forwarded-for'), ['127.0.0.1']);
    assert.deepEqual(values(seen, 'x-original-url'), []);
    assert.deepEqual(values(seen, 'host'), [url.slice(7)]);
  });

  test('E4: whatever the auth endpoint answers but 2xx, 401, 403 is an error for the user', async () => {
    for (const status of [302, 400, 404, 429, 500, 503]) {
      gateway.verdict = () => ({ status });
      assert.equal((await request(`${url}/github/acme/site/`)).status, 500, status);
    }
  });

  test('our own pages, bare repositories and nested groups go to the gateway without a question', async () => {
    for (const path of ['/', '/?x=1', '/health', '/_repogate/login?rd=x', '/outpost.goauthentik.io/start', '/github/acme/site', '/github/acme/site?x=1', '/github/acme',
      '/gitlab/a/b/c/d/-/ws/file', '/github/acme/site/-/ws']) {
      const answer = await request(url, { path, headers: { cookie: 'repogate=s' } });
      assert.equal(answer.status, 299, path);
      assert.equal(answer.json().target, path);
      assert.deepEqual(values(answer.json(), 'cookie'), ['repogate=s']);
    }
    assert.equal(gateway.questions.length, 0);
  });

  test('a workspace without an upstream yet goes to the gateway after the question', async () => {
    gateway.verdict = () => allow({ 'X-Repogate-Upstream': '', 'X-Repogate-Upstream-Host': '' });
    const seen = (await request(url, { path: '/github/acme/site/a%2fb?x', headers: { cookie: 'a=1; repogate=s', authorization: 'Bearer t' } })).json();
    assert.equal(seen.target, '/github/acme/site/a%2fb?x');
    assert.deepEqual(values(seen, 'cookie'), ['a=1; repogate=s']);
    assert.deepEqual(values(seen, 'authorization'), ['Bearer t']);
    assert.deepEqual(values(seen, 'host'), [url.slice(7)]);
    assert.equal(gateway.questions.length, 1);
  });

  test('an upstream with a base path gets it in front', async () => {
    gateway.verdict = () => allow({ 'X-Repogate-Upstream': `${workspace.url}/base` });
    await request(url, { path: '/github/acme/site/a?b' });
    assert.equal(workspace.requests.at(-1).target, '/base/a?b');
  });

  test('D2: a WebSocket goes to the gateway, unasked and unchanged', async () => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/github/acme/site/ws?x=1`, { headers: { cookie: 'repogate=s' } });
    const [error] = await once(socket, 'error');
    assert.match(error.message, /403/);
    assert.equal(gateway.questions.length, 0);
    const [seen] = gateway.others;
    assert.deepEqual([seen.target, seen.upgrade, seen.connection.toLowerCase(), seen.cookie], ['/github/acme/site/ws?x=1', 'websocket', 'upgrade', 'repogate=s']);
  });

  test('another upgrade is an ordinary request', async () => {
    await request(url, { path: '/github/acme/site/echo', headers: { connection: 'upgrade', upgrade: 'h2c' } });
    assert.equal(gateway.questions.length, 1);
    assert.deepEqual(values(workspace.requests.at(-1), 'upgrade'), []);
  });

  test('a workspace cannot steer NGINX by X-Accel headers', async () => {
    const order = (name, value) => `/github/acme/site/answer?body=mine&header=${encodeURIComponent(`${name}: ${value}`)}`;
    const answer = await request(url, { path: order('X-Accel-Redirect', '/_repogate/auth/nginx') });
    assert.deepEqual([answer.status, answer.text], [200, 'mine']);
    assert.equal(gateway.questions.length, 1);
  });

  test('a workspace cannot set a cookie of ours that a browser would send elsewhere', async () => {
    const lines = ['__Host-repogate=evil; Secure; Path=/', 'sid=1; Path=/; HttpOnly', 'deep=1; Path=/sub', 'twice=1; Path=/x; Path=/', 'none=1'];
    const query = lines.map((line) => `header=${encodeURIComponent(`Set-Cookie: ${line}`)}`).join('&');
    const answer = await request(url, { path: `/github/acme/site/answer?${query}` });
    const jar = new CookieJar();
    for (const line of answer.headers['set-cookie']) jar.store(`${url}/github/acme/site/answer`, line);
    assert.equal(jar.find('__Host-repogate'), undefined);
    assert.equal(jar.header(`${url}/`), '');
    assert.equal(jar.header(`${url}/github/acme/other/`), '');
    assert.match(jar.header(`${url}/github/acme/site/`), /sid=1/);
    assert.match(jar.header(`${url}/github/acme/site/sub/x`), /deep=1/);
  });

  test('status, body and redirects of a workspace come through as they are', async () => {
    for (const status of [204, 301, 401, 403, 404, 418, 500, 503]) {
      assert.equal((await request(`${url}/github/acme/site/status/${status}`)).status, status);
    }
    const moved = await request(url, { path: `/github/acme/site/answer?status=302&header=${encodeURIComponent('Location: ../elsewhere')}` });
    assert.equal(moved.headers.location, '../elsewhere');
  });

  test('uploads stream through and arrive whole', async () => {
    const body = Buffer.alloc(3 * 1024 * 1024, 'x');
    const answer = (await request(`${url}/github/acme/site/upload`, { method: 'POST', body })).json();
    assert.equal(answer.length, body.length);
  });

  test('a missing Host cannot be mistaken for a good one', async () => {
    await sendRaw(nginx['auth-request'].port, 'GET /github/acme/site/x HTTP/1.0\r\n\r\n');
    assert.deepEqual(values(gateway.questions[0], 'x-original-url'), ['http:///github/acme/site/x']);
  });

  test('an absolute request line is asked about and routed by its path', async () => {
    const port = nginx['auth-request'].port;
    await sendRaw(port, `GET http://evil.example/github/acme/site/abs?x HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`);
    assert.deepEqual(values(gateway.questions[0], 'x-original-url'), [`http://127.0.0.1:${port}/github/acme/site/abs?x`]);
    assert.equal(workspace.requests.at(-1).target, '/abs?x');
  });
});

for (const topology of ['auth-request', 'gateway']) {
  describe(`from outside, ${topology}`, () => {
    const spellings = ['/_repogate/auth/nginx', '/_repogate/auth/nginx?x', '//_repogate//auth/nginx', '/_repogate/%61uth/nginx', '/x/../_repogate/auth/nginx', '/_repogate/auth/envoy/../../x',
      '/_repogate/auth/', '/outpost.goauthentik.io/auth/nginx', '/outpost.goauthentik.io/auth/traefik', '/Outpost.goauthentik.io/auth/nginx'];
    for (const path of spellings) {
      test(`D3: the auth endpoint is closed: ${path}`, async () => {
        gateway.questions.length = 0;
        gateway.others.length = 0;
        const answer = await request(nginx[topology].url, { path });
        assert.equal(answer.status, 404);
        assert.equal(gateway.questions.length, 0);
        assert.equal(gateway.others.length, 0);
      });
    }
  });
}

describe('gateway routes', () => {
  test('everything goes to the gateway byte for byte, with our word for who asks', async () => {
    const { url } = nginx.gateway;
    const path = '/github/acme/site/a%2520b%2f..%2fc?x=1&y=%20';
    const seen = (await request(url, { path, method: 'PATCH', headers: { ...FORGED, cookie: 'repogate=s', authorization: 'Bearer t' }, body: 'hello' })).json();
    assert.deepEqual([seen.method, seen.target, seen.length], ['PATCH', path, 5]);
    assert.deepEqual(values(seen, 'host'), [url.slice(7)]);
    assert.deepEqual(values(seen, 'cookie'), ['repogate=s']);
    assert.deepEqual(values(seen, 'authorization'), ['Bearer t']);
    assert.deepEqual(values(seen, 'x-forwarded-for'), ['127.0.0.1']);
    assert.deepEqual(values(seen, 'x-forwarded-host'), [url.slice(7)]);
    assert.deepEqual(values(seen, 'x-forwarded-proto'), ['http']);
    for (const name of ['x-original-url', 'x-original-uri', 'x-original-method', 'x-forwarded-uri', 'x-forwarded-prefix', 'forwarded', 'x-repogate-proxy-secret', 'x_original_url']) {
      assert.deepEqual(values(seen, name), [], name);
    }
  });

  test('an upgrade reaches the gateway', async () => {
    gateway.others.length = 0;
    const socket = new WebSocket(`${nginx.gateway.url.replace('http', 'ws')}/github/acme/site/ws`);
    await once(socket, 'error');
    assert.equal(gateway.others[0].upgrade, 'websocket');
  });

  test('two requests on one connection get two answers', async () => {
    const one = 'GET /github/acme/site/ HTTP/1.1\r\nHost: x\r\n\r\n';
    assert.deepEqual(statusesOf(await sendRaw(nginx.gateway.port, one + one)), [299, 299]);
  });
});
