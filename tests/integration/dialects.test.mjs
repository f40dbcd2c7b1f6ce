// Each proxy's way of asking, replayed: which header is believed, and what everyone gets. THREATS groups A, B, E, H and M.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { askAs, CLIENTS, DIALECTS, ENVOY_ALLOWED, PROXIES, questionFrom } from './lib/dialects.mjs';
import { closeStand, converse, describeStand, gatewayPort, lineOf, requestBytes, sendRaw, sessionCookie, startStand, statusesOf, variant } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const FORBIDDEN = '/github/acme/payments/';
const EVERY = { config: { server: { dialects: DIALECTS } } };
const NAVIGATION = CLIENTS['browser, navigation'];
const IDENTITY = ['x-authentik-username', 'x-authentik-groups', 'x-authentik-entitlements', 'x-authentik-email', 'x-authentik-name', 'x-authentik-uid', 'x-authentik-user', 'x-request-path', 'x-github-repo',
  'x-repogate-repo', 'x-repogate-decision-id', 'x-repogate-assertion', 'traceparent'];
const MANY_GROUPS = Array.from({ length: 120 }, (_, i) => `a-team-of-people-${String(i).padStart(3, '0')}`);

function describeProxies(body) {
  for (const [what, proxy] of Object.entries(PROXIES)) describe(what, () => body(proxy));
}

/* 403 to whom can only hear yes and no, another status to the rest. */
const statusFor = (proxy, passedOn) => (proxy.isPassedOn ? passedOn : 403);
const locationOf = (answer) => answer.values('location')[0];

