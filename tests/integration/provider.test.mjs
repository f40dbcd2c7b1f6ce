// The stand-in provider keeps the promises that the other tests rely on: Authentik's shapes, single use, rotation, and lies on demand.
import assert from 'node:assert/strict';
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import http from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { ANSWERS } from '../../authentik/dev/hostile.mjs';
import { startProvider } from '../../authentik/dev/provider.mjs';
import { Browser, request } from '../../scripts/lib/browser.mjs';

const REDIRECT = 'http://127.0.0.1:9/_repogate/callback';
const SCOPE = 'openid profile email entitlements offline_access repogate';

let provider;
let discovery;

before(async () => {
  provider = await startProvider({ redirectUris: [REDIRECT], logoutRedirectUris: ['http://127.0.0.1:9/'], clientSecret: 'secret' });
  discovery = (await request(`${provider.issuer}.well-known/openid-configuration`)).json();
});

beforeEach(() => {
  provider.setFaults({});
  provider.release();
  Object.assign(provider, { accessTokenSeconds: 3600, clockSkewSeconds: 0, rotatesRefreshTokens: true, reuseEndsFamily: true, logoutUri: '', logoutsSent: [], counts: {} });
});

after(() => provider.close());

function decode(jwt) {
  const [header, payload] = jwt.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
  return { header, payload };
}

async function isSigned(jwt) {
  const { keys } = (await request(discovery.jwks_uri)).json();
  const jwk = keys.find(({ kid }) => kid === decode(jwt).header.kid);
  const [head, body, signature] = jwt.split('.');
  return jwk !== undefined && verify('sha256', Buffer.from(`${head}.${body}`), createPublicKey({ key: jwk, format: 'jwk' }), Buffer.from(signature, 'base64url'));
}

async function authorize(browser, username, extra = {}) {
  const verifier = randomBytes(32).toString('base64url');
  const url = new URL(discovery.authorization_endpoint);
  url.search = new URLSearchParams({
    client_id: 'repogate',
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: SCOPE,
    state: 'state-1',
    nonce: 'nonce-1',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...extra,
  });
  // The callback has no server here: its URL is in the error that following it makes.
  let callback;
  const inner = browser.get.bind(browser);
  browser.get = async (target, options) => {
    if (target.startsWith(REDIRECT)) {
      callback = new URL(target);
      return { url: target, status: 200, headers: {}, text: '' };
    }
    return inner(target, options);
  };
  await (username ? browser.login(username, url.href) : browser.visit(url.href));
  return { verifier, callback, code: callback?.searchParams.get('code') };
}

function postForm(url, fields) {
  return request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields).toString(),
  });
}

function token(fields) {
  return postForm(discovery.token_endpoint, { client_id: 'repogate', client_secret: 'secret', ...fields });
}

function redeem({ code, verifier }) {
  return token({ grant_type: 'authorization_code', code, redirect_uri: REDIRECT, code_verifier: verifier });
}

async function loggedIn(username) {
  const browser = new Browser();
  const attempt = await authorize(browser, username);
  const answer = await redeem(attempt);
  assert.equal(answer.status, 200, answer.text);
  return { browser, attempt, tokens: answer.json() };
}

function userinfo(accessToken) {
  return request(discovery.userinfo_endpoint, { headers: { authorization: `Bearer ${accessToken}` } });
}

test('discovery names the issuer with its slash and Authentik\'s paths', () => {
  assert.equal(discovery.issuer, `${provider.url}/application/o/repogate/`);
  assert.equal(discovery.token_endpoint, `${provider.url}/application/o/token/`);
  assert.equal(discovery.jwks_uri, `${provider.issuer}jwks/`);
  assert.equal(discovery.end_session_endpoint, `${provider.issuer}end-session/`);
});

test('a path without its trailing slash is not found', async () => {
  assert.equal((await request(discovery.jwks_uri.slice(0, -1))).status, 404);
  assert.equal((await request(discovery.userinfo_endpoint.slice(0, -1))).status, 404);
});

