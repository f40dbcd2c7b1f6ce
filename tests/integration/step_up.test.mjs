// Rules that want a fresher login, or one with a second factor: through both topologies, from the refusal to the page behind it, and never around
// in circles, whatever the provider does. DESIGN 5 (Step-up), RFC 9470.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import WebSocket from 'ws';
import { ask, describeStand, describeTopologies, formsOf } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const FRESH = '/github/acme/vault/';
const FACTOR = '/github/acme/payments/';
const BOTH = '/github/acme/ledger/';
const FETCH = { accept: 'application/json', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' };

const rules = (age = '1h') => `
allow "site" { groups = {"developers"}, repos = {"github:acme/site"} }
allow "vault" { groups = {"developers"}, repos = {"github:acme/vault"}, max_auth_age = "${age}" }
allow "payments" { groups = {"developers"}, repos = {"github:acme/payments"}, mfa = true }
allow "ledger" { groups = {"developers"}, repos = {"github:acme/ledger"}, mfa = true, max_auth_age = "${age}" }
allow "admins" { groups = {"admins"} }
`;
const policies = {
  'access.lua': rules(),
  'access_test.lua': `
local dora = user { username = "dora", groups = {"developers"}, session = { auth_age = 3601 } }
test "old" { user = dora, repo = repo "github:acme/vault", expect = "step_up", reason = "step_up", rule = "vault" }
`,
};

const session = (stand, browser) => browser.jar.for(`${stand.url}/`).find(({ name }) => name === 'repogate')?.value;
const passwordForm = (page) => formsOf(page).find(({ fields }) => 'password' in fields);
const authorizeOf = (page) => page.hops.map((hop) => new URL(hop)).find(({ pathname }) => pathname.endsWith('/authorize/'))?.searchParams;
const whoIs = (stand, username, patch) => stand.provider.updateUser(username, { authAgo: 0, amr: ['pwd'], ...patch });

/* A browser of dora's, who logged in so long ago. */
async function openSite(stand, authAgo = 0) {
  whoIs(stand, 'dora', { authAgo });
  const browser = stand.browser();
  assert.equal((await browser.login('dora', SITE)).status, 200);
  return browser;
}

function logInAt(browser, page) {
  const form = passwordForm(page);
  assert.ok(form, `a login form at ${page.url} (status ${page.status})`);
  return browser.submit(form, { username: 'dora', password: 'dora-demo' });
}

describeTopologies('step-up', { policies }, (the) => {
  beforeEach(() => whoIs(the(), 'dora', {}));

  test('who logged in too long ago logs in again, and is where he wanted to go', async () => {
    const browser = await openSite(the(), 7200);
    const first = session(the(), browser);
    const page = await browser.visit(`${FRESH}echo?x=1&y=2`);
    assert.deepEqual([authorizeOf(page).get('prompt'), authorizeOf(page).get('max_age')], ['login', '3600']);
    whoIs(the(), 'dora', { authAgo: 0 });
    const echo = await logInAt(browser, page);
    assert.deepEqual([echo.status, echo.url], [200, `${the().url}${FRESH}echo?x=1&y=2`]);
    assert.notEqual(session(the(), browser), first);
    assert.equal((await ask(the(), { cookie: `repogate=${first}` })).status, 401, 'the session before is over');
    const [line] = await the().auditUntil(({ reason, request }) => reason?.code === 'step_up' && request.path === `${FRESH}echo`);
    assert.deepEqual([line.decision, line.outcome, line.subject.username, line.policy.rule], ['login', 'step_up', 'dora', 'vault']);
    assert.match(line.reason.text, /at most 1 hour old/);
  });

  test('who logged in just now is not asked again', async () => {
    const browser = await openSite(the());
    const page = await browser.visit(`${FRESH}echo`);
    assert.deepEqual([page.status, page.hops.length], [200, 1]);
  });

  test('F10: a second factor is asked for once', async () => {
    const browser = await openSite(the());
    const page = await browser.visit(`${FACTOR}echo`);
    assert.deepEqual([authorizeOf(page).get('prompt'), authorizeOf(page).get('max_age')], ['login', null]);
    whoIs(the(), 'dora', { amr: ['pwd', 'mfa'] });
    assert.equal((await logInAt(browser, page)).status, 200);
    assert.equal((await browser.visit(`${FACTOR}echo`)).hops.length, 1);
  });

  for (const [what, path, patch, words] of [
    ['does not ask the person', FRESH, { authAgo: 7200 }, /you did so 2 hours ago/],
    ['does not say when the login was', FRESH, { authAgo: Infinity }, /does not say when/],
    ['dates it in the future', FRESH, { authAgo: -86400 }, /in the future/],
    ['knows no second factor', FACTOR, {}, /does not confirm a second factor/],
    ['brings one of two', BOTH, {}, /does not confirm a second factor/],
  ]) {
    test(`where the provider ${what}, there is a page and no circle`, async () => {
      const browser = await openSite(the(), 7200);
      const page = await browser.visit(path);
      whoIs(the(), 'dora', patch);
      const refused = await logInAt(browser, page);
      assert.deepEqual([refused.status, refused.url], [403, `${the().url}${path}`]);
      assert.match(refused.text, /step_up_failed/);
      assert.match(refused.text, words);
      const asked = the().provider.counts.authorization;
      for (let i = 0; i < 3; i++) {
        const again = await browser.visit(path);
        assert.deepEqual([again.status, again.hops.length], [403, 1]);
      }
      assert.equal((await browser.get(path, { headers: FETCH })).status, 403);
      assert.equal(the().provider.counts.authorization, asked, 'nobody is sent to the provider any more');
      assert.equal((await browser.visit(SITE)).status, 200, 'what needs no more stays open');
      const [line] = await the().auditUntil(({ reason }) => reason?.code === 'step_up_failed');
      assert.deepEqual([line.decision, line.outcome, line.subject.username], ['deny', 'denied', 'dora']);
      // The page leads to another try, which is the person's own decision.
      const [, href] = /href="(\/_repogate\/login\?[^"]*)"/.exec(refused.text);
      const retry = await browser.visit(href.replaceAll('&amp;', '&'));
      assert.equal(authorizeOf(retry).get('prompt'), 'login');
      whoIs(the(), 'dora', { amr: ['pwd', 'mfa'] });
      assert.deepEqual([(await logInAt(browser, retry)).status, session(the(), browser) !== undefined], [200, true]);
    });
  }

  test('two demands that take turns are each asked for once', async () => {
    const browser = await openSite(the(), 7200);
    await logInAt(browser, await browser.visit(FRESH));
    await logInAt(browser, await browser.visit(FACTOR));
    for (const path of [FRESH, FACTOR, FRESH, FACTOR]) assert.deepEqual([(await browser.visit(path)).status, browser.history.at(-1).url], [403, `${the().url}${path}`]);
  });

  test('programs are told so, and never sent anywhere', async () => {
    const browser = await openSite(the(), 7200);
    for (const [path, age, acr] of [[FRESH, /max_age="3600"/, false], [FACTOR, undefined, true], [BOTH, /max_age="3600"/, true]]) {
      for (const options of [{ headers: FETCH }, { headers: { accept: 'text/html' }, method: 'POST', body: 'x' }]) {
        const answer = await browser.get(path, options);
        assert.equal(answer.status, 401, path);
        assert.equal(answer.headers.location, undefined);
        const challenge = answer.headers['www-authenticate'];
        assert.match(challenge, /^Bearer realm="repogate", error="insufficient_user_authentication"/);
        if (age) assert.match(challenge, age);
        else assert.doesNotMatch(challenge, /max_age/);
        assert.equal(/acr_values="\S+"/.test(challenge), acr);
        if (options.method !== 'POST') assert.equal(answer.json().reason, 'step_up');
      }
    }
    const socket = new WebSocket(`${the().url.replace('http', 'ws')}${FRESH}ws-echo`, { headers: { cookie: browser.jar.header(the().url) }, origin: the().url });
    assert.match((await once(socket, 'error'))[0].message, /401/);
  });

  test('RFC 9470: a bearer token is judged by its own login', async () => {
    const now = Math.floor(Date.now() / 1000);
    const cells = [
      [FRESH, { auth_time: now - 10 }, 200],
      [FRESH, { auth_time: now - 3700 }, 401],
      [FRESH, { auth_time: null }, 401],
      [FACTOR, { amr: ['pwd', 'mfa'] }, 200],
      [FACTOR, { amr: null }, 401],
      [BOTH, { auth_time: now, amr: ['mfa'] }, 200],
      [BOTH, { auth_time: now, amr: ['pwd'] }, 401],
    ];
    for (const [path, claims, status] of cells) {
      const authorization = `Bearer ${the().provider.mint({ username: 'dora', claims })}`;
      const answer = await the().request(`${path}echo`, { headers: { authorization } });
      assert.equal(answer.status, status, `${path} ${JSON.stringify(claims)}`);
      if (status === 401) assert.match(answer.headers['www-authenticate'], /error="insufficient_user_authentication"/);
    }
  });

  test('whom another rule lets in needs no more', async () => {
    whoIs(the(), 'admin', { authAgo: 7200 });
    const page = await the().browser().login('admin', `${BOTH}echo`);
    assert.equal(page.status, 200);
  });

  test('what a session lacks outlives a restart between the refusal and the login', async () => {
    const browser = await openSite(the(), 7200);
    assert.equal((await browser.get(FRESH, { headers: FETCH })).status, 401);
    await the().restart();
    const page = await browser.visit(`/_repogate/login?rd=${FRESH}echo`);
    assert.deepEqual([authorizeOf(page).get('prompt'), authorizeOf(page).get('max_age')], ['login', '3600']);
    whoIs(the(), 'dora', {});
    const answer = await logInAt(browser, page);
    assert.equal(answer.status, 200);
    await the().restart();
    assert.equal((await browser.visit(`${FRESH}echo`)).status, 200);
  });

  test('a login that nothing stronger is wanted of asks for nothing', async () => {
    const browser = await openSite(the());
    const page = await browser.visit(`/_repogate/login?rd=${SITE}`);
    assert.equal(page.status, 200, 'by itself');
    assert.deepEqual([authorizeOf(page).get('prompt'), authorizeOf(page).get('max_age')], [null, null]);
  });
});

describeStand('step-up, over time', { policies }, (the) => {
  const activate = async (text) => {
    const isActive = ({ type }) => type === 'policy.activated';
    const before = (await the().auditLines()).filter(isActive).length;
    await writeFile(join(the().policyDir, 'access.lua'), text);
    await writeFile(join(the().policyDir, 'access_test.lua'), 'test "t" { user = user { username = "x" }, repo = repo "github:acme/site", expect = "deny" }');
    the().gateway.reload();
    await the().auditUntil(isActive, before + 1);
  };

  test('a login that was fresh when it was asked for, and is not any more, is asked for again', async () => {
    const browser = await openSite(the(), 7200);
    const page = await browser.visit(FRESH);
    whoIs(the(), 'dora', { authAgo: 1800 });
    assert.equal((await logInAt(browser, page)).status, 200);
    await activate(rules('15m'));
    const second = await browser.visit(FRESH);
    assert.equal(authorizeOf(second).get('max_age'), '900');
    whoIs(the(), 'dora', {});
    assert.equal((await logInAt(browser, second)).status, 200);
  });
});