describeStand('dialects', {
  config: {
    server: { dialects: DIALECTS },
    oidc: { introspection: true },
  },
  provider: { people: [{ username: 'many', appPassword: 'many-app-password', groups: ['developers', ...MANY_GROUPS] }, { username: 'some', appPassword: 'some-app-password', groups: ['developers', ...MANY_GROUPS.slice(0, 28)] }] },
}, (the) => {
  let dora;
  let admin;
  let token;
  let some;
  let many;

  before(async () => {
    [dora, admin] = await Promise.all(['dora', 'admin'].map((name) => sessionCookie(the(), name)));
    [token, some, many] = await Promise.all(['dora', 'some', 'many'].map((name) => the().bearer(name)));
  });

  describeProxies((proxy) => {
    const asking = (options) => askAs(the(), proxy, options);

    test('allowed is 200 and who it is, recorded as what the client asked for', async () => {
      for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
        const answer = await asking({ method, cookie: dora, path: `${SITE}a?b=c` });
        assert.equal(answer.status, 200);
        for (const name of IDENTITY) assert.equal(answer.values(name).length, 1, name);
        assert.deepEqual(answer.values('x-authentik-username'), ['dora']);
        assert.deepEqual(answer.values('x-repogate-repo'), ['github:acme/site']);
        assert.deepEqual(answer.values('set-cookie'), []);
        const { request, decision } = await lineOf(the(), answer);
        const expected = proxy.hasUrlOnly ? [null, null] : [method, '192.0.2.7'];
        assert.deepEqual([decision, request.dialect, request.path, request.host, request.query_len], ['allow', proxy.name, `${SITE}a`, new URL(the().url).host, 3]);
        assert.deepEqual([request.method, request.ip], expected);
      }
      assert.equal((await asking({ token })).status, 200, 'a program too');
    });

    test('the upstream is named to proxies that could go there, and to no others', async () => {
      const answer = await asking({ cookie: dora });
      const named = [answer.values('x-repogate-upstream').length, answer.values('x-repogate-upstream-host').length];
      assert.deepEqual(named, ['nginx', 'haproxy', 'caddy'].includes(proxy.word) ? [1, 1] : [0, 0]);
    });

    test('nobody known: 401, or for a navigation the way to the login', async () => {
      const program = await asking(CLIENTS.curl);
      assert.deepEqual([program.status, program.reason, locationOf(program)], [401, 'login_required', undefined]);
      assert.match(program.values('www-authenticate')[0], /^Bearer realm="repogate"/);
      if (!proxy.isPassedOn) return;
      assert.deepEqual([program.isProblem, program.json().reason, program.json().decision_id], [true, 'login_required', program.decisionId]);
      const path = '/github/acme/site/a%20b?x=1&y=http://evil.example/';
      const browser = await asking({ ...NAVIGATION, path });
      assert.deepEqual([browser.status, locationOf(browser)], [302, `${the().url}/_repogate/login?rd=${encodeURIComponent(path)}`]);
      assert.deepEqual(browser.values('cache-control'), ['no-store']);
      assert.equal((await lineOf(the(), browser)).decision, 'login');
    });

    test('H: where the login is cannot be said by a client', async () => {
      const lines = ['X-Forwarded-Prefix: /evil', 'X-Forwarded-Port: 1', 'Forwarded: host=evil.example', 'Origin: https://evil.example', 'Referer: https://evil.example/', 'X-Forwarded-Server: evil.example'];
      const answer = await asking({ ...NAVIGATION, lines });
      assert.equal(answer.status, proxy.isPassedOn ? 302 : 401);
      if (proxy.isPassedOn) assert.ok(locationOf(answer).startsWith(`${the().url}/_repogate/login?rd=%2Fgithub%2F`));
    });

    test('M: a login link that would not fit leads to the portal instead', async () => {
      if (!proxy.isPassedOn) return;
      for (const path of [`${SITE}${'a'.repeat(3000)}`, `${SITE}${'x/'.repeat(800)}`, `${SITE}?${'&'.repeat(1500)}`]) {
        assert.equal(locationOf(await asking({ ...NAVIGATION, path })), `${the().url}/_repogate/login?rd=%2F`, path.slice(0, 30));
      }
      const path = `${SITE}${'a'.repeat(1900)}`;
      assert.equal(locationOf(await asking({ ...NAVIGATION, path })), `${the().url}/_repogate/login?rd=${encodeURIComponent(path)}`);
    });

    test('known and refused: 403, never a login, and why', async () => {
      const program = await asking({ ...CLIENTS.curl, cookie: dora, path: FORBIDDEN });
      assert.deepEqual([program.status, program.reason], [403, 'no_rule']);
      assert.equal((await lineOf(the(), program)).reason.code, 'no_rule');
      if (!proxy.isPassedOn) return;
      assert.deepEqual([program.isProblem, program.json().decision_id], [true, program.decisionId]);
      const browser = await asking({ ...NAVIGATION, cookie: dora, path: FORBIDDEN });
      assert.deepEqual([browser.status, browser.isPage], [403, true]);
      for (const what of ['github:acme/payments', 'dora', 'not on your private-repo-access list', browser.decisionId]) assert.ok(browser.body.includes(what), what);
    });

    test('an invalid Authorization is 401 for everyone, cookie or not', async () => {
      for (const options of [{ cookie: dora }, { ...NAVIGATION, cookie: dora }]) {
        const answer = await asking({ ...options, headers: { ...options.headers, Authorization: 'Bearer x.y.z' } });
        assert.deepEqual([answer.status, locationOf(answer)], [401, undefined]);
        assert.match(answer.values('www-authenticate')[0], /error="invalid_token"/);
      }
    });

    test('E2: a cookie that cannot be read is nobody\'s', async () => {
      const value = dora.slice('repogate='.length);
      for (const cookie of ['repogate=', 'repogate=x', `repogate=${value}A`, `repogate=${value.slice(1)}`, `repogate=${value}%00`, `repogate=${'A'.repeat(4000)}`, `${dora}; repogate=x`, `${dora}; ${dora}`, ';;;=;', 'repogate']) {
        const answer = await asking({ ...CLIENTS.curl, cookie });
        assert.deepEqual([answer.status, answer.reason, answer.values('x-authentik-username')], [401, 'login_required', []], cookie.slice(0, 40));
      }
    });

    test('A1, A2: each believed header that is missing is refused', async () => {
      for (const name of proxy.believed) {
        const answer = await asking({ cookie: admin, set: { [name]: null } });
        assert.deepEqual([answer.status, answer.reason], [403, 'original_url_missing'], name);
        const line = await lineOf(the(), answer);
        assert.deepEqual([line.outcome, line.request.dialect], ['refused', proxy.name]);
      }
    });

    test('A4, H1, H2: each believed header that is repeated, in any spelling, is refused', async () => {
      const sent = questionFrom(the(), proxy, { cookie: admin });
      for (const name of proxy.believed) {
        const value = new RegExp(`^${name}: (.*)\r$`, 'mi').exec(sent)[1];
        for (const spelling of [name, name.toLowerCase(), name.replaceAll('-', '_'), name.replaceAll('-', '.'), name.replaceAll('-', ''), `${name}_`]) {
          const answer = await asking({ cookie: admin, lines: [`${spelling}: ${value}`] });
          assert.deepEqual([answer.status, answer.reason], [403, 'original_url_repeated'], spelling);
        }
        const alone = await asking({ cookie: admin, set: { [name]: null, [name.replaceAll('-', '_')]: value } });
        assert.deepEqual([alone.status, alone.reason], [403, 'original_url_repeated'], `${name}, look-alike alone`);
      }
    });

    test('A1, A3, A6: what names a URL in another family is refused, all else is ignored', async () => {
      const others = ['X-Original-URL', 'X-Original-URI', 'X-Forwarded-Uri', 'X_Original_URI'].filter((name) => !proxy.believed.includes(name));
      for (const name of others) {
        const answer = await asking({ cookie: dora, path: FORBIDDEN, lines: [`${name}: ${the().url}${SITE}`] });
        assert.deepEqual([answer.status, answer.reason], [403, 'original_url_ambiguous'], name);
      }
      for (const name of ['X-Rewrite-URL', 'X-Envoy-Original-Path', 'Forwarded', 'X-Forwarded-Prefix', 'X-HTTP-Method-Override']) {
        const answer = await asking({ cookie: dora, path: FORBIDDEN, lines: [`${name}: ${SITE}`] });
        assert.deepEqual([answer.status, answer.reason], [403, 'no_rule'], name);
        assert.equal((await lineOf(the(), answer)).request.path, FORBIDDEN);
      }
    });

    test('A2: our own prefixes are own_path, for anybody and whatever the query says', async () => {
      for (const path of ['/_repogate/login', '/_repogate/auth/envoy/x', '/_repogate/x?X-authentik-auth-callback=true', '/outpost.goauthentik.io/start', '/%5frepogate/x', '/_Repogate/x']) {
        for (const cookie of [undefined, admin]) {
          const answer = await asking({ ...NAVIGATION, path, cookie });
          assert.deepEqual([answer.status, answer.reason], [403, 'own_path'], path);
        }
      }
      for (const query of ['X-authentik-auth-callback=true', 'X-authentik-logout=true']) {
        assert.equal((await asking({ ...CLIENTS.curl, path: `${SITE}?${query}` })).status, 401);
        assert.equal((await asking({ cookie: dora, path: `${FORBIDDEN}?${query}` })).status, 403);
      }
    });

    test('B1, B2, B3, B4, B7: a path that can be read in two ways is refused', async () => {
      for (const path of ['/github/acme/site/../payments/', '/github/acme/site/%2e%2e/payments/', '/github/acme/site/x%2f..%2fy', '/github//acme/site/', '/github/acme%2fsite/x', '/github/acme/site;x/', '/github/acme/site/%00',
        '//github/acme/site/', '/github/acme/..%5csite/', '/elsewhere/../github/acme/site/', '/elsewhere//x', '/elsewhere;x']) {
        const answer = await asking({ cookie: admin, path });
        assert.equal(answer.status, 403, path);
        assert.match(answer.reason, /^(original_url_ambiguous|malformed_request)$/, path);
      }
    });

    test('every method of the question is answered, and none of it is a 404 or 405', async () => {
      if (proxy.isHead || proxy.name === 'envoy') return;
      for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
        const bytes = questionFrom(the(), proxy, { cookie: dora }).replace(/^GET /, `${method} `);
        const { answers } = await converse(gatewayPort(the()), bytes, { isBodiless: true });
        assert.equal(answers[0].status, 200, method);
      }
    });

    test('a body that is announced is not waited for, and what follows is no request', async () => {
      for (const set of [{ 'Content-Length': '99999' }, { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }, { 'Content-Length': '5', Expect: '100-continue' }]) {
        const smuggled = requestBytes({ target: '/health', headers: { Connection: null } });
        const bytes = questionFrom(the(), proxy, { method: 'POST', cookie: dora, set, body: smuggled, keepAlive: true });
        const { raw, isTimeout, isClosed } = await converse(gatewayPort(the()), bytes, { untilClosed: true });
        assert.deepEqual([isTimeout, isClosed, statusesOf(raw)], [false, true, [200]]);
      }
    });

    test('an upgrade is judged as one and never made', async () => {
      const answer = await asking({ ...CLIENTS.WebSocket, path: `${SITE}ws`, cookie: dora });
      assert.equal(answer.status, 200);
      assert.equal((await lineOf(the(), answer)).request.action, 'connect');
      assert.equal((await asking({ ...CLIENTS.WebSocket, path: `${SITE}ws` })).status, 401);
      assert.equal((await lineOf(the(), await asking({ cookie: dora }))).request.action, 'open');
    });

    test('stays under 4 KiB with many groups, and is identity_too_large with more', async () => {
      assert.equal((await asking({ token: some, path: `${SITE}${'x'.repeat(3000)}` })).status, 200);
      const answer = await asking({ token: many });
      assert.deepEqual([answer.status, answer.reason], [statusFor(proxy, 503), 'identity_too_large']);
      assert.deepEqual(answer.values('retry-after').length, proxy.isPassedOn ? 1 : 0);
      assert.deepEqual(answer.values('x-authentik-groups'), []);
    });

    test('E11: a head that nobody can read is refused with 403 and recorded', async () => {
      for (const options of [{ lines: ['Bad Name: x'] }, { lines: ['Host: evil.example'] }, { lines: ['X: a\x01b'] }, { headers: { Cookie: `a=${'x'.repeat(9000)}` } }]) {
        const answer = await asking(options);
        assert.equal(answer.status, 403);
        assert.deepEqual(answer.values('x-repogate-reason'), ['malformed_request']);
      }
      await the().auditUntil(({ reason, request }) => reason?.code === 'malformed_request' && request.dialect === proxy.name, 4);
    });

    test('too many guesses are rate_limited: 403, or 429 with Retry-After', async () => {
      if (proxy.hasUrlOnly) return;
      const ip = `198.51.100.${Object.values(PROXIES).indexOf(proxy) + 1}`;
      const set = proxy.believed.includes('X-Real-IP') ? { 'X-Real-IP': ip } : { 'X-Forwarded-For': ip };
      let answer;
      for (let i = 0; i < 40 && answer?.reason !== 'rate_limited'; i++) {
        answer = await asking({ ...CLIENTS.curl, headers: { Authorization: `Basic ${Buffer.from(`dora:guess-${ip}-${i}`).toString('base64')}` }, set });
      }
      assert.deepEqual([answer.status, answer.reason], [statusFor(proxy, 429), 'rate_limited']);
      assert.equal(answer.values('retry-after').length, proxy.isPassedOn ? 1 : 0);
      assert.equal((await asking({ cookie: dora })).status, 200, 'others go on');
    });
  });

  test('Envoy: a configuration that lets nothing through but what it must gets a plain 401', async () => {
    const set = Object.fromEntries(ENVOY_ALLOWED.filter((name) => name !== 'x-forwarded-for').map((name) => [name.replace(/(^|-)[a-z]/g, (c) => c.toUpperCase()), null]));
    const answer = await askAs(the(), PROXIES.Envoy, { ...NAVIGATION, set });
    assert.deepEqual([answer.status, answer.isProblem], [401, true]);
  });

  test('Traefik: a scheme of ws is a WebSocket, with its key or without', async () => {
    const { headers } = CLIENTS.WebSocket;
    const set = { 'Sec-WebSocket-Key': null };
    const answer = await askAs(the(), PROXIES.Traefik, { headers, path: `${SITE}ws`, cookie: dora, set });
    assert.deepEqual([answer.status, (await lineOf(the(), answer)).request.action], [200, 'connect']);
    const navigation = await askAs(the(), PROXIES.Traefik, { headers: { ...NAVIGATION.headers, Upgrade: 'websocket' }, path: `${SITE}ws` });
    assert.deepEqual([navigation.status, locationOf(navigation)], [401, undefined], 'and never led to a login');
  });

  test('A8: the client is the rightmost address that is none of ours', async () => {
    for (const name of ['Traefik', 'Caddy', 'Envoy']) {
      const cases = { '203.0.113.9': '203.0.113.9', '10.0.0.1, 203.0.113.9': '203.0.113.9', '198.51.100.1, 203.0.113.9, 127.0.0.1': '203.0.113.9', '127.0.0.1': '127.0.0.1', '2001:DB8::9': '2001:db8::9' };
      for (const [list, ip] of Object.entries(cases)) {
        const answer = await askAs(the(), PROXIES[name], { cookie: dora, set: { 'X-Forwarded-For': list } });
        assert.deepEqual([answer.status, (await lineOf(the(), answer)).request.ip], [200, ip], list);
      }
      for (const list of ['', 'unknown', 'rubbish, 203.0.113.9', '203.0.113.9:80', '203.0.113.9,']) {
        const answer = await askAs(the(), PROXIES[name], { cookie: admin, set: { 'X-Forwarded-For': list } });
        assert.deepEqual([answer.status, answer.reason], [403, 'original_url_ambiguous'], list);
      }
    }
  });

  test('A5, A9, B8: another scheme or host is refused', async () => {
    const { host, port } = new URL(the().url);
    const wrong = [{ 'X-Forwarded-Proto': 'https' }, { 'X-Forwarded-Proto': 'wss' }, { 'X-Forwarded-Proto': 'http, http' }, { 'X-Forwarded-Host': 'evil.example' }, { 'X-Forwarded-Host': `127.1:${port}` },
      { 'X-Forwarded-Host': `${host}, evil.example` }, { 'X-Forwarded-Host': `${host}@evil.example` }, { 'X-Forwarded-Host': host.split(':')[0] }, { 'X-Forwarded-Uri': `${the().url}${SITE}` }];
    for (const name of ['Traefik', 'Caddy']) {
      for (const set of wrong) {
        const answer = await askAs(the(), PROXIES[name], { ...NAVIGATION, cookie: admin, set });
        assert.deepEqual([answer.status, answer.reason, locationOf(answer)], [403, 'original_url_ambiguous', undefined], `${name} ${JSON.stringify(set)}`);
      }
    }
    for (const wrongHost of ['evil.example', host.split(':')[0], `localhost:${port}`]) {
      const answer = await askAs(the(), PROXIES.Envoy, { ...NAVIGATION, cookie: admin, set: { Host: wrongHost } });
      assert.deepEqual([answer.status, answer.reason], [403, 'original_url_ambiguous'], wrongHost);
    }
    assert.equal((await askAs(the(), PROXIES.Caddy, { cookie: admin, set: { 'X-Forwarded-Proto': 'ws' } })).reason, 'original_url_ambiguous', 'only Traefik calls it so');
  });

  test('B: a method that is none, or another than the one asked about, is refused', async () => {
    for (const [name, header] of [['NGINX', 'X-Original-Method'], ['HAProxy', 'X-Original-Method'], ['Traefik', 'X-Forwarded-Method'], ['Caddy', 'X-Forwarded-Method']]) {
      for (const value of ['get', '', 'GET POST', 'GET,POST', 'CONNECT', 'TRACE', 'BREW']) {
        const answer = await askAs(the(), PROXIES[name], { cookie: admin, set: { [header]: value } });
        assert.deepEqual([answer.status, answer.reason], [403, 'original_url_ambiguous'], `${name} ${value}`);
      }
    }
    for (const method of ['CONNECT', 'TRACE', 'BREW', 'get']) {
      const answer = await askAs(the(), PROXIES.Envoy, { method, cookie: admin });
      assert.deepEqual([answer.status, answer.reason], [403, 'malformed_request'], method);
    }
  });

  test('addresses beside the endpoints are 404', async () => {
    for (const target of ['/_repogate/auth/envoy', '/_repogate/auth/envoy?x', '/_repogate/auth/envoyx/', '/_repogate/auth/traefik/', '/_repogate/auth/Caddy', '/_repogate/auth/%63addy', '/_repogate/auth/apache',
      '/outpost.goauthentik.io/auth/haproxy', '/outpost.goauthentik.io/auth/']) {
      const { answers } = await converse(gatewayPort(the()), questionFrom(the(), PROXIES.Traefik, { cookie: admin, target }));
      assert.equal(answers[0].status, 404, target);
    }
  });

  test('requests on one connection are answered one by one', async () => {
    const bytes = Object.values(PROXIES).map((proxy) => questionFrom(the(), proxy, { cookie: dora, keepAlive: true })).join('');
    const raw = await sendRaw(gatewayPort(the()), bytes);
    assert.deepEqual(statusesOf(raw), Object.values(PROXIES).map(() => 200));
  });
});