test('a login gives an ID token and an access token that only azp, uid and scope tell apart', async () => {
  const { attempt, tokens } = await loggedIn('dora');
  assert.deepEqual([...attempt.callback.searchParams.keys()].sort(), ['code', 'state']);
  const id = decode(tokens.id_token);
  const access = decode(tokens.access_token);
  assert.ok(await isSigned(tokens.id_token));
  assert.ok(await isSigned(tokens.access_token));
  assert.equal(id.header.alg, 'RS256');
  assert.equal(id.payload.iss, provider.issuer);
  assert.equal(id.payload.aud, 'repogate');
  assert.equal(id.payload.nonce, 'nonce-1');
  assert.match(id.payload.sub, /^[0-9a-f]{64}$/);
  assert.match(id.payload.sid, /^[0-9a-f]{64}$/);
  assert.deepEqual(id.payload.amr, ['pwd']);
  assert.ok(id.payload.auth_time > 0);
  assert.equal(id.payload.exp - id.payload.iat, 3600);
  assert.deepEqual(id.payload.groups, ['developers']);
  assert.deepEqual(id.payload.repogate, { v: 1, groups: ['developers', 'staff'], attributes: { 'private-repo-access': ['Acme/Vault'] }, service: false });
  for (const name of ['azp', 'uid', 'scope', 'at_hash']) assert.equal(id.payload[name], undefined);
  assert.equal(access.payload.azp, 'repogate');
  assert.equal(access.payload.aud, 'repogate');
  assert.equal(access.payload.scope, SCOPE);
  assert.equal(access.payload.sid, id.payload.sid);
  assert.equal(access.payload.exp, id.payload.exp);
});

test('guest has groups, and they are empty', async () => {
  const { tokens } = await loggedIn('guest');
  assert.deepEqual(decode(tokens.id_token).payload.groups, []);
  assert.deepEqual(decode(tokens.id_token).payload.repogate.groups, []);
});

test('a wrong password leads nowhere', async () => {
  const browser = new Browser();
  const url = new URL(discovery.authorization_endpoint);
  url.search = new URLSearchParams({ client_id: 'repogate', response_type: 'code', redirect_uri: REDIRECT, scope: 'openid', state: 's' });
  const page = await browser.login('dora', url.href, 'wrong');
  assert.match(page.text, /Wrong user name or password/);
});

test('a code is good once, and only with its verifier', async () => {
  const { attempt } = await loggedIn('dave');
  const again = await redeem(attempt);
  assert.equal(again.status, 400);
  assert.equal(again.json().error, 'invalid_grant');
  const browser = new Browser();
  const other = await authorize(browser, 'dave');
  const wrong = await redeem({ ...other, verifier: randomBytes(32).toString('base64url') });
  assert.equal(wrong.json().error, 'invalid_grant');
});

test('a wrong client secret is 400 invalid_client with a request id', async () => {
  const answer = await token({ grant_type: 'authorization_code', code: 'x', redirect_uri: REDIRECT, client_secret: 'wrong' });
  assert.equal(answer.status, 400);
  assert.equal(answer.json().error, 'invalid_client');
  assert.ok(answer.json().request_id);
});

test('a second login of the same browser asks for no password, unless prompt=login', async () => {
  const { browser } = await loggedIn('dora');
  const attempt = await authorize(browser, undefined);
  assert.ok(attempt.code);
  const forced = await authorize(browser, undefined, { prompt: 'login' });
  assert.equal(forced.code, undefined);
});

test('refresh tokens rotate, and a used one ends the whole family', async () => {
  const { tokens } = await loggedIn('dora');
  const refresh = (refresh_token) => token({ grant_type: 'refresh_token', refresh_token });
  const second = (await refresh(tokens.refresh_token)).json();
  assert.notEqual(second.refresh_token, tokens.refresh_token);
  assert.equal(decode(second.id_token).payload.sid, decode(tokens.id_token).payload.sid);
  assert.equal((await refresh(tokens.refresh_token)).json().error, 'invalid_grant');
  assert.equal((await refresh(second.refresh_token)).json().error, 'invalid_grant');
});

