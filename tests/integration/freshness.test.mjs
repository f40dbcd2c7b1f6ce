// Sessions while they are in use: groups and persons that change at the provider, a provider that is away, hostile or in the middle of something,
// and logging out in between. Times are a second or two by configuration; nothing here waits for a clock, only for what it brings.
import assert from 'node:assert/strict';
import http from 'node:http';
import { afterEach, test } from 'node:test';
import { ask, describeStand, lineOf, request, sessionCookie, waitFor } from './lib/stand.mjs';

const SOON = { session: { refresh: '1s', grace: '2s' } };
const PATIENT = { session: { refresh: '1s', grace: '10m' } };
const GRANT = 'token:refresh_token';

/* Until the answer is this one; gives it. */
function until(stand, cookie, status, reason) {
  return waitFor(`${status} ${reason ?? ''}`, async () => {
    const answer = await ask(stand, { cookie });
    return answer.status === status && (reason === undefined || answer.reason === reason) && answer;
  });
}

/* Asks until a request waits because the provider holds at `endpoint`; gives { answer }, still to come. */
async function askUntilHeld(stand, cookie, endpoint) {
  const held = stand.provider.whenHeld(endpoint).then(() => 'held');
  for (;;) {
    const answer = ask(stand, { cookie });
    if ((await Promise.race([held, answer.then(() => 'answered')])) === 'held') return { answer };
  }
}

