// Bearer tokens: only a token of our provider, for us, of the right kind, in its time, signed with a published key, opens anything.
// THREATS groups G (whose token), I (who that is), T (the token itself).
import assert from 'node:assert/strict';
import { createHmac, createPublicKey } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { TOKEN_FAULTS, encodeJwt } from '../../authentik/dev/keys.mjs';
import { startProvider } from '../../authentik/dev/provider.mjs';
import { ask, closeStand, describeStand, lineOf, request, sessionCookie, startStand, variant, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const VAULT = '/github/acme/vault/';
const PAYMENTS = '/github/acme/payments/';
const FOREVER = { timeoutMs: 20000, everyMs: 250 };

async function expectRefused(stand, token, what) {
  const answer = await ask(stand, { token, url: SITE });
  assert.equal(answer.status, 401, what);
  assert.deepEqual(answer.values('www-authenticate'), ['Bearer realm="repogate", error="invalid_token"'], what);
  return answer;
}

/* Nobody can tell whether the token is good: not 401, since a login would not change that. */
async function expectUnavailable(stand, token, what) {
  const answer = await ask(stand, { token, url: SITE });
  assert.equal(answer.status, 403, what);
  assert.deepEqual(answer.values('x-repogate-reason'), ['provider_unavailable'], what);
  assert.deepEqual(answer.values('www-authenticate'), [], what);
}

describeStand('bearer tokens', {}, (the) => {
  const mint = (options) => the().provider.mint(options);

  beforeEach(() => the().provider.setFaults({}));

  test('a good one opens what its owner may open, and nothing else', async () => {
    for (const [username, url, status] of [['dora', SITE, 200], ['dora', VAULT, 200], ['dora', PAYMENTS, 403], ['dave', VAULT, 403], ['guest', SITE, 403], ['admin', PAYMENTS, 200]]) {
      const answer = await ask(the(), { token: mint({ username }), url });
      assert.equal(answer.status, status, `${username} ${url}`);
      const { subject } = await lineOf(the(), answer);
      assert.deepEqual([subject.username, subject.via, subject.iss], [username, 'bearer', the().provider.issuer]);
    }
  });

  for (const fault of Object.keys(TOKEN_FAULTS).filter((name) => !name.includes('nonce'))) {
    test(`E1, F9, T4: ${fault} is refused`, async () => {
      await expectRefused(the(), mint({ fault }), fault);
    });
  }

  test('T1, T1b, T2, T3: no other algorithm than ours, however it is spelled and whatever its key', async () => {
    const { keys } = the().provider;
    const payload = JSON.parse(Buffer.from(mint().split('.')[1], 'base64url'));
    const good = keys.sign(payload);
    const pem = keys.publicPem;
    const der = createPublicKey(pem).export({ type: 'spki', format: 'der' });
    const pkcs1 = createPublicKey(pem).export({ type: 'pkcs1', format: 'pem' });
    const { n } = keys.jwks().keys[0];
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
      for (const signature of ['', 'AA', good.split('.')[2]]) await expectRefused(the(), encodeJwt({ alg, typ: 'JWT', kid: keys.kid }, payload, () => signature), `${alg} ${signature.slice(0, 4)}`);
    }
    for (const alg of ['HS256', 'HS384', 'HS512', 'hs256']) {
      for (const secret of [pem, pem.trim(), der, pkcs1, n, Buffer.from(n, 'base64url'), '', 'repogate', the().provider.clientSecret, keys.kid]) {
        const hash = `sha${/\d+/.exec(alg)[0]}`;
        for (const header of [{ alg, typ: 'JWT', kid: keys.kid }, { alg, typ: 'JWT' }]) {
          await expectRefused(the(), encodeJwt(header, payload, (input) => createHmac(hash, secret).update(input).digest('base64url')), alg);
        }
      }
    }
    for (const alg of ['rs256', 'RS384', 'RS512', 'PS256', 'ES256', 'EdDSA', ['RS256'], 256, null, { a: 1 }]) await expectRefused(the(), keys.sign(payload, { alg }), JSON.stringify(alg));
  });

  const headers = {
    'crit, known or not': { crit: ['exp'] }, 'an empty crit': { crit: [] }, b64: { b64: false, crit: ['b64'] }, jku: { jku: 'http://127.0.0.1:1/keys' }, 'a key of its own': { jwk: { kty: 'RSA', n: 'x', e: 'AQAB' } },
    x5u: { x5u: 'http://127.0.0.1:1/cert' }, x5c: { x5c: ['MIIB'] }, 'zip': { zip: 'DEF' }, enc: { enc: 'A256GCM' }, 'typ of a logout token': { typ: 'logout+jwt' }, 'a typ that is no text': { typ: 1 }, 'a kid that is no text': { kid: 7 },
  };
  for (const [what, header] of Object.entries(headers)) {
    test(`T5, T10, M4b: a header with ${what} is refused`, async () => expectRefused(the(), mint({ header }), what));
  }

  const claims = {
    'of another client (azp)': { azp: 'another-client' }, 'without azp': { azp: null }, 'without uid': { uid: null }, 'without scope': { scope: null }, 'for us and another': { aud: ['repogate', 'another-client'] }, 'for nobody': { aud: [] },
    'without aud': { aud: null }, 'with an aud that only begins like ours': { aud: 'repogate2' }, 'without iss': { iss: null }, 'without sub': { sub: null }, 'with an empty sub': { sub: '' }, 'with a sub that is a number': { sub: 7 },
    'with exp as text': { exp: '9999999999' }, 'with exp as a fraction': { exp: 9999999999.5 }, 'with exp beyond all bounds': { exp: 1e300 }, 'with a negative exp': { exp: -1 }, 'with exp 0': { exp: 0 }, 'with exp true': { exp: true }, 'with nbf as text': { nbf: '0' }, 'with iat as text': { iat: '0' },
    'with events (a logout token)': { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } },
  };
  for (const [what, changed] of Object.entries(claims)) {
    test(`F9, G5, G6, G9, M3: a token ${what} is refused`, async () => expectRefused(the(), mint({ claims: changed }), what));
  }

  test('T10: an issuer that only ends or begins like ours is another', async () => {
    const { issuer } = the().provider;
    for (const iss of [`${issuer}x`, issuer.slice(0, -1), issuer.toUpperCase(), issuer.replace('127.0.0.1', '127.0.0.1.evil.example'), `http://evil-${issuer.slice(7)}`, `${issuer}/`, ` ${issuer}`, [issuer]]) {
      await expectRefused(the(), mint({ claims: { iss } }), JSON.stringify(iss));
    }
  });

  test('G11: an ID token is no access token', async () => {
    await expectRefused(the(), mint({ kind: 'id' }), 'id');
    await expectRefused(the(), mint({ kind: 'id', claims: { nonce: 'x' } }), 'id with nonce');
  });

  test('F14, G6: a token of another provider with the same user is refused', async () => {
    const other = await startProvider();
    try {
      await expectRefused(the(), other.mint(), 'its own issuer');
      await expectRefused(the(), other.mint({ issuer: the().provider.issuer }), 'our issuer, its key');
      await expectRefused(the(), other.keys.sign(JSON.parse(Buffer.from(mint().split('.')[1], 'base64url')), { kid: the().provider.keys.kid }), 'our issuer and kid, its key');
    } finally {
      await other.close();
    }
  });

  test('M4, T5: only three parts of clean base64url are a token', async () => {
    const good = mint();
    const [head, body, signature] = good.split('.');
    const bad = [`${good}.`, `.${good}`, `${good}.x`, `${good}.a.b`, `${head}.${body}`, `${head}.${body}.`, `${head}..${signature}`, `.${body}.${signature}`, `${good}=`, `${head}=.${body}.${signature}`, `${good}AA`, `${head}.${body} .${signature}`,
      `${head}.${body}.${signature.slice(0, -1)}`, `${good.replaceAll('-', '+').replaceAll('_', '/')}+`, '...', '..', '.', 'x', '.'.repeat(10000), `${good},${good}`, `"${good}"`, `${good}%00`, good.slice(1), `${head}.${Buffer.from('[]').toString('base64url')}.${signature}`];
    for (const token of bad) await expectRefused(the(), token, token.slice(0, 40));
    const last = signature.at(-1);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    await expectRefused(the(), `${good.slice(0, -1)}${alphabet[alphabet.indexOf(last) ^ 1]}`, 'unused bits of the last character');
    const values = [`Bearer ${good} `, `Bearer  ${good}`, `bearer ${good}`, `BEARER ${good}`];
    for (const Authorization of values) assert.equal((await ask(the(), { headers: { Authorization } })).status, 200, 'blanks and case of the scheme do not matter');
    assert.equal((await ask(the(), { headers: { Authorization: `Bearer\t${good}` } })).status, 401);
  });

  test('M4: a token over the cap is refused, one just under it is not', async () => {
    const sized = (n) => mint({ claims: { padding: 'x'.repeat(n) } });
    await expectRefused(the(), sized(13000), 'too long');
    assert.equal((await ask(the(), { token: sized(9000) })).status, 200);
  });

  test('M3: an unknown kid makes us look once, not each time', async () => {
    const before = the().provider.counts.jwks;
    const tokens = Array.from({ length: 40 }, (_, i) => mint({ header: { kid: `unknown-${i}` } }));
    await Promise.all(tokens.map((token) => expectRefused(the(), token, 'unknown kid')));
    for (let i = 0; i < 10; i++) await expectRefused(the(), mint({ header: { kid: `later-${i}` } }), 'unknown kid');
    assert.ok(the().provider.counts.jwks - before <= 2, `${the().provider.counts.jwks - before} fetches, one per thread at most`);
    assert.equal((await ask(the(), { token: mint() })).status, 200);
  });

  describe('claims', () => {
    const missing = { groups_missing: 'no groups', repogate_missing: 'no repogate claim', repogate_wrong_type: 'a repogate claim of the wrong type', repogate_groups_wrong_type: 'groups of the wrong type' };
    for (const [fault, what] of Object.entries(missing)) {
      test(`missing is not empty: ${what} is claims_missing for everybody`, async () => {
        the().provider.setFaults({ claims: fault });
        for (const username of ['dora', 'admin', 'guest']) {
          const answer = await ask(the(), { token: mint({ username }), url: SITE });
          assert.deepEqual([answer.status, answer.reason], [403, 'claims_missing'], username);
          const line = await lineOf(the(), answer);
          assert.deepEqual([line.decision, line.subject.username], ['deny', username]);
        }
      });
    }

    test('I5: other wrong types are claims_missing too, never read as true', async () => {
      const good = { v: 1, groups: ['admins'], attributes: {}, service: false };
      const wrong = [{ ...good, groups: null }, { ...good, groups: {} }, { ...good, groups: ['admins', 7] }, { ...good, groups: [['admins']] }, { ...good, v: 2 }, { ...good, v: '1' }, { ...good, v: undefined }, { ...good, attributes: [] }, { ...good, service: 'true' }, [], 'admins', true, 1];
      for (const repogate of wrong) {
        const answer = await ask(the(), { token: mint({ username: 'dora', claims: { repogate } }), url: PAYMENTS });
        assert.ok(answer.status === 403 || answer.status === 401, JSON.stringify(repogate));
        assert.notEqual(answer.reason, 'no_rule', JSON.stringify(repogate));
      }
    });

    test('the groups of the repogate claim replace the top-level ones', async () => {
      const repogate = { v: 1, groups: ['developers'], attributes: {}, service: false };
      const answer = await ask(the(), { token: mint({ username: 'dave', claims: { groups: ['admins'], repogate } }), url: PAYMENTS });
      assert.deepEqual([answer.status, answer.reason], [403, 'no_rule']);
      const allowed = await ask(the(), { token: mint({ username: 'dave', claims: { groups: ['admins'], repogate } }), url: SITE });
      assert.deepEqual(allowed.values('x-authentik-groups'), ['developers']);
    });

    test('a group named x|admins makes no admin and is emitted encoded', async () => {
      the().provider.setFaults({ claims: 'group_with_separator' });
      const token = mint({ username: 'dave' });
      assert.equal((await ask(the(), { token, url: PAYMENTS })).status, 403);
      const answer = await ask(the(), { token, url: SITE });
      assert.deepEqual(answer.values('x-authentik-groups'), ['developers|staff|x%7Cadmins']);
    });

    test('I4: groups are compared as they are', async () => {
      for (const name of ['Admins', 'ADMINS', 'admins ', ' admins', 'admins,', 'admins|x', 'admin\u0455', 'adm\u0131ns', 'admins\u200b', '\ufeffadmins', 'admins\n', '', 'x,admins', '["admins"]']) {
        const repogate = { v: 1, groups: [name], attributes: {}, service: false };
        const answer = await ask(the(), { token: mint({ claims: { repogate, groups: [name] } }), url: PAYMENTS });
        assert.ok([401, 403].includes(answer.status), JSON.stringify(name));
      }
    });

    test('H11: control bytes in names are refused or encoded, never emitted', async () => {
      the().provider.setFaults({ claims: 'control_bytes' });
      const answer = await ask(the(), { token: mint({ username: 'dora' }), url: SITE });
      assert.deepEqual(answer.values('x-evil'), []);
      assert.equal(answer.values('x-authentik-groups').length <= 1, true);
      the().provider.setFaults({});
      for (const text of ['a\r\nX-Evil: 1', 'a\u0000b', 'a\u007fb', 'a\tb', '\u001b[31m', 'a\nb']) {
        for (const claim of [{ name: text }, { preferred_username: text }, { email: text }, { sub: text }]) {
          const seen = await ask(the(), { token: mint({ username: 'dora', claims: claim }), url: SITE });
          assert.deepEqual(seen.values('x-evil'), []);
          // eslint-disable-next-line no-control-regex
          for (const [, value] of seen.headers) assert.doesNotMatch(value, /[\x00-\x1f\x7f]/, JSON.stringify(claim));
        }
      }
    });

    test('names in other scripts arrive as UTF-8, % and | and outer blanks encoded', async () => {
      for (const [name, expected] of [['Döra Ünal', 'Döra Ünal'], ['100%', '100%25'], ['a|b', 'a%7Cb'], [' a ', '%20a%20'], ['山田', '山田'], ['', '']]) {
        const answer = await ask(the(), { token: mint({ username: 'dora', claims: { name } }), url: SITE });
        assert.equal(answer.status, 200, name);
        assert.deepEqual(answer.values('x-authentik-name').map((value) => Buffer.from(value, 'latin1').toString()), [expected]);
      }
    });
  });

  test('C6: a token is known until it expires, and not a moment longer than the leeway', async () => {
    const token = mint({ lifetime: -58 });
    assert.equal((await ask(the(), { token })).status, 200);
    await waitFor('the token to expire', async () => (await ask(the(), { token })).status === 401, FOREVER);
  });
});