test('no refresh token without offline_access', async () => {
  const attempt = await authorize(new Browser(), 'dora', { scope: 'openid profile' });
  const tokens = (await redeem(attempt)).json();
  assert.equal(tokens.refresh_token, undefined);
  assert.equal(decode(tokens.id_token).payload.repogate, undefined);
});

test('userinfo and refresh see a changed group at once, introspection does not', async () => {
  const { tokens } = await loggedIn('dave');
  provider.updateUser('dave', { groups: ['admins'] });
  const info = (await userinfo(tokens.access_token)).json();
  assert.deepEqual(info.repogate.groups, ['admins', 'staff']);
  const frozen = (await postForm(discovery.introspection_endpoint, { client_id: 'repogate', client_secret: 'secret', token: tokens.access_token })).json();
  assert.equal(frozen.active, true);
  assert.deepEqual(frozen.groups, ['developers']);
  const fresh = (await token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token })).json();
  assert.deepEqual(decode(fresh.access_token).payload.groups, ['admins']);
  provider.updateUser('dave', { groups: ['developers'] });
});

test('a deactivated user has no userinfo and no refresh', async () => {
  const { tokens } = await loggedIn('dave');
  provider.updateUser('dave', { active: false });
  assert.equal((await userinfo(tokens.access_token)).status, 401);
  assert.equal((await token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token })).json().error, 'invalid_grant');
  provider.updateUser('dave', { active: true });
});

test('introspection with wrong credentials and revoked tokens are inactive', async () => {
  const { tokens } = await loggedIn('dora');
  const introspect = (client_secret) => postForm(discovery.introspection_endpoint, { client_id: 'repogate', client_secret, token: tokens.access_token });
  const refused = await introspect('wrong');
  assert.deepEqual([refused.status, refused.json()], [200, { active: false }]);
  assert.equal((await introspect('secret')).json().active, true);
  const revoked = await postForm(discovery.revocation_endpoint, { client_id: 'repogate', client_secret: 'secret', token: tokens.access_token });
  assert.equal(revoked.status, 200);
  assert.equal((await introspect('secret')).json().active, false);
});

test('end-session wants a good hint for its redirect, then ends the session and its access tokens', async () => {
  const { browser, tokens } = await loggedIn('dora');
  const target = { post_logout_redirect_uri: 'http://127.0.0.1:9/', state: 'bye' };
  const url = (params) => `${discovery.end_session_endpoint}?${new URLSearchParams(params)}`;
  assert.equal((await browser.get(url(target))).status, 400);
  assert.equal((await browser.get(url({ ...target, id_token_hint: 'a.b.c' }))).status, 400);
  assert.equal((await browser.get(url({ id_token_hint: tokens.id_token, post_logout_redirect_uri: 'http://127.0.0.1:10/' }))).status, 400);
  const answer = await browser.get(url({ ...target, id_token_hint: tokens.id_token }));
  assert.equal(answer.headers.location, 'http://127.0.0.1:9/?state=bye');
  assert.equal((await userinfo(tokens.access_token)).status, 401);
  assert.equal((await authorize(browser, undefined)).code, undefined);
});

test('an app password gives a token without a session, for people and for services', async () => {
  const ask = (username, password) => token({ grant_type: 'client_credentials', username, password, scope: 'openid profile repogate' });
  const service = (await ask('ci-bot', 'ci-bot-app-password')).json();
  const { payload } = decode(service.access_token);
  assert.equal(payload.sid, undefined);
  assert.equal(payload.repogate.service, true);
  assert.equal(payload.preferred_username, 'ci-bot');
  assert.equal(payload.azp, 'repogate');
  assert.equal(service.refresh_token, undefined);
  assert.ok(await isSigned(service.access_token));
  assert.equal((await userinfo(service.access_token)).status, 200);
  const person = (await ask('dora', 'dora-app-password')).json();
  assert.equal(decode(person.access_token).payload.repogate.service, false);
  assert.equal((await ask('dora', 'dora-demo')).json().error, 'invalid_grant');
});

