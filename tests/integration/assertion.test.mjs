// The signed assertion, from the gateway's key to the program in the workspace, and the guard that lets in nothing else.
// THREATS groups D (side doors), G (whose), H (headers), T (the token itself).
import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { freePort, run } from '../../scripts/lib/processes.mjs';
import { TOPOLOGIES } from '../../scripts/lib/nginx.mjs';
import { ask, closeStand, converse, gatewayPort, lineOf, request, requestBytes, sessionCookie, startStand, valuesOf, variant, waitFor } from './lib/stand.mjs';
import { decode, encode, keysIn, programOf, signWith, startGuard, workspaceId } from './lib/guard.mjs';

const SITE = '/github/acme/site';
const REPO = 'github:acme/site';
const AUTH_BUDGET = 1536;

const now = () => Math.floor(Date.now() / 1000);
const keyFile = (stand) => join(stand.dir, 'assertion.key');

/* A stand whose one workspace stands behind a guard, made for dora and acme/site. */
async function startGuarded({ topology, options = (stand) => ({ jwks: `${stand.gateway.url}/_repogate/jwks` }), ...rest } = {}) {
  const port = await freePort();
  const stand = await startStand({ variant: variant(), topology, config: { workspace: { url: `http://127.0.0.1:${port}` } }, ...rest });
  try {
    const [sub] = (await ask(stand, { token: await stand.bearer('dora') })).values('x-authentik-uid');
    stand.owner = { iss: stand.provider.issuer, sub, repo: REPO };
    stand.guardOptions = {
      listen: `127.0.0.1:${port}`,
      upstream: new URL(stand.workspace.url).host,
      issuer: stand.url,
      audience: workspaceId(stand.owner),
      owner: sub,
      ...options(stand),
    };
    stand.guard = await startGuard(variant(), stand.guardOptions);
    await waitFor('the guard to be ready', async () => (await request(`${stand.guard.url}/_repogate/readyz`)).status === 200);
    return stand;
  } catch (error) {
    await stand.close();
    throw error;
  }
}

async function closeGuarded(stand) {
  const how = await stand?.guard?.stop();
  await closeStand(stand);
  if (how) assert.deepEqual([how.code, how.signal], [0, null], stand.guard.output());
}

/* Straight at the guard, past the gateway. */
function knock(stand, { assertions = [], lines = [], path = '/echo', method = 'GET', headers = {}, port = stand.guard.port } = {}) {
  return converse(port, requestBytes({ method, target: path, headers, lines: [...assertions.map((token) => `X-Repogate-Assertion: ${token}`), ...lines] })).then(({ answers }) => answers[0]);
}

function reasonOf({ body }) {
  return JSON.parse(body).reason;
}

