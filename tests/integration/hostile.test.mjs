// A provider that is broken, tired or hostile, at every step of a login and of the start: nobody gets in by it, the gateway lives on, small, and one
// line says why. THREATS groups E (error paths), I (who that is), L (secrets).
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ANSWERS } from '../../authentik/dev/hostile.mjs';
import { CLAIM_FAULTS } from '../../authentik/dev/people.mjs';
import { Browser, ask, closeStand, describeStand, lineOf, request, sessionCookie, startStand, variant, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const VAULT = '/github/acme/vault/';
const PAYMENTS = '/github/acme/payments/';
const LOGIN = '/_repogate/login';
const ONE_THREAD = { server: { threads: 1 } };
const SILENT = ['hang', 'stalled'];
// Good enough as they are: a member that nobody reads is spoiled, or only the type's name.
const HARMLESS = { token: ['wrong_content_type', 'wrong_iss'], userinfo: ['wrong_iss'], jwks: ['wrong_content_type', 'wrong_iss'], discovery: ['wrong_content_type'] };
const MEMORY_MAX_MIB = { release: 96, asan: 900, tsan: 1500 };

const isFailedLogin = ({ type, outcome }) => type === 'login' && outcome === 'failed';
const answersFor = (endpoint) => ANSWERS.filter((answer) => !SILENT.includes(answer) && !HARMLESS[endpoint].includes(answer));

function sessionOf(stand, browser) {
  return browser.jar.for(`${stand.url}/`).find(({ name }) => name === 'repogate');
}

async function expectHealthy(stand) {
  assert.equal((await stand.request('/health')).status, 200);
  assert.equal((await request(stand.adminUrl, { path: '/healthz' })).status, 200);
}

// The page that a login ended at, which must be one that says no; and one line each in the audit log and ours, fit to be read.
async function expectNoLogin(stand, browser, page, { failedBefore, reasons = ['login_refused', 'provider_unavailable'] }) {
  assert.ok([403, 502, 503].includes(page.status), `status ${page.status} at ${page.url}`);
  assert.match(page.headers['content-type'], /^text\/html/);
  assert.equal(sessionOf(stand, browser), undefined);
  assert.equal((await browser.get('/_repogate/whoami', { headers: { accept: 'application/json' } })).status, 401);
  const failed = await stand.auditUntil(isFailedLogin, failedBefore + 1);
  assert.equal(failed.length, failedBefore + 1, 'one line per failed login');
  const { reason } = failed.at(-1);
  assert.ok(reasons.includes(reason.code), reason.code);
  assert.match(reason.text, /^[\x20-\x7e]{8,500}$/, 'it says why');
  const ours = stand.output().split('\n').filter((line) => line.includes('login failed'));
  assert.equal(ours.length, failed.length, 'and so does our log, line by line');
  assert.ok(ours.at(-1).includes(reason.code));
  await expectHealthy(stand);
  return reason;
}

async function peakMib(stand) {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(await readFile(`/proc/${stand.gateway.pid}/status`, 'utf8'))[1]) / 1024;
}