test('rotating the key changes the JWKS at once', async () => {
  const { tokens } = await loggedIn('dora');
  provider.rotateKey();
  assert.equal(await isSigned(tokens.id_token), false);
});

test('the issuer follows the Host header', async () => {
  const answer = await request(`${provider.issuer}.well-known/openid-configuration`, { headers: { host: 'auth.example.org' } });
  assert.equal(answer.json().issuer, 'http://auth.example.org/application/o/repogate/');
});

const lies = {
  wrong_iss: ({ payload }) => assert.notEqual(payload.iss, provider.issuer),
  wrong_aud: ({ payload }) => assert.notEqual(payload.aud, 'repogate'),
  wrong_nonce: ({ payload }) => assert.notEqual(payload.nonce, 'nonce-1'),
  expired: ({ payload }) => assert.ok(payload.exp < Date.now() / 1000),
  not_yet_valid: ({ payload }) => assert.ok(payload.nbf > Date.now() / 1000),
  alg_none: ({ header }) => assert.equal(header.alg, 'none'),
  hs256_public_key: ({ header }) => assert.equal(header.alg, 'HS256'),
  unknown_kid: ({ header }) => assert.notEqual(header.kid, provider.keys.kid),
};
for (const [name, check] of Object.entries(lies)) {
  test(`lies on demand: ${name}`, async () => {
    provider.setFaults({ id_token: name });
    const { tokens } = await loggedIn('dora');
    check(decode(tokens.id_token));
    assert.ok(await isSigned(tokens.access_token));
  });
}

test('lies on demand: claims that are missing, of the wrong type, or hostile', async () => {
  const payloadWith = (fault) => {
    provider.setFaults({ claims: fault });
    return decode(provider.mint({ username: 'dora' })).payload;
  };
  assert.equal(payloadWith('repogate_missing').repogate, undefined);
  const bare = payloadWith('groups_missing');
  assert.deepEqual([bare.groups, bare.repogate], [undefined, undefined]);
  assert.equal(typeof payloadWith('repogate_wrong_type').repogate, 'string');
  assert.ok(payloadWith('group_with_separator').repogate.groups.includes('x|admins'));
  assert.match(payloadWith('control_bytes').name, /\r\n/);
});

test('endpoints can be down, slow, or answer HTML', async () => {
  provider.setFaults({ endpoints: { jwks: 'down', discovery: 'html', userinfo: { slow_ms: 50 } } });
  assert.equal((await request(discovery.jwks_uri)).status, 500);
  assert.match((await request(`${provider.issuer}.well-known/openid-configuration`)).text, /^<!doctype html>/);
  assert.equal((await userinfo('nobody')).status, 401);
});

test('minted tokens are signed and can be changed', async () => {
  const jwt = provider.mint({ username: 'ci-bot', sid: null, claims: { aud: 'other', repogate: null } });
  const { payload } = decode(jwt);
  assert.ok(await isSigned(jwt));
  assert.deepEqual([payload.aud, payload.repogate, payload.sid], ['other', undefined, undefined]);
});

const refreshWith = ({ refresh_token }) => token({ grant_type: 'refresh_token', refresh_token });
const introspect = async (accessToken) => (await postForm(discovery.introspection_endpoint, { client_id: 'repogate', client_secret: 'secret', token: accessToken })).json();