for (const topology of TOPOLOGIES) {
  describe(`an assertion on its way (${topology})`, () => {
    let the;
    let dora;
    before(async () => {
      the = await startGuarded({ topology });
      dora = await sessionCookie(the, 'dora');
    });
    after(() => closeGuarded(the));
    const get = (path, options = {}) => the.request(`${SITE}${path}`, { ...options, headers: { cookie: dora, ...options.headers } });

    test('the owner gets in, and the program behind sees who it is but not the assertion', async () => {
      const answer = await get('/echo');
      assert.equal(answer.status, 200);
      assert.deepEqual(valuesOf(answer.json(), 'x-repogate-assertion'), []);
      assert.deepEqual(valuesOf(answer.json(), 'x-authentik-username'), ['dora']);
      assert.deepEqual(valuesOf(answer.json(), 'x-repogate-repo'), [REPO]);
      assert.equal(valuesOf(answer.json(), 'x-repogate-decision-id').length, 1);
      assert.equal(answer.headers['x-repogate-assertion'], undefined);
    });

    test('D4, D6, F4, G15: somebody else, whom the policy allows, does not get into this one; nor does the owner by another repository', async () => {
      for (const [username, path] of [['dave', SITE], ['admin', SITE], ['dora', '/github/acme/vault'], ['dora', '/github/acme/handbook']]) {
        const cookie = await sessionCookie(the, username);
        const seen = the.workspace.requests.length;
        const answer = await the.request(`${path}/echo`, { headers: { cookie } });
        assert.equal(answer.status, 403, `${username} ${path}`);
        assert.equal(the.workspace.requests.length, seen);
      }
    });

    test('bodies of any size pass both ways', async () => {
      const body = randomBytes(3 * 1024 * 1024);
      const { length } = (await get('/upload', { method: 'POST', body, headers: { 'content-length': String(body.length) } })).json();
      assert.equal(length, body.length);
      assert.equal((await get('/download?bytes=5000000')).body.length, 5000000);
      assert.equal((await get('/stream?chunks=20&ms=1')).text.split('\n').length, 21);
    });

    test('D2: a WebSocket passes, and not without an assertion', async () => {
      const socket = new WebSocket(`${the.url.replace('http', 'ws')}${SITE}/ws-echo`, { origin: the.url, headers: { cookie: dora } });
      await once(socket, 'open');
      const big = randomBytes(300000);
      socket.send('hello');
      socket.send(big);
      const [first] = await once(socket, 'message');
      const [second] = await once(socket, 'message');
      assert.equal(first.toString(), 'hello');
      assert.ok(big.equals(second));
      socket.close();
      await once(socket, 'close');
      const side = new WebSocket(`${the.guard.url.replace('http', 'ws')}/ws-echo`);
      const [, answer] = await once(side, 'unexpected-response');
      assert.equal(answer.statusCode, 403);
      side.on('error', () => {});
      side.terminate();
    });

    test('H1, H2, H9: what a client sends by its name, in any spelling, never takes its place', async () => {
      for (const name of ['X-Repogate-Assertion', 'x-repogate-assertion', 'X_Repogate_Assertion', 'X.Repogate.Assertion', 'X-Repogate_Assertion']) {
        const { answers } = await converse(Number(new URL(the.url).port), requestBytes({ target: `${SITE}/echo`, headers: { Host: new URL(the.url).host, Cookie: dora }, lines: [`${name}: a.b.c`] }));
        // NGINX refuses or drops names with an underscore or a dot; what passes is ours alone.
        assert.ok(answers[0].status === 200 || answers[0].status === 400, `${name}: ${answers[0].status}`);
        assert.doesNotMatch(answers[0].body, /a\.b\.c/, name);
      }
    });
  });
}

