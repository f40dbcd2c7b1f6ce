// The question that NGINX asks: only yes or no, only for the one URL that the trusted proxy names, only for one clear identity.
// THREATS groups A (which URL), E (error paths), F (cookies), H (headers).
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ask, closeStand, converse, describeStand, gatewayPort, lineOf, questionBytes, requestBytes, sessionCookie, startStand, statusesOf, variant } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const FORBIDDEN = '/github/acme/payments/';
const OUTPOST = '/outpost.goauthentik.io/auth/nginx';
const IDENTITY = ['X-authentik-username', 'X-authentik-groups', 'X-authentik-entitlements', 'X-authentik-email', 'X-authentik-name', 'X-authentik-uid',
  'X-Authentik-User', 'X-Request-Path', 'X-GitHub-Repo', 'X-Repogate-Repo', 'X-Repogate-Decision-Id', 'X-Repogate-Assertion', 'traceparent'];
const GROUPS_OF_1200_BYTES = Array.from({ length: 60 }, (_, i) => `a-team-of-people-${String(i).padStart(2, '0')}`);

let dora;
let dave;
let admin;
let guest;

describeStand('auth endpoint', {
  provider: {
    people: [
      { username: 'nearly', appPassword: 'nearly-app-password', groups: ['developers', ...GROUPS_OF_1200_BYTES.slice(0, 28)] },
      { username: 'many', appPassword: 'many-app-password', groups: ['developers', ...GROUPS_OF_1200_BYTES, ...GROUPS_OF_1200_BYTES.map((name) => `${name}-too`)] },
    ],
  },
}, (the) => {
  const own = (options) => ask(the(), options);

  before(async () => {
    [dora, dave, admin, guest] = await Promise.all(['dora', 'dave', 'admin', 'guest'].map((name) => sessionCookie(the(), name)));
  });

  const verdicts = [
    ['nobody', undefined, SITE, 401, 'login_required'],
    ['dora, public', () => dora, SITE, 200, undefined],
    ['dora, on her list', () => dora, '/github/acme/vault/', 200, undefined],
    ['dora, not on her list', () => dora, FORBIDDEN, 403, 'no_rule'],
    ['dave, private', () => dave, '/github/acme/vault/', 403, 'no_rule'],
    ['admin', () => admin, FORBIDDEN, 200, undefined],
    ['admin, a page of no repository', () => admin, '/elsewhere', 200, undefined],
    ['dora, a page of no repository, of which her rules cannot judge', () => dora, '/elsewhere', 403, 'error'],
    ['guest', () => guest, SITE, 403, 'no_rule'],
  ];
  for (const [who, cookie, url, status, reason] of verdicts) {
    for (const endpoint of ['/_repogate/auth/nginx', OUTPOST]) {
      test(`${who}: ${status} from ${endpoint}`, async () => {
        const answer = await own({ cookie: cookie?.(), url, endpoint });
        assert.deepEqual([answer.status, answer.reason], [status, reason]);
        const line = await lineOf(the(), answer);
        assert.equal(line.decision, { 200: 'allow', 401: 'login', 403: 'deny' }[status]);
        assert.equal(line.request.path, url);
        assert.equal(answer.values('www-authenticate').length, status === 401 ? 1 : 0);
      });
    }
  }

  test('H11: every method is answered, HEAD without a body, unknown ones refused', async () => {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'MKCOL']) {
      assert.equal((await own({ method, cookie: dora })).status, 200, method);
      assert.equal((await own({ method })).status, 401, method);
      assert.equal((await own({ cookie: dora, headers: { 'X-Original-Method': method } })).status, 200, `original ${method}`);
    }
    for (const method of ['BREW', 'CONNECT', 'TRACE', 'get', 'G(T', 'GETT']) {
      assert.equal((await own({ method, cookie: admin })).status, 403, method);
      const original = await own({ cookie: admin, headers: { 'X-Original-Method': method } });
      assert.deepEqual([original.status, original.reason], [403, 'original_url_ambiguous'], `original ${method}`);
    }
  });

  describe('a body', () => {
    const announced = { 'with a length': { 'Content-Length': '5' }, 'that is huge': { 'Content-Length': '99999999999' }, 'in chunks': { 'Transfer-Encoding': 'chunked' },
      'that waits for 100': { 'Content-Length': '5', Expect: '100-continue' } };
    for (const [what, headers] of Object.entries(announced)) {
      test(`${what}, announced and never sent: answered at once, then closed`, async () => {
        const bytes = questionBytes(the(), { method: 'POST', cookie: dora, headers: { ...headers, Connection: null } });
        const { answers, isClosed, isTimeout } = await converse(gatewayPort(the()), bytes, { untilClosed: true });
        assert.deepEqual([isTimeout, isClosed], [false, true]);
        assert.deepEqual(answers.map(({ status }) => status), [200], 'no 100 either');
      });

      test(`${what}: what follows it is not taken for a request`, async () => {
        const smuggled = requestBytes({ target: '/health', headers: { Connection: null } });
        const bytes = questionBytes(the(), { method: 'POST', headers: { ...headers, Connection: null }, body: smuggled });
        const { raw, isTimeout } = await converse(gatewayPort(the()), bytes, { untilClosed: true });
        assert.equal(isTimeout, false);
        assert.deepEqual(statusesOf(raw), [401]);
      });
    }

    test('that is empty keeps the connection', async () => {
      const one = questionBytes(the(), { method: 'POST', cookie: dora, headers: { 'Content-Length': '0', Connection: null } });
      const { answers } = await converse(gatewayPort(the()), one + one, { count: 2 });
      assert.deepEqual(answers.map(({ status }) => status), [200, 200]);
    });
  });

  describe('A: which URL', () => {
    test('A1, A2: without the believed headers nothing is allowed, whatever else names a URL', async () => {
      const others = { 'X-Original-URI': SITE, 'X-Forwarded-Uri': SITE, 'X-Forwarded-Proto': 'http', 'X-Forwarded-Host': new URL(the().url).host, 'X-Rewrite-URL': SITE,
        'X-Envoy-Original-Path': SITE, X_Original_URL: `${the().url}${SITE}`, 'X.Original.URL': `${the().url}${SITE}`, 'X-OriginalURL': `${the().url}${SITE}` };
      for (const [name, value] of Object.entries(others)) {
        const answer = await own({ cookie: admin, headers: { 'X-Original-URL': null, [name]: value } });
        assert.equal(answer.status, 403, name);
        assert.match(answer.reason, /^original_url_(missing|repeated|ambiguous)$/, name);
      }
      for (const name of ['X-Original-URL', 'X-Original-Method', 'X-Real-IP']) {
        const answer = await own({ cookie: admin, headers: { [name]: null } });
        assert.deepEqual([answer.status, answer.reason], [403, 'original_url_missing'], name);
        assert.equal((await lineOf(the(), answer)).outcome, 'refused');
      }
    });

    test('A4: a second one is refused, in every spelling, even if it says the same', async () => {
      const values = { 'X-Original-URL': `${the().url}${SITE}`, 'X-Original-Method': 'GET', 'X-Real-IP': '192.0.2.7' };
      for (const [name, value] of Object.entries(values)) {
        for (const spelling of [name, name.toLowerCase(), name.toUpperCase(), name.replaceAll('-', '_'), name.replaceAll('-', '.'), name.replaceAll('-', ''), `${name}_`, `-${name}`,
          name.replace('-', '--')]) {
          for (const said of [value, '/github/acme/vault/', '']) {
            const answer = await own({ cookie: admin, lines: [`${spelling}: ${said}`] });
            assert.deepEqual([answer.status, answer.reason], [403, 'original_url_repeated'], `${spelling}: ${said}`);
          }
        }
      }
    });

    test('A1: another family that names a URL beside the believed one is ambiguous', async () => {
      for (const name of ['X-Original-URI', 'X-Forwarded-Uri', 'X_Forwarded_Uri', 'x.original.uri']) {
        const answer = await own({ cookie: admin, headers: { [name]: SITE } });
        assert.deepEqual([answer.status, answer.reason], [403, 'original_url_ambiguous'], name);
      }
    });

    test('A3, A4b, A4c, A5, A6, A6b, A9, E9, H14: all other headers change neither the decision nor what is recorded', async () => {
      const noise = ['X-Forwarded-Prefix: /github/acme/site', 'X-Forwarded-Port: 443', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: evil.example', 'X-Forwarded-Method: OPTIONS',
        `X-Rewrite-URL: ${SITE}`, `X-Envoy-Original-Path: ${SITE}`, 'Forwarded: for=10.0.0.1;host=evil.example;proto=https', 'X-Forwarded-Server: evil.example',
        'X-HTTP-Method-Override: OPTIONS', 'X-Forwarded-For: 10.0.0.1', 'X-Client-IP: 10.0.0.1', 'User-Agent: GoogleHC/1.0', 'User-Agent: kube-probe/1.30', 'X-Original-Host: evil.example',
        'X-authentik-username: admin', 'X-authentik-groups: admins', 'X-Authentik-Auth-Callback: true', 'Upgrade: websocket', 'X_Forwarded_Proto: https'];
      for (const line of noise) {
        const seen = await own({ cookie: dora, url: FORBIDDEN, lines: [line] });
        assert.deepEqual([seen.status, seen.reason], [403, 'no_rule'], line);
        const record = await lineOf(the(), seen);
        assert.deepEqual([record.request.path, record.request.method, record.request.host, record.request.ip], [FORBIDDEN, 'GET', new URL(the().url).host, '192.0.2.7'], line);
        assert.equal((await own({ lines: [line] })).status, 401, line);
        const allowed = await own({ cookie: dora, lines: [line] });
        assert.equal(allowed.status, 200, line);
        assert.deepEqual(allowed.values('x-authentik-username'), ['dora']);
      }
    });

    test('A9, B8, B8c, B8d: the value must be one absolute URL of our own origin', async () => {
      const { host, port } = new URL(the().url);
      const wrong = ['', SITE, `//${host}${SITE}`, `http:${SITE}`, `http:/${host}${SITE}`, `http:///github/acme/site/`, `https://${host}${SITE}`, `ftp://${host}${SITE}`, `http://127.0.0.1${SITE}`,
        `http://127.0.0.1:1${SITE}`, `http://127.0.0.1:0${port}${SITE}`, `http://127.1:${port}${SITE}`, `http://0x7f.1:${port}${SITE}`, `http://2130706433:${port}${SITE}`, `http://127.0.0.1.:${port}${SITE}`,
        `http://dora@${host}${SITE}`, `http://dora:x@${host}${SITE}`, `http://${host}@evil.example${SITE}`, `http://evil.example${SITE}`, `http://${host}.evil.example${SITE}`, `http://${host}\\@evil${SITE}`,
        `http://[::1]:${port}${SITE}`, `http://[::ffff:127.0.0.1]:${port}${SITE}`, ` http://${host}${SITE} x`, `http://${host}${SITE}, http://${host}${SITE}`, `<http://${host}${SITE}>`, `HTTP://${host}${SITE}`,
        `http://${host} ${SITE}`, `http://${host}\t${SITE}`];
      for (const value of wrong) {
        const answer = await own({ cookie: admin, headers: { 'X-Original-URL': value } });
        assert.equal(answer.status, 403, value);
        assert.match(answer.reason, /^original_url_/, value);
        await lineOf(the(), answer);
      }
    });

    test('A7, A8: an address that is none is refused', async () => {
      for (const value of ['', 'unknown', '192.0.2', '192.0.2.7, 10.0.0.1', '192.0.2.7:80', '[2001:db8::1]', '2001:db8::1%eth0', '0x7f000001', '192.0.2.007', '192.0.2.256', 'localhost', '::ffff:']) {
        const answer = await own({ cookie: admin, headers: { 'X-Real-IP': value } });
        assert.deepEqual([answer.status, answer.reason], [403, 'original_url_ambiguous'], value);
      }
      const answer = await own({ cookie: dora, headers: { 'X-Real-IP': '2001:DB8::7' } });
      assert.equal((await lineOf(the(), answer)).request.ip, '2001:db8::7');
    });

    test('A2: our own prefixes are never allowed, in any spelling and for anybody', async () => {
      const paths = ['/_repogate', '/_repogate/', '/_repogate/login', '/_repogate/auth/nginx', '/_repogate/x?y', '/_Repogate/x', '/%5frepogate/x', '/_repog%61te/', '/outpost.goauthentik.io',
        '/outpost.goauthentik.io/', '/outpost.goauthentik.io/start', '/outpost.goauthentik.io/callback?X-authentik-auth-callback=true', '/outpost.goauthentik.io/static/x', '/OUTPOST.goauthentik.io/x',
        '/%6futpost.goauthentik.io/x', '/outpost%2egoauthentik.io/ping', '/%256futpost.goauthentik.io/x', '/outpost.goauthentik.io%2fstart', '//outpost.goauthentik.io/x', '/./_repogate/x',
        '/github/../_repogate/x', '/;/_repogate/x'];
      for (const url of paths) {
        for (const cookie of [undefined, admin]) {
          const answer = await own({ url: `${the().url}${url}`, cookie });
          assert.equal(answer.status, 403, url);
          assert.ok(['own_path', 'original_url_ambiguous'].includes(answer.reason), `${url}: ${answer.reason}`);
        }
      }
      assert.equal((await own({ url: '/_repogate/login', cookie: admin })).reason, 'own_path');
      assert.equal((await own({ url: '/outpost.goauthentik.io/start', cookie: admin })).reason, 'own_path');
    });

    test('A2: the outpost\'s query markers mean nothing', async () => {
      for (const query of ['X-authentik-auth-callback=true', 'X-authentik-logout=true', 'X-authentik-auth-callback=true&code=x&state=y']) {
        for (const endpoint of ['/_repogate/auth/nginx', OUTPOST, `${OUTPOST}?${query}`]) {
          assert.equal((await own({ url: `${SITE}?${query}`, endpoint })).status, 401);
          assert.equal((await own({ url: `${FORBIDDEN}?${query}`, endpoint, cookie: dora })).status, 403);
        }
      }
    });

    test('the endpoint\'s own query and other spellings of its path change nothing', async () => {
      assert.equal((await own({ endpoint: `/_repogate/auth/nginx?url=${SITE}` })).status, 401);
      for (const target of ['/_repogate/auth/nginx/', '/_repogate/auth/', '/_repogate/auth/traefik', '/_repogate/auth/envoy/github/acme/site/', '/_repogate/auth/%6eginx', '/_Repogate/auth/nginx',
        '/outpost.goauthentik.io/auth/traefik', '/outpost.goauthentik.io/auth/envoy/']) {
        const { answers } = await converse(gatewayPort(the()), questionBytes(the(), { cookie: admin, endpoint: target }));
        assert.equal(answers[0].status, 404, target);
      }
    });
  });

  describe('who is asking', () => {
    test('E2: a malformed session cookie is nobody', async () => {
      const value = dora.slice('repogate='.length);
      const bad = ['', 'x', value.slice(1), `${value}A`, `${value}=`, ` ${value} x`, value.replace(/.$/, '!'), value.toLowerCase(), `${value},${value}`, `${value}%00`, 'A'.repeat(43), 'A'.repeat(4000), `.${value}`];
      for (const text of bad.filter((one) => one !== value)) {
        const answer = await own({ cookie: `repogate=${text}` });
        assert.ok([401, 403].includes(answer.status), text.slice(0, 60));
      }
      for (const cookie of ['repogate', '=', ';', ';;;=;', `Repogate=${value}`, `__Host-repogate=${value}`, `repogate-session=${value}`, `xrepogate=${value}`, value, `repogate =${value}`,
        `a=1 repogate=${value}`, `a="; repogate=${value}"`]) {
        assert.equal((await own({ cookie })).status, 401, cookie.slice(0, 40));
      }
    });

    test('garbage beside a good session cookie does no harm', async () => {
      for (const cookie of [`a=1; ${dora}`, `${dora}; b=2`, `${dora};`, `;${dora}`, `a; ${dora}; =; c=d=e`, `caf\xe9=\xff; ${dora}`, `a=1;${dora}`]) {
        assert.equal((await own({ cookie })).status, 200, cookie.slice(0, 20));
      }
      assert.equal((await own({ headers: { Cookie: 'a=1' }, lines: [`Cookie: ${dora}`] })).status, 200, 'a second Cookie header');
    });

    test('F5: two session cookies are nobody, in one header or two, equal or not', async () => {
      const planted = `repogate=${'A'.repeat(43)}`;
      for (const cookie of [`${dora}; ${planted}`, `${planted}; ${dora}`, `${dora}; ${dora}`, `${dora}; ${dave}`, `${dora}; repogate=`]) {
        const answer = await own({ cookie });
        assert.deepEqual([answer.status, answer.reason], [401, 'login_required'], cookie);
      }
      for (const second of [planted, dora, admin]) assert.equal((await own({ cookie: dora, lines: [`Cookie: ${second}`] })).status, 401);
    });

    test('E1, F9: an Authorization that is not a valid token never falls back to the cookie', async () => {
      const garbage = ['Bearer', 'Bearer ', 'Bearer x', 'Bearer a.b.c', 'Bearer  ', 'bearer x', 'Basic ZG9yYTpkb3JhLWFwcC1wYXNzd29yZA==', 'Negotiate x', 'Digest username="dora"', 'x', 'Bearer: x', 'BearerX y', 'Bearer null',
        `Bearer ${dora.slice(9)}`, 'Token x', ',', 'Bearer x, Bearer y'];
      for (const value of garbage) {
        const answer = await own({ cookie: dora, headers: { Authorization: value } });
        assert.equal(answer.status, 401, value);
        assert.match(answer.values('www-authenticate')[0], /^Bearer realm="repogate"/);
      }
      assert.equal((await own({ cookie: dora, headers: { Authorization: '' } })).status, 401, 'an empty one');
    });

    test('H8: Authorization repeated, or beside a look-alike, is refused', async () => {
      const token = await the().bearer('dora');
      for (const line of [`Authorization: Bearer ${token}`, 'Authorization: Bearer x', `authorization: Bearer ${token}`, 'Authorization_: Bearer x', 'AUTHORIZATION: Basic x']) {
        assert.equal((await own({ token, lines: [line] })).status, 403, line.slice(0, 30));
      }
      assert.equal((await own({ headers: { Authorization_: `Bearer ${token}` }, cookie: dora })).status, 403);
      assert.equal((await own({ token })).status, 200);
    });
  });

  describe('the answer', () => {
    test('H5: has every identity header exactly once, and empty without a value', async () => {
      const cells = [
        [{ cookie: dora }, { 'X-authentik-username': 'dora', 'X-authentik-groups': 'developers|staff', 'X-authentik-entitlements': '', 'X-authentik-email': 'dora@example.org',
          'X-authentik-name': 'Dora Developer', 'X-Authentik-User': 'dora', 'X-Request-Path': SITE, 'X-Repogate-Repo': 'github:acme/site', 'X-GitHub-Repo': 'https://github.com/acme/site' }],
        [{ cookie: admin, url: '/elsewhere' }, { 'X-authentik-username': 'admin', 'X-authentik-groups': 'admins|staff', 'X-Repogate-Repo': '', 'X-GitHub-Repo': '', 'X-Request-Path': '/elsewhere' }],
      ];
      for (const [options, expected] of cells) {
        const answer = await own(options);
        for (const name of IDENTITY) assert.equal(answer.values(name).length, 1, name);
        for (const [name, value] of Object.entries(expected)) assert.deepEqual(answer.values(name), [value], name);
        assert.match(answer.values('traceparent')[0], /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/);
      }
      const routed = await own({ cookie: dora });
      assert.deepEqual(routed.values('x-repogate-upstream'), [the().workspace.url]);
      assert.deepEqual(routed.values('x-repogate-upstream-host'), [the().workspace.url.slice(7)]);
    });

    test('names nobody when it is no', async () => {
      for (const answer of [await own({}), await own({ cookie: dave, url: FORBIDDEN })]) {
        for (const name of ['x-authentik-username', 'x-authentik-groups', 'x-authentik-uid', 'x-repogate-upstream', 'set-cookie', 'location']) assert.deepEqual(answer.values(name), [], name);
      }
    });

    test('stays under 4 KiB with many groups and a long path', async () => {
      const token = await the().bearer('nearly');
      const answer = await own({ token, url: `${SITE}${'x'.repeat(3000)}` });
      assert.equal(answer.status, 200);
      assert.equal(answer.values('x-authentik-groups')[0].split('|').length, 30);
      assert.ok(answer.values('x-repogate-assertion')[0].length > 1400);
    });

    test('is identity_too_large rather than a list cut short', async () => {
      const answer = await own({ token: await the().bearer('many') });
      assert.deepEqual([answer.status, answer.reason], [403, 'identity_too_large']);
      assert.equal((await lineOf(the(), answer)).decision, 'deny');
    });
  });

  test('E3, E11: heads that nobody can read are refused with a line in the log', async () => {
    const heads = [{ headers: { Host: null } }, { lines: ['Host: evil.example'] }, { headers: { Host: 'a b' } }, { lines: ['Bad Name: x'] }, { lines: ['X\x01: y'] }, { lines: ['X: a\x01b'] }, { lines: ['X-\xe9: y'] },
      { lines: ['Content-Length: 0', 'Content-Length: 0'] }, { headers: { Cookie: `a=${'x'.repeat(9000)}` } }, { lines: Array.from({ length: 120 }, (_, i) => `X-${i}: y`) }];
    for (const head of heads) {
      const { answers, isTimeout } = await converse(gatewayPort(the()), questionBytes(the(), { cookie: head.headers?.Cookie ? undefined : admin, ...head }));
      assert.equal(isTimeout, false, JSON.stringify(head).slice(0, 60));
      for (const { status } of answers) assert.ok(status >= 400, `${status} for ${JSON.stringify(head).slice(0, 60)}`);
    }
    await the().auditUntil(({ reason }) => reason?.code === 'malformed_request', 5);
  });
});