test('requests can be held on arrival, counted by grant, and let go one by one', async () => {
  const { tokens } = await loggedIn('dora');
  provider.hold('token:refresh_token');
  const first = refreshWith(tokens);
  await provider.whenHeld('token:refresh_token');
  const { tokens: others } = await loggedIn('dave');
  const second = refreshWith(others);
  await provider.whenHeld('token:refresh_token', 2);
  assert.deepEqual(provider.counts, { authorization: 4, token: 4, 'token:authorization_code': 2, 'token:refresh_token': 2 });
  provider.release('token:refresh_token', 1);
  assert.equal((await first).status, 200);
  assert.equal(provider.held('token:refresh_token'), 1);
  await provider.deactivate('dave');
  provider.release('token:refresh_token');
  assert.equal((await second).json().error, 'invalid_grant', 'nothing was done before it was let go');
  provider.updateUser('dave', { active: true });
});

test('held before its answer, a request has been done', async () => {
  const { tokens } = await loggedIn('dora');
  provider.hold('token', { answered: true });
  const first = refreshWith(tokens);
  await provider.whenHeld('token');
  await provider.endSessionsOf('dora');
  provider.release();
  const { sid } = decode((await first).json().id_token).payload;
  assert.ok(sid, 'made before the session ended');
});

test('one whose client has gone is held no longer', async () => {
  provider.hold('jwks');
  const req = http.get(discovery.jwks_uri);
  req.on('error', () => {});
  await provider.whenHeld('jwks');
  req.destroy();
  const later = request(discovery.jwks_uri);
  await provider.whenCounted('jwks', 2);
  provider.release();
  assert.equal((await later).status, 200);
});

test('deactivating deletes access and refresh tokens for good, and tells nobody', async () => {
  const { browser, tokens } = await loggedIn('dave');
  provider.logoutUri = 'http://127.0.0.1:1/';
  await provider.deactivate('dave');
  provider.updateUser('dave', { active: true });
  assert.equal((await userinfo(tokens.access_token)).status, 401);
  assert.deepEqual(await introspect(tokens.access_token), { active: false });
  assert.equal((await refreshWith(tokens)).json().error, 'invalid_grant');
  assert.deepEqual(provider.logoutsSent, []);
  assert.ok(browser);
});

test('ending a session takes its access tokens; refresh tokens go on, without a sid', async () => {
  const { browser, tokens } = await loggedIn('dora');
  const { sid } = decode(tokens.id_token).payload;
  assert.ok(provider.sessionsOf('dora').some((one) => one.sid === sid));
  await provider.endSessionsOf('dora');
  assert.equal((await userinfo(tokens.access_token)).status, 401);
  assert.deepEqual(await introspect(tokens.access_token), { active: false });
  assert.equal((await authorize(browser, undefined)).code, undefined, 'the provider asks for the password again');
  const fresh = (await refreshWith(tokens)).json();
  assert.equal(decode(fresh.id_token).payload.sid, undefined);
  assert.equal((await userinfo(fresh.access_token)).status, 200);
  await provider.deactivate('dora');
  provider.updateUser('dora', { active: true });
  assert.equal((await refreshWith(fresh)).json().error, 'invalid_grant');
});

test('the end of a session is told once per live access token', async () => {
  const seen = [];
  const ear = http.createServer(async (req, res) => {
    let body = '';
    for await (const chunk of req) body += chunk;
    seen.push({ method: req.method, type: req.headers['content-type'], form: new URLSearchParams(body) });
    res.end('ok');
  });
  await new Promise((resolve) => ear.listen(0, '127.0.0.1', resolve));
  try {
    const { tokens } = await loggedIn('dora');
    const { sid, sub } = decode(tokens.id_token).payload;
    await refreshWith(tokens);
    provider.logoutUri = `http://127.0.0.1:${ear.address().port}/`;
    await provider.endSessionsOf('dora');
    assert.deepEqual(provider.logoutsSent.map(({ status, text }) => [status, text]), [[200, 'ok'], [200, 'ok']]);
    const [{ method, type, form }] = seen;
    assert.deepEqual([method, type, [...form.keys()]], ['POST', 'application/x-www-form-urlencoded', ['logout_token']]);
    const { header, payload } = decode(form.get('logout_token'));
    assert.ok(await isSigned(form.get('logout_token')));
    assert.equal(header.typ, 'logout+jwt');
    assert.deepEqual([payload.iss, payload.aud, payload.sub, payload.sid, payload.nonce], [provider.issuer, 'repogate', sub, sid, undefined]);
    assert.deepEqual(payload.events, { 'http://schemas.openid.net/event/backchannel-logout': {} });
    const odd = await provider.sendLogout(provider.logoutUri, { by: 'sub', claims: { nonce: 'n', exp: null, aud: ['a'] }, header: { typ: 'JWT' } });
    const changed = decode(odd.token);
    assert.deepEqual([changed.header.typ, changed.payload.sid, changed.payload.nonce, changed.payload.exp, changed.payload.aud], ['JWT', undefined, 'n', undefined, ['a']]);
  } finally {
    ear.close();
    ear.closeAllConnections();
  }
});