describeStand('answers at a login', { config: ONE_THREAD }, (the) => {
  const failedSoFar = async () => (await the().auditLines()).filter(isFailedLogin).length;

  beforeEach(() => the().provider.setFaults({}));

  for (const endpoint of ['token', 'userinfo']) {
    for (const answer of answersFor(endpoint)) {
      test(`E: ${endpoint} answers ${answer}: no session, a page, a line that says why`, async () => {
        const failedBefore = await failedSoFar();
        the().provider.setFaults({ endpoints: { [endpoint]: answer } });
        const browser = the().browser();
        const reason = await expectNoLogin(the(), browser, await browser.login('dora', SITE), { failedBefore });
        assert.match(reason.text, endpoint === 'token' ? /token/i : /userinfo/i);
      });
    }
    for (const answer of HARMLESS[endpoint]) {
      test(`${endpoint} answers ${answer}: nothing that matters is wrong`, async () => {
        the().provider.setFaults({ endpoints: { [endpoint]: answer } });
        assert.equal((await the().browser().login('dora', SITE)).status, 200);
      });
    }
  }

  const odd = {
    'token: without an ID token': { token: { set: { id_token: null } } },
    'token: with an ID token that is a number': { token: { set: { id_token: 1 } } },
    'token: without an access token': { token: { set: { access_token: null } } },
    'token: with an access token that is a list': { token: { set: { access_token: ['x'] } } },
    'token: of another type': { token: { set: { token_type: 'mac' } } },
    'token: with control bytes in the access token': { token: { set: { access_token: 'a\r\nX-Evil: 1' } } },
    'token: an error with status 200': { token: { body: { error: 'invalid_grant' } } },
    'token: an error that is markup': { token: { error: '<script>', error_description: '"><img src=x onerror=alert(1)>\r\nSet-Cookie: evil=1' } },
    'token: an error that is an object': { token: { status: 400, body: { error: { a: 1 } } } },
    'userinfo: about somebody else': { userinfo: { set: { sub: 'somebody-else' } } },
    'userinfo: about nobody': { userinfo: { set: { sub: null } } },
    'userinfo: about a number': { userinfo: { set: { sub: 7 } } },
    'userinfo: as HTML by its type': { userinfo: { headers: { 'content-type': 'text/html; charset=utf-8' } } },
  };
  for (const [what, endpoints] of Object.entries(odd)) {
    test(`E: ${what}: no session`, async () => {
      const failedBefore = await failedSoFar();
      the().provider.setFaults({ endpoints });
      const browser = the().browser();
      const page = await browser.login('dora', SITE);
      await expectNoLogin(the(), browser, page, { failedBefore });
      assert.equal(/<script|<img/i.test(page.text), false);
      assert.equal(browser.jar.find('evil'), undefined);
    });
  }

  test('an answer without a refresh token, or without expires_in, is good', async () => {
    for (const set of [{ refresh_token: null }, { expires_in: null }, { scope: null }]) {
      the().provider.setFaults({ endpoints: { token: { set } } });
      assert.equal((await the().browser().login('dora', SITE)).status, 200, JSON.stringify(set));
    }
  });

  for (const [error, description] of [['access_denied', 'not for you'], ['temporarily_unavailable', ''], ['server_error', ''], ['login_required', ''], ['interaction_required', '']]) {
    test(`the provider says ${error} at the start: a page that says so, no loop`, async () => {
      const failedBefore = await failedSoFar();
      the().provider.setFaults({ endpoints: { authorization: { error, error_description: description } } });
      const browser = the().browser();
      const page = await browser.visit(SITE);
      const reason = await expectNoLogin(the(), browser, page, { failedBefore, reasons: ['provider_refused', 'provider_unavailable'] });
      assert.ok(reason.text.startsWith(error));
      assert.ok(page.hops.length <= 5, page.hops.join(' > '));
    });
  }

  for (const [seconds, isGood] of [[30, true], [-30, true], [600, false], [-7200, false]]) {
    test(`the provider's clock is ${seconds} s off: ${isGood ? 'still within the leeway' : 'no login, and the line names the time'}`, async () => {
      const failedBefore = await failedSoFar();
      the().provider.clockSkewSeconds = seconds;
      try {
        const browser = the().browser();
        const page = await browser.login('dora', SITE);
        if (isGood) assert.equal(page.status, 200);
        else assert.match((await expectNoLogin(the(), browser, page, { failedBefore })).text, /expired|not valid yet/);
      } finally {
        the().provider.clockSkewSeconds = 0;
      }
    });
  }

  test('a key that is replaced: tokens of the unknown one are refused until the keys may be read again, then logins work', async () => {
    const { provider } = the();
    const asked = provider.counts.jwks;
    provider.rotateKey();
    let refused = 0;
    const page = await waitFor('a login with the new key', async () => {
      const failedBefore = await failedSoFar();
      const browser = the().browser();
      const answer = await browser.login('dora', SITE);
      if (answer.status === 200) return answer;
      assert.match((await expectNoLogin(the(), browser, answer, { failedBefore })).text, /^ID token: /);
      refused++;
      return false;
    }, { timeoutMs: 20000, everyMs: 500 });
    assert.equal(page.status, 200);
    assert.equal(provider.counts.jwks, asked + 1, `read once, though ${refused} logins were refused`);
  });

  test('M5: ten at once, each with 10 MiB or no end, leave memory bounded', async () => {
    for (const answer of ['huge', 'endless', 'header_flood']) {
      the().provider.setFaults({ endpoints: { userinfo: answer } });
      const pages = await Promise.all(Array.from({ length: 10 }, () => the().browser().login('dora', SITE)));
      for (const page of pages) assert.ok([502, 503].includes(page.status));
    }
    const peak = await peakMib(the());
    assert.ok(peak < MEMORY_MAX_MIB[variant()], `${peak} MiB at the most`);
  });

  test('L3: after all that no secret and no token stands in any log', async () => {
    const text = `${the().output()}${await readFile(the().auditFile, 'utf8')}`;
    assert.ok(text.includes('login failed'));
    for (const secret of [the().provider.clientSecret, 'eyJ', 'dora-demo', 'code_verifier']) assert.equal(text.includes(secret), false, secret);
  });

  test('and everything works again', async () => {
    assert.equal((await the().browser().login('dora', SITE)).status, 200);
  });
});