describeStand('auth endpoint, without a key for assertions', {
  config: { assertion: { key_file: '' } },
  provider: { people: [{ username: 'nearly', appPassword: 'nearly-app-password', groups: ['developers', ...GROUPS_OF_1200_BYTES.slice(0, 50)] }] },
}, (the) => {
  test('the header is there and empty, and its room is no matter', async () => {
    const answer = await ask(the(), { token: await the().bearer('nearly'), url: `${SITE}${'x'.repeat(3000)}` });
    assert.equal(answer.status, 200);
    assert.equal(answer.values('x-authentik-groups')[0].split('|').length, 52);
    assert.deepEqual(answer.values('x-repogate-assertion'), ['']);
  });
});

describeStand('auth endpoint, asked by a stranger', { config: { server: { trusted_proxies: ['10.0.0.0/8'] } } }, (the) => {
  test('A1b, A10: a peer that is not trusted learns nothing and opens nothing', async () => {
    const token = await the().bearer('dora');
    for (const options of [{}, { token }, { token, headers: { 'X-Forwarded-For': '10.0.0.1' } }, { token, headers: { 'X-Original-URL': null } }, { token, endpoint: OUTPOST }]) {
      const answer = await ask(the(), options);
      assert.deepEqual([answer.status, answer.reason], [403, 'untrusted_peer']);
      assert.equal((await lineOf(the(), answer)).request.ip, '127.0.0.1');
    }
  });

  test('A8: its forwarded address is not believed on our own routes', async () => {
    const headers = { Host: new URL(the().url).host, Authorization: `Bearer ${await the().bearer('dora')}`, 'X-Forwarded-For': '10.0.0.1', 'X-Real-IP': '10.0.0.1' };
    const { answers } = await converse(gatewayPort(the()), requestBytes({ target: `${SITE}echo`, headers }));
    assert.equal(answers[0].status, 200);
    const [line] = await the().auditUntil(({ type, decision }) => type === 'decision' && decision === 'allow');
    assert.equal(line.request.ip, '127.0.0.1');
  });
});