test('a used refresh token can be refused without ending its family, or go on being good', async () => {
  const { tokens } = await loggedIn('dora');
  provider.reuseEndsFamily = false;
  const second = (await refreshWith(tokens)).json();
  assert.equal((await refreshWith(tokens)).json().error, 'invalid_grant');
  provider.rotatesRefreshTokens = false;
  const third = await refreshWith(second);
  assert.equal(third.json().refresh_token, second.refresh_token);
});

test('the clock can be off, in tokens and in Date', async () => {
  provider.clockSkewSeconds = -600;
  const { tokens } = await loggedIn('dora');
  const { payload } = decode(tokens.id_token);
  assert.ok(payload.iat <= Date.now() / 1000 - 590);
  assert.equal(payload.exp - payload.iat, 3600);
  assert.ok(payload.auth_time <= payload.iat);
  assert.ok(Date.parse((await request(discovery.jwks_uri)).headers.date) < Date.now() - 590e3);
});

test('access tokens live as long as told', async () => {
  provider.accessTokenSeconds = 7;
  const { tokens } = await loggedIn('dora');
  const { payload } = decode(tokens.access_token);
  assert.deepEqual([tokens.expires_in, payload.exp - payload.iat], [7, 7]);
});

test('an app password may come as the client secret; a client alone is its service account', async () => {
  const ask = (client_secret) => token({ grant_type: 'client_credentials', scope: 'openid profile repogate', client_secret });
  const base64 = (text) => Buffer.from(text).toString('base64');
  assert.equal(decode((await ask(base64('dora:dora-app-password'))).json().access_token).payload.preferred_username, 'dora');
  assert.equal((await ask(base64('dora:wrong'))).json().error, 'invalid_grant');
  assert.equal((await ask('wrong')).json().error, 'invalid_client');
  const own = decode((await ask('secret')).json().access_token).payload;
  assert.deepEqual([own.preferred_username, own.repogate.service, own.sid], ['ak-repogate-client_credentials', true, undefined]);
});

for (const alg of ['ES256', 'ES384', 'ES512', 'EdDSA', 'HS256']) {
  test(`signs with ${alg} and says so`, async () => {
    provider.rotateKey(alg);
    const { header } = decode(provider.mint());
    const { keys } = (await request(discovery.jwks_uri)).json();
    assert.equal(header.alg, alg);
    assert.deepEqual((await request(`${provider.issuer}.well-known/openid-configuration`)).json().id_token_signing_alg_values_supported, [alg]);
    if (alg === 'HS256') assert.deepEqual([keys, header.kid], [undefined, undefined]);
    else assert.equal(keys[0].kid, header.kid);
    provider.rotateKey();
  });
}

test('a rotated key can stay published', async () => {
  const jwt = provider.mint();
  provider.rotateKey('ES256', { keep: true });
  assert.ok(await isSigned(jwt));
  provider.rotateKey();
  assert.equal(await isSigned(jwt), false);
});

function firstMebibyte(url) {
  return new Promise((resolve, reject) => {
    let size = 0;
    const req = http.get(url, (res) => res.on('data', (chunk) => {
      size += chunk.length;
      if (size < 1024 * 1024) return;
      res.destroy();
      resolve(true);
    }));
    req.on('error', reject);
  });
}