describe('the guard', () => {
  let the;
  let key;
  let claims;
  let header;
  before(async () => {
    the = await startGuarded();
    [key] = keysIn(keyFile(the));
  });
  after(() => closeGuarded(the));

  const good = (over = {}) => ({ iss: the.url, aud: workspaceId(the.owner), sub: the.owner.sub, name: 'Dora', email: 'd@x.org', groups: [], repo: REPO, sid: '', iat: now(), exp: now() + 60, jti: 'j', ...over });
  const minted = (over = {}, headerOver = {}) => encode({ ...header, ...headerOver }, { ...claims, ...over }, (input) => signWith(key.key, input));
  const fresh = () => {
    claims = good();
    header = { alg: 'ES256', kid: key.kid, typ: 'JWT' };
  };
  const expectRefused = async (token, what, reason = 'assertion_refused') => {
    const seen = the.workspace.requests.length;
    const answer = await knock(the, { assertions: [].concat(token) });
    assert.deepEqual([answer.status, reasonOf(answer)], [403, reason], what);
    assert.equal(answer.values('content-type')[0], 'application/problem+json');
    assert.equal(the.workspace.requests.length, seen, what);
  };

  test('the gateway\'s own assertion opens it, and one made by hand with its key', async () => {
    fresh();
    const [token] = (await ask(the, { token: await the.bearer('dora') })).values('x-repogate-assertion');
    assert.equal((await knock(the, { assertions: [token] })).status, 200);
    assert.equal((await knock(the, { assertions: [minted()] })).status, 200);
    assert.equal((await knock(the, { assertions: [minted({ aud: [claims.aud] })] })).status, 200);
  });

  test('D1: without an assertion nothing gets by, whatever else is sent', async () => {
    for (const options of [{}, { assertions: [''] }, { lines: ['X-authentik-username: dora', `X-authentik-uid: ${the.owner.sub}`] }, { lines: ['Authorization: Bearer x'] }, { method: 'POST' }, { method: 'OPTIONS' },
      { headers: { 'User-Agent': 'kube-probe/1.30' } }, { lines: ['K-Network-Probe: queue'] }, { path: '/_repogate/healthz/' }, { path: '/_repogate/healthz/..%2f' }, { path: '/_repogate/readyz/x' }, { path: '/health' }]) {
      const seen = the.workspace.requests.length;
      const answer = await knock(the, options);
      assert.ok([400, 403].includes(answer.status), JSON.stringify([options, answer.status]));
      assert.equal(the.workspace.requests.length, seen);
    }
    assert.deepEqual(reasonOf(await knock(the)), 'assertion_missing');
  });

  test('E1, T2, T3, T10: no other algorithm, key or signature', async () => {
    fresh();
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = createPublicKey(key.key).export({ type: 'spki', format: 'pem' });
    const der = createPublicKey(key.key).export({ type: 'spki', format: 'der' });
    const token = minted();
    const [head, body, signature] = token.split('.');
    for (const alg of ['none', 'None', 'NONE', '']) for (const end of ['', signature]) await expectRefused(encode({ ...header, alg }, claims, () => end), `alg ${alg}`);
    for (const secret of [pem, pem.trim(), der, key.jwk.x, Buffer.from(key.jwk.x, 'base64url'), JSON.stringify(key.jwk), key.kid, '']) {
      await expectRefused(encode({ ...header, alg: 'HS256' }, claims, (input) => createHmac('sha256', secret).update(input).digest('base64url')), 'HS256');
    }
    for (const alg of ['ES384', 'RS256', 'es256', 'EdDSA', 'ES256K']) await expectRefused(minted({}, { alg }), alg);
    await expectRefused(encode(header, claims, (input) => signWith(other.privateKey, input)), 'another key by the same name');
    await expectRefused(encode(header, claims, (input) => signWith(key.key, input, 'der')), 'DER instead of r and s');
    await expectRefused(encode(header, claims, () => Buffer.alloc(64).toString('base64url')), 'r = s = 0');
    await expectRefused(`${head}.${Buffer.from(JSON.stringify(good({ name: 'x' }))).toString('base64url')}.${signature}`, 'other claims');
    for (const broken of [`${head}.${body}`, `${head}.${body}.`, `.${body}.${signature}`, `${head}..${signature}`, `${token}.x`, `${token}=`, `${head}.${body}.${signature.slice(0, -2)}`, 'x', '..', `Bearer ${token}`, `${token},${token}`]) await expectRefused(broken, broken.slice(-30));
    for (const extra of [{ jwk: key.jwk }, { jku: `${the.gateway.url}/_repogate/jwks` }, { x5u: 'http://127.0.0.1/' }, { x5c: [] }, { crit: ['exp'] }, { b64: false }, { zip: 'DEF' }]) await expectRefused(minted({}, extra), JSON.stringify(extra));
    await expectRefused(minted({}, { typ: 'at+jwt' }), 'typ');
    await expectRefused(encode({ alg: 'ES256', kid: key.kid }, claims, (input) => signWith(key.key, input)), 'no typ');
    await expectRefused(encode({ ...header, kid: 'unknown' }, claims, (input) => signWith(key.key, input)), 'an unknown kid');
  });

  test('D6, F4, G5, G14, G15, I6: nobody else\'s: workspace, owner, issuer', async () => {
    fresh();
    const { aud, sub, iss } = claims;
    for (const other of ['ws-00000000000000000000', aud.toUpperCase(), `${aud}0`, aud.slice(0, -1), '', null, [], [aud, 'ws-00000000000000000000'], ['ws-00000000000000000000', aud], { aud }, 0]) await expectRefused(minted({ aud: other }), `aud ${JSON.stringify(other)}`);
    for (const other of ['someone', sub.toUpperCase(), `${sub}0`, sub.slice(0, -1), '', null, [sub], 0]) await expectRefused(minted({ sub: other }), `sub ${JSON.stringify(other)}`);
    for (const other of [`${iss}/`, `${iss}.evil.example`, iss.replace('http', 'https'), the.provider.issuer, '', null, [iss]]) await expectRefused(minted({ iss: other }), `iss ${JSON.stringify(other)}`);
    for (const name of ['aud', 'sub', 'iss']) await expectRefused(minted({ [name]: undefined }), `no ${name}`);
  });

  test('only in its time', async () => {
    fresh();
    const t = now();
    for (const over of [{ iat: t - 130, exp: t - 70 }, { iat: t - 70, exp: t - 10 }, { iat: t + 30, exp: t + 90 }, { nbf: t + 30 }, { exp: undefined }, { iat: undefined }, { exp: `${t + 60}` }, { exp: t + 0.5 + 60 }, { exp: 1e300 }, { exp: -1 }, { iat: 'now' }, { exp: null }]) {
      await expectRefused(minted(over), JSON.stringify(over));
    }
    assert.equal((await knock(the, { assertions: [minted({ iat: t - 50, exp: t + 10 })] })).status, 200);
  });

  test('H1, H2, H8: once, by its one name', async () => {
    fresh();
    const token = minted();
    await expectRefused([token, token], 'twice', 'assertion_repeated');
    await expectRefused(['x', token], 'after another', 'assertion_repeated');
    for (const name of ['X_Repogate_Assertion', 'X.Repogate.Assertion', 'XRepogateAssertion', 'x-repogate_assertion', 'X-Repogate-Assertion_']) {
      for (const assertions of [[], [token]]) {
        const answer = await knock(the, { assertions, lines: [`${name}: ${token}`] });
        assert.deepEqual([answer.status, reasonOf(answer)], [403, 'assertion_repeated'], name);
      }
    }
    const { answers } = await converse(the.guard.port, requestBytes({ headers: { 'X-Repogate-Assertion': token, Connection: 'X-Repogate-Assertion, close' }, target: '/echo' }));
    assert.equal(answers[0].status, 200, 'what Connection names is not read any less');
    assert.doesNotMatch(answers[0].body, /repogate-assertion/i);
  });

  test('H6: the rest of the request comes through as the gateway sent it', async () => {
    fresh();
    const answer = await knock(the, { assertions: [minted()], path: '/echo/%7Ea?x=1&y=%20', headers: { Host: 'dev.example.org' },
      lines: ['X-authentik-username: dora', 'X-Forwarded-Host: dev.example.org', 'Cookie: a=1', 'Cookie: b=2', 'Accept: */*', 'Keep-Alive: 1', 'TE: trailers', 'K-Original-Host: x', 'Proxy-Authorization: x'] });
    assert.equal(answer.status, 200);
    const seen = JSON.parse(answer.body);
    assert.equal(seen.target, '/echo/%7Ea?x=1&y=%20');
    for (const [name, values] of [['host', ['dev.example.org']], ['x-authentik-username', ['dora']], ['x-forwarded-host', ['dev.example.org']], ['accept', ['*/*']], ['keep-alive', []], ['te', []], ['k-original-host', []], ['proxy-authorization', []]]) assert.deepEqual(valuesOf(seen, name), values, name);
    assert.deepEqual(valuesOf(seen, 'cookie').join('; '), 'a=1; b=2');
  });

  test('requests that two parsers could read differently are refused unread', async () => {
    fresh();
    for (const lines of [['Content-Length: 0', 'Content-Length: 0'], ['Host: b'], ['Transfer-Encoding: chunked', 'Content-Length: 3'], ['Transfer-Encoding: gzip'], ['Content-Length: x']]) {
      const { answers } = await converse(the.guard.port, requestBytes({ headers: { 'X-Repogate-Assertion': minted() }, lines, method: 'POST', target: '/echo' }));
      for (const { status } of answers) assert.ok(status >= 400, lines.join());
    }
  });

  test('L3: its log says why, and never shows an assertion', async () => {
    fresh();
    await expectRefused(minted({ exp: now() - 60, iat: now() - 120 }), 'expired');
    await waitFor('the line', () => /refused.*expired/.test(the.guard.output()));
    assert.match(the.guard.output(), /refused.*reason=assertion_missing/);
    assert.doesNotMatch(the.guard.output(), /eyJ/);
    assert.doesNotMatch(the.output(), /eyJ/);
    assert.doesNotMatch(readFileSync(the.auditFile, 'utf8'), /eyJ/);
  });

  test('probes need no assertion and tell nothing', async () => {
    const live = await request(`${the.guard.url}/_repogate/healthz`);
    const ready = await request(`${the.guard.url}/_repogate/readyz`);
    assert.deepEqual([live.status, live.text, ready.status, ready.text], [200, 'ok\n', 200, 'ready\n']);
  });
});