async function metric(stand, name) {
  const { text } = await request(`${stand.adminUrl}/metrics`);
  return Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\d+)$`, 'm').exec(text)?.[1]);
}

const grants = ({ provider }) => provider.counts[GRANT] ?? 0;

function repair(stand) {
  stand.provider.setFaults();
  stand.provider.release();
  stand.provider.accessTokenSeconds = 3600;
}

/* A session whose every refresh needs a grant first. */
function grantingCookie(stand, username) {
  stand.provider.accessTokenSeconds = 1;
  return sessionCookie(stand, username);
}

describeStand('what changes at the provider', { config: SOON }, (the) => {
  afterEach(() => repair(the()));

  test('C4: a group that is taken away closes the door, and opens it when it is given back', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    assert.equal((await ask(the(), { cookie })).status, 200);
    the().provider.updateUser('dora', { groups: [] });
    await until(the(), cookie, 403, 'no_rule');
    assert.equal((await ask(the(), { cookie })).status, 403, 'and it stays closed');
    the().provider.updateUser('dora', { groups: ['developers'] });
    const { subject } = await lineOf(the(), await until(the(), cookie, 200));
    assert.deepEqual(subject.groups, ['developers', 'staff']);
    assert.equal('stale' in subject, false);
    assert.equal(grants(the()), 0, 'for all that the refresh token was not touched');
  });

  test('an attribute that is taken away counts no more', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    const url = '/github/acme/vault/';
    assert.equal((await ask(the(), { cookie, url })).status, 200);
    the().provider.updateUser('dora', { attributes: {} });
    await waitFor('no access', async () => (await ask(the(), { cookie, url })).status === 403);
    the().provider.updateUser('dora', { attributes: { 'private-repo-access': ['Acme/Vault'] } });
  });

  test('C7, C8: a deactivated person is out', async () => {
    const cookie = await sessionCookie(the(), 'dave');
    const ended = await metric(the(), 'repogate_session_refreshes_total{result="ended"}');
    await the().provider.deactivate('dave');
    await until(the(), cookie, 401, 'login_required');
    assert.equal(await metric(the(), 'repogate_session_refreshes_total{result="ended"}'), ended + 1);
    the().provider.updateUser('dave', { active: true });
    assert.equal((await ask(the(), { cookie })).status, 401, 'this session is over for good');
  });

  for (const fault of ['groups_missing', 'repogate_missing', 'repogate_wrong_type']) {
    test(`claims that go missing (${fault}) are not what they were at the login`, async () => {
      const cookie = await sessionCookie(the(), 'dora');
      the().provider.setFaults({ claims: fault });
      await until(the(), cookie, 403, 'claims_missing');
      the().provider.setFaults();
      await until(the(), cookie, 200);
    });
  }

  test('G8: an answer about somebody else ends the session', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    the().provider.setFaults({ endpoints: { userinfo: { set: { sub: 'somebody-else' } } } });
    await until(the(), cookie, 401, 'login_required');
    the().provider.setFaults();
    assert.equal((await ask(the(), { cookie })).status, 401);
    await sessionCookie(the(), 'dora'); // a new login is no problem
  });

  test('C10: a session that has ended at the provider ends here, though its refresh token lives', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    const before = grants(the());
    await the().provider.endSessionsOf('dora');
    await until(the(), cookie, 401, 'login_required');
    assert.equal(grants(the()), before + 1, 'the grant was tried, and came without the sid');
  });

  test('an access token that lapses is replaced in time, each refresh token spent once', async () => {
    const cookie = await grantingCookie(the(), 'dora');
    const before = grants(the());
    await waitFor('three grants', async () => {
      assert.equal((await ask(the(), { cookie })).status, 200);
      return grants(the()) >= before + 3;
    });
    the().provider.accessTokenSeconds = 3600;
  });

  test('an access token that is refused, and no other to be had, ends the session', async () => {
    const cookie = await sessionCookie(the(), 'guest');
    assert.equal((await ask(the(), { cookie })).status, 403);
    the().provider.setFaults({ endpoints: { userinfo: 'forbidden', token: { error: 'invalid_grant' } } });
    await until(the(), cookie, 401, 'login_required');
  });
});

describeStand('no refresh token', { config: { ...SOON, oidc: { scopes: ['openid', 'profile', 'email', 'entitlements', 'repogate'] } } }, (the) => {
  test('C9: a session ends with its access token', async () => {
    const cookie = await grantingCookie(the(), 'dora');
    assert.equal((await ask(the(), { cookie })).status, 200);
    await until(the(), cookie, 401, 'login_required');
    assert.equal(grants(the()), 0);
  });
});

describeStand('a provider that is away', { config: SOON }, (the) => {
  afterEach(() => repair(the()));

  test('old claims serve for the grace and are marked; the session comes back without a login', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    the().provider.setFaults({ endpoints: { all: 'down' } });
    const { subject } = await waitFor('a stale decision', async () => {
      const line = await lineOf(the(), await ask(the(), { cookie }));
      return line.subject?.stale && line;
    });
    assert.deepEqual([subject.stale, subject.username], [true, 'dora']);
    assert.ok((await metric(the(), 'repogate_stale_sessions_served_total')) >= 1);
    const answer = await until(the(), cookie, 401, 'login_required');
    assert.match((await lineOf(the(), answer)).reason.text, /session\.grace/);
    the().provider.setFaults();
    await until(the(), cookie, 200);
    assert.equal(grants(the()), 0);
  });

  for (const fault of ['html', 'truncated']) {
    test(`userinfo that is no answer (${fault}) lets nobody in for longer, and nobody out for good`, async () => {
      const cookie = await sessionCookie(the(), 'dora');
      the().provider.setFaults({ endpoints: { userinfo: fault } });
      await until(the(), cookie, 401, 'login_required');
      the().provider.setFaults();
      await until(the(), cookie, 200);
    });
  }

  test('a grant that was refused for our own fault changes nothing', async () => {
    const cookie = await grantingCookie(the(), 'dora');
    the().provider.setFaults({ endpoints: { token: { error: 'invalid_client' } } });
    await until(the(), cookie, 401, 'login_required');
    the().provider.setFaults();
    await until(the(), cookie, 200);
  });
});

describeStand('a provider that is asked at a bounded rate', { config: PATIENT }, (the) => {
  test('while it is away nobody waits, and few ask', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    the().provider.setFaults({ endpoints: { userinfo: 'down' } });
    await waitFor('the first failure', async () => {
      assert.equal((await ask(the(), { cookie })).status, 200);
      return (await metric(the(), 'repogate_session_refreshes_total{result="failed"}')) === 1;
    });
    const before = the().provider.counts.userinfo;
    for (let i = 0; i < 50; i++) assert.equal((await ask(the(), { cookie })).status, 200);
    assert.ok(the().provider.counts.userinfo <= before + 2, 'fifty requests, at most one more question or two');
    repair(the());
  });
});

describeStand('answers to a grant that are lost', { config: PATIENT }, (the) => {
  afterEach(() => repair(the()));

  for (const fault of ['lost', 'truncated', 'cut_json', 'empty', 'down', 'busy', 'html', 'garbage', 'huge']) {
    test(`${fault}: the session ends, and the refresh token is not sent again`, async () => {
      const cookie = await grantingCookie(the(), 'dora');
      const before = grants(the());
      the().provider.setFaults({ endpoints: { [GRANT]: fault } });
      await until(the(), cookie, 401, 'login_required');
      the().provider.setFaults();
      for (let i = 0; i < 3; i++) assert.equal((await ask(the(), { cookie })).status, 401);
      assert.equal(grants(the()), before + 1);
    });
  }

  test('a refresh token that is refused ends the session', async () => {
    const cookie = await grantingCookie(the(), 'dora');
    the().provider.setFaults({ endpoints: { [GRANT]: { error: 'invalid_grant' } } });
    await until(the(), cookie, 401, 'login_required');
    assert.equal((await ask(the(), { cookie })).status, 401);
  });

  for (const fault of ['bad_signature', 'wrong_iss', 'wrong_aud', 'expired']) {
    test(`a refreshed ID token with ${fault} ends the session`, async (t) => {
      const cookie = await grantingCookie(the(), 'dora');
      try {
        the().provider.setFaults({ id_token: fault });
      } catch {
        t.diagnostic(`the provider cannot lie like that`);
        assert.fail(`no such fault: ${fault}`);
      }
      await until(the(), cookie, 401, 'login_required');
    });
  }
});

describeStand('logging out during a refresh', { config: PATIENT }, (the) => {
  const over = [];
  afterEach(() => repair(the()));

  const logout = (cookie) => the().request('/_repogate/logout', {
    method: 'POST',
    headers: { cookie, origin: the().url, 'content-type': 'application/x-www-form-urlencoded' },
    body: '',
  });

  const steps = {
    'userinfo asked': { hold: ['userinfo'] },
    'userinfo answered': { hold: ['userinfo', { answered: true }] },
    'the grant asked': { hold: [GRANT], isGranting: true },
    'the grant answered': { hold: [GRANT, { answered: true }], isGranting: true },
    'between grant and userinfo': { hold: ['userinfo'], isGranting: true },
  };
  for (const [name, { hold, isGranting }] of Object.entries(steps)) {
    test(`${name}: nobody comes back`, async () => {
      const cookie = await (isGranting ? grantingCookie : sessionCookie)(the(), 'dora');
      the().provider.hold(...hold);
      const { answer: waiting } = await askUntilHeld(the(), cookie, hold[0]);
      assert.equal((await logout(cookie)).status, 200, 'logging out waits for nobody');
      assert.equal((await ask(the(), { cookie })).status, 401);
      the().provider.release();
      const answer = await waiting;
      assert.deepEqual([answer.status, answer.reason], [401, 'login_required']);
      assert.equal((await ask(the(), { cookie })).status, 401);
      over.push(cookie);
    });
  }

  test('no row has come back either', async () => {
    assert.equal(over.length, Object.keys(steps).length);
    await the().restart();
    for (const cookie of over) assert.equal((await ask(the(), { cookie })).status, 401);
  });
});

describeStand('killed while a grant is under way', { config: PATIENT }, (the) => {
  // Nobody knows whether the provider has spent the refresh token: it has, here.
  test('the session ends in a new login, and the refresh token is not sent again', async () => {
    const cookie = await grantingCookie(the(), 'dora');
    the().provider.hold(GRANT, { answered: true });
    const { answer } = await askUntilHeld(the(), cookie, GRANT);
    await the().restart({ signal: 'SIGKILL' });
    await answer.catch(() => {});
    the().provider.release();
    const before = grants(the());
    // The lease of the dead runs out first; old claims serve so long.
    await waitFor('the end', async () => (await the().request('/github/acme/site/', { headers: { cookie } })).status === 401, { timeoutMs: 60000 });
    assert.equal(grants(the()), before);
    await waitFor('the reason in the log', () => /its refresh token was spent, and the answer never stored/.test(the().output()));
    await sessionCookie(the(), 'dora');
  });
});

describeStand('stopped while a refresh is under way', { config: PATIENT }, (the) => {
  /* Over the one connection that the agent keeps: while it stops, the gateway takes no new ones. */
  const askOver = (agent, cookie, path) => request(the().gateway.url, { path, agent, headers: { cookie, host: new URL(the().url).host } });

  test('whoever waits for it when the time to finish has passed does no harm', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const second = await sessionCookie(the(), 'guest'); // the older one: it has lapsed by the time that the first has
    const first = await sessionCookie(the(), 'dora');
    the().provider.hold('userinfo');
    const { answer } = await askUntilHeld(the(), first, 'userinfo');
    await askOver(agent, first, '/health');
    the().gateway.kill('SIGTERM');
    await waitFor('the stop', () => the().output().includes('stopping'));
    const late = askOver(agent, second, '/_repogate/login').catch(() => {});
    assert.deepEqual(await the().gateway.child.exited, { code: 0, signal: null });
    await Promise.all([late, answer.catch(() => {})]);
    agent.destroy();
  });
});

describeStand('a thousand at once', { config: { session: { refresh: '3s', grace: '10m' } } }, (the) => {
  const N = 1000;

  test(`${N} requests on a session that needs a grant make one token request, and one to userinfo`, async () => {
    const cookie = await grantingCookie(the(), 'dora');
    the().provider.accessTokenSeconds = 3600;
    the().provider.hold(GRANT);
    const { answer: first } = await askUntilHeld(the(), cookie, GRANT);
    const before = { grants: grants(the()), userinfo: the().provider.counts.userinfo, requests: await metric(the(), 'repogate_requests_total') };
    const all = Array.from({ length: N - 1 }, () => ask(the(), { cookie }));
    await waitFor(`${N} requests under way`, async () => (await metric(the(), 'repogate_requests_total')) >= before.requests + N - 1);
    the().provider.release();
    for (const answer of await Promise.all([first, ...all])) assert.equal(answer.status, 200);
    assert.equal(grants(the()), before.grants, 'the one that was held');
    assert.equal(the().provider.counts.userinfo, before.userinfo + 1);
  });
});