describe('dialects that are not listed', () => {
  for (const word of DIALECTS) {
    describeStand(`${word} alone`, { config: { server: { dialects: [word] } } }, (the) => {
      test('are 404, and the one that is listed is not', async () => {
        const token = await the().bearer('dora');
        for (const [what, proxy] of Object.entries(PROXIES)) {
          const { answers } = await converse(gatewayPort(the()), questionFrom(the(), proxy, { token }), { isBodiless: proxy.isHead });
          assert.equal(answers[0].status, proxy.word === word ? 200 : 404, what);
        }
      });
    });
  }
});

describeStand('dialects, asked by a stranger', { config: { server: { dialects: DIALECTS, trusted_proxies: ['10.0.0.0/8'] } } }, (the) => {
  test('A1b, A10: nothing is believed and nothing is told', async () => {
    const token = the().provider.mint({ username: 'admin' });
    for (const [what, proxy] of Object.entries(PROXIES)) {
      for (const options of [{ token }, { ...NAVIGATION }, { token, set: { [proxy.believed[0]]: null } }]) {
        const answer = await askAs(the(), proxy, options);
        assert.deepEqual([answer.status, answer.reason, locationOf(answer)], [403, 'untrusted_peer', undefined], what);
        assert.equal((await lineOf(the(), answer)).request.ip, '127.0.0.1');
      }
    }
  });
});

