// Logins that go wrong without anybody's malice: circles, the back button, a provider that says no, too many at once. Each ends on a page that says
// what happened, or where the person wanted to go; none goes on by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CookieJar } from '../../scripts/lib/browser.mjs';
import { converse, describeStand, describeTopologies, gatewayPort, request, requestBytes } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const LOGIN = '/_repogate/login';
const CALLBACK = '/_repogate/callback';
const COUNT = 'repogate-login-count';
const NAVIGATE = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const CHROMIUM_REDIRECTS_MAX = 20;

const session = (stand, browser) => browser.jar.for(`${stand.url}/`).find(({ name }) => name === 'repogate')?.value;

const attemptOf = (stand, browser) => browser.jar.for(`${stand.url}/`).find(({ name }) => /^repogate-login-[\w-]{22}$/.test(name));

/* The URL of ours that the provider sends a browser to which is logged in there. */
async function callbackOf(browser, rd = SITE) {
  const { headers } = await browser.get(`${LOGIN}?rd=${encodeURIComponent(rd)}`, { headers: NAVIGATE });
  return (await browser.get(headers.location, { headers: NAVIGATE })).headers.location;
}

async function loggedIn(stand, username = 'dora') {
  const browser = stand.browser();
  await browser.login(username, SITE);
  return browser;
}

/* A browser that is logged in at the provider, and from now on loses the cookies that `loses` names. */
async function forgetful(stand, loses) {
  const browser = await loggedIn(stand);
  browser.jar.store(stand.url, `${COUNT}=; Path=/; Max-Age=0`);
  browser.jar.store(stand.url, 'repogate=; Path=/; Max-Age=0');
  const store = browser.jar.store.bind(browser.jar);
  browser.jar.store = (url, line) => {
    if (!loses.test(line)) store(url, line);
  };
  return browser;
}

describeTopologies('circles', {}, (the) => {
  const logins = async () => Number(/^repogate_logins_total\{result="ok"\} (\d+)/m.exec((await request(`${the().adminUrl}/metrics`)).text)[1]);

  test('a browser that does not keep its session is stopped before it gives up by itself, and told why', async () => {
    const browser = await forgetful(the(), /^repogate=/);
    const done = await logins();
    const page = await browser.visit(`${SITE}echo`);
    assert.equal(page.status, 400);
    assert.ok(page.hops.length - 1 < CHROMIUM_REDIRECTS_MAX, `${page.hops.length - 1} redirects`);
    assert.match(page.text, /login_loop/);
    assert.match(page.text, /does not keep the cookie of your session/);
    assert.equal((await logins()) - done, 4);
    const [line] = await the().auditUntil(({ reason }) => reason?.code === 'login_loop');
    assert.deepEqual([line.type, line.outcome], ['login', 'failed']);
    assert.match(line.reason.text, /does not keep the cookie/);
    // The cause is gone: so is the page.
    browser.jar.store = CookieJar.prototype.store;
    assert.equal((await browser.visit(`${SITE}echo`)).status, 200);
  });

  test('a second cookie of that name for the workspace only makes no endless circle either', async () => {
    const browser = await loggedIn(the());
    browser.jar.store(`${the().url}${SITE}`, 'repogate=planted; Path=/github/');
    const page = await browser.visit(SITE);
    assert.deepEqual([page.status, page.hops.length - 1 < CHROMIUM_REDIRECTS_MAX], [400, true]);
    assert.match(page.text, /two of that name/);
    const [line] = await the().auditUntil(({ reason }) => reason?.code === 'login_loop' && /two of that name/.test(reason.text));
    assert.equal(line.subject.username, 'dora');
  });

  test('a browser that loses the cookie of each attempt gets a page after the second', async () => {
    const browser = await forgetful(the(), /^repogate-login-(?!again)/);
    const page = await browser.visit(SITE);
    assert.equal(page.status, 400);
    assert.match(page.text, /bad_state/);
  });

  test('counting logins is no lock: another minute, or nonsense in the cookie, begins from nothing', async () => {
    const browser = await loggedIn(the());
    const now = Math.floor(Date.now() / 1000);
    for (const [value, isCircling] of [[`4.${now}`, true], [`3.${now}`, false], [`4.${now - 60}`, false], [`4.${now + 3600}`, false], [`5.${now}`, false], ['4', false], ['4.', false], ['.', false], ['x.y', false], [`-1.${now}`, false],
      [`4.${now}.1`, false], ['', false], ['9'.repeat(4000), false]]) {
      browser.jar.set(the().url, COUNT, value);
      const answer = await browser.get(LOGIN, { headers: NAVIGATE });
      assert.equal(answer.status, isCircling ? 400 : 302, value.slice(0, 30));
    }
  });

  test('parameters of the address, named as ours are, stay the address\'s', async () => {
    const page = await the().browser().login('dora', `${SITE}echo?x=1&again=1&stronger=1&state=a&error=b&rd=/`);
    assert.deepEqual([page.status, page.url], [200, `${the().url}${SITE}echo?x=1&again=1&stronger=1&state=a&error=b&rd=/`]);
  });

  test('the back button after a login leads on, not back into it', async () => {
    const browser = the().browser();
    await browser.login('dora', SITE);
    const url = await callbackOf(browser, `${SITE}echo?x=1`);
    assert.equal((await browser.get(url, { headers: NAVIGATE })).headers.location, `${the().url}${SITE}echo?x=1`);
    const [first, redeemed] = [session(the(), browser), the().provider.counts.token];
    for (let i = 0; i < 3; i++) {
      const again = await browser.visit(url);
      assert.deepEqual([again.status, again.url, again.hops.length], [200, `${the().url}/`, 2]);
    }
    assert.deepEqual([session(the(), browser), the().provider.counts.token], [first, redeemed], 'the same session, nothing redeemed');
  });

  test('a callback loaded twice leads where the login was to lead', async () => {
    const browser = await loggedIn(the());
    const url = await callbackOf(browser, `${SITE}echo?x=2`);
    const attempt = attemptOf(the(), browser);
    await browser.get(url, { headers: NAVIGATE });
    const first = session(the(), browser);
    browser.jar.set(the().url, attempt.name, attempt.value);
    const again = await browser.visit(url);
    assert.deepEqual([again.status, again.url, session(the(), browser)], [200, `${the().url}${SITE}echo?x=2`, first]);
    assert.equal(browser.jar.find(attempt.name), undefined);
  });

  test('a restart between the beginning and the end of a login loses nothing', async () => {
    const browser = await loggedIn(the());
    const url = await callbackOf(browser, `${SITE}echo?x=3`);
    await the().restart();
    const answer = await browser.visit(url);
    assert.deepEqual([answer.status, answer.url], [200, `${the().url}${SITE}echo?x=3`]);
  });

  test('the cookie of an attempt that took too long is gone, and a new one is begun', async () => {
    const browser = await loggedIn(the());
    const url = await callbackOf(browser);
    const { name } = attemptOf(the(), browser);
    browser.jar.store(the().url, `${name}=; Path=/; Max-Age=0`);
    browser.jar.store(the().url, 'repogate=; Path=/; Max-Age=0');
    const answer = await browser.visit(url);
    assert.equal(answer.status, 200);
    assert.ok(session(the(), browser));
  });

  test('F13: the session before ends with a new login, in the store too', async () => {
    const browser = await loggedIn(the());
    const olds = [];
    for (let i = 0; i < 3; i++) {
      olds.push(session(the(), browser));
      assert.equal((await browser.visit(`${LOGIN}?rd=${SITE}`)).status, 200);
    }
    await the().restart();
    for (const old of olds) assert.equal((await the().request('/_repogate/whoami', { headers: { cookie: `repogate=${old}` } })).status, 401);
    assert.equal((await browser.get('/_repogate/whoami')).status, 200);
  });
});