describeStand('silence at a login', { config: ONE_THREAD }, (the) => {
  test('E: token, userinfo and keys that never answer end in a page, without anybody else waiting', async () => {
    const { provider } = the();
    const failedBefore = (await the().auditLines()).filter(isFailedLogin).length;
    const known = await sessionCookie(the(), 'dave');
    const silences = [['userinfo', 'hang'], ['userinfo', 'stalled'], ['token', 'hang'], ['token', 'stalled']];
    const pages = [];
    for (const [endpoint, answer] of silences) {
      const asked = provider.counts[endpoint] ?? 0;
      provider.setFaults({ endpoints: { [endpoint]: answer } });
      const browser = the().browser();
      pages.push(browser.login('dora', SITE).then((page) => ({ browser, page })));
      await provider.whenCounted(endpoint, asked + 1);
    }
    provider.setFaults({});
    assert.equal((await ask(the(), { cookie: known })).status, 200, 'a known session does not wait for them');
    assert.equal((await the().browser().login('admin', PAYMENTS)).status, 200, 'nor does another login');
    for (const { browser, page } of await Promise.all(pages)) {
      assert.ok([502, 503].includes(page.status), String(page.status));
      assert.equal(sessionOf(the(), browser), undefined);
    }
    const failed = await the().auditUntil(isFailedLogin, failedBefore + silences.length);
    for (const { reason } of failed.slice(failedBefore)) assert.match(reason.text, /^(token endpoint|userinfo): .*time/i);
    await expectHealthy(the());
  });
});

