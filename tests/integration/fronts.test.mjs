// Every reverse proxy that we ship a configuration for, for real, in front of the gateway: people, programs and sockets get what they should,
// and the workspace hears once who is asking, from us alone. THREATS groups A (whom we believe), D (upgrades), H (headers), L (secrets).
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { converse, describeFronts, lineOf, requestBytes, sessionCookie, valuesOf } from './lib/stand.mjs';

const SITE = '/github/acme/site';
const FORBIDDEN = '/github/acme/payments';
const IDENTITY = ['X-authentik-username', 'X-authentik-groups', 'X-authentik-entitlements', 'X-authentik-email', 'X-authentik-name', 'X-authentik-uid', 'X-Authentik-User', 'X-Request-Path', 'X-GitHub-Repo', 'X-Repogate-Repo',
  'X-Repogate-Decision-Id', 'X-Repogate-Assertion', 'traceparent'];
const CLIENT = ['X-Forwarded-For', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'X-Real-IP'];
// What we believe from a proxy in one dialect or another, and what others of our kind believe.
const BELIEVED = ['X-Original-URL', 'X-Original-URI', 'X-Original-Method', 'X-Forwarded-Uri', 'X-Forwarded-Method', 'X-Forwarded-Prefix', 'X-Forwarded-Port', 'X-Forwarded-Server', 'X-Rewrite-URL', 'X-Envoy-Original-Path', 'Forwarded',
  'X-Repogate-Proxy-Secret', 'X-Repogate-Upstream', 'X-Repogate-Upstream-Host', 'X-authentik-jwt', 'X-authentik-meta-jwks'];
const PEOPLE = [
  { username: 'eve', name: ' Evé | 100 % ', password: 'eve-demo', groups: ['developers', 'two\r\nX-authentik-groups: admins', 'a|b', '\tblank '] },
  { username: 'mallory', name: 'Mallory\r\nX-authentik-groups: admins', password: 'mallory-demo', groups: ['developers'] },
  { username: 'mail', name: 'M', email: 'mail@example.org\nX-authentik-groups: admins', password: 'mail-demo', groups: ['developers'] },
  { username: 'nul', name: 'N', password: 'nul-demo', groups: ['developers', 'admins\0'] },
];