describe('dialects with a proxy secret', () => {
  let stand;
  let dir;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'repogate-secret-'));
    await writeFile(join(dir, 'secret'), 'between two\n', { mode: 0o600 });
    stand = await startStand({ variant: variant(), config: { server: { dialects: DIALECTS, proxy_secret_file: join(dir, 'secret') } } });
  });

  after(async () => {
    await closeStand(stand);
    await rm(dir, { recursive: true, force: true });
  });

  test('who does not know it is a stranger', async () => {
    const token = await stand.bearer('dora');
    for (const [what, proxy] of Object.entries(PROXIES)) {
      const wrong = [{}, { set: { 'X-Repogate-Proxy-Secret': 'between' } }, { set: { X_Repogate_Proxy_Secret: 'between two' } }, { set: { 'X-Repogate-Proxy-Secret': 'between two' }, lines: ['X-Repogate-Proxy-Secret: x'] }];
      for (const options of wrong) {
        const answer = await askAs(stand, proxy, { token, ...options });
        assert.deepEqual([answer.status, answer.reason], [403, 'untrusted_peer'], `${what} ${JSON.stringify(options)}`);
      }
      const answer = await askAs(stand, proxy, { token, set: { 'X-Repogate-Proxy-Secret': 'between two' } });
      assert.equal(answer.status, 200, what);
    }
  });
});

