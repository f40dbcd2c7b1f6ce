// Logins that must not work, or only as far as they should: a lying or silent provider, replayed and foreign answers, planted cookies, redirect
// targets elsewhere; and the end of a session. THREATS groups F (binding), J (pages), R (open redirect), T (the ID token).
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { TOKEN_FAULTS } from '../../authentik/dev/keys.mjs';
import { startProvider } from '../../authentik/dev/provider.mjs';
import { Browser, CookieJar } from '../../scripts/lib/browser.mjs';
import { ask, closeStand, converse, describeStand, formsOf, gatewayPort, requestBytes, sessionCookie, startStand, variant, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const LOGIN = '/_repogate/login';
const CALLBACK = '/_repogate/callback';
const NAVIGATE = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

const session = (stand, browser) => browser.jar.for(`${stand.url}/`).find(({ name }) => name === 'repogate');
const isFailedLogin = ({ type, outcome }) => type === 'login' && outcome === 'failed';

// Goes through a login by hand, up to the URL of ours that the provider sends the browser to.
async function callbackOf(stand, browser, username, start = LOGIN) {
  let answer = await browser.get(start, { headers: NAVIGATE });
  for (let i = 0; i < 12; i++) {
    const { location } = answer.headers;
    const next = location && new URL(location, answer.url).href;
    if (next && new URL(next).pathname.endsWith('/callback')) return next;
    if (next) answer = await browser.get(next, { headers: NAVIGATE });
    else answer = await browser.post(formsOf(answer)[0].action, { ...formsOf(answer)[0].fields, username, password: `${username}-demo` });
  }
  throw new Error('the provider did not send the browser back');
}

describeStand('failing logins', { host: 'localhost' }, (the) => {
  const browse = () => the().browser();
  const whoami = (browser) => browser.get('/_repogate/whoami', { headers: { accept: 'application/json' } });

  async function expectNoSession(browser, page) {
    assert.ok(page.status >= 400 && page.status < 600, `status ${page.status} at ${page.url}`);
    assert.match(page.headers['content-type'], /^text\/html/);
    assert.match(page.headers['content-security-policy'], /default-src 'none'/);
    assert.equal(session(the(), browser), undefined);
    assert.equal((await whoami(browser)).status, 401);
  }

  beforeEach(() => the().provider.setFaults({}));

  for (const fault of Object.keys(TOKEN_FAULTS)) {
    test(`T1b, T2, T4, T10: an ID token with ${fault} makes no session, but a page and a line`, async () => {
      the().provider.setFaults({ id_token: fault });
      const browser = browse();
      const failedBefore = (await the().auditLines()).filter(isFailedLogin).length;
      const page = await browser.login('dora', SITE);
      assert.equal(new URL(page.url).pathname, CALLBACK);
      await expectNoSession(browser, page);
      await the().auditUntil(isFailedLogin, failedBefore + 1);
    });
  }

  for (const [endpoint, fault] of [['token', 'down'], ['token', 'html'], ['userinfo', 'down'], ['userinfo', 'html']]) {
    test(`E: ${endpoint} endpoint ${fault}: a page, no session, and the next try works`, async () => {
      the().provider.setFaults({ endpoints: { [endpoint]: fault } });
      const browser = browse();
      const page = await browser.login('dora', SITE);
      await expectNoSession(browser, page);
      the().provider.setFaults({});
      assert.equal((await browser.visit(SITE)).status, 200);
    });
  }

  for (const fault of ['repogate_missing', 'groups_missing', 'repogate_wrong_type']) {
    test(`E8: a login with ${fault} opens nothing`, async () => {
      the().provider.setFaults({ claims: fault });
      const page = await browse().login('dora', SITE);
      assert.equal(page.status, 403);
      assert.match(page.text, /claims_missing/);
    });
  }

  test('H11: a login with control bytes in its names splits no header', async () => {
    the().provider.setFaults({ claims: 'control_bytes' });
    const browser = browse();
    const page = await browser.login('dora', `${SITE}echo`);
    if (page.status === 200) assert.deepEqual(page.json().headers.filter(([name]) => /evil/i.test(name)), []);
    assert.equal(page.headers['x-evil'], undefined);
  });

  test('T6: an answer is taken once: sent again it begins anew, and redeems nothing', async () => {
    const browser = browse();
    const url = await callbackOf(the(), browser, 'dora');
    const attempt = browser.jar.find('repogate-login-');
    assert.ok(attempt, 'a cookie of this attempt');
    assert.equal((await browser.get(url)).status, 302);
    const first = session(the(), browser).value;
    const redeemed = the().provider.counts.token;
    // With the cookie, as somebody who has copied all that the browser had; then without, as the tab that is loaded again.
    const thief = browse();
    thief.jar.set(the().url, attempt.name, attempt.value);
    const replayed = await thief.get(url, { headers: NAVIGATE });
    assert.equal(replayed.status, 302);
    assert.ok(replayed.headers.location.startsWith(LOGIN));
    assert.equal(session(the(), thief), undefined);
    thief.jar.set(the().url, attempt.name, attempt.value);
    await expectNoSession(thief, await thief.get(url, { headers: NAVIGATE }));
    assert.equal((await browser.get(url, { headers: NAVIGATE })).status, 302);
    assert.equal(session(the(), browser).value, first, 'the session that was made stays');
    assert.equal(the().provider.counts.token, redeemed, 'the code was redeemed once');
  });

  test('F6, T7, T9: the answer to one browser is worth nothing in another', async () => {
    const attacker = browse();
    const url = await callbackOf(the(), attacker, 'dave');
    for (const hasBegun of [false, true]) {
      const victim = browse();
      if (hasBegun) await victim.get(LOGIN);
      const answer = await victim.get(url, { headers: NAVIGATE });
      assert.equal(session(the(), victim), undefined);
      assert.ok(answer.status >= 300);
      assert.equal((await whoami(victim)).status, 401);
    }
    const other = browse();
    await other.get(LOGIN);
    const stolen = new URL(url);
    stolen.searchParams.set('state', new URL((await other.get(LOGIN)).headers.location).searchParams.get('state'));
    const mixed = await other.get(stolen.href, { headers: NAVIGATE });
    assert.equal(session(the(), other), undefined, 'a code bound to another PKCE verifier');
    assert.ok(mixed.status >= 400);
  });

  test('a lost attempt begins anew once, then a page says so: never a loop', async () => {
    const browser = browse();
    const url = await callbackOf(the(), browser, 'dora');
    const fresh = browse();
    const first = await fresh.get(url, { headers: NAVIGATE });
    assert.equal(first.status, 302);
    assert.ok(first.headers.location.startsWith(LOGIN));
    const second = await fresh.get(url, { headers: NAVIGATE });
    await expectNoSession(fresh, second);
    assert.match(second.text, /bad_state/);
  });

  test('a browser that keeps none of our cookies gets a page, not a loop through the provider', async () => {
    const browser = browse();
    const { hostname } = new URL(the().url);
    browser.jar = new (class extends CookieJar {
      store(url, line) {
        if (new URL(url).hostname !== hostname) super.store(url, line);
      }
    })();
    const page = await browser.login('dora', SITE);
    await expectNoSession(browser, page);
  });

  for (const [what, query] of [['no state', 'code=x'], ['two states', 'state=a&state=b&code=x'], ['a foreign state', 'state=xyz&code=x'], ['an odd state', 'state=%00%0d%0aSet-Cookie:+a=b&code=x'], ['nothing', ''], ['a huge state', `state=${'x'.repeat(5000)}&code=x`], ['an error alone', 'error=access_denied']]) {
    test(`F6: a callback with ${what} makes no session`, async () => {
      const browser = browse();
      const answer = await browser.get(`${CALLBACK}?${query}`, { headers: NAVIGATE });
      assert.ok(answer.status === 302 || answer.status >= 400, String(answer.status));
      if (answer.status === 302) assert.ok(answer.headers.location.startsWith(LOGIN));
      assert.equal(session(the(), browser), undefined);
      assert.equal(browser.jar.find('a'), undefined);
    });
  }

  test('F6: a changed cookie of the attempt is refused', async () => {
    for (const change of [(value) => value.replace(/.$/, (c) => (c === 'A' ? 'B' : 'A')), (value) => `${value}A`, (value) => value.slice(1), () => '', () => 'x', (value) => `${value.slice(0, 40)}${value[40] === 'A' ? 'B' : 'A'}${value.slice(41)}`]) {
      const browser = browse();
      const url = await callbackOf(the(), browser, 'dora');
      const { name, value } = browser.jar.find('repogate-login-');
      browser.jar.set(the().url, name, change(value));
      const answer = await browser.get(url, { headers: NAVIGATE });
      assert.equal(answer.status, 302);
      assert.ok(answer.headers.location.startsWith(LOGIN));
      assert.equal(session(the(), browser), undefined);
    }
  });

  test('J1, J7: what the provider says of an error is never markup', async () => {
    const attack = '"><script>alert(1)</script><img src=x onerror=alert(1)>\'&#x6a;';
    for (const [error, description] of [['access_denied', attack], [attack, 'x'], ['access_denied', '\r\nSet-Cookie: evil=1']]) {
      const browser = browse();
      const { headers } = await browser.get(LOGIN);
      const state = new URL(headers.location).searchParams.get('state');
      const page = await browser.get(`${CALLBACK}?${new URLSearchParams({ state, error, error_description: description })}`, { headers: NAVIGATE });
      await expectNoSession(browser, page);
      assert.equal(page.status, 403);
      assert.equal(/<script|<img|onerror=/i.test(page.text.replace(/&lt;[^]*?&gt;/g, '')), false, 'escaped');
      assert.equal(browser.jar.find('evil'), undefined);
      const [line] = await the().auditUntil((entry) => isFailedLogin(entry) && entry.reason.text?.includes(description === 'x' ? attack : description));
      assert.equal(line.reason.code, 'provider_refused');
    }
  });

  test('M1, T8: parallel tabs: five logins begun at once all end well, of seven the oldest are dropped', async () => {
    for (const [count, lost] of [[5, 0], [7, 2]]) {
      const browser = browse();
      const starts = [];
      for (let i = 0; i < count; i++) starts.push((await browser.get(`${LOGIN}?rd=${encodeURIComponent(`${SITE}echo?tab=${i}`)}`)).headers.location);
      assert.equal(browser.jar.for(the().url).filter(({ name }) => name.startsWith('repogate-login-')).length, count - lost);
      const form = formsOf(await browser.visit(starts[count - 1]))[0];
      assert.equal((await browser.submit(form, { username: 'dora', password: 'dora-demo' })).url, `${the().url}${SITE}echo?tab=${count - 1}`);
      for (let i = lost; i < count - 1; i++) assert.equal((await browser.visit(starts[i])).url, `${the().url}${SITE}echo?tab=${i}`);
    }
  });

  test('F13: the session is another one after each login, and the one before is dead', async () => {
    const browser = browse();
    await browser.login('dora', SITE);
    const first = session(the(), browser).value;
    await browser.visit(`${LOGIN}?rd=/`);
    const second = session(the(), browser).value;
    assert.notEqual(first, second);
    for (let i = 0; i < 6; i++) {
      assert.equal((await ask(the(), { cookie: `repogate=${first}` })).status, 401);
      assert.equal((await ask(the(), { cookie: `repogate=${second}` })).status, 200);
    }
  });

  test('F1, F5: a planted session cookie is never taken over', async () => {
    const planted = 'A'.repeat(43);
    const browser = browse();
    browser.jar.set(the().url, 'repogate', planted);
    const page = await browser.login('dora', SITE);
    assert.equal(page.status, 200);
    assert.notEqual(session(the(), browser).value, planted);
    assert.equal((await ask(the(), { cookie: `repogate=${planted}` })).status, 401);
    // An attacker's own good session, planted before the victim logs in, is not the victim's afterwards.
    const attackers = await sessionCookie(the(), 'dave');
    const victim = browse();
    victim.jar.set(the().url, 'repogate', attackers.slice(9));
    await victim.login('dora', LOGIN);
    assert.equal((await whoami(victim)).json().username, 'dora');
    assert.equal((await ask(the(), { cookie: attackers })).status, 401, 'and is over');
  });

  test('L1: whoami tells no more than it has to', async () => {
    const browser = browse();
    await browser.login('dora', SITE);
    const answer = await whoami(browser);
    assert.deepEqual(Object.keys(answer.json()).sort(), ['expires_at', 'groups', 'username', 'via']);
    assert.match(answer.headers['cache-control'], /no-store/);
    for (const secret of [session(the(), browser).value, 'eyJ']) assert.equal(answer.text.includes(secret), false);
  });

  test('the cookies say what they must over http', async () => {
    const browser = browse();
    const begun = await browser.get(LOGIN);
    const [attempt] = begun.headers['set-cookie'];
    assert.match(attempt, /^repogate-login-[\w-]+=[\w-]+; /);
    for (const attribute of [/; HttpOnly/i, /; SameSite=Lax/i, /; Path=\//i, /; Max-Age=600/i]) assert.match(attempt, attribute);
    const done = await browser.get(await callbackOf(the(), browser, 'dora'));
    const [line] = done.headers['set-cookie'].filter((one) => one.startsWith('repogate='));
    assert.match(line, /^repogate=[\w-]{43}; /);
    for (const attribute of [/; HttpOnly/i, /; SameSite=Lax/i, /; Path=\/(?:;|$)/i]) assert.match(line, attribute);
    assert.doesNotMatch(line, /Domain|Max-Age|Expires|Secure/i);
    assert.match(done.headers['cache-control'], /no-store/);
  });
});

describeStand('redirect targets', { host: 'localhost' }, (the) => {
  let browser;

  before(async () => {
    browser = the().browser();
    await browser.login('dora', SITE);
  });

  // Where a browser ends up that follows a login link; judged by the URL standard's own parser.
  async function landing(query) {
    const url = await callbackOf(the(), browser, 'dora', `${LOGIN}?${query}`);
    browser.jar.store(the().url, 'repogate-login-count=; Path=/; Max-Age=0'); // as if each came a minute after the other
    const answer = await browser.get(url);
    assert.equal(answer.status, 302);
    return { location: answer.headers.location, url: new URL(answer.headers.location, url) };
  }

  const hostile = ['//evil.example', '///evil.example', '////evil.example/', '/\\evil.example', '\\\\evil.example', '\\/evil.example', '/\\/evil.example', '//\\evil.example', '/\t/evil.example', '/\n/evil.example', '/\r/evil.example', '\t//evil.example', ' //evil.example', '/ /evil.example',
    '/\u0000/evil.example', '/%09/evil.example', '/%0a/evil.example', '/%5cevil.example', '/%2f%2fevil.example', '/%2f/evil.example', '//evil.example/%2f..', '/.//evil.example', '/..//evil.example', '/x/..//evil.example', '/./\\evil.example', 'https://evil.example', 'http://evil.example/',
    'https:evil.example', 'http:/evil.example', 'http:\\\\evil.example', 'HTTP://evil.example', 'javascript:alert(1)', 'JaVaScRiPt:alert(1)', 'java\tscript:alert(1)', '\u0001javascript:alert(1)', 'data:text/html,x', 'vbscript:x', 'file:///etc/passwd', 'ftp://evil.example', 'blob:http://evil.example/x',
    'evil.example', '@evil.example', '.evil.example', ':80@evil.example', '?//evil.example', '#//evil.example', '//evil.example@localhost/', '//localhost@evil.example/', '//evil%E3%80%82example', '//evil\u3002example', '/\u2028/evil.example', '\ufeff//evil.example', '//[::1]/', '//127.0.0.1/',
    '//2130706433/', '/;@evil.example', '/\\t/evil.example', '///\\;@evil.example', 'https://localhost.evil.example/', 'https://localhost@evil.example/', 'https://evil.example#localhost', 'https://evil.example?localhost', 'https://evil.example\\@localhost/', 'http://localhost:1/', 'http://localhost/',
    'https://localhost/', `/${'/'.repeat(50)}evil.example`, `/${'x'.repeat(3000)}`, '', '/'];

  for (const encoding of ['encoded', 'raw']) {
    test(`R1, R2, R3, R4, R5, R8, R9, R10, R11, R13, R14, R17, R19: no hostile target (${encoding}) leads away`, async () => {
      const { origin, host } = new URL(the().url);
      const own = [`http://${host}@evil.example/`, `http://${host}.evil.example/`, `http://${host}\\@evil.example/`, `http://${host}%2f@evil.example/`, `//${host}@evil.example`, `http://dora@${host}/`, `https://${host}/`, `http://${host}evil.example/`, `http://${host}:80/`];
      for (const target of [...hostile, ...own]) {
        // Raw: byte for byte where a request line can hold them at all.
        const raw = Buffer.from(target).toString('latin1').replace(/[\x00-\x20\x7f-\xff#&]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
        const { location, url } = await landing(`rd=${encoding === 'raw' ? raw : encodeURIComponent(target)}`).catch((error) => {
          // A request line with a backslash is refused before it is read.
          assert.ok(encoding === 'raw' && raw.includes('\\'), `${target}: ${error.message}`);
          return { location: '', url: new URL(the().url) };
        });
        assert.equal(url.origin, origin, `${JSON.stringify(target)} leads to ${location}`);
        assert.doesNotMatch(location.slice(origin.length), /^[/\\]{2}|^\/[\t\r\n ]/, `${JSON.stringify(target)}: a path that some read as another host`);
      }
    });
  }

  test('R1, R15, R16: of a foreign address not even the path is taken', async () => {
    for (const target of [`http://evil.example${SITE}`, `https://evil.example${SITE}`, `http://localhost:1${SITE}`, `https://${new URL(the().url).host}${SITE}`, `//evil.example${SITE}`, `http://evil.example@${new URL(the().url).host}${SITE}`, `HTTP://evil.example${SITE}`]) {
      assert.equal((await landing(`rd=${encodeURIComponent(target)}`)).location, `${the().url}/`, target);
      assert.equal((await landing(`rd=${target}`)).location, `${the().url}/`, `${target}, raw`);
    }
  });

  test('R: our own prefixes are no target', async () => {
    for (const target of ['/_repogate/logout', '/_repogate/login?rd=/', '/outpost.goauthentik.io/sign_out', '/_REPOGATE/logout', '/%5frepogate/logout', '/x/../_repogate/logout', '/./_repogate/logout', '/_repogate%2flogout', `${the().url}/_repogate/logout`]) {
      assert.equal((await landing(`rd=${encodeURIComponent(target)}`)).url.pathname, '/', target);
    }
  });

  test('targets of ours come back byte for byte', async () => {
    for (const target of ['/', SITE, `${SITE}?x=1&y=%20%2f#`.slice(0, -1), `${SITE}a%2fb;c?d=e?f`, '/github/acme/site', `${SITE}?u=http://evil.example/`, `${SITE}?a=//b`]) {
      assert.equal((await landing(`rd=${encodeURIComponent(target)}`)).location, `${the().url}${target}`);
      assert.equal((await landing(`rd=${encodeURIComponent(`${the().url}${target}`)}`)).location, `${the().url}${target}`, 'absolute');
      assert.equal((await landing(`rd=${the().url}${target}`)).location, `${the().url}${target}`, 'raw, as NGINX sends it');
    }
    for (const query of ['', 'rd', 'rd=', 'x=1', `rd=x&rd=${SITE}`]) assert.equal((await landing(query)).location, `${the().url}/`, query);
  });

  test('F13, G9, R12, R15, R16: a link to the login chooses the address alone, by one name', async () => {
    const others = { next: '//evil.example', redirect_url: 'http://evil.example/', redirect_uri: 'http://evil.example/', target_link_uri: 'http://evil.example/', url: '/github/acme/vault/', scope: 'openid admin', scopes: 'admin',
      client_id: 'another', response_mode: 'fragment', response_type: 'token', nonce: 'x', state: 'x', code_challenge: 'x', code_challenge_method: 'plain', prompt: 'none', max_age: '99999', iss: 'http://evil.example/', login_hint: 'admin' };
    const plain = new URL((await the().browser().get(LOGIN, { headers: NAVIGATE })).headers.location);
    const fixed = (url) => [url.origin, url.pathname, ...[...url.searchParams].filter(([name]) => !['state', 'nonce', 'code_challenge'].includes(name)).map(String)];
    for (const [name, value] of Object.entries(others)) {
      const asked = new URL((await the().browser().get(`${LOGIN}?${new URLSearchParams({ [name]: value })}`, { headers: NAVIGATE })).headers.location);
      assert.deepEqual(fixed(asked), fixed(plain), name);
      for (const own of ['state', 'nonce', 'code_challenge']) assert.notEqual(asked.searchParams.get(own), value, name);
      assert.equal((await landing(`${new URLSearchParams({ [name]: value })}`)).location, `${the().url}/`, name);
    }
  });

  test('R18: neither Host nor forwarded headers choose where a login leads', async () => {
    const host = new URL(the().url).host;
    const bytes = (lines, Host = host) => requestBytes({ target: `${LOGIN}?rd=${SITE}`, headers: { Host }, lines });
    for (const line of ['X-Forwarded-Host: evil.example', 'X-Forwarded-Proto: https', 'X-Forwarded-Prefix: //evil.example', 'Forwarded: host=evil.example', 'X-Original-URL: http://evil.example/']) {
      const { answers } = await converse(gatewayPort(the()), bytes([line]));
      assert.equal(new URL(answers[0].values('location')[0]).searchParams.get('redirect_uri'), `${the().url}${CALLBACK}`, line);
    }
    const { answers } = await converse(gatewayPort(the()), bytes([], 'evil.example'));
    assert.doesNotMatch(answers[0].head, /redirect_uri=[^&\s]*evil/);
  });
});

describeStand('logging out', { host: 'localhost' }, (the) => {
  const loggedIn = async () => {
    const browser = the().browser();
    await browser.login('dora', SITE);
    return { browser, cookie: `repogate=${session(the(), browser).value}` };
  };

  test('asking for the page ends nothing', async () => {
    const { browser, cookie } = await loggedIn();
    for (const method of ['GET', 'HEAD']) {
      for (const path of ['/_repogate/logout', '/outpost.goauthentik.io/sign_out', '/_repogate/logout?everywhere=1']) {
        assert.equal((await browser.get(path, { method, headers: NAVIGATE })).status, 200);
        assert.equal((await ask(the(), { cookie })).status, 200, `${method} ${path}`);
      }
    }
    for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS']) assert.equal((await browser.get('/_repogate/logout', { method, headers: { origin: the().url } })).status, 405, method);
    assert.equal((await ask(the(), { cookie })).status, 200);
  });

  test('F6: another site cannot log anybody out', async () => {
    const { browser, cookie } = await loggedIn();
    const { host } = new URL(the().url);
    const foreign = [{ origin: 'http://evil.example' }, { origin: 'null' }, { origin: `https://${host}` }, { origin: `http://${host}.evil.example` }, { origin: 'http://localhost' }, { origin: 'http://localhost:1' }, { origin: '' }, {}, { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' }, { 'sec-fetch-site': 'none' }, { 'sec-fetch-site': 'same-origin', origin: 'http://evil.example' }, { referer: `${the().url}/` }];
    for (const headers of foreign) {
      const answer = await browser.get('/_repogate/logout', { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, body: '' });
      assert.equal(answer.status, 403, JSON.stringify(headers));
      assert.equal((await ask(the(), { cookie })).status, 200, JSON.stringify(headers));
    }
  });

  test('F7, F11: afterwards the cookie is dead everywhere, in every tab and on every thread', async () => {
    const { browser, cookie } = await loggedIn();
    const other = await sessionCookie(the(), 'dora');
    const answer = await browser.post('/_repogate/logout', {});
    assert.equal(answer.status, 200);
    assert.match(answer.headers['set-cookie'].find((line) => line.startsWith('repogate=')), /^repogate=;.*(?:Max-Age=0|Expires=Thu, 01 Jan 1970)/i);
    for (let i = 0; i < 12; i++) assert.equal((await ask(the(), { cookie })).status, 401);
    for (const path of [`${SITE}echo`, '/_repogate/whoami', '/', '/_repogate/open?repo=acme/site']) assert.equal((await the().request(path, { headers: { cookie } })).status, 401, path);
    assert.equal((await ask(the(), { cookie: other })).status, 200, 'a session of another browser lives on');
    const lines = await the().auditUntil(({ type }) => type === 'logout');
    assert.equal(lines.at(-1).subject.username, 'dora');
    await the().restart();
    assert.equal((await ask(the(), { cookie })).status, 401, 'after a restart too');
    assert.equal((await ask(the(), { cookie: other })).status, 200);
  });

  test('R7, R9, R10: where it leads is nothing that a link or a form says', async () => {
    const targets = ['http://evil.example/', '//evil.example', '/\\evil.example', '\\\\evil.example', '/\t/evil.example', 'javascript:alert(1)'];
    for (const name of ['rd', 'logout', 'next', 'redirect_uri', 'post_logout_redirect_uri', 'target_link_uri']) {
      for (const target of targets) {
        for (const everywhere of [{}, { everywhere: '1' }]) {
          const { browser } = await loggedIn();
          const query = new URLSearchParams({ [name]: target });
          const answer = await browser.get(`/_repogate/logout?${query}`, { method: 'POST', headers: { origin: the().url, 'content-type': 'application/x-www-form-urlencoded' },
            body: `${new URLSearchParams({ ...everywhere, [name]: target })}` });
          assert.equal(answer.status, everywhere.everywhere ? 303 : 200);
          assert.equal(answer.text.includes('evil.example'), false);
          if (answer.headers.location) {
            const to = new URL(answer.headers.location, the().url);
            assert.equal(to.origin, new URL(the().provider.issuer).origin, target);
            assert.equal(new URL(to.searchParams.get('post_logout_redirect_uri') ?? the().url).origin, the().url, target);
          }
        }
      }
    }
  });

  test('twice, or without a session, is no error', async () => {
    const { browser } = await loggedIn();
    for (let i = 0; i < 2; i++) assert.equal((await browser.post('/_repogate/logout', {})).status, 200);
    assert.equal((await the().browser().post('/_repogate/logout', { everywhere: '1' })).status, 200);
  });

  test('M8: odd bodies of the form do no harm', async () => {
    const bodies = ['everywhere', 'everywhere=', '&'.repeat(5000), 'a=%', 'a=%00&everywhere=%zz', 'x'.repeat(20000), '%', '=&=&=', 'everywhere=1&everywhere=1'];
    for (const body of bodies) {
      const { browser } = await loggedIn();
      const answer = await browser.get('/_repogate/logout', { method: 'POST', headers: { origin: the().url, 'content-type': 'application/x-www-form-urlencoded' }, body });
      assert.ok([200, 303, 400, 413].includes(answer.status), `${body.slice(0, 20)}: ${answer.status}`);
    }
  });
});

describe('the provider is down at the start', () => {
  let stand;
  let port;
  let options;

  before(async () => {
    stand = await startStand({
      variant: variant(),
      beforeGateway: async ({ provider, url }) => {
        port = provider.port;
        options = { port, clientSecret: provider.clientSecret, redirectUris: [`${url}${CALLBACK}`] };
        await provider.close();
      },
    });
  });

  after(() => closeStand(stand));

  test('logging in says so with a page that asks to come back', async () => {
    const page = await stand.browser().visit(SITE);
    assert.equal(page.status, 503);
    assert.match(page.text, /provider_unavailable/);
    assert.ok(Number(page.headers['retry-after']) > 0);
    const program = await stand.request(LOGIN, { headers: { accept: 'application/json' } });
    assert.equal(program.status, 503);
    assert.equal(program.json().reason, 'provider_unavailable');
  });

  test('once it is there, logging in works without a restart', async () => {
    stand.provider = await startProvider(options);
    const page = await waitFor('the login page', async () => {
      const answer = await stand.browser().visit(SITE);
      return answer.status === 200 && answer;
    }, { timeoutMs: 20000, everyMs: 200 });
    assert.equal(new URL(page.url).port, String(port));
    assert.equal((await stand.browser().login('dora', SITE)).status, 200);
  });
});

describe('over https', () => {
  const PUBLIC = 'https://dev.example.org';
  let stand;
  // The gateway as TLS in front would reach it; the provider as it is.
  const send = (target, headers = {}) => converse(gatewayPort(stand), requestBytes({ target, headers: { Host: 'dev.example.org', ...headers } })).then(({ answers }) => answers[0]);

  before(async () => {
    stand = await startStand({ variant: variant(), config: { server: { public_url: PUBLIC } }, provider: { redirectUris: [`${PUBLIC}${CALLBACK}`] } });
  });

  after(() => closeStand(stand));

  test('F5: cookies are __Host-, Secure and for nobody else', async () => {
    const begun = await send(`${LOGIN}?rd=${SITE}`);
    assert.equal(begun.status, 302);
    const [attempt] = begun.values('set-cookie');
    assert.match(attempt, /^__Host-repogate-login-[\w-]+=/);
    for (const attribute of [/; Secure/i, /; HttpOnly/i, /; SameSite=Lax/i, /; Path=\/(?:;|$)/i]) assert.match(attempt, attribute);
    const browser = new Browser(stand.provider.url);
    let answer = await browser.visit(begun.values('location')[0]);
    const form = formsOf(answer)[0];
    answer = await browser.post(form.action, { ...form.fields, username: 'dora', password: 'dora-demo' });
    while (!answer.headers.location.startsWith(PUBLIC)) answer = await browser.get(answer.headers.location);
    const done = await send(answer.headers.location.slice(PUBLIC.length), { Cookie: attempt.split(';')[0] });
    assert.deepEqual([done.status, done.values('location')[0]], [302, `${PUBLIC}${SITE}`]);
    const line = done.values('set-cookie').find((one) => one.startsWith('__Host-repogate='));
    assert.match(line, /^__Host-repogate=[\w-]{43}; /);
    for (const attribute of [/; Secure/i, /; HttpOnly/i, /; SameSite=Lax/i, /; Path=\/(?:;|$)/i]) assert.match(line, attribute);
    assert.doesNotMatch(line, /Domain|Max-Age|Expires/i);
    const cookie = line.split(';')[0];
    const url = `${PUBLIC}${SITE}`;
    assert.equal((await ask(stand, { cookie, url })).status, 200);
    assert.equal((await ask(stand, { cookie: cookie.replace('__Host-', ''), url })).status, 401, 'not by the name that http has');
    assert.equal((await ask(stand, { cookie, url: `http://dev.example.org${SITE}` })).status, 403);
    const echo = JSON.parse((await send(`${SITE}echo`, { Cookie: `${cookie}; a=1` })).body);
    assert.deepEqual(echo.headers.filter(([name]) => name.toLowerCase() === 'cookie').map(([, value]) => value), ['a=1']);
    assert.deepEqual(echo.headers.filter(([name]) => name.toLowerCase() === 'x-forwarded-proto').map(([, value]) => value), ['https']);
  });
});
