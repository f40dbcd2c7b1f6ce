// The end of a session, whoever ends it: the provider over the back channel, the person at the logout page, and what is under way or open meanwhile.
// THREATS groups F (sessions that outlive a logout), T (tokens of one purpose used for another).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { TOKEN_FAULTS } from '../../authentik/dev/keys.mjs';
import { LOGOUT_EVENT } from '../../authentik/dev/backchannel.mjs';
import { closeStand, describeStand, describeTopologies, formsOf, request, sessionCookie, startStand, variant, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const PATH = '/_repogate/backchannel-logout';
const HOUR = 3600;

const claimsOf = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url').toString());
const now = () => Math.floor(Date.now() / 1000);

/* What a cookie is worth: 200 or 401. */
const worth = async (stand, cookie) => (await stand.request(`${SITE}echo`, { headers: { cookie } })).status;

/* Someone logged in: the cookie, and which of the provider's sessions it came from. */
async function loggedIn(stand, username) {
  const before = new Set(stand.provider.sessionsOf(username).map(({ sid }) => sid));
  const cookie = await sessionCookie(stand, username);
  const { sid } = stand.provider.sessionsOf(username).find((one) => !before.has(one.sid));
  return { cookie, sid };
}

/* A logout by sub speaks of all that was issued by its iat, in whole seconds: who logs in again does so later. */
const untilAfter = (token) => waitFor('the second to be over', () => now() > claimsOf(token).iat);

const send = (stand, options) => stand.provider.sendLogout(`${stand.url}${PATH}`, options);
const isBackchannel = ({ type, sessions }) => type === 'logout' && sessions?.how === 'backchannel';

/* An open WebSocket that has spoken, and `cut()`, which comes when it is. */
async function openSocket(stand, headers, base = stand.url) {
  const socket = new WebSocket(`${base.replace('http', 'ws')}${SITE}ws-echo`, { origin: stand.url, headers: { host: new URL(stand.url).host, ...headers } });
  socket.on('error', () => {});
  await once(socket, 'open');
  socket.send('hello');
  await once(socket, 'message');
  return { socket, cut: () => waitFor('the WebSocket to be cut', () => socket.readyState === WebSocket.CLOSED) };
}

describeTopologies('back-channel logout', {}, (the) => {
  test('by sid: that session ends and no other', async () => {
    const one = await loggedIn(the(), 'dora');
    const other = await loggedIn(the(), 'dora');
    const dave = await loggedIn(the(), 'dave');
    const answer = await send(the(), { by: 'sid', sid: one.sid });
    assert.deepEqual([answer.status, answer.headers['cache-control']], [200, 'no-store']);
    for (let i = 0; i < 6; i++) assert.equal(await worth(the(), one.cookie), 401, 'on each thread');
    assert.equal(await worth(the(), other.cookie), 200);
    assert.equal(await worth(the(), dave.cookie), 200);
    const [line] = await the().auditUntil((entry) => isBackchannel(entry) && entry.sessions.name === one.sid);
    assert.deepEqual([line.outcome, line.reason.code, line.sessions], ['ok', 'backchannel', { how: 'backchannel', by: 'sid', name: one.sid, count: 1 }]);
    assert.equal(line.subject.iss, the().provider.issuer);
  });

  test('by sub: all of that person', async () => {
    const mine = [await loggedIn(the(), 'dora'), await loggedIn(the(), 'dora')];
    const dave = await loggedIn(the(), 'dave');
    const answer = await send(the(), { by: 'sub', username: 'dora' });
    assert.equal(answer.status, 200);
    for (const { cookie } of mine) assert.equal(await worth(the(), cookie), 401);
    assert.equal(await worth(the(), dave.cookie), 200);
    const [line] = await the().auditUntil((entry) => isBackchannel(entry) && entry.sessions.by === 'sub');
    assert.equal(line.subject.uid, claimsOf(answer.token).sub);
    assert.ok(line.sessions.count >= 2);
    await untilAfter(answer.token);
  });

  test('with both, the sid says which', async () => {
    const one = await loggedIn(the(), 'guest');
    const other = await loggedIn(the(), 'guest');
    assert.equal((await send(the(), { username: 'guest', by: 'both', sid: one.sid })).status, 200);
    const known = async ({ cookie }) => (await the().request('/_repogate/whoami', { headers: { cookie } })).status;
    assert.deepEqual([await known(one), await known(other)], [401, 200]);
  });

  test('old tokens too: typ JWT, and then even without exp', async () => {
    for (const claims of [{}, { exp: null }]) {
      const { cookie, sid } = await loggedIn(the(), 'dora');
      assert.equal((await send(the(), { by: 'sid', sid, header: { typ: 'JWT' }, claims })).status, 200);
      assert.equal(await worth(the(), cookie), 401);
    }
  });

  test('duplicates are answered 200: two messages about one session, and one message twice', async () => {
    const { cookie, sid } = await loggedIn(the(), 'dora');
    const first = await send(the(), { by: 'sid', sid });
    const second = await send(the(), { by: 'sid', sid });
    const again = await send(the(), { token: first.token });
    assert.deepEqual([first.status, second.status, again.status], [200, 200, 200]);
    assert.equal(await worth(the(), cookie), 401);
  });

  test('a token that was used does nothing more', async () => {
    await loggedIn(the(), 'dora');
    const { token, status } = await send(the(), { by: 'sub', username: 'dora' });
    assert.equal(status, 200);
    await untilAfter(token);
    const later = await loggedIn(the(), 'dora');
    const browser = the().browser();
    const begun = await browser.visit('/_repogate/login'); // a login that a tombstone of now would refuse
    const { length } = await the().auditUntil(isBackchannel);
    assert.equal((await send(the(), { token })).status, 200);
    assert.equal(await worth(the(), later.cookie), 200);
    await browser.submit(formsOf(begun)[0], { username: 'dora', password: 'dora-demo' });
    assert.ok(browser.jar.for(`${the().url}/`).some(({ name }) => name === 'repogate'));
    assert.ok(!browser.history.some(({ url }) => url.includes('again')), 'at the first go');
    assert.equal((await the().auditLines()).filter(isBackchannel).length, length, 'nothing was done, so nothing is written');
  });

  test('the jti of one token is no other’s', async () => {
    const one = await loggedIn(the(), 'dave');
    const other = await loggedIn(the(), 'dave');
    const jti = `j-${one.sid}`;
    assert.equal((await send(the(), { username: 'dave', by: 'sid', sid: one.sid, claims: { jti } })).status, 200);
    const answer = await send(the(), { username: 'dave', by: 'sid', sid: other.sid, claims: { jti } });
    assert.equal(answer.status, 400);
    assert.equal(await worth(the(), other.cookie), 200);
    assert.equal((await send(the(), { token: answer.token })).status, 400, 'nor when it comes again');
  });
});

describeStand('logout tokens that are none', {}, (the) => {
  let cookie;
  let sid;
  let sub;

  before(async () => {
    ({ cookie, sid } = await loggedIn(the(), 'dora'));
    sub = claimsOf(the().provider.logoutToken({ by: 'sub' })).sub;
  });

  // Each would end dora's session if only that one thing about it were right.
  const CASES = {
    'another aud': { claims: { aud: 'another-client' } },
    'two aud': { claims: { aud: ['repogate', 'another-client'] } },
    'another iss': { claims: { iss: 'https://elsewhere.example/application/o/repogate/' } },
    'typ of an access token': { header: { typ: 'at+jwt' } },
    'a nonce': { claims: { nonce: 'n' } },
    'no events': { claims: { events: null } },
    'another event': { claims: { events: { 'http://schemas.openid.net/event/other': {} } } },
    'an event that is no object': { claims: { events: { [LOGOUT_EVENT]: true } } },
    'no jti': { claims: { jti: null } },
    'no iat': { claims: { iat: null } },
    expired: { claims: { iat: now() - 2 * HOUR, exp: now() - HOUR } },
    'from the future': { claims: { iat: now() + HOUR, exp: now() + 2 * HOUR } },
    'no exp, though typ logout+jwt': { claims: { exp: null } },
    'no exp, and old': { header: { typ: 'JWT' }, claims: { exp: null, iat: now() - HOUR } },
    'a sid that is no text': { claims: { sid: 7 } },
    'neither sid nor sub': { claims: { sid: null, sub: null } },
    'the marks of an access token': { claims: { azp: 'repogate', uid: 'u', scope: 'openid' } },
    'an unknown kid': { header: { kid: 'nobody-knows-this-key' } },
  };

  for (const [name, options] of Object.entries(CASES)) {
    test(`refused: ${name}`, async () => {
      const answer = await send(the(), { by: 'both', sid, ...options });
      assert.equal(answer.status, 400);
      assert.match(answer.headers['content-type'], /^application\/json/);
      assert.equal(answer.headers['cache-control'], 'no-store');
      const { error, error_description: why } = JSON.parse(answer.text);
      assert.equal(error, 'invalid_request');
      assert.ok(why.length > 0);
      assert.equal(await worth(the(), cookie), 200);
    });
  }

  for (const fault of ['alg_none', 'bad_signature', 'five_parts', 'payload_array', 'duplicate_alg']) {
    test(`refused: ${fault}`, async () => {
      const token = TOKEN_FAULTS[fault](the().provider.keys, claimsOf(the().provider.logoutToken({ sid })));
      assert.equal((await send(the(), { token })).status, 400);
      assert.equal(await worth(the(), cookie), 200);
    });
  }

  test('an access token and an ID token log nobody out, and a logout token lets nobody in', async () => {
    for (const kind of ['access', 'id']) assert.equal((await send(the(), { token: the().provider.mint({ kind, sid }) })).status, 400, kind);
    const token = the().provider.logoutToken({ sid: 'another', sub });
    assert.equal((await the().request(`${SITE}echo`, { headers: { authorization: `Bearer ${token}` } })).status, 401);
    assert.equal(await worth(the(), cookie), 200);
  });

  test('forms that are none', async () => {
    const token = the().provider.logoutToken({ sid });
    const url = `${the().url}${PATH}`;
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    for (const body of ['', 'logout_token=', `logout_token=${token}&logout_token=${token}`, `token=${token}`, JSON.stringify({ logout_token: token }), `logout_token=${'x'.repeat(20000)}`, 'logout_token=%']) {
      assert.ok([400, 413].includes((await request(url, { method: 'POST', headers: form, body })).status), body.slice(0, 30));
    }
    assert.equal((await request(`${url}?logout_token=${token}`, { method: 'POST', headers: form })).status, 400);
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
      const answer = await request(`${url}?logout_token=${token}`, { method });
      assert.deepEqual([answer.status, answer.headers.allow], [405, 'POST'], method);
    }
    assert.equal(await worth(the(), cookie), 200);
  });

  test('each refusal is in the audit log, but endless ones do not fill it', async () => {
    const isRefused = ({ type, outcome, reason }) => type === 'logout' && outcome === 'failed' && reason.code === 'invalid_logout_token';
    const [line] = await the().auditUntil(isRefused);
    assert.ok(line.reason.text.length > 0);
    const statuses = [];
    for (let i = 0; i < 300; i++) statuses.push((await send(the(), { token: 'x.y.z' })).status);
    assert.ok(statuses.includes(429));
    assert.ok((await the().auditLines()).filter(isRefused).length < 200); // 60, and one for each second that it took
    assert.equal((await send(the(), { by: 'sid', sid })).status, 200, 'a good one passes all the same');
    assert.equal(await worth(the(), cookie), 401);
  });
});