test('every answer of the hostile kind arrives, or never does', async () => {
  const url = discovery.jwks_uri;
  const seen = {};
  for (const answer of ANSWERS) {
    provider.setFaults({ endpoints: { jwks: answer } });
    if (answer === 'endless') seen[answer] = await firstMebibyte(url);
    else if (['hang', 'stalled'].includes(answer)) seen[answer] = await request(url, { timeoutMs: 200 }).catch(({ message }) => message);
    else seen[answer] = await request(url).catch(({ code }) => code);
  }
  assert.equal(seen.endless, true);
  for (const answer of ['hang', 'stalled']) assert.match(seen[answer], /no answer|aborted/, answer);
  for (const answer of ['reset', 'lost', 'truncated']) assert.equal(seen[answer], 'ECONNRESET', answer);
  assert.deepEqual([seen.garbage, seen.header_flood], ['HPE_INVALID_CONSTANT', 'HPE_HEADER_OVERFLOW']);
  assert.equal(seen.huge.body.length > 10 * 1024 * 1024, true);
  assert.equal(seen.deep.text.includes('['.repeat(100000)), true);
  assert.throws(() => new TextDecoder('utf-8', { fatal: true }).decode(seen.invalid_utf8.body));
  for (const answer of ['empty', 'cut_json', 'twice', 'trailing_nul']) assert.throws(() => seen[answer].json(), answer);
  assert.throws(() => provider.setFaults({ endpoints: { jwks: 'no-such-answer' } }));
  assert.throws(() => provider.setFaults({ endpoints: { jwk: 'down' } }));
});

test('an answer can be changed member by member, or be an error', async () => {
  provider.setFaults({ endpoints: { discovery: { set: { issuer: 'x', jwks_uri: null } }, 'token:refresh_token': { error: 'invalid_grant' }, authorization: { error: 'access_denied', error_description: 'no' } } });
  const changed = (await request(`${provider.issuer}.well-known/openid-configuration`)).json();
  assert.deepEqual([changed.issuer, changed.jwks_uri, changed.token_endpoint], ['x', undefined, discovery.token_endpoint]);
  assert.equal((await refreshWith({ refresh_token: 'x' })).json().error, 'invalid_grant');
  const { callback } = await authorize(new Browser(), undefined);
  assert.deepEqual(Object.fromEntries(callback.searchParams), { error: 'access_denied', error_description: 'no', state: 'state-1' });
});

test('the second door is told from the first', async () => {
  const other = await startProvider({ hasInternalDoor: true });
  try {
    const { host } = new URL(other.url);
    const inside = await request(`${other.internalUrl}/application/o/repogate/.well-known/openid-configuration`, { headers: { host } });
    assert.equal(inside.json().issuer, other.issuer);
    await request(`${other.issuer}jwks/`);
    assert.deepEqual(other.log.map(({ endpoint, door, host: sent }) => [endpoint, door, sent]), [['discovery', 'internal', host], ['jwks', 'public', host]]);
  } finally {
    await other.close();
  }
});

test('the control endpoint takes the same orders', async () => {
  const other = await startProvider({ withControl: true });
  const order = (body) => request(`${other.url}/control`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  try {
    assert.equal((await order({ hold: { endpoint: 'jwks' } })).status, 200);
    const waiting = request(`${other.issuer}jwks/`);
    assert.equal((await order({ await_held: { endpoint: 'jwks' } })).status, 200);
    assert.equal((await order({ release: {}, access_token_seconds: 5 })).json().counts.jwks, 1);
    assert.equal((await waiting).status, 200);
    assert.equal(other.accessTokenSeconds, 5);
    assert.equal((await order({ relaese: {} })).status, 400);
    assert.equal((await request(`${other.url}/control`, { method: 'POST', body: '{}' })).status, 405);
  } finally {
    await other.close();
  }
});