describeStand('what the provider says instead of a code', {}, (the) => {
  for (const [error, status, reason, words] of [
    ['access_denied', 403, 'provider_refused', /no access to this application, or the login was cancelled/],
    ['login_required', 403, 'provider_refused', /log in there first/],
    ['interaction_required', 403, 'provider_refused', /a question that only you can answer/],
    ['consent_required', 403, 'provider_refused', /wants your consent/],
    ['unmet_authentication_requirements', 403, 'step_up_failed', /as strongly as is needed/],
    ['temporarily_unavailable', 503, 'provider_unavailable', /takes no logins at the moment/],
    ['server_error', 502, 'provider_unavailable', /went wrong at the identity provider/],
    ['invalid_scope', 502, 'login_refused', /Only the operators/],
    ['something_new', 403, 'provider_refused', /It may be/],
  ]) {
    test(`${error}: a page with the provider's own words, and no second try by itself`, async () => {
      const browser = the().browser();
      const begun = await browser.get(`${LOGIN}?rd=${SITE}echo`, { headers: NAVIGATE });
      const state = new URL(begun.headers.location).searchParams.get('state');
      const asked = the().provider.counts.token ?? 0;
      const said = `because <b>of</b>\n${'é'.repeat(400)}`;
      const page = await browser.visit(`${CALLBACK}?${new URLSearchParams({ error, error_description: said, state })}`);
      assert.deepEqual([page.status, page.hops.length], [status, 1]);
      assert.match(page.text, words);
      assert.ok(page.text.includes(reason));
      assert.ok(page.text.includes(`It said: ${error}, because &lt;b&gt;of&lt;/b&gt; é`), page.text);
      assert.equal(/é{100}/.test(page.text), false, 'cut');
      assert.equal(page.text.includes('\ufffd'), false, 'between characters');
      assert.match(page.text, new RegExp(`href="${SITE}echo"`), 'the way back');
      if (status === 503) assert.ok(Number(page.headers['retry-after']) > 0);
      assert.equal(session(the(), browser), undefined);
      assert.equal(browser.jar.find('repogate-login-'), undefined, 'the attempt is over');
      assert.equal(the().provider.counts.token ?? 0, asked);
      const [line] = await the().auditUntil(({ type, reason: { text } = {} }) => type === 'login' && text?.startsWith(`${error}: because`));
      assert.deepEqual([line.outcome, line.reason.code], ['failed', reason]);
    });
  }

  test('in JSON for a program', async () => {
    const browser = the().browser();
    const begun = await browser.get(LOGIN, { headers: NAVIGATE });
    const state = new URL(begun.headers.location).searchParams.get('state');
    const answer = await browser.get(`${CALLBACK}?${new URLSearchParams({ error: 'server_error', state })}`, { headers: { accept: 'application/json' } });
    assert.deepEqual([answer.status, answer.json().reason], [502, 'provider_unavailable']);
  });
});