describe('auth endpoint with a proxy secret', () => {
  let stand;
  let dir;
  let token;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'repogate-secret-'));
    await writeFile(join(dir, 'secret'), 'a secret between two\n', { mode: 0o600 });
    stand = await startStand({ variant: variant(), config: { server: { proxy_secret_file: join(dir, 'secret') } } });
    token = await stand.bearer('dora');
  });

  after(async () => {
    await closeStand(stand);
    await rm(dir, { recursive: true, force: true });
  });

  test('whoever knows it is answered', async () => {
    assert.equal((await ask(stand, { token, headers: { 'X-Repogate-Proxy-Secret': 'a secret between two' } })).status, 200);
  });

  test('A10, E5: whoever does not is no trusted peer', async () => {
    const wrong = [{}, { 'X-Repogate-Proxy-Secret': '' }, { 'X-Repogate-Proxy-Secret': 'a secret between tw' }, { 'X-Repogate-Proxy-Secret': 'a secret between two, x' }, { X_Repogate_Proxy_Secret: 'a secret between two' },
      { 'X-Repogate-Proxy-Secret': 'A SECRET BETWEEN TWO' }];
    for (const headers of wrong) {
      for (const endpoint of ['/_repogate/auth/nginx', OUTPOST]) {
        const answer = await ask(stand, { token, headers, endpoint });
        assert.deepEqual([answer.status, answer.reason], [403, 'untrusted_peer'], JSON.stringify(headers));
      }
    }
    const repeated = await ask(stand, { token, headers: { 'X-Repogate-Proxy-Secret': 'a secret between two' }, lines: ['X-Repogate-Proxy-Secret: a secret between two'] });
    assert.equal(repeated.status, 403);
  });
});