describe('answers at the start', () => {
  let stand;

  before(async () => {
    stand = await startStand({ variant: variant(), config: ONE_THREAD, beforeGateway: ({ provider }) => provider.setFaults({ endpoints: { discovery: 'down' } }) });
  });

  after(() => closeStand(stand));

  const orders = [
    ...answersFor('discovery').map((answer) => ['discovery', answer, answer]),
    ...answersFor('jwks').map((answer) => ['jwks', answer, answer]),
    ['discovery', 'an issuer that is a number', { set: { issuer: 7 } }],
    ['discovery', 'no token endpoint', { set: { token_endpoint: null } }],
    ['discovery', 'a keys URL that is a list', { set: { jwks_uri: ['x'] } }],
    ['discovery', 'an authorization endpoint that is script', { set: { authorization_endpoint: 'javascript:alert(1)' } }],
    ['discovery', 'an authorization endpoint with a line break', { set: { authorization_endpoint: 'http://127.0.0.1/\r\nX-Evil: 1' } }],
    ['discovery', 'a file as keys', { set: { jwks_uri: 'file:///etc/passwd' } }],
    ['discovery', 'only algorithms that nobody allowed', { set: { id_token_signing_alg_values_supported: ['HS256'] } }],
    ['discovery', 'no S256', { set: { code_challenge_methods_supported: ['plain'] } }],
    ['jwks', 'no keys', { body: {} }],
    ['jwks', 'an empty list', { body: { keys: [] } }],
    ['jwks', 'keys that are a text', { body: { keys: 'x' } }],
    ['jwks', 'a key that is null', { body: { keys: [null] } }],
    ['jwks', 'a symmetric key', { body: { keys: [{ kty: 'oct', k: 'AAAA', alg: 'HS256', use: 'sig', kid: 'a' }] } }],
    ['jwks', 'only a key for encryption', { body: { keys: [{ kty: 'RSA', use: 'enc', alg: 'RSA-OAEP', kid: 'a', n: 'AQAB', e: 'AQAB' }] } }],
    ['jwks', 'too many keys', { body: { keys: Array.from({ length: 100 }, (_, i) => ({ kty: 'RSA', use: 'sig', alg: 'RS256', kid: `k${i}`, n: 'AQAB', e: 'AQAB' })) } }],
  ];
  for (const [endpoint, what, order] of orders) {
    test(`E: ${endpoint} gives ${what}: nobody can log in, nobody gets in, a line says why`, async () => {
      stand.provider.setFaults({ endpoints: { [endpoint]: order } });
      await stand.restart();
      const page = await stand.browser().visit(SITE);
      assert.equal(page.status, 503);
      assert.match(page.text, /provider_unavailable/);
      assert.ok(Number(page.headers['retry-after']) > 0);
      assert.equal((await stand.request(LOGIN, { headers: { accept: 'application/json' } })).json().reason, 'provider_unavailable');
      assert.equal((await ask(stand, { token: stand.provider.mint() })).status === 200, false, 'a bearer token opens nothing either');
      const lines = stand.gateway.output().split('\n').filter((line) => line.includes('identity provider is not ready'));
      assert.equal(lines.length, 1, `each reason once: ${lines.join('\n')}`);
      assert.match(lines[0], /reason="[^"]{8,}|reason=\S{8,}/);
      await expectHealthy(stand);
    });
  }

  for (const endpoint of ['discovery', 'jwks']) {
    for (const answer of HARMLESS[endpoint]) {
      test(`${endpoint} gives ${answer}: nothing that matters is wrong`, async () => {
        stand.provider.setFaults({ endpoints: { [endpoint]: answer } });
        await stand.restart();
        assert.equal((await stand.browser().login('dora', SITE)).status, 200);
      });
    }
  }

  test('an issuer that differs by its slash, or by its host, is named with the one that was configured', async () => {
    const { issuer } = stand.provider;
    for (const theirs of [issuer.slice(0, -1), 'http://auth.internal/application/o/repogate/']) {
      stand.provider.setFaults({ endpoints: { discovery: { set: { issuer: theirs } } } });
      await stand.restart();
      assert.equal((await stand.browser().visit(SITE)).status, 503);
      const line = stand.gateway.output().split('\n').find((one) => one.includes('identity provider is not ready'));
      for (const name of [issuer, theirs]) assert.ok(line.includes(name), line);
      assert.equal(line.includes('trailing slash'), issuer.startsWith(theirs));
    }
  });

  test('E: discovery that never answers: the gateway starts, says no in time, and goes on once it is there', async () => {
    stand.provider.setFaults({ endpoints: { discovery: 'hang' } });
    await stand.restart();
    const page = await stand.browser().visit(SITE);
    assert.equal(page.status, 503);
    assert.equal((await request(stand.adminUrl, { path: '/readyz' })).status, 200, 'known sessions go on');
    stand.provider.setFaults({});
    const good = await waitFor('a login page', async () => {
      const answer = await stand.browser().visit(SITE);
      return answer.status === 200 && answer;
    }, { timeoutMs: 40000, everyMs: 300 });
    assert.ok(good.url.startsWith(stand.provider.url));
    assert.equal((await stand.browser().login('dora', SITE)).status, 200);
  });

  test('E: 10 MiB at the start leave memory bounded', async () => {
    for (const endpoint of ['discovery', 'jwks']) {
      stand.provider.setFaults({ endpoints: { [endpoint]: 'huge' } });
      await stand.restart();
      assert.equal((await stand.browser().visit(SITE)).status, 503);
      const peak = await peakMib(stand);
      assert.ok(peak < MEMORY_MAX_MIB[variant()], `${peak} MiB at the most`);
    }
  });
});

