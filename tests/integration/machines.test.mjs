// Programs and their credentials: further issuers, app passwords, claims that are renewed, keys of every kind, secrets that change.
// THREATS groups C (staleness), F (no fall-back), G (whose token, which purpose), L (no secret in any output), T.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startProvider } from '../../authentik/dev/provider.mjs';
import { ask, closeStand, describeStand, describeTopologies, lineOf, request, sessionCookie, startStand, variant, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const VAULT = '/github/acme/vault/';
const SOON = { timeoutMs: 20000, everyMs: 100 };
const CHALLENGE = 'Bearer realm="repogate", error="invalid_token"';

const basic = (username, password) => ({ Authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` });

/* Everything that anybody could read later. */
async function everythingWritten(stand) {
  const metrics = await request(`${stand.adminUrl}/metrics`);
  return [stand.output(), await readFile(stand.auditFile, 'utf8'), metrics.text].join('\n');
}

async function metric(stand, name) {
  const { text } = await request(`${stand.adminUrl}/metrics`);
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  assert.ok(line, name);
  return Number(line.split(' ')[1]);
}

describeTopologies('F: Authorization beats the cookie, through NGINX', {}, (the) => {
  let cookie;
  before(async () => { cookie = await sessionCookie(the(), 'dora'); });

  test('G7: a good token opens what its owner may open, whoever the cookie is', async () => {
    const token = the().provider.mint({ username: 'guest' });
    assert.equal((await the().request(SITE, { headers: { cookie } })).status, 200);
    assert.equal((await the().request(SITE, { headers: { cookie, authorization: `Bearer ${token}` } })).status, 403);
    assert.equal((await the().request(SITE, { headers: { authorization: `Bearer ${the().provider.mint()}` } })).status, 200);
  });

  for (const [what, authorization] of [['a broken token', 'Bearer a.b.c'], ['no token', 'Bearer '], ['an unknown scheme', 'Negotiate x'], ['Basic, which is off', 'Basic ZG9yYTpkb3JhLWFwcC1wYXNzd29yZA==']]) {
    test(`E1, F9: ${what} is 401 with a challenge, and the good cookie beside it does not count`, async () => {
      const answer = await the().request(SITE, { headers: { cookie, authorization, accept: 'application/json' } });
      assert.equal(answer.status, 401);
      assert.equal(answer.headers['www-authenticate'], CHALLENGE);
    });
  }

  test('RFC 6750: our own pages challenge too', async () => {
    for (const path of ['/_repogate/whoami', '/']) {
      const answer = await the().request(path, { headers: { cookie, authorization: 'Bearer a.b.c', accept: 'application/json' } });
      assert.equal(answer.status, 401, path);
      assert.equal(answer.headers['www-authenticate'], CHALLENGE, path);
    }
    const nothing = await the().request('/_repogate/whoami', { headers: { accept: 'application/json' } });
    assert.deepEqual([nothing.status, nothing.headers['www-authenticate']], [401, 'Bearer realm="repogate"']);
  });
});

describe('further issuers', () => {
  let stand;
  let other;

  before(async () => {
    other = await startProvider({ clientId: 'ci' });
    stand = await startStand({ variant: variant(), config: { oidc: { bearer: [{ issuer: other.issuer, audience: 'ci' }] } } });
  });

  after(async () => {
    await closeStand(stand);
    await other.close();
  });

  test('F14, G13: a token opens what it may at the issuer that made it, and people are told apart by it', async () => {
    const theirs = await ask(stand, { token: other.mint(), url: VAULT });
    const ours = await ask(stand, { token: stand.provider.mint(), url: VAULT });
    assert.deepEqual([theirs.status, ours.status], [200, 200]);
    const [a, b] = [await lineOf(stand, theirs), await lineOf(stand, ours)];
    assert.deepEqual([a.subject.iss, b.subject.iss], [other.issuer, stand.provider.issuer]);
    assert.deepEqual([a.subject.via, a.subject.username], ['bearer', 'dora']);
  });

  test('G6, G14, T1: a key, an audience or an authorized party of one never counts at the other', async () => {
    const { provider } = stand;
    const crossed = {
      'our issuer, their key': other.mint({ issuer: provider.issuer }),
      'our issuer, their key, our kid': other.mint({ issuer: provider.issuer, header: { kid: provider.keys.kid } }),
      'our issuer and audience, their key, our kid': other.mint({ issuer: provider.issuer, claims: { aud: 'repogate', azp: 'repogate' }, header: { kid: provider.keys.kid } }),
      'their issuer, our key': provider.mint({ issuer: other.issuer }),
      'their issuer and audience, our key, their kid': provider.mint({ issuer: other.issuer, claims: { aud: 'ci', azp: 'ci' }, header: { kid: other.keys.kid } }),
      'their issuer, our audience': other.mint({ claims: { aud: 'repogate', azp: 'repogate' } }),
      'their issuer, our azp': other.mint({ claims: { azp: 'repogate' } }),
      'their audience and ours': other.mint({ claims: { aud: ['ci', 'repogate'] } }),
      'their ID token': other.mint({ kind: 'id' }),
      'their logout token': other.logoutToken({ sid: 'x' }),
      'their issuer without its slash': other.mint({ issuer: other.issuer.slice(0, -1) }),
      'no issuer': other.mint({ claims: { iss: null } }),
    };
    for (const [what, token] of Object.entries(crossed)) assert.equal((await ask(stand, { token })).status, 401, what);
  });

  test('one that is down costs its own tokens only', async () => {
    other.setFaults({ endpoints: { all: 'down' } });
    await stand.restart();
    assert.equal((await ask(stand, { token: stand.provider.mint() })).status, 200);
    const answer = await ask(stand, { token: other.mint() });
    assert.deepEqual([answer.status, answer.reason], [403, 'provider_unavailable']);
    other.setFaults({});
    const token = other.mint();
    await waitFor('it to be back', async () => (await ask(stand, { token })).status === 200, SOON);
  });
});

describe('app passwords and opaque tokens', () => {
  let stand;
  const grants = () => stand.provider.counts['token:client_credentials'] ?? 0;
  const address = (n) => ({ 'X-Real-IP': `198.51.100.${n}` });
  const onOwnRoute = (headers) => request(stand.gateway.url, { path: SITE, headers: { host: new URL(stand.url).host, accept: 'application/json', ...headers } });

  before(async () => {
    stand = await startStand({ variant: variant(), config: { server: { threads: 1 }, oidc: { introspection: true }, session: { refresh: '2s' } } });
  });
  beforeEach(() => stand.provider.setFaults({}));
  after(() => closeStand(stand));

  test('G7: an app password opens what its owner may open; one grant serves many requests', async () => {
    const before = grants();
    for (const [username, url, status] of [['dora', VAULT, 200], ['dave', VAULT, 403], ['ci-bot', SITE, 200]]) {
      const headers = basic(username, `${username}-app-password`);
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(stand, { headers, url })));
      assert.deepEqual([...new Set(answers.map((one) => one.status))], [status], `${username} ${url}`);
      const { subject } = await lineOf(stand, answers[0]);
      assert.deepEqual([subject.username, subject.via], [username, 'basic']);
    }
    assert.equal(grants() - before, 3);
  });

  test('through NGINX too', async () => {
    const authorization = basic('dora', 'dora-app-password').Authorization;
    assert.equal((await stand.request(SITE, { headers: { authorization } })).status, 200);
    assert.equal((await stand.request(SITE, { headers: { authorization: basic('dora', 'x').Authorization, accept: 'application/json' } })).status, 401);
  });

  test("Authentik's user goauthentik.io/token makes the password a bearer token", async () => {
    const answer = await ask(stand, { headers: basic('goauthentik.io/token', stand.provider.mint()) });
    assert.equal(answer.status, 200);
    assert.equal((await lineOf(stand, answer)).subject.via, 'bearer');
    assert.equal((await ask(stand, { headers: basic('goauthentik.io/token', 'a.b.c') })).status, 401);
  });

  test('E7: no oracle: an unknown user and a wrong password get the same answer and the same line', async () => {
    const shapes = [];
    for (const [username, password] of [['dora', 'wrong'], ['nobody-here', 'wrong'], ['dora', 'dora-demo'], ['dora', '']]) {
      const answer = await ask(stand, { headers: { ...basic(username, password), ...address(1) } });
      const line = await lineOf(stand, answer);
      if (password !== '') shapes.push(JSON.stringify([answer.status, answer.values('www-authenticate'), answer.reason, line.reason, line.outcome, line.subject ?? null]));
      assert.equal(answer.status, 401);
    }
    assert.equal(new Set(shapes).size, 1, shapes.join('\n'));
  });

  test('a wrong one is asked about once', async () => {
    const before = grants();
    const headers = { ...basic('dora', 'wrong again'), ...address(1) };
    for (let i = 0; i < 10; i++) assert.equal((await ask(stand, { headers })).status, 401);
    assert.equal(grants() - before, 1);
  });

  test('what is not Basic is refused unasked', async () => {
    const before = grants();
    for (const Authorization of ['Basic', 'Basic ', 'Basic x', 'Basic ====', `Basic ${Buffer.from('dora').toString('base64')}`, `Basic ${Buffer.from('dora:dora-app-password').toString('base64').replace(/=*$/, '')}`,
      `Basic ${Buffer.from('dora\0:dora-app-password').toString('base64')}`, 'BasicZG9yYTpkb3JhLWFwcC1wYXNzd29yZA==', `Basic ${Buffer.from(`dora:${'x'.repeat(3000)}`).toString('base64')}`]) {
      assert.equal((await ask(stand, { headers: { Authorization } })).status, 401, Authorization.slice(0, 30));
    }
    assert.equal(grants(), before);
  });

  test('C7, C9: a changed app password ends the old one', async () => {
    const headers = basic('dave', 'dave-app-password');
    assert.equal((await ask(stand, { headers })).status, 200);
    stand.provider.updateUser('dave', { appPassword: 'another-app-password' });
    await waitFor('the old one to be refused', async () => (await ask(stand, { headers })).status === 401, SOON);
    assert.equal((await ask(stand, { headers: basic('dave', 'another-app-password') })).status, 200);
    stand.provider.updateUser('dave', { appPassword: 'dave-app-password' });
  });

  test('opaque tokens that the provider does not vouch for are refused, and asked about once', async () => {
    const before = stand.provider.counts.introspection ?? 0;
    for (let i = 0; i < 5; i++) assert.equal((await ask(stand, { token: 'opaque-and-unknown', headers: address(2) })).status, 401);
    assert.equal((stand.provider.counts.introspection ?? 0) - before, 1);
  });

  const vouched = () => ({ active: true, iss: stand.provider.issuer, sub: stand.provider.people.find('dora').sub, aud: 'repogate', client_id: 'repogate', exp: 4102444800, iat: 1, scope: 'openid' });

  test('G6: introspection that vouches for another client is no reason', async () => {
    let n = 0;
    for (const wrong of [{ client_id: 'another' }, { aud: 'another' }, { iss: 'http://127.0.0.1:1/' }, { active: 'true' }, { sub: null }, { exp: 1 }]) {
      const body = Object.fromEntries(Object.entries({ ...vouched(), ...wrong }).filter(([, value]) => value !== null));
      stand.provider.setFaults({ endpoints: { introspection: { status: 200, body }, userinfo: { status: 200, body: { sub: vouched().sub, groups: ['admins'], repogate: { v: 1, groups: ['admins'] } } } } });
      assert.equal((await ask(stand, { token: `opaque-${n++}`, headers: address(3) })).status, 401, JSON.stringify(wrong));
    }
  });

  test('G11: a refresh token, which Authentik calls active too, is no access token', async () => {
    stand.provider.setFaults({ endpoints: { introspection: { status: 200, body: vouched() } } });
    const answer = await ask(stand, { token: 'a-refresh-token', headers: address(3) });
    assert.equal(answer.status, 401);
  });

  test('an opaque token opens what userinfo says of its owner', async () => {
    stand.provider.setFaults({ endpoints: { introspection: { status: 200, body: vouched() }, userinfo: { status: 200, body: { sub: vouched().sub, preferred_username: 'dora', repogate: { v: 1, groups: ['admins'] } } } } });
    const answer = await ask(stand, { token: 'a-good-opaque-token' });
    assert.equal(answer.status, 200);
    assert.equal((await lineOf(stand, answer)).subject.via, 'bearer');
  });

  test('when the provider cannot be asked the answer is not 401', async () => {
    stand.provider.setFaults({ endpoints: { token: 'down', introspection: 'down' } });
    for (const options of [{ headers: basic('dora', 'not seen yet') }, { token: 'opaque-not-seen-yet' }]) {
      const answer = await ask(stand, options);
      assert.deepEqual([answer.status, answer.reason], [403, 'provider_unavailable']);
    }
    const own = await onOwnRoute(basic('dora', 'not seen yet either'));
    assert.deepEqual([own.status, own.json().reason], [503, 'provider_unavailable']);
  });

  test('I3, F7: an address that goes on guessing is limited, others are not', async () => {
    let limited;
    for (let i = 0; i < 40 && !limited; i++) {
      const answer = await ask(stand, { headers: { ...basic('dora', `guess-${i}`), ...address(9) } });
      if (answer.status === 401) continue;
      limited = answer;
      assert.equal(i, 30);
    }
    assert.deepEqual([limited?.status, limited?.reason], [403, 'rate_limited']);
    assert.equal((await lineOf(stand, limited)).reason.code, 'rate_limited');
    assert.equal((await ask(stand, { headers: { ...basic('dora', 'dora-app-password'), ...address(10) } })).status, 200);
    assert.equal((await ask(stand, { token: stand.provider.mint(), headers: address(9) })).status, 200);
    assert.ok((await metric(stand, 'repogate_credential_checks_total{result="limited"}')) >= 1);
  });

  test('our own routes say 429', async () => {
    let answer;
    for (let i = 0; i < 40 && answer?.status !== 429; i++) {
      answer = await onOwnRoute({ ...basic('dora', `again-${i}`), 'x-forwarded-for': '198.51.100.11' });
    }
    assert.deepEqual([answer.status, answer.json().reason], [429, 'rate_limited']);
    assert.ok(Number(answer.headers['retry-after']) > 0);
  });

  test('I3, F7: guesses at a login count for their address too', async () => {
    for (let i = 0; i < 30; i++) {
      await request(stand.gateway.url, { path: '/_repogate/login', headers: { ...basic('dora', `there-${i}`), 'x-forwarded-for': '198.51.100.12' } });
    }
    const answer = await onOwnRoute({ ...basic('dora', 'there-30'), 'x-forwarded-for': '198.51.100.12' });
    assert.deepEqual([answer.status, answer.json().reason], [429, 'rate_limited']);
  });

  test('L3: no password and no token anywhere', async () => {
    const written = await everythingWritten(stand);
    const secrets = ['dora-app-password', 'dave-app-password', 'guess-', 'a-good-opaque-token', 'a-refresh-token', stand.provider.clientSecret, Buffer.from('dora:dora-app-password').toString('base64'), 'eyJ'];
    for (const secret of secrets) assert.ok(!written.includes(secret), secret);
  });
});

describe('claims of tokens are renewed', () => {
  let stand;
  const userinfos = () => stand.provider.counts.userinfo ?? 0;

  before(async () => {
    stand = await startStand({ variant: variant(), config: { server: { threads: 1 }, session: { refresh: '1s', grace: '1h' } } });
  });
  beforeEach(() => stand.provider.setFaults({}));
  after(() => closeStand(stand));

  test('C4, C5: a group that was taken away denies within session.refresh', async () => {
    const token = await stand.bearer('dora');
    assert.equal((await ask(stand, { token, url: VAULT })).status, 200);
    stand.provider.updateUser('dora', { groups: [] });
    await waitFor('the group to count no more', async () => (await ask(stand, { token, url: VAULT })).status === 403, SOON);
    stand.provider.updateUser('dora', { groups: ['developers'] });
    await waitFor('and to count again', async () => (await ask(stand, { token, url: VAULT })).status === 200, SOON);
  });

  test('a thousand requests that wait for it ask once', async () => {
    const token = await stand.bearer('dora');
    const before = userinfos();
    stand.provider.hold('userinfo');
    const first = [];
    await waitFor('claims to be old', async () => {
      first.push(ask(stand, { token }));
      return stand.provider.held('userinfo') > 0;
    }, SOON);
    const rest = Array.from({ length: 200 }, () => ask(stand, { token }));
    stand.provider.release('userinfo');
    for (const { status } of await Promise.all([...first, ...rest])) assert.equal(status, 200);
    assert.ok(userinfos() - before <= 2, `${userinfos() - before} requests to userinfo`);
  });

  test('while the provider is away old claims serve, and are renewed when it is back', async () => {
    const token = await stand.bearer('dora');
    assert.equal((await ask(stand, { token })).status, 200);
    const before = userinfos();
    stand.provider.setFaults({ endpoints: { userinfo: 'down' } });
    await waitFor('claims to be old', async () => {
      assert.equal((await ask(stand, { token })).status, 200);
      return userinfos() > before;
    }, SOON);
    assert.equal((await ask(stand, { token })).status, 200);
    stand.provider.setFaults({});
    stand.provider.updateUser('dora', { groups: [] });
    await waitFor('them to be renewed', async () => (await ask(stand, { token })).status === 403, SOON);
    stand.provider.updateUser('dora', { groups: ['developers'] });
  });

  test('C7, C8: somebody who was deactivated is out', async () => {
    const token = await stand.bearer('ci-bot');
    assert.equal((await ask(stand, { token })).status, 200);
    await stand.provider.deactivate('ci-bot');
    await waitFor('the token to be refused', async () => (await ask(stand, { token })).status === 401, SOON);
    assert.equal((await ask(stand, { token })).status, 401, 'and it does not come back by its signature');
    await stand.restart();
    await waitFor('the same after a restart', async () => (await ask(stand, { token })).status === 401, SOON);
  });
});

describe('keys', () => {
  let stand;
  before(async () => {
    stand = await startStand({ variant: variant(), config: { server: { threads: 1 }, oidc: { algorithms: ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'] } } });
  });
  after(() => closeStand(stand));

  test('rotation mid-flight: what the new key signs is accepted without a restart, what the withdrawn one signed no more', async () => {
    const old = stand.provider.mint();
    assert.equal((await ask(stand, { token: old })).status, 200);
    const before = stand.provider.counts.jwks;
    stand.provider.rotateKey('ES256');
    const token = stand.provider.mint();
    await waitFor('the new key', async () => (await ask(stand, { token })).status === 200, SOON);
    assert.equal((await ask(stand, { token: old })).status, 401);
    assert.equal(stand.provider.counts.jwks, before + 1, 'read once');
  });

  test('several keys at once, of every kind', async () => {
    const tokens = [stand.provider.mint()];
    for (const alg of ['ES384', 'ES512', 'EdDSA', 'RS256']) {
      stand.provider.rotateKey(alg, { keep: true });
      tokens.push(stand.provider.mint());
    }
    await waitFor('the latest key', async () => (await ask(stand, { token: tokens.at(-1) })).status === 200, SOON);
    for (const token of tokens) assert.equal((await ask(stand, { token })).status, 200, token.split('.')[0]);
  });

  test('T2: without a signing key at the provider nothing is accepted by the secret', async () => {
    const known = stand.provider.mint();
    assert.equal((await ask(stand, { token: known })).status, 200);
    stand.provider.rotateKey('HS256');
    assert.notEqual((await ask(stand, { token: stand.provider.mint() })).status, 200);
    stand.provider.rotateKey('RS256');
  });
});

describe('HS256, only where it is listed', () => {
  let stand;
  before(async () => {
    stand = await startStand({ variant: variant(), config: { oidc: { algorithms: ['HS256'] } }, beforeGateway: (one) => one.provider.rotateKey('HS256') });
  });
  after(() => closeStand(stand));

  test('{} for keys is fine, the secret signs', async () => {
    const token = stand.provider.mint();
    await waitFor('the provider to be ready', async () => (await ask(stand, { token })).status === 200, SOON);
    assert.equal((await ask(stand, { token: stand.provider.keys.sign({ sub: 'x' }) })).status, 401);
    stand.provider.rotateKey('RS256');
    assert.notEqual((await ask(stand, { token: stand.provider.mint() })).status, 200);
  });
});

describeStand('secrets that change while the gateway runs', { config: (dir) => ({ server: { proxy_secret_file: join(dir, 'proxy-secret') } }), beforeGateway: (stand) => writeFile(join(stand.dir, 'proxy-secret'), 'first\n') }, (the) => {
  const at = (name) => join(the().dir, name);
  const reloads = (result) => metric(the(), `repogate_secret_reloads_total{result="${result}"}`);
  const knowing = (secret) => ({ 'X-Repogate-Proxy-Secret': secret });
  /* By renaming a new file over it, or by writing into it; SIGHUP, so as not to wait for the timer. */
  const change = async (name, text, { inPlace = false } = {}) => {
    const before = [await reloads('ok'), await reloads('rejected')];
    await writeFile(inPlace ? at(name) : at(`${name}.new`), text);
    if (!inPlace) await rename(at(`${name}.new`), at(name));
    the().gateway.reload();
    await waitFor(`${name} to be read`, async () => (await reloads('ok')) > before[0] || (await reloads('rejected')) > before[1], SOON);
  };

  test('session keys: nobody is logged out, and the new key seals', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    const old = await readFile(at('session.key'), 'utf8');
    await writeFile(at('rotated.key'), old);
    assert.equal(spawnSync(the().gateway.program, ['keygen', 'session', '--rotate', at('rotated.key')]).status, 0);
    const rotated = await readFile(at('rotated.key'), 'utf8');
    await change('session.key', rotated);
    assert.equal((await ask(the(), { cookie, headers: knowing('first') })).status, 200);
    const fresh = await sessionCookie(the(), 'dave');
    /* Read anew from the store, under the ring as it stands in the file. */
    await the().restart();
    for (const one of [cookie, fresh]) assert.equal((await ask(the(), { cookie: one, headers: knowing('first') })).status, 200);
    await change('session.key', `${rotated.split('\n')[0]}\n`);
    await the().restart();
    assert.equal((await ask(the(), { cookie, headers: knowing('first') })).status, 401, 'sealed by the key that is gone');
    assert.equal((await ask(the(), { cookie: fresh, headers: knowing('first') })).status, 200);
  });

  test('a broken key file changes nothing, and is told of', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    const good = await readFile(at('session.key'), 'utf8');
    const before = await reloads('rejected');
    await change('session.key', 'not a key\n', { inPlace: true });
    assert.equal(await reloads('rejected'), before + 1);
    assert.equal((await ask(the(), { cookie, headers: knowing('first') })).status, 200);
    await sessionCookie(the(), 'dave');
    assert.match(the().output(), /key=session\.key_file/);
    await writeFile(at('session.key'), good);
  });

  test('the proxy secret', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    await change('proxy-secret', 'second\n', { inPlace: true });
    assert.equal((await ask(the(), { cookie, headers: knowing('first') })).status, 403);
    assert.equal((await ask(the(), { cookie, headers: knowing('second') })).status, 200);
  });

  test('the client secret: logins go on with the new one', async () => {
    await sessionCookie(the(), 'dora');
    await change('client-secret', 'wrong-secret\n');
    await assert.rejects(sessionCookie(the(), 'dora'));
    await change('client-secret', `${the().provider.clientSecret}\n`);
    await sessionCookie(the(), 'dora');
    assert.ok(!the().output().includes(the().provider.clientSecret));
  });

  test('without SIGHUP too', async () => {
    const before = await reloads('ok');
    await writeFile(at('proxy-secret'), 'third\n');
    await waitFor('the timer', async () => (await reloads('ok')) > before, SOON);
    const cookie = await sessionCookie(the(), 'dora');
    assert.equal((await ask(the(), { cookie, headers: knowing('third') })).status, 200);
  });
});