describe('the gateway\'s assertion', () => {
  let the;
  let dora;
  const MANY = Array.from({ length: 60 }, (_, i) => `a-team-of-people-${String(i).padStart(2, '0')}`);
  before(async () => {
    the = await startStand({ variant: variant(), topology: 'gateway', provider: { people: [
      { username: 'many', appPassword: 'many-app-password', groups: ['developers', ...MANY] },
      { username: 'more', appPassword: 'more-app-password', groups: ['developers', ...MANY, ...MANY.map((name) => `${name}-again-and-again`)] },
    ] } });
    dora = await sessionCookie(the, 'dora');
  });
  after(() => closeStand(the));
  const assertionOf = async (options) => (await ask(the, options)).values('x-repogate-assertion')[0];

  /* As the README tells a program in a workspace to do it. */
  async function verify(token, { jwksUrl, issuer, audience, owner }) {
    const [head, body, signature] = token.split('.');
    const { alg, kid } = JSON.parse(Buffer.from(head, 'base64url'));
    const { keys } = await (await fetch(jwksUrl)).json();
    const jwk = keys.find((one) => one.kid === kid);
    if (alg !== 'ES256' || !jwk) throw new Error('no such key');
    const key = await crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['verify']);
    const isSigned = await crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, Buffer.from(signature, 'base64url'), Buffer.from(`${head}.${body}`));
    const said = JSON.parse(Buffer.from(body, 'base64url'));
    if (!isSigned || said.iss !== issuer || said.aud !== audience || said.sub !== owner || said.exp * 1000 <= Date.now()) throw new Error('not for us');
    return said;
  }

  test('says who, where and for how long, and verifies with what is published', async () => {
    const answer = await ask(the, { cookie: dora, url: `${SITE}/` });
    const [token] = answer.values('x-repogate-assertion');
    const [sub] = answer.values('x-authentik-uid');
    const audience = workspaceId({ iss: the.provider.issuer, sub, repo: REPO });
    const said = await verify(token, { jwksUrl: `${the.gateway.url}/_repogate/jwks`, issuer: the.url, audience, owner: sub });
    assert.deepEqual(Object.keys(said).sort(), ['aud', 'email', 'exp', 'groups', 'iat', 'iss', 'jti', 'name', 'repo', 'sid', 'sub']);
    assert.deepEqual([said.name, said.email, said.repo, said.groups.sort().join()], ['Dora Developer', 'dora@example.org', REPO, 'developers,staff']);
    assert.equal(said.exp - said.iat, 60);
    assert.ok(said.sid.length > 0 && !dora.includes(said.sid));
    assert.deepEqual(decode(token).header, { alg: 'ES256', kid: keysIn(keyFile(the))[0].kid, typ: 'JWT' });
  });

  test('is the same for a while, and another for each person and repository', async () => {
    const dave = await sessionCookie(the, 'dave');
    const tokens = [];
    for (const options of [{ cookie: dora }, { cookie: dora }, { cookie: dora, url: '/github/acme/vault/' }, { cookie: dave }]) tokens.push(await assertionOf(options));
    const { jti } = decode(tokens[0]).claims;
    // A second connection may be served by the other thread, which signs by itself.
    assert.equal(new Set(tokens.map((token) => decode(token).claims.aud)).size, 3);
    assert.ok((await Promise.all(Array.from({ length: 20 }, () => assertionOf({ cookie: dora })))).some((token) => decode(token).claims.jti === jti));
  });

  test('comes with what is allowed and names a repository, and with nothing else', async () => {
    assert.deepEqual((await ask(the, { url: `${SITE}/` })).values('x-repogate-assertion'), [], '401');
    assert.deepEqual((await ask(the, { cookie: dora, url: '/github/acme/payments/' })).values('x-repogate-assertion'), [], '403');
    assert.deepEqual((await ask(the, { cookie: await sessionCookie(the, 'admin'), url: '/elsewhere' })).values('x-repogate-assertion'), [''], 'no repository');
    const routed = await the.request(`${SITE}/answer?header=${encodeURIComponent('X-Repogate-Assertion: theirs')}`, { headers: { cookie: dora } });
    assert.equal(routed.status, 200);
    assert.equal(routed.headers['x-repogate-assertion'], undefined, 'nor does a workspace give it to browsers');
    const [seen] = the.workspace.requests.slice(-1);
    assert.equal(valuesOf(seen, 'x-repogate-assertion').length, 1);
  });

  test('is never cut: 1.5 KiB in an answer to a proxy, 4 KiB towards a workspace', async () => {
    const [many, more] = [await the.bearer('many'), await the.bearer('more')];
    const asked = await ask(the, { token: many });
    assert.deepEqual([asked.status, asked.reason], [403, 'identity_too_large']);
    assert.equal((await lineOf(the, asked)).reason.code, 'identity_too_large');
    const routed = await the.request(`${SITE}/echo`, { headers: { authorization: `Bearer ${many}` } });
    assert.equal(routed.status, 200);
    const [token] = valuesOf(routed.json(), 'x-repogate-assertion');
    assert.ok(token.length > AUTH_BUDGET && decode(token).claims.groups.length === 62);
    // Past NGINX, which takes no head of that size.
    const refused = await request(the.gateway.url, { path: `${SITE}/echo`, headers: { host: new URL(the.url).host, authorization: `Bearer ${more}` } });
    assert.deepEqual([refused.status, refused.json().reason], [503, 'identity_too_large']);
  });

  test('L1: its keys are public, cacheable, and nothing but public', async () => {
    for (const url of [the.gateway.url, the.url]) {
      const answer = await request(`${url}/_repogate/jwks`);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['content-type'], 'application/jwk-set+json');
      assert.match(answer.headers['cache-control'], /^public, max-age=300$/);
      const { keys } = answer.json();
      const [{ jwk, kid }] = keysIn(keyFile(the));
      assert.deepEqual(keys, [{ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y, kid, alg: 'ES256', use: 'sig' }]);
    }
    assert.equal((await request(`${the.gateway.url}/_repogate/jwks`, { method: 'HEAD' })).status, 200);
    assert.equal((await request(`${the.gateway.url}/_repogate/jwks`, { method: 'POST' })).status, 405);
  });
});