describeStand('claims', {}, (the) => {
  beforeEach(() => the().provider.setFaults({}));

  // What a person has to meet who logs in, or a program that comes with a token, while the claims are so. undefined: no login, no token.
  const MISSING = [403, 'claims_missing'];
  const expected = {
    groups_missing: MISSING,
    repogate_missing: MISSING,
    repogate_wrong_type: MISSING,
    repogate_groups_wrong_type: MISSING,
    groups_string: MISSING,
    groups_number: MISSING,
    groups_null: MISSING,
    groups_object: MISSING,
    groups_nested: MISSING,
    groups_of_numbers: MISSING,
    groups_mixed: MISSING,
    repogate_list: MISSING,
    repogate_null: MISSING,
    repogate_number: MISSING,
    repogate_without_groups: MISSING,
    repogate_service_text: MISSING,
    names_of_wrong_type: MISSING,
    control_bytes: undefined,
    line_breaks: undefined,
    overwritten_sub_number: undefined,
    overwritten_aud: undefined,
    overwritten_exp: undefined,
    group_with_separator: [403, 'no_rule'],
    overwritten_sub: [403, 'no_rule'],
    overwritten_exp_far: [403, 'no_rule'],
  };

  test('every lie about claims is in the table', () => {
    assert.deepEqual(Object.keys(expected).sort(), Object.keys(CLAIM_FAULTS).sort());
  });

  for (const [fault, want] of Object.entries(expected)) {
    test(`E8, I5: ${fault}: ${want ? want[1] : 'no login'}, for a browser and for a program`, async () => {
      the().provider.setFaults({ claims: fault });
      const browser = the().browser();
      const page = await browser.login('dora', PAYMENTS);
      const session = sessionOf(the(), browser);
      assert.equal(session !== undefined, want !== undefined);
      assert.ok(page.status >= 400, String(page.status));
      if (session) {
        const answer = await ask(the(), { cookie: `repogate=${session.value}`, url: PAYMENTS });
        assert.deepEqual([answer.status, answer.reason], want);
      }
      const token = await the().bearer('dora');
      const answer = await ask(the(), { token, url: PAYMENTS });
      assert.ok(want ? answer.status === want[0] && answer.reason === want[1] : answer.status === 401, `${answer.status} ${answer.reason}`);
      if (want === MISSING) assert.equal((await ask(the(), { token, url: SITE })).reason, 'claims_missing', 'not even what everybody may');
      await expectHealthy(the());
    });
  }

  test('I: a group named x|admins reaches the workspace as one name', async () => {
    the().provider.setFaults({ claims: 'group_with_separator' });
    const cookie = await sessionCookie(the(), 'dora');
    const answer = await ask(the(), { cookie, url: SITE });
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.values('x-authentik-groups'), ['developers|staff|x%7Cadmins']);
  });

  test('H11: a group name with line breaks splits no header', async () => {
    const groups = ['developers', 'a\r\nX-Evil: 1', 'b\u0001c'];
    the().provider.setFaults({ claims: { groups, repogate: { v: 1, groups, attributes: {}, service: false } } });
    const answer = await ask(the(), { cookie: await sessionCookie(the(), 'dora'), url: SITE });
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.values('x-evil'), []);
    assert.deepEqual(answer.values('x-authentik-groups'), ['developers|a%0D%0AX-Evil: 1|b%01c']);
  });

  test('I5: two people with one e-mail address and one user name are two', async () => {
    const { provider } = the();
    provider.people.add({ username: 'twin', name: 'Dora Developer', password: 'twin-demo', groups: ['developers'], attributes: {} });
    provider.updateUser('twin', { email: 'dora@example.org' });
    const dora = await sessionCookie(the(), 'dora');
    const browser = the().browser();
    await browser.visit(LOGIN).then(async () => {
      // The same user name in the claims, as two sources of one directory would give it.
      provider.setFaults({ claims: { preferred_username: 'dora', email: 'dora@example.org' } });
      await browser.login('twin', LOGIN);
    });
    const twin = `repogate=${sessionOf(the(), browser).value}`;
    const [hers, theirs] = [await ask(the(), { cookie: dora, url: VAULT }), await ask(the(), { cookie: twin, url: VAULT })];
    assert.deepEqual([hers.status, theirs.status], [200, 403]);
    const lines = [await lineOf(the(), hers), await lineOf(the(), theirs)];
    assert.equal(lines[0].subject.username, lines[1].subject.username);
    assert.notEqual(lines[0].subject.uid, lines[1].subject.uid);
    await browser.post('/_repogate/logout', {});
    assert.equal((await ask(the(), { cookie: twin })).status, 401);
    assert.equal((await ask(the(), { cookie: dora })).status, 200, 'the one leaves, the other stays');
  });

  test('G11: userinfo cannot give what belongs to the token', async () => {
    the().provider.setFaults({ endpoints: { userinfo: { set: { iss: 'http://evil.example/', sid: 'x', aud: 'other', exp: 1, amr: ['mfa'], auth_time: 1 } } } });
    const answer = await ask(the(), { cookie: await sessionCookie(the(), 'dora'), url: SITE });
    assert.equal(answer.status, 200);
    assert.equal((await lineOf(the(), answer)).subject.iss, the().provider.issuer);
  });
});