describeStand('a key is rotated', { config: { server: { threads: 1 } } }, (the) => {
  test('tokens of the new key are accepted after one more fetch, those of the old one no longer', async () => {
    const { provider } = the();
    const old = provider.mint();
    assert.equal((await ask(the(), { token: old })).status, 200);
    const before = provider.counts.jwks;
    provider.rotateKey();
    const token = provider.mint();
    await waitFor('the new key', async () => (await ask(the(), { token })).status === 200, FOREVER);
    assert.equal(provider.counts.jwks, before + 1);
    assert.equal((await ask(the(), { token: old })).status, 401);
  });
});

describe('the provider is down', () => {
  let stand;
  let cookie;
  const readiness = async () => request(`${stand.adminUrl}/readyz`);

  before(async () => {
    stand = await startStand({ variant: variant() });
    cookie = await sessionCookie(stand, 'dora');
  });

  after(() => closeStand(stand));

  test('later: known tokens, new tokens of known keys and sessions go on', async () => {
    const known = stand.provider.mint();
    assert.equal((await ask(stand, { token: known })).status, 200);
    stand.provider.setFaults({ endpoints: { all: 'down' } });
    for (let i = 0; i < 4; i++) {
      assert.equal((await ask(stand, { token: known })).status, 200);
      assert.equal((await ask(stand, { token: stand.provider.mint() })).status, 200);
      assert.equal((await ask(stand, { cookie })).status, 200);
    }
    // 401 if the keys were read a moment ago, provider_unavailable otherwise.
    assert.notEqual((await ask(stand, { token: stand.provider.mint({ header: { kid: 'unknown' } }) })).status, 200);
    assert.equal((await readiness()).status, 200);
  });

  for (const [what, fault] of [['down', 'down'], ['a page in HTML', 'html']]) {
    test(`at the start (${what}): sessions go on, tokens open nothing, readiness says degraded`, async () => {
      stand.provider.setFaults({ endpoints: { all: fault } });
      await stand.restart();
      assert.equal((await ask(stand, { cookie })).status, 200);
      await expectUnavailable(stand, stand.provider.mint(), 'no keys');
      const ready = await readiness();
      assert.equal(ready.status, 200);
      assert.equal(ready.json().ready, true);
      assert.equal(ready.json().provider.state, 'degraded');
      assert.ok(ready.json().provider.detail.length > 0);
    });

    test(`and when it is back (after ${what}), tokens are accepted without a restart`, async () => {
      stand.provider.setFaults({});
      const token = stand.provider.mint();
      await waitFor('tokens to be accepted', async () => (await ask(stand, { token })).status === 200, FOREVER);
      await waitFor('readiness', async () => (await readiness()).json().provider.state === 'ok', FOREVER);
    });
  }

  test('a slow one keeps nobody else waiting', async () => {
    stand.provider.setFaults({ endpoints: { jwks: { slow_ms: 1500 }, discovery: { slow_ms: 1500 } } });
    await stand.restart();
    let isTokenDone = false;
    const slow = ask(stand, { token: stand.provider.mint() }).then((answer) => {
      isTokenDone = true;
      return answer;
    });
    assert.equal((await ask(stand, { cookie })).status, 200);
    assert.equal(isTokenDone, false, 'the token is still being checked');
    assert.equal((await slow).status, 200, 'and is accepted in the end');
    stand.provider.setFaults({});
  });
});