describe('assertion keys', () => {
  let the;
  let dora;
  before(async () => {
    the = await startGuarded({ topology: 'gateway' });
    dora = await sessionCookie(the, 'dora');
  });
  after(() => closeGuarded(the));
  const kids = async () => (await request(`${the.gateway.url}/_repogate/jwks`)).json().keys.map(({ kid }) => kid);
  const keygen = (...args) => run(programOf(variant()), ['keygen', 'assertion', ...args]);
  const settled = (want) => waitFor('every worker to publish the keys', async () => {
    for (let i = 0; i < 20; i++) if ((await kids()).join() !== want.join()) return false;
    return true;
  });

  test('rotate without one failed request', async () => {
    const [old] = keysIn(keyFile(the));
    const statuses = [];
    let isOver = false;
    const askers = Array.from({ length: 4 }, async () => {
      while (!isOver) statuses.push((await the.request(`${SITE}/echo`, { headers: { cookie: dora } })).status);
    });
    const more = () => {
      const seen = statuses.length;
      return waitFor('requests with the new keys', () => statuses.length > seen + 20);
    };
    try {
      // Somebody makes the guard look for a key that there isn't, just before there is one.
      await knock(the, { assertions: [encode({ alg: 'ES256', kid: 'nobody', typ: 'JWT' }, {}, () => 'AA')] });
      for (let i = 0; i < 2; i++) {
        await keygen('--rotate', keyFile(the));
        const want = keysIn(keyFile(the)).map(({ kid }) => kid);
        assert.equal(want.length, i + 2);
        the.gateway.reload();
        await settled(want);
        const [token] = (await ask(the, { cookie: dora })).values('x-repogate-assertion');
        assert.equal(decode(token).header.kid, want[0]);
        await more();
      }
      writeFileSync(keyFile(the), readFileSync(keyFile(the), 'utf8').split(/(?<=-----END PRIVATE KEY-----\n)/).slice(0, 1).join(''));
      the.gateway.reload();
      await settled(keysIn(keyFile(the)).map(({ kid }) => kid));
      await more();
    } finally {
      isOver = true;
    }
    await Promise.all(askers);
    assert.deepEqual([...new Set(statuses)], [200]);
    assert.ok(!(await kids()).includes(old.kid));
  });

  test('a file that holds something else changes nothing', async () => {
    const before = await kids();
    const text = readFileSync(keyFile(the), 'utf8');
    for (const broken of ['', 'no key\n', text.slice(0, 100), text + text]) {
      writeFileSync(keyFile(the), broken);
      the.gateway.reload();
      await waitFor('the log', () => /assertion\.key_file/.test(the.output()));
      assert.deepEqual(await kids(), before);
      assert.equal((await the.request(`${SITE}/echo`, { headers: { cookie: dora } })).status, 200);
    }
    writeFileSync(keyFile(the), text);
  });
});

