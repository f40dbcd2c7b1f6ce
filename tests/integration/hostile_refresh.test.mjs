// What becomes of a session while the provider changes its mind, its keys or its manners: rights shrink in time, never grow by an error, and nothing
// that ended comes back. THREATS groups C (staleness), E (error paths).
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { ANSWERS } from '../../authentik/dev/hostile.mjs';
import { CLAIM_FAULTS } from '../../authentik/dev/people.mjs';
import { ask, converse, describeStand, formsOf, gatewayPort, lineOf, questionBytes, request, sessionCookie, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const PAYMENTS = '/github/acme/payments/';
const SILENT = ['hang', 'stalled'];
const SOON = { session: { refresh: '1s' } };
const NAVIGATE = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const CROWD = 1000;

// Asks until a request went to the endpoint: the answer that waited for it.
async function refreshed(stand, cookie, { endpoint = 'userinfo', url = SITE } = {}) {
  const { counts } = stand.provider;
  const asked = counts[endpoint] ?? 0;
  const answer = await waitFor(`a request to ${endpoint}`, async () => {
    const one = await ask(stand, { cookie, url });
    return (counts[endpoint] ?? 0) > asked && one;
  }, { timeoutMs: 15000, everyMs: 50 });
  return Object.assign(answer, { isStale: answer.decisionId ? (await lineOf(stand, answer)).subject?.stale === true : false });
}

async function expectAlive(stand) {
  assert.equal((await stand.request('/health')).status, 200);
  assert.equal((await request(stand.adminUrl, { path: '/healthz' })).status, 200);
}

function logout(stand, cookie) {
  return stand.request('/_repogate/logout', {
    method: 'POST', headers: { cookie, origin: stand.url, 'content-type': 'application/x-www-form-urlencoded' }, body: '',
  });
}

describeStand('userinfo that goes wrong at a refresh', { config: SOON }, (the) => {
  // Not the provider's word: old claims serve, and are marked. Its word, or no word about this person: the session ends.
  const answers = ANSWERS.filter((answer) => !SILENT.includes(answer));
  const ended = ['forbidden', 'empty_object'];
  const harmless = ['wrong_iss'];
  const expected = Object.fromEntries(answers.map((answer) => [answer, ended.includes(answer) ? [401] : harmless.includes(answer) ? [200, false] : [200, true]]));
  const MISSING = [403, 'claims_missing'];
  const claims = {
    ...Object.fromEntries(Object.keys(CLAIM_FAULTS).map((fault) => [fault, MISSING])),
    control_bytes: [200, undefined], // JSON with a NUL is no answer
    line_breaks: [401, undefined],
    overwritten_sub: [401, undefined],
    overwritten_sub_number: [401, undefined],
    overwritten_aud: [200, undefined],
    overwritten_exp: [200, undefined],
    overwritten_exp_far: [200, undefined],
    group_with_separator: [200, undefined],
  };
  const cookies = {};

  before(async () => {
    for (const name of [...answers, ...Object.keys(CLAIM_FAULTS), 'hang', 'other']) cookies[name] = await sessionCookie(the(), 'dora');
  });

  beforeEach(() => the().provider.setFaults({}));

  for (const [answer, [status, isStale = false]] of Object.entries(expected)) {
    test(`E: userinfo answers ${answer}: ${status}${isStale ? ', with claims marked as old' : ''}`, async () => {
      the().provider.setFaults({ endpoints: { userinfo: answer } });
      const got = await refreshed(the(), cookies[answer]);
      assert.deepEqual([got.status, got.isStale], [status, isStale]);
      assert.equal((await ask(the(), { cookie: cookies[answer], url: PAYMENTS })).status, status === 200 ? 403 : 401);
      await expectAlive(the());
    });
  }

  for (const [fault, [status, reason]] of Object.entries(claims)) {
    test(`C5, I5: userinfo with ${fault}: ${reason ?? status}`, async () => {
      the().provider.setFaults({ claims: fault });
      const got = await refreshed(the(), cookies[fault]);
      assert.equal(got.status, status);
      if (reason) assert.equal(got.reason, reason);
      assert.ok([401, 403].includes((await ask(the(), { cookie: cookies[fault], url: PAYMENTS })).status));
    });
  }

  test('userinfo that never answers holds up its own session only, and not for long', async () => {
    const { provider } = the();
    const asked = provider.counts.userinfo;
    provider.setFaults({ endpoints: { userinfo: 'hang' } });
    const { waiting } = await waitFor('a refresh under way', async () => {
      const one = converse(gatewayPort(the()), questionBytes(the(), { cookie: cookies.hang, url: SITE }), { timeoutMs: 14000 });
      await Promise.race([one, provider.whenCounted('userinfo', asked + 1).catch(() => {})]);
      return provider.counts.userinfo > asked && { waiting: one };
    }, { timeoutMs: 15000, everyMs: 50 });
    provider.setFaults({});
    assert.equal((await ask(the(), { cookie: cookies.other, url: SITE })).status, 200);
    assert.equal((await waiting).answers[0].status, 200);
  });

  test('with the access token good for long, the refresh token is not touched but where userinfo refused', () => {
    assert.equal(the().provider.counts['token:refresh_token'], 1, 'once, for forbidden');
  });
});

describeStand('a refresh grant that goes wrong', { config: SOON }, (the) => {
  const good = ['wrong_content_type', 'wrong_iss'];
  const errors = { invalid_grant: [401, false], invalid_client: [200, true], temporarily_unavailable: [200, true] };
  const answers = ANSWERS.filter((answer) => !SILENT.includes(answer));
  const cookies = {};

  before(async () => {
    the().provider.accessTokenSeconds = 2;
    for (const name of [...answers, ...Object.keys(errors), 'another person', 'another session', 'crowd']) cookies[name] = await sessionCookie(the(), 'dora');
    the().provider.accessTokenSeconds = 3600;
  });

  beforeEach(() => the().provider.setFaults({}));

  for (const answer of answers) {
    test(`E: the token endpoint answers ${answer}: ${good.includes(answer) ? 'good enough' : 'lost, so the session ends, and the token is never sent again'}`, async () => {
      const { provider } = the();
      provider.setFaults({ endpoints: { 'token:refresh_token': answer } });
      const got = await refreshed(the(), cookies[answer], { endpoint: 'token:refresh_token' });
      const sent = provider.counts['token:refresh_token'];
      assert.equal(got.status, good.includes(answer) ? 200 : 401);
      provider.setFaults({});
      for (let i = 0; i < 3; i++) assert.equal((await ask(the(), { cookie: cookies[answer], url: SITE })).status, got.status);
      assert.equal(provider.counts['token:refresh_token'], sent);
      await expectAlive(the());
    });
  }

  for (const [error, [status, isStale]] of Object.entries(errors)) {
    test(`the token endpoint says ${error}: ${status}`, async () => {
      the().provider.setFaults({ endpoints: { 'token:refresh_token': { error } } });
      const got = await refreshed(the(), cookies[error], { endpoint: 'token:refresh_token' });
      assert.deepEqual([got.status, got.isStale], [status, isStale]);
    });
  }

  test('refreshed tokens of another person, or of another session, end the session', async () => {
    const { provider } = the();
    const answerWith = (changes) => {
      const tokens = (kind) => provider.mint({ username: 'dora', kind, ...changes });
      provider.setFaults({ endpoints: { 'token:refresh_token': { body: { access_token: tokens('access'), id_token: tokens('id'), token_type: 'Bearer', expires_in: 3600 } } } });
    };
    answerWith({ username: 'admin' });
    assert.equal((await refreshed(the(), cookies['another person'], { endpoint: 'token:refresh_token', url: PAYMENTS })).status, 401);
    answerWith({});
    assert.equal((await refreshed(the(), cookies['another session'], { endpoint: 'token:refresh_token' })).status, 401);
  });

  test(`${CROWD} requests on one session that needs a refresh make one token request, and all are answered`, async () => {
    const { provider } = the();
    const before = provider.counts['token:refresh_token'];
    const users = provider.counts.userinfo;
    provider.hold('token:refresh_token');
    const crowd = Array.from({ length: CROWD }, () => ask(the(), { cookie: cookies.crowd, url: SITE }));
    await provider.whenHeld('token:refresh_token');
    provider.release();
    const statuses = (await Promise.all(crowd)).map(({ status }) => status);
    assert.deepEqual([...new Set(statuses)], [200]);
    assert.equal(provider.counts['token:refresh_token'], before + 1);
    assert.ok(provider.counts.userinfo - users <= 2, 'one for it, and one more if a second has passed meanwhile');
  });
});

describeStand('what changes at the provider', { config: SOON }, (the) => {
  test('C4, C5: a group that is taken away, or given, counts at the next refresh', async () => {
    const { provider } = the();
    const cookie = await sessionCookie(the(), 'dave');
    assert.equal((await ask(the(), { cookie, url: SITE })).status, 200);
    provider.updateUser('dave', { groups: [] });
    assert.equal((await refreshed(the(), cookie)).status, 403);
    provider.updateUser('dave', { groups: ['admins'] });
    assert.equal((await refreshed(the(), cookie, { url: PAYMENTS })).status, 200);
    provider.updateUser('dave', { groups: ['developers'] });
    assert.equal((await refreshed(the(), cookie, { url: PAYMENTS })).status, 403);
  });

  test('C7, C8: who is deactivated is out at the next refresh, in all sessions, and stays out', async () => {
    const { provider } = the();
    const cookies = [await sessionCookie(the(), 'dave'), await sessionCookie(the(), 'dave')];
    await provider.deactivate('dave');
    for (const cookie of cookies) assert.equal((await refreshed(the(), cookie)).status, 401);
    provider.updateUser('dave', { active: true });
    await the().restart();
    for (const cookie of cookies) assert.equal((await ask(the(), { cookie, url: SITE })).status, 401, 'its row is gone too');
  });

  test('C10: a session that ended at the provider ends here at the next refresh, though its refresh token lives on', async () => {
    const { provider } = the();
    const cookie = await sessionCookie(the(), 'dora');
    const other = await sessionCookie(the(), 'admin');
    await provider.endSessionsOf('dora');
    assert.equal((await refreshed(the(), cookie)).status, 401);
    assert.equal((await refreshed(the(), other)).status, 200);
  });

  test('a key that is replaced between login and refresh costs no session', async () => {
    const { provider } = the();
    provider.accessTokenSeconds = 2;
    const cookie = await sessionCookie(the(), 'dora');
    provider.accessTokenSeconds = 3600;
    await the().restart(); // so that the keys that the gateway has are its own latest
    const got = await refreshed(the(), cookie, { endpoint: 'token:refresh_token' });
    assert.equal(got.status, 200);
  });

  for (const [endpoint, answered] of [['userinfo', false], ['userinfo', true], ['token:refresh_token', false], ['token:refresh_token', true]]) {
    test(`logging out while ${endpoint} is ${answered ? 'about to answer' : 'asked'}: dead then, dead after it, dead after a restart`, async () => {
      const { provider } = the();
      provider.accessTokenSeconds = endpoint === 'userinfo' ? 3600 : 2;
      const cookie = await sessionCookie(the(), 'dora');
      provider.accessTokenSeconds = 3600;
      provider.hold(endpoint, { answered });
      const waiting = waitFor('a refresh under way', async () => {
        const one = ask(the(), { cookie, url: SITE });
        await Promise.race([one, provider.whenHeld(endpoint)]);
        return provider.held(endpoint) > 0 && { one };
      }, { timeoutMs: 15000, everyMs: 50 });
      const { one } = await waiting;
      assert.ok([200, 303].includes((await logout(the(), cookie)).status));
      assert.equal((await ask(the(), { cookie, url: SITE })).status, 401);
      provider.release();
      assert.equal((await one).status, 401, 'who waited for the refresh');
      assert.equal((await ask(the(), { cookie, url: SITE })).status, 401);
      await the().restart();
      assert.equal((await ask(the(), { cookie, url: SITE })).status, 401);
    });
  }

  for (const [endpoint, answered] of [['token:authorization_code', false], ['token:authorization_code', true], ['userinfo', false], ['userinfo', true]]) {
    test(`logging out while a second login of that session has ${endpoint} ${answered ? 'about to answer' : 'asked'}: the login makes no session`, async () => {
      const { provider } = the();
      const browser = the().browser();
      await browser.login('dora', SITE);
      const cookieOf = () => browser.jar.for(`${the().url}/`).find(({ name }) => name === 'repogate')?.value;
      const first = cookieOf();
      const begun = await browser.get(`/_repogate/login?rd=${SITE}`, { headers: NAVIGATE });
      const back = await browser.get(begun.headers.location, { headers: NAVIGATE });
      assert.equal(formsOf(back).length, 0, 'the provider knows the browser');
      provider.hold(endpoint, { answered });
      const callback = browser.get(back.headers.location, { headers: NAVIGATE });
      await provider.whenHeld(endpoint);
      assert.ok([200, 303].includes((await logout(the(), `repogate=${first}`)).status));
      provider.release();
      const page = await callback;
      assert.equal(page.status, 302);
      assert.match(page.headers.location, /^\/_repogate\/login\?again=1/, 'it has to be begun anew');
      assert.equal(page.headers['set-cookie'].some((line) => line.startsWith('repogate=') && !line.startsWith('repogate=;')), false);
      assert.ok([undefined, first].includes(cookieOf()));
      assert.equal((await ask(the(), { cookie: `repogate=${first}`, url: SITE })).status, 401);
    });
  }
});

describeStand('grace', { config: { session: { refresh: '1s', grace: '2s' } } }, (the) => {
  test('old claims serve for session.grace, then nobody is let in by them; the session is there again once somebody answers', async () => {
    const { provider } = the();
    const cookie = await sessionCookie(the(), 'dora');
    provider.setFaults({ endpoints: { userinfo: 'down' } });
    assert.deepEqual([(await refreshed(the(), cookie)).status], [200]);
    const refused = await waitFor('the end of the grace', async () => {
      const answer = await ask(the(), { cookie, url: SITE });
      return answer.status !== 200 && answer;
    }, { timeoutMs: 15000, everyMs: 50 });
    assert.deepEqual([refused.status, refused.reason], [401, 'login_required']);
    for (let i = 0; i < 20; i++) assert.equal((await ask(the(), { cookie, url: SITE })).status, 401);
    provider.setFaults({});
    assert.equal((await waitFor('an answer', async () => {
      const answer = await ask(the(), { cookie, url: SITE });
      return answer.status === 200 && answer;
    }, { timeoutMs: 20000, everyMs: 100 })).status, 200);
  });
});
