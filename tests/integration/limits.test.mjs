// How much one address, and one person, may ask for before anybody is known: refused as each proxy understands it, and nobody else is hindered.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { ask, converse, describeStand, formsOf, gatewayPort, lineOf, requestBytes, sessionCookie } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const LIMIT = 5;

describeStand('requests of nobody', { config: { server: { anonymous_per_minute: LIMIT, dialects: ['nginx', 'haproxy', 'traefik', 'caddy', 'envoy'] } } }, (the) => {
  let dora;
  const host = () => new URL(the().url).host;
  const send = (target, headers) => converse(gatewayPort(the()), requestBytes({ target, headers })).then(({ answers: [answer] }) => answer);
  const forwarded = (client) => ({ 'X-Forwarded-Proto': 'http', 'X-Forwarded-Host': host(), 'X-Forwarded-Uri': SITE, 'X-Forwarded-Method': 'GET', 'X-Forwarded-For': client });
  const original = (client) => ({ 'X-Original-URL': `${the().url}${SITE}`, 'X-Original-Method': 'GET', 'X-Real-IP': client });

  // What each is asked with, and how it says no.
  const DIALECTS = {
    nginx: [(client, more) => send('/_repogate/auth/nginx', { Host: host(), ...original(client), ...more }), 403],
    haproxy: [(client, more) => send('/_repogate/auth/haproxy', { Host: host(), ...original(client), ...more }), 403],
    traefik: [(client, more) => send('/_repogate/auth/traefik', { Host: host(), ...forwarded(client), ...more }), 429],
    caddy: [(client, more) => send('/_repogate/auth/caddy', { Host: host(), ...forwarded(client), ...more }), 429],
    envoy: [(client, more) => send(`/_repogate/auth/envoy${SITE}`, { Host: host(), 'X-Forwarded-For': client, ...more }), 429],
    'our own routes': [(client, more) => send(SITE, { Host: host(), 'X-Forwarded-For': client, ...more }), 429],
  };

  before(async () => { dora = await sessionCookie(the(), 'dora'); });

  Object.entries(DIALECTS).forEach(([dialect, [question, status]], i) => {
    const client = `192.0.2.${i + 1}`;
    test(`M6: ${dialect}: ${LIMIT} are told to log in, more are ${status} and why`, async () => {
      for (let n = 0; n < LIMIT; n++) assert.equal((await question(client)).status, 401);
      const refused = await question(client);
      assert.equal(refused.status, status);
      if (status === 429) {
        assert.ok(Number(refused.values('retry-after')[0]) >= 1);
        assert.equal(JSON.parse(refused.body).reason, 'rate_limited');
      } else {
        assert.deepEqual(refused.values('x-repogate-reason'), ['rate_limited']);
      }
      assert.deepEqual(refused.values('location'), []);
      assert.equal((await question(client, { Authorization: 'Bearer x' })).status, status, 'nor with a bad token');
      assert.equal((await question(client, { Cookie: `repogate=${'A'.repeat(43)}` })).status, status, 'nor with a cookie of nobody');
      assert.equal((await question(client, { Cookie: dora })).status, 200, 'who is logged in is not counted');
      assert.equal((await question(`198.51.100.${i + 1}`)).status, 401, 'nor is another address');
    });
  });

  test('each refusal is in the log, as one', async () => {
    for (let n = 0; n < LIMIT; n++) await ask(the(), { headers: { 'X-Real-IP': '192.0.2.100' } });
    const line = await lineOf(the(), await ask(the(), { headers: { 'X-Real-IP': '192.0.2.100' } }));
    assert.deepEqual([line.decision, line.outcome, line.reason.code, line.request.ip], ['deny', 'refused', 'rate_limited', '192.0.2.100']);
  });

  test('A8: an address is what the proxy says, not the client behind it', async () => {
    for (let n = 0; n < LIMIT; n++) assert.equal((await send(SITE, { Host: host(), 'X-Forwarded-For': `203.0.113.${n}, 192.0.2.101` })).status, 401);
    assert.equal((await send(SITE, { Host: host(), 'X-Forwarded-For': '203.0.113.99, 192.0.2.101' })).status, 429);
  });

  test('M6: a proxy that does not tell addresses shuts nobody out', async () => {
    const alias = () => send('/outpost.goauthentik.io/auth/nginx', { Host: host(), 'X-Original-URL': `${the().url}${SITE}` });
    for (let n = 0; n < 3 * LIMIT; n++) assert.equal((await alias()).status, 401);
  });
});

describeStand('logins of one person', { config: { server: { logins_per_minute: LIMIT } } }, (the) => {
  // By hand, each from an address of its own.
  async function login(username, client) {
    const browser = the().browser();
    const from = { 'x-forwarded-for': client, host: new URL(the().url).host, accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
    const direct = (url) => browser.get(`${the().gateway.url}${new URL(url, the().url).pathname}${new URL(url, the().url).search}`, { headers: from });
    let answer = await direct('/_repogate/login?rd=/');
    for (let i = 0; i < 12; i++) {
      const next = answer.headers.location && new URL(answer.headers.location, answer.url).href;
      if (next && new URL(next).pathname.endsWith('/callback')) return direct(next);
      if (next) answer = await browser.get(next, { headers: { accept: 'text/html' } });
      else answer = await browser.post(formsOf(answer)[0].action, { ...formsOf(answer)[0].fields, username, password: `${username}-demo` });
    }
    throw new Error('the provider did not send the browser back');
  }

  test('M6: so many from any number of addresses; others log in all the same, and sessions live on', async () => {
    let first;
    for (let i = 0; i < LIMIT; i++) {
      const answer = await login('dora', `192.0.2.${i + 1}`);
      assert.equal(answer.status, 302);
      first ??= answer.headers['set-cookie'].find((line) => line.startsWith('repogate=')).split(';')[0];
    }
    const refused = await login('dora', '192.0.2.200');
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers['retry-after']) >= 1);
    assert.match(refused.text, /rate_limited/);
    assert.equal((refused.headers['set-cookie'] ?? []).some((line) => /^repogate=[^;]/.test(line)), false);
    const [line] = await the().auditUntil(({ type, reason }) => type === 'login' && reason?.code === 'rate_limited');
    assert.equal(line.outcome, 'failed');
    assert.equal((await login('dave', '192.0.2.201')).status, 302);
    assert.equal((await ask(the(), { cookie: first })).status, 200);
  });
});