describe('a back-channel logout that cannot be judged or carried out yet', () => {
  let stand;

  before(async () => { stand = await startStand({ variant: variant() }); });
  after(() => closeStand(stand));

  test('a key that is new since is fetched', async () => {
    const { cookie, sid } = await loggedIn(stand, 'dora');
    stand.provider.rotateKey('RS256');
    // Keys that were read a moment ago are not read again at once, so the provider tries again.
    await waitFor('the logout', async () => (await send(stand, { by: 'sid', sid })).status === 200, { timeoutMs: 20000 });
    assert.equal(await worth(stand, cookie), 401);
  });

  test('while the provider cannot be asked for its keys it is to come again', async () => {
    const { cookie, sid } = await loggedIn(stand, 'dora');
    stand.provider.setFaults({ endpoints: { all: 'down' } });
    await stand.restart();
    const early = await send(stand, { by: 'sid', sid });
    assert.equal(early.status, 503);
    assert.ok(early.headers['retry-after']);
    stand.provider.setFaults();
    await waitFor('the provider', async () => (await send(stand, { token: early.token })).status === 200, { timeoutMs: 40000 });
    assert.equal(await worth(stand, cookie), 401);
  });
});

describeTopologies('a logout while a login is under way', {}, (the) => {
  // The steps of a redemption at which the provider can be held; where it has answered inside, the sid is known already.
  const STEPS = [
    ['before the code is redeemed', 'token', {}, ['sub']],
    ['after it was redeemed', 'token', { answered: true }, ['sub', 'sid']],
    ['before userinfo', 'userinfo', {}, ['sub', 'sid']],
    ['after userinfo', 'userinfo', { answered: true }, ['sub', 'sid']],
  ];
  for (const [step, endpoint, options, ways] of STEPS) {
    for (const by of ways) {
      test(`held ${step}, it does not survive a logout by ${by}`, async () => {
        const { length } = await the().auditLines();
        const browser = the().browser();
        const form = formsOf(await browser.visit('/_repogate/login')).find(({ fields }) => 'password' in fields);
        const before = new Set(the().provider.sessionsOf('dora').map(({ sid }) => sid));
        the().provider.hold(endpoint, options);
        const arriving = browser.submit(form, { username: 'dora', password: 'dora-demo' });
        await the().provider.whenHeld(endpoint);
        const sid = the().provider.sessionsOf('dora').find((one) => !before.has(one.sid))?.sid;
        const { token, status } = await send(the(), { by, username: 'dora', ...(by === 'sid' && { sid }) });
        assert.equal(status, 200);
        the().provider.release();
        await arriving;
        const logins = (await the().auditLines()).slice(length).filter(({ type }) => type === 'login');
        assert.deepEqual([logins[0].outcome, logins[0].reason.code], ['failed', 'restarted']);
        assert.match(logins[0].reason.text, /logout/);
        await untilAfter(token);
      });
    }
  }
});