describe('internal and public address', () => {
  let stand;

  before(async () => {
    stand = await startStand({
      variant: variant(),
      provider: { hasInternalDoor: true },
      beforeGateway: async ({ provider, configFile }) => {
        const text = await readFile(configFile, 'utf8');
        await writeFile(configFile, text.replace(/^oidc:$/m, `oidc:\n  internal_url: "${provider.internalUrl}"`), { mode: 0o600 });
      },
    });
  });

  after(() => closeStand(stand));

  test('the gateway asks at the internal one with the Host of the public one; browsers and claims know only the public one', async () => {
    const browser = new Browser(stand.url);
    const page = await browser.login('dora', SITE);
    assert.equal(page.status, 200);
    const { log, issuer, url } = stand.provider;
    const doors = (endpoint) => [...new Set(log.filter((one) => one.endpoint === endpoint).map(({ door, host }) => `${door} ${host}`))];
    const { host } = new URL(url);
    for (const endpoint of ['discovery', 'jwks', 'token', 'userinfo']) assert.deepEqual(doors(endpoint), [`internal ${host}`], endpoint);
    assert.deepEqual(doors('authorization'), [`public ${host}`]);
    assert.ok(browser.history.every(({ url: one }) => !one.startsWith(stand.provider.internalUrl)));
    const cookie = `repogate=${sessionOf(stand, browser).value}`;
    assert.equal((await lineOf(stand, await ask(stand, { cookie }))).subject.iss, issuer);
    const { headers } = await browser.post('/_repogate/logout', { everywhere: '1' });
    assert.ok(headers.location.startsWith(`${issuer}end-session/`), headers.location);
  });

  test('a bearer token of the public issuer is good, one of the internal name is not', async () => {
    assert.equal((await ask(stand, { token: await stand.bearer('dora') })).status, 200);
    const internal = stand.provider.mint({ issuer: stand.provider.issuer.replace(stand.provider.url, stand.provider.internalUrl) });
    assert.equal((await ask(stand, { token: internal })).status, 401);
  });
});