describeStand('dialects that cannot decide', {
  ...EVERY,
  policies: { '10-rules.lua': 'allow "x" {' },
  config: { server: { dialects: DIALECTS }, policy: { require_tests: false } },
}, (the) => {
  test('no_policy: 403, or 503 with Retry-After', async () => {
    const token = the().provider.mint({ username: 'admin' });
    for (const [what, proxy] of Object.entries(PROXIES)) {
      const answer = await askAs(the(), proxy, { token });
      assert.deepEqual([answer.status, answer.reason, answer.values('retry-after').length], [statusFor(proxy, 503), 'no_policy', proxy.isPassedOn ? 1 : 0], what);
      if (proxy.isPassedOn) assert.deepEqual([answer.isProblem, answer.json().status], [true, 503]);
    }
  });

  test('E: provider_unavailable: the same', async () => {
    const token = the().provider.mint({ username: 'admin', claims: { iat: Math.floor(Date.now() / 1000) - 3000, exp: Math.floor(Date.now() / 1000) + 3000 } });
    await the().provider.close();
    for (const [what, proxy] of Object.entries(PROXIES)) {
      const answer = await askAs(the(), proxy, { token });
      assert.deepEqual([answer.status, answer.reason, locationOf(answer)], [statusFor(proxy, 503), 'provider_unavailable', undefined], what);
    }
  });
});