describeTopologies('open WebSockets', {}, (the) => {
  test('logging out in one tab cuts those of all tabs, through the proxy and direct; others stay', async () => {
    const { cookie } = await loggedIn(the(), 'dora');
    const other = await loggedIn(the(), 'dora');
    const mine = [await openSocket(the(), { cookie }), await openSocket(the(), { cookie }, the().gateway.url), await openSocket(the(), { cookie })];
    const theirs = await openSocket(the(), { cookie: other.cookie });
    const answer = await the().request('/_repogate/logout', { method: 'POST', headers: { cookie, origin: the().url, 'content-type': 'application/x-www-form-urlencoded' }, body: '' });
    assert.equal(answer.status, 200);
    await Promise.all(mine.map(({ cut }) => cut()));
    theirs.socket.send('still here');
    assert.equal((await once(theirs.socket, 'message'))[0].toString(), 'still here');
    theirs.socket.close();
  });

  test('so does the provider', async () => {
    const { cookie, sid } = await loggedIn(the(), 'dora');
    const { cut } = await openSocket(the(), { cookie });
    assert.equal((await send(the(), { by: 'sid', sid })).status, 200);
    await cut();
  });

  test('one that a bearer token opened goes with its person, not with a cookie beside it', async () => {
    const token = await the().bearer('dora');
    const bystander = await loggedIn(the(), 'dave');
    const { cut } = await openSocket(the(), { authorization: `Bearer ${token}` });
    const dave = await openSocket(the(), { cookie: bystander.cookie });
    assert.equal((await send(the(), { by: 'sub', username: 'dora' })).status, 200);
    await cut();
    dave.socket.send('still here');
    await once(dave.socket, 'message');
    dave.socket.close();
  });
});