const NAVIGATE = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const PROGRAMS = { 'a program': { accept: 'application/json' }, 'an XHR': { accept: '*/*', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', 'x-requested-with': 'XMLHttpRequest' }, git: { 'user-agent': 'git/2.39', accept: '*/*' } };

const folded = (name) => name.toLowerCase().replace(/[^a-z0-9]/g, '');
const OURS = /^(xauthentik|xrepogate|xpolicy|xforwarded|xoriginal|xrewriteurl|xenvoy|xrequestpath|xgithubrepo|xrealip|forwarded$|traceparent$)/;
const isOurs = (name) => OURS.test(folded(name));
const spellings = (name) => [name, name.toUpperCase(), name.replaceAll('-', '_'), name.replaceAll('-', '.'), name.replace('-', '_'), name.replace(/-(?=[^-]*$)/, '.'), `${name}_`, name.replaceAll('-', '~'), name.replace('-', '--')];
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

describeFronts('in front', { provider: { people: PEOPLE } }, (the) => {
  let dora;
  let eve;
  // Plain NGINX can neither remove by prefix nor compare names without their hyphens, and leaves headers out that are empty.
  const isPlain = () => the().frontName === 'nginx' && the().topology === 'auth-request';
  const port = () => Number(new URL(the().url).port);
  const bytesOf = ({ target = `${SITE}/echo`, headers = {}, ...rest }) => requestBytes({ target, headers: { Host: new URL(the().url).host, Cookie: dora, ...headers }, ...rest });
  const get = (path, options = {}) => the().request(path, { ...options, headers: { cookie: dora, ...options.headers } });

  // What came back, and what the workspace saw.
  async function send(options) {
    const seen = the().workspace.requests.length;
    const { answers, isTimeout } = await converse(port(), bytesOf(options));
    assert.equal(isTimeout, false, 'an answer in time');
    const arrived = the().workspace.requests.slice(seen);
    assert.ok(arrived.length <= 1, 'one request at most');
    return { status: answers[0]?.status, answer: answers[0], arrived: arrived[0] };
  }

  before(async () => { [dora, eve] = await Promise.all(['dora', 'eve'].map((name) => sessionCookie(the(), name))); });

  describe('who gets what', () => {
    test('a person logs in on the way to a workspace and comes back to it, query and all', async () => {
      const browser = the().browser();
      const page = await browser.login('dora', `${SITE}/?folder=/x&y=2`);
      assert.deepEqual([page.status, page.url], [200, `${the().url}${SITE}/?folder=/x&y=2`]);
      assert.match(page.text, /Dora Developer/);
      assert.equal((await browser.get('/_repogate/whoami')).json().username, 'dora');
      assert.equal((await browser.get('/health')).status, 200);
    });

    test('a person who may not sees a page, a program problem details, with the decision that is in the log', async () => {
      const page = await get(`${FORBIDDEN}/`, { headers: NAVIGATE });
      assert.equal(page.status, 403);
      assert.match(page.headers['content-type'], /^text\/html/);
      const problem = await get(`${FORBIDDEN}/`, { headers: PROGRAMS['a program'] });
      assert.equal(problem.status, 403);
      const { reason, decision_id: id } = problem.json();
      assert.equal(reason, 'no_rule');
      const line = await lineOf(the(), id);
      assert.deepEqual([line.decision, line.subject.username, line.request.path, line.request.method, line.request.ip], ['deny', 'dora', `${FORBIDDEN}/`, 'GET', '127.0.0.1']);
    });

    for (const [who, headers] of Object.entries(PROGRAMS)) {
      test(`${who} without a login is told so, and not sent elsewhere`, async () => {
        const answer = await the().request(`${SITE}/`, { headers });
        assert.deepEqual([answer.status, answer.headers.location], [401, undefined]);
        assert.match(answer.headers['content-type'], /application\/problem\+json/);
        assert.equal(answer.json().reason, 'login_required');
        assert.match(answer.headers['www-authenticate'], /Bearer/);
      });
    }

    test('a program with a token is let in, with a bad one it is not, cookie or no cookie', async () => {
      const token = await the().bearer('dora');
      assert.equal((await the().request(`${SITE}/echo`, { headers: { authorization: `Bearer ${token}` } })).status, 200);
      assert.equal((await get(`${SITE}/echo`, { headers: { authorization: `Bearer ${token}x` } })).status, 401);
    });

    test('unsafe methods are judged like any other and never redirected', async () => {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND']) {
        const stranger = await the().request(`${SITE}/echo`, { method, headers: { ...NAVIGATE, 'content-length': '5' }, body: 'hello' });
        assert.deepEqual([stranger.status, stranger.headers.location], [401, undefined], method);
        assert.equal((await get(`${FORBIDDEN}/echo`, { method, headers: { 'content-length': '5' }, body: 'hello' })).status, 403, method);
        const echo = (await get(`${SITE}/echo`, { method, headers: { 'content-length': '5' }, body: 'hello' })).json();
        assert.deepEqual([echo.method, echo.body.length], [method, 5]);
        const line = await lineOf(the(), valuesOf(echo, 'x-repogate-decision-id')[0]);
        assert.equal(line.request.method, method);
      }
    });

    test('uploads arrive whole, with a length or in chunks, and downloads too', async () => {
      const body = randomBytes(5 * 1024 * 1024 + 17);
      const expected = { length: body.length, sha256: sha256(body) };
      assert.deepEqual((await get(`${SITE}/upload`, { method: 'POST', body, headers: { 'content-length': body.length } })).json(), expected);
      assert.deepEqual((await get(`${SITE}/upload`, { method: 'POST', body, headers: { 'transfer-encoding': 'chunked' } })).json(), expected);
      assert.equal((await get(`${SITE}/download?bytes=3000001`)).body.length, 3000001);
    });

    test('D2: a WebSocket of who may carries both ways; of who may not, or from another site, it is refused', async () => {
      const socketTo = (path, { cookie, origin = the().url } = {}) => new WebSocket(`${the().url.replace('http', 'ws')}${path}`, { origin, headers: cookie ? { cookie } : {} });
      const open = socketTo(`${SITE}/ws-echo`, { cookie: dora });
      await once(open, 'open');
      open.send('hello');
      assert.equal((await once(open, 'message'))[0].toString(), 'hello');
      open.close();
      await once(open, 'close');
      for (const [path, options, status] of [[`${SITE}/ws-echo`, {}, 401], [`${FORBIDDEN}/ws-echo`, { cookie: dora }, 403], [`${SITE}/ws-echo`, { cookie: dora, origin: 'http://evil.example' }, 403]]) {
        const socket = socketTo(path, options);
        socket.on('error', () => {});
        const [, answer] = await once(socket, 'unexpected-response');
        assert.equal(answer.statusCode, status, path);
        answer.destroy();
      }
    });

    test('A2: the auth endpoints are closed from outside, in every spelling', async () => {
      const dialect = the().frontName;
      for (const path of [`/_repogate/auth/${dialect}`, `/_repogate/auth/${dialect}?x`, '/_repogate/auth/', `//_repogate//auth/${dialect}`, `/_repogate/%61uth/${dialect}`, `/%5frepogate/auth/${dialect}`, '/_repogate/auth/envoy/github/acme/site/',
        `/outpost.goauthentik.io/auth/${dialect}`, '/outpost.goauthentik.io/auth/envoy/x', `/Outpost.goauthentik.io/auth/${dialect}`]) {
        const headers = { 'x-original-url': `${the().url}${SITE}/`, 'x-original-method': 'GET', 'x-forwarded-uri': `${SITE}/`, 'x-real-ip': '127.0.0.1' };
        const answer = await get(path, { headers });
        assert.equal(answer.status, 404, path);
        assert.equal(answer.headers['x-authentik-username'], undefined, path);
      }
    });
  });

  describe('the header contract', () => {
    // One value for each, and it is ours.
    function expectOurs(seen, what, username = 'dora') {
      assert.ok(seen, `it arrived: ${what}`);
      for (const name of [...IDENTITY, ...CLIENT]) {
        const values = seen.headers.filter(([key]) => folded(key) === folded(name)).map(([, value]) => value);
        if (isPlain() && name === 'X-authentik-entitlements') assert.deepEqual(values, [], what);
        else assert.equal(values.length, 1, `${name}: ${JSON.stringify(values)}: ${what}`);
      }
      const is = (name, value) => assert.deepEqual(valuesOf(seen, name), [value], `${name}: ${what}`);
      is('x-authentik-username', username);
      is('x-authentik-user', username);
      is('x-repogate-repo', 'github:acme/site');
      is('x-github-repo', 'https://github.com/acme/site');
      is('x-request-path', `${SITE}/echo`);
      is('x-forwarded-for', '127.0.0.1');
      is('x-real-ip', '127.0.0.1');
      is('x-forwarded-host', new URL(the().url).host);
      is('x-forwarded-proto', 'http');
      assert.deepEqual(seen.headers.filter(([name, value]) => isOurs(name) && value.includes('forged')), [], what);
    }
    // A forged request is refused, or arrives without what was forged.
    async function expectHarmless(options, what) {
      const { status, arrived, answer } = await send(options);
      if (arrived) expectOurs(arrived, what);
      else assert.ok(status >= 400 && status < 500, `${what}: ${status}`);
      return { status, arrived, answer };
    }

    test('H5: each is there once, and says what the log says', async () => {
      const { arrived } = await send({});
      expectOurs(arrived, 'plain');
      const line = await lineOf(the(), valuesOf(arrived, 'x-repogate-decision-id')[0]);
      assert.deepEqual([line.subject.username, line.request.path, line.request.ip, line.decision], ['dora', `${SITE}/echo`, '127.0.0.1', 'allow']);
      assert.equal(line.request.dialect, the().topology === 'gateway' ? 'own' : the().frontName, 'carried by whom this is about');
    });

    test('A1, A3, A4, A6b, A7, H1, H2, H3, H9, H13, H14: what a client sends of them is gone, in every spelling', async () => {
      const families = isPlain() ? [] : ['X-authentik-anything', 'X-Repogate-Anything', 'X-Policy-Grant', 'X-Forwarded-Anything', 'X-Original-Anything'];
      const isOtherName = (spelling) => isPlain() && spelling.includes('--');
      for (const spelling of [...IDENTITY, ...CLIENT, ...BELIEVED, ...families].flatMap(spellings).filter((one) => !isOtherName(one))) await expectHarmless({ lines: [`${spelling}: forged`] }, spelling);
    });

    test('H8, H10: repeated ones too, beside one another and around an empty one', async () => {
      for (const name of [...IDENTITY, ...CLIENT, ...BELIEVED]) await expectHarmless({ lines: [`${name}: forged`, `${name}:`, `${name.replaceAll('-', '_')}: forged`, `${name.toLowerCase()}: forged, forged`] }, name);
    });

    test('H6: Connection takes none of ours away, and nothing of the client\'s survives by it', async () => {
      for (const name of [...IDENTITY, ...CLIENT, 'Host', 'Cookie', 'Authorization']) {
        for (const list of [name, `close, ${name}`, `${name.toLowerCase()}, keep-alive`, `upgrade, ${name}`]) {
          const { status, arrived } = await send({ headers: { Connection: list } });
          assert.equal(status, 200, list);
          expectOurs(arrived, `Connection: ${list}`);
          assert.equal(valuesOf(arrived, 'host').length, 1);
        }
        await expectHarmless({ headers: { Connection: `close, ${name}` }, lines: name === 'Host' || name === 'Cookie' ? [] : [`${name}: forged`] }, `Connection: ${name}`);
      }
    });

    test('H7: a trailer says nothing', async () => {
      for (const name of [...IDENTITY, ...CLIENT, ...BELIEVED]) {
        for (const lines of [[`Trailer: ${name}`, 'TE: trailers'], []]) {
          const { arrived, answer } = await expectHarmless({ method: 'POST', headers: { 'Transfer-Encoding': 'chunked' }, lines, body: `5\r\nhello\r\n0\r\n${name}: forged\r\n\r\n` }, `trailer ${name}`);
          if (arrived) assert.deepEqual(JSON.parse(answer.body).trailers, [], name);
        }
      }
    });

    test('H: a folded line says nothing', async () => {
      for (const lines of [['X-Note: a', ' X-authentik-username: forged'], ['X-Note:', '\tX-Forwarded-For: forged'], ['X-authentik-username: forged', ' forged'], ['X-Forwarded-For:', ' forged']]) await expectHarmless({ lines }, JSON.stringify(lines));
    });

    test('H11: bytes that split lines elsewhere split none of ours', async () => {
      for (const value of ['a\rX-authentik-username: forged', 'a\nX-authentik-username: forged', 'a\n X-authentik-username: forged', 'a\0forged', 'a\x0bforged', 'forged\x85', '\x00']) {
        await expectHarmless({ lines: [`X-Note: ${value}`] }, JSON.stringify(value));
        await expectHarmless({ lines: [`X-Real-IP: ${value}`] }, JSON.stringify(value));
      }
      for (const line of ['X-authentik-username : forged', 'X-authentik-username\t: forged', ' X-authentik-username: forged', ': forged', 'X-authentik-username', 'X-authentik-user\0name: forged', 'X authentik username: forged']) await expectHarmless({ lines: [line] }, JSON.stringify(line));
    });

    test('H11, I: groups with CR, LF and bars are one group each still, names with bars one name', async () => {
      const { status, arrived } = await send({ headers: { Cookie: eve } });
      assert.equal(status, 200);
      expectOurs(arrived, 'eve', 'eve');
      assert.deepEqual(valuesOf(arrived, 'x-authentik-name').map((value) => Buffer.from(value, 'latin1').toString()), ['%20Evé %7C 100 %25%20']);
      assert.deepEqual(valuesOf(arrived, 'x-authentik-groups')[0].split('|').sort(), ['%09blank%20', 'a%7Cb', 'developers', 'staff', 'two%0D%0AX-authentik-groups: admins']);
    });

    test('H11: whose own name or address holds CR or LF, or any claim NUL, gets no session', async () => {
      for (const username of ['mallory', 'mail', 'nul']) {
        const browser = the().browser();
        const seen = the().workspace.requests.length;
        const page = await browser.login(username, `${SITE}/echo`);
        assert.ok(page.status >= 400, username);
        assert.equal(browser.jar.for(`${the().url}/`).some(({ name }) => name === 'repogate'), false, username);
        assert.equal(the().workspace.requests.length, seen);
      }
    });

    test('L: neither our cookies nor the caller\'s token reach the workspace, its own cookies do', async () => {
      const token = await the().bearer('dora');
      const value = dora.split('=')[1];
      const cookies = [[`a=1; ${dora}; repogate-login-x=y; authentik_proxy_abc=z; b=2`, ['a=1; b=2']], [`${dora}; a=1`, ['a=1']], [`a=1; ${dora}`, ['a=1']], [`a=1;${dora};b=2`, undefined], [dora, []]];
      for (const [Cookie, expected] of cookies) {
        const { arrived } = await send({ headers: { Cookie } });
        expectOurs(arrived, Cookie);
        if (expected) assert.deepEqual(valuesOf(arrived, 'cookie').filter(Boolean), expected);
        assert.equal(JSON.stringify(arrived).includes(value), false, 'our session');
      }
      const { status, arrived } = await send({ headers: { Cookie: null, Authorization: `Bearer ${token}` } });
      assert.equal(status, 200);
      assert.deepEqual(valuesOf(arrived, 'authorization'), []);
      assert.equal(JSON.stringify(arrived).includes(token), false, 'the token');
    });

    test('H: a workspace cannot set our cookies', async () => {
      const lines = ['repogate=evil; Path=/', ' repogate-login-x=evil; Path=/', 'authentik_proxy_x=evil; Path=/', 'mine=1; Path=/'];
      const answer = await get(`${SITE}/answer?${lines.map((line) => `header=${encodeURIComponent(`Set-Cookie: ${line}`)}`).join('&')}`);
      const kept = (answer.headers['set-cookie'] ?? []).filter(Boolean);
      if (isPlain()) for (const line of kept) assert.match(line, new RegExp(`[Pp]ath=${SITE}/`));
      else assert.deepEqual(kept, ['mine=1; Path=/']);
    });
  });
});