describeStand('dialects and a stronger login', {
  ...EVERY,
  policies: { 'access.lua': 'allow "mfa" { groups = {"developers"}, mfa = true }\ndeny "closed" { repos = {"github:acme/closed"}, reason = "closed", message = "Closed for now." }\n' },
  config: { server: { dialects: DIALECTS }, policy: { require_tests: false } },
}, (the) => {
  test('step_up: 401 with what is wanted, or for a navigation the login', async () => {
    const [cookie, token] = await Promise.all([sessionCookie(the(), 'dora'), the().bearer('dora')]);
    for (const [what, proxy] of Object.entries(PROXIES)) {
      for (const options of [{ token }, { cookie, ...CLIENTS['`fetch`'] }, { token, ...NAVIGATION }]) {
        const answer = await askAs(the(), proxy, options);
        assert.deepEqual([answer.status, answer.reason], [401, 'step_up'], what);
        assert.match(answer.values('www-authenticate')[0], /error="insufficient_user_authentication"/);
      }
      const browser = await askAs(the(), proxy, { cookie, ...NAVIGATION });
      assert.deepEqual([browser.status, browser.reason], [proxy.isPassedOn ? 302 : 401, 'step_up'], what);
      assert.equal(locationOf(browser), proxy.isPassedOn ? `${the().url}/_repogate/login?rd=${encodeURIComponent(SITE)}` : undefined);
    }
  });

  test('a rule\'s own reason and message', async () => {
    const token = await the().bearer('dora');
    for (const [what, proxy] of Object.entries(PROXIES)) {
      const answer = await askAs(the(), proxy, { token, path: '/github/acme/closed/' });
      assert.deepEqual([answer.status, answer.reason], [403, 'closed'], what);
      if (proxy.isPassedOn) assert.equal(answer.json().detail, 'Closed for now.');
    }
  });
});