describeStand('logins per minute', { config: { server: { logins_per_minute: 5 } } }, (the) => {
  const send = (target, client, headers = {}) => converse(gatewayPort(the()), requestBytes({
    target, headers: { Host: new URL(the().url).host, ...(client && { 'X-Forwarded-For': client }), ...headers },
  })).then(({ answers: [answer] }) => answer);
  const many = async (n, target, client) => {
    const statuses = [];
    for (let i = 0; i < n; i++) statuses.push((await send(target, client)).status);
    return statuses;
  };

  test('the sixth is refused, with a reason and a time to come back', async () => {
    assert.deepEqual(await many(5, LOGIN, '192.0.2.1'), Array(5).fill(302));
    const answer = await send(LOGIN, '192.0.2.1');
    assert.equal(answer.status, 429);
    const [wait] = answer.values('retry-after');
    assert.ok(Number(wait) >= 1 && Number(wait) <= 12, wait);
    assert.deepEqual(answer.values('location'), []);
    assert.deepEqual(answer.values('set-cookie'), []);
    assert.equal(JSON.parse(answer.body).reason, 'rate_limited');
    const page = await send(LOGIN, '192.0.2.1', NAVIGATE);
    assert.deepEqual([page.status, page.values('content-type')[0]], [429, 'text/html; charset=utf-8']);
    assert.match(page.body, /Too many logins/);
    assert.equal((await send('/outpost.goauthentik.io/start', '192.0.2.1')).status, 429, 'by its other name');
  });

  test('callbacks are counted too, apart', async () => {
    assert.deepEqual(await many(6, `${CALLBACK}?state=x&code=y`, '192.0.2.2'), [...Array(5).fill(302), 429]);
    assert.equal((await send(LOGIN, '192.0.2.2')).status, 302);
    const tokens = the().provider.counts.token ?? 0;
    assert.equal((await send('/outpost.goauthentik.io/callback?state=x&code=y', '192.0.2.2')).status, 429);
    assert.equal(the().provider.counts.token ?? 0, tokens);
  });

  test('M6: each address, and each IPv6 network, has its own', async () => {
    assert.deepEqual(await many(6, LOGIN, '192.0.2.3'), [...Array(5).fill(302), 429]);
    assert.equal((await send(LOGIN, '192.0.2.4')).status, 302);
    for (const [client, status] of [['2001:db8::1', 302], ['2001:db8::2', 302], ['2001:db8::3', 302], ['2001:db8::ffff:1', 302], ['2001:db8:0:0:ffff::', 302], ['2001:db8::9', 429], ['2001:db8:0:1::1', 302]]) assert.equal((await send(LOGIN, client)).status, status, client);
  });

  test('A6b, A8: what a client writes into X-Forwarded-For changes nothing behind NGINX', async () => {
    const statuses = [];
    for (let i = 0; i < 7; i++) statuses.push((await the().request(LOGIN, { headers: { 'x-forwarded-for': `198.51.100.${i}`, 'x-real-ip': `198.51.100.${i}`, forwarded: `for=198.51.100.${i}` } })).status);
    assert.deepEqual(statuses, [...Array(5).fill(302), 429, 429]);
    // and in front of a trusted proxy only the last hop that is not trusted counts
    assert.deepEqual(await many(5, LOGIN, '203.0.113.1, 192.0.2.5'), Array(5).fill(302));
    assert.equal((await send(LOGIN, '203.0.113.99, 192.0.2.5')).status, 429);
  });

  test('who is logged in already is not hindered, and a row of refusals is one line in the log', async () => {
    await many(20, LOGIN, '192.0.2.6');
    // Lines reach the file in their order: behind this one, all of the row are there.
    await send(`${CALLBACK}?state=x&code=y`, '192.0.2.7');
    await the().auditUntil(({ reason, request: { ip } }) => reason?.code === 'restarted' && ip === '192.0.2.7');
    const lines = (await the().auditLines()).filter(({ reason, request }) => reason?.code === 'rate_limited' && request.ip === '192.0.2.6');
    assert.equal(lines.length, 1);
    assert.deepEqual([lines[0].type, lines[0].outcome], ['login', 'failed']);
    assert.equal((await send('/_repogate/whoami', '192.0.2.6')).status, 401);
    assert.match((await request(`${the().adminUrl}/metrics`)).text, /repogate_logins_total\{result="limited"\} [1-9]/);
  });
});