describeStand('outpost alias', {
  config: { policy: { require_tests: false } },
  policies: {
    '10-rules.lua': `
allow "by method" { repos = {"github:acme/site"}, when = function(u, r, q) return q.method == "GET" end }
allow "by address" { repos = {"github:acme/docs"}, when = function(u, r, q) return q.ip:in_cidr("192.0.2.0/24") end }
allow "all" { repos = {"github:acme/vault"} }
deny "by address, too" { repos = {"github:acme/vault"}, when = function(u, r, q) return q.ip:in_cidr("203.0.113.0/24") end }
`,
  },
}, (the) => {
  test('method and address are absent there: an allow that reads them does not count, a deny denies', async () => {
    const token = await the().bearer('dora');
    for (const name of ['site', 'docs', 'vault']) {
      const url = `/github/acme/${name}/`;
      assert.equal((await ask(the(), { token, url })).status, 200, name);
      const answer = await ask(the(), { token, url, endpoint: OUTPOST });
      assert.deepEqual([answer.status, answer.reason], [403, 'error'], name);
      const line = await lineOf(the(), answer);
      assert.deepEqual([line.request.method, line.request.ip, line.outcome], [null, null, 'error']);
      assert.ok(line.policy.errors.length > 0);
    }
  });

  test('A3, A8: neither can be smuggled in', async () => {
    const token = await the().bearer('dora');
    const answer = await ask(the(), { token, url: '/github/acme/site/', endpoint: OUTPOST, headers: { 'X-Original-Method': 'GET', 'X-Real-IP': '192.0.2.7', 'X-Forwarded-For': '192.0.2.7' } });
    assert.equal(answer.status, 403);
  });
});