/* ---- who gets what ---- */

/* The README's table: by client, the three cells. A cell is "nobody known / refused". */
async function readTable() {
  const text = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const table = /<!-- who:begin -->\n([\s\S]*?)<!-- who:end -->/.exec(text)[1];
  const rows = table.trim().split('\n').slice(2).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
  return new Map(rows.map(([client, ...cells]) => [client, cells]));
}

function cellOf({ status, location, type }) {
  if (status === 302) return /\/_repogate\/login\?rd=/.test(location) ? '302 login' : `302 ${location}`;
  if (type?.startsWith('text/html')) return `${status} page`;
  return type === 'application/problem+json' ? `${status} JSON` : String(status);
}

const ofAnswer = (answer) => cellOf({ status: answer.status, location: answer.values('location')[0], type: answer.values('content-type')[0] });

describeStand('who gets what', EVERY, (the) => {
  let table;
  let dora;

  before(async () => {
    table = await readTable();
    dora = await sessionCookie(the(), 'dora');
  });

  /* What the client itself sends, to NGINX or to our own routes. */
  async function direct(port, { method = 'GET', headers, path, cookie }) {
    const { host } = new URL(the().url);
    const origin = headers.Upgrade ? { Origin: the().url } : {};
    const bytes = requestBytes({ method, target: path, headers: { ...origin, ...headers, Host: host, ...(cookie && { Cookie: cookie }) } });
    const { answers } = await converse(port, bytes, { isBodiless: method === 'HEAD' });
    return answers[0];
  }

  test('the table has a row for every client, and no other', () => {
    assert.deepEqual([...table.keys()], Object.keys(CLIENTS));
  });

  for (const [client, asked] of Object.entries(CLIENTS)) {
    const to = (base) => ({ ...asked, path: `${base}${asked.path ?? ''}` });

    for (const [what, proxy] of Object.entries(PROXIES)) {
      test(`${client}: asked by ${what}`, async () => {
        const nobody = ofAnswer(await askAs(the(), proxy, to(SITE)));
        const refused = ofAnswer(await askAs(the(), proxy, { ...to(FORBIDDEN), cookie: dora }));
        assert.equal(`${nobody} / ${refused}`, table.get(client)[proxy.isPassedOn ? 1 : 0]);
        assert.equal((await askAs(the(), proxy, { ...to(SITE), cookie: dora })).status, 200, 'allowed');
      });
    }

    test(`${client}: on our own routes`, async () => {
      const port = gatewayPort(the());
      const nobody = ofAnswer(await direct(port, to(SITE)));
      const refused = ofAnswer(await direct(port, { ...to(FORBIDDEN), cookie: dora }));
      assert.equal(`${nobody} / ${refused}`, table.get(client)[1]);
      assert.ok([200, 101, 404].includes((await direct(port, { ...to(SITE), cookie: dora })).status), 'allowed: the workspace answers');
    });

    test(`${client}: through NGINX as shipped`, async () => {
      const port = new URL(the().url).port;
      const nobody = ofAnswer(await direct(port, to(SITE)));
      const refused = ofAnswer(await direct(port, { ...to(FORBIDDEN), cookie: dora }));
      assert.equal(`${nobody} / ${refused}`, table.get(client)[2]);
      assert.ok([200, 101, 404].includes((await direct(port, { ...to(SITE), cookie: dora })).status), 'allowed: the workspace answers');
    });
  }
});
