// The stand-in provider keeps the promises that the other tests rely on: Authentik's shapes, single use, rotation, and lies on demand.
import assert from 'node:assert/strict';
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
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
  provider.accessTokenSeconds = 3600;
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