describe('a guard without its gateway', () => {
  let the;
  before(async () => { the = await startGuarded({ topology: 'gateway' }); });
  after(() => closeGuarded(the));
  const minted = () => {
    const [{ key, kid }] = keysIn(keyFile(the));
    return encode({ alg: 'ES256', kid, typ: 'JWT' }, { iss: the.url, aud: workspaceId(the.owner), sub: the.owner.sub, iat: now(), exp: now() + 60 }, (input) => signWith(key, input));
  };
  const start = (over, options = {}) => {
    const { jwks, ...rest } = the.guardOptions;
    return startGuard(variant(), { ...rest, listen: '127.0.0.1:0', ...over }, options);
  };

  describe('E: keys that cannot be read let nobody in, and as soon as they can be read they do', { concurrency: true }, () => {
    const published = () => request(`${the.gateway.url}/_repogate/jwks`).then(({ text }) => text);
    const cells = {
      'an error': (res, good) => res.writeHead(500).end(good),
      'a redirect': (res) => res.writeHead(302, { location: `${the.gateway.url}/_repogate/jwks` }).end(),
      HTML: (res) => res.end('<html>'),
      'another shape': (res) => res.end('{"keys":{}}'),
      'no answer': (res) => res.socket.destroy(),
      'too much': (res, good) => res.end(`{"keys":[${good},${'1,'.repeat(200000)}1]}`),
      'no keys': (res) => res.end('{}'),
      'keys for something else': (res, good) => res.end(good.replace('ES256', 'RS256')),
      'a set with one key twice': (res, good) => res.end(JSON.stringify({ keys: [...JSON.parse(good).keys, ...JSON.parse(good).keys] })),
    };
    for (const [name, bad] of Object.entries(cells)) {
      test(name, async () => {
        const good = await published();
        let answer = bad;
        const server = createServer((req, res) => answer(res, good));
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const guard = await start({ jwks: `http://127.0.0.1:${server.address().port}/jwks` });
        try {
          const refused = await knock(the, { port: guard.port, assertions: [minted()] });
          assert.ok([403, 503].includes(refused.status), `${refused.status}`);
          answer = (res) => res.end(good);
          assert.equal((await knock(the, { port: guard.port, assertions: [minted()] })).status, 200);
          assert.equal((await request(`${guard.url}/_repogate/readyz`)).status, 200);
        } finally {
          server.close();
          server.closeAllConnections();
          assert.equal((await guard.stop()).code, 0);
        }
      });
    }
  });

  test('keys from a file, which may come later, and options from the environment', async () => {
    const file = join(the.dir, 'jwks.json');
    const { listen, upstream, issuer, audience, owner } = the.guardOptions;
    const guard = await startGuard(variant(), { listen: '127.0.0.1:0' }, { env: {
      REPOGATE__GUARD__LISTEN: listen, REPOGATE__GUARD__UPSTREAM: upstream, REPOGATE__GUARD__ISSUER: issuer, REPOGATE__GUARD__AUDIENCE: audience, REPOGATE__GUARD__OWNER: owner, REPOGATE__GUARD__KEY_FILE: file } });
    try {
      assert.equal((await request(`${guard.url}/_repogate/readyz`)).status, 503);
      const refused = await knock(the, { port: guard.port, assertions: [minted()] });
      assert.deepEqual([refused.status, reasonOf(refused)], [503, 'keys_unavailable']);
      writeFileSync(file, (await request(`${the.gateway.url}/_repogate/jwks`)).text);
      assert.equal((await knock(the, { port: guard.port, assertions: [minted()] })).status, 200);
    } finally {
      assert.equal((await guard.stop()).code, 0);
    }
  });

  test('without the program behind it is not ready, and says so to the owner', async () => {
    const guard = await start({ jwks: the.guardOptions.jwks, upstream: `127.0.0.1:${await freePort()}` });
    try {
      await waitFor('the keys', async () => (await knock(the, { port: guard.port, assertions: [minted()] })).status === 502);
      assert.equal((await request(`${guard.url}/_repogate/readyz`)).status, 503);
      assert.equal((await request(`${guard.url}/_repogate/healthz`)).status, 200);
    } finally {
      assert.equal((await guard.stop()).code, 0);
    }
  });

  test('told to stop, it finishes what is under way', async () => {
    const guard = await start({ jwks: the.guardOptions.jwks });
    await waitFor('the guard to be ready', async () => (await request(`${guard.url}/_repogate/readyz`)).status === 200);
    const seen = the.workspace.requests.length;
    const slow = knock(the, { port: guard.port, assertions: [minted()], path: '/slow?ms=700' });
    await waitFor('the request to arrive', () => the.workspace.requests.length > seen);
    const how = guard.stop();
    assert.equal((await slow).status, 200);
    assert.deepEqual([(await how).code, (await how).signal], [0, null]);
  });

  test('a wrong or missing option is 2, and nothing is started', async () => {
    const { jwks, ...rest } = the.guardOptions;
    const last = { listen: 'localhost:1' }; // what is judged last, so that no mistake can leave a guard running
    const cells = [[{ upstream: '10.0.0.1:80', jwks }, 'upstream'], [{ upstream: 'localhost:80', jwks }, 'upstream'], [{ upstream: ':80', jwks }, 'upstream'], [{ upstream: '127.0.0.1', jwks }, 'upstream'], [{ jwks: 'ftp://x/' }, 'jwks'],
      [{ jwks, 'key-file': '/x' }, 'jwks or --key-file'], [{}, 'jwks or --key-file'], [{ jwks, owner: undefined }, 'owner'], [{ jwks, audience: '' }, 'audience'], [{ jwks, issuer: undefined }, 'issuer'], [{ jwks }, 'listen']];
    for (const [over, culprit] of cells) {
      const options = Object.entries({ ...rest, ...over, ...last }).filter(([, value]) => value !== undefined);
      await assert.rejects(run(programOf(variant()), ['guard', ...options.flatMap(([name, value]) => [`--${name}`, value])]), new RegExp(` ended with 2:\\n.*--${culprit}`, 's'), JSON.stringify(over));
    }
    assert.match(await run(programOf(variant()), ['guard', '--help']), /usage: repogate guard/);
  });
});