describeStand('logging out at the provider too', { host: 'localhost' }, (the) => {
  const logoutForm = async (browser, everywhere) => {
    const page = await browser.visit('/_repogate/logout');
    return formsOf(page).find(({ method, fields }) => method === 'POST' && ('everywhere' in fields) === everywhere);
  };
  const lastLogout = async () => (await the().auditUntil(({ type }) => type === 'logout')).at(-1);

  test('here only: the provider logs in again without asking', async () => {
    const browser = the().browser();
    await browser.login('dora', SITE);
    const page = await browser.submit(await logoutForm(browser, false));
    assert.match(page.text, /not logged in here/);
    assert.match(page.text, /may still know you/);
    const { outcome, sessions, subject } = await lastLogout();
    assert.deepEqual([outcome, sessions.how, sessions.by, subject.username], ['ok', 'local', 'cookie', 'dora']);
    assert.equal((await browser.visit(SITE)).status, 200);
  });

  test('everywhere: hint, way back and state; the page says so; the provider asks again', async () => {
    const browser = the().browser();
    await browser.login('dora', SITE);
    const page = await browser.submit(await logoutForm(browser, true));
    const asked = new URL(browser.history.map(({ location }) => location).filter(Boolean).find((location) => location.includes('end-session')));
    assert.equal(asked.searchParams.get('post_logout_redirect_uri'), `${the().url}/_repogate/logout`);
    assert.equal(claimsOf(asked.searchParams.get('id_token_hint')).aud, 'repogate');
    assert.match(page.text, /logged out here and of the identity provider/);
    assert.deepEqual((await lastLogout()).sessions.how, 'provider');
    assert.ok(formsOf(await browser.visit(SITE)).some(({ fields }) => 'password' in fields));
  });

  test('the page believes no state but ours', async () => {
    for (const state of ['', 'x', 'AAAA', createHash('sha512').update('x').digest('base64url')]) {
      const answer = await the().request(`/_repogate/logout?state=${state}`, { headers: { accept: 'text/html' } });
      assert.equal(answer.status, 200);
      assert.match(answer.text, /not logged in here/);
    }
  });
});
