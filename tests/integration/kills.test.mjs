// The gateway is killed in the middle of logins, again and again: whoever had a cookie in hand finds the session after the restart, whoever had not
// logs in again, and the audit log can be proven to its end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, describeStand } from './lib/stand.mjs';

const LOGIN = '/_repogate/login?rd=/github/acme/site/';
const ROUNDS = 36;
const AT_ONCE = 8;
const HOPS_MAX = 6;

describeStand('kills during logins', {}, (the) => {
  // One login of a browser that the provider knows. The cookie, or undefined if the gateway went away in between.
  async function login(browser) {
    // Somebody new to us: the session before would end with this login, as it should, and a fifth one in a minute is a circle.
    for (const { name } of browser.jar.for(`${the().url}/`)) if (name.startsWith('repogate')) browser.jar.store(the().url, `${name}=; Path=/; Max-Age=0`);
    let next = LOGIN;
    for (let hops = 0; hops < HOPS_MAX; hops++) {
      const answer = await browser.get(next, { headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate' } }).catch(() => undefined);
      const cookie = browser.jar.for(`${the().url}/`).find(({ name }) => name === 'repogate');
      if (cookie) return `repogate=${cookie.value}`;
      if (!answer?.headers.location) return undefined;
      next = new URL(answer.headers.location, answer.url).href;
    }
    return undefined;
  }

  test(`${ROUNDS} kills lose no session whose cookie had arrived`, async () => {
    const { provider } = the();
    const browsers = await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      const browser = the().browser();
      await browser.login('dora', LOGIN);
      return browser;
    }));
    const cookies = [];
    let cut = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const before = cookies.length;
      const asked = provider.counts.token;
      let kill;
      const killed = new Promise((resolve) => { kill = resolve; }).then(() => the().gateway.kill('SIGKILL'));
      const logins = browsers.map(async (browser) => {
        const cookie = await login(browser);
        if (cookie) cookies.push(cookie);
        else cut++;
        // By turns when a cookie arrives, while others are under way, and when the provider is asked, so that answers come back to nobody.
        if (round % 2 === 0 && cookies.length > before + (round >> 1) % (AT_ONCE - 2)) kill();
      });
      if (round % 2 === 1) provider.whenCounted('token', asked + 1 + (round >> 1) % (AT_ONCE - 1)).then(kill, () => {}); // or never, if some were cut off before it
      await Promise.all(logins);
      kill();
      await killed;
      await the().gateway.child.exited;
      await the().restart();
      for (const cookie of cookies.slice(before)) assert.equal((await ask(the(), { cookie })).status, 200, `round ${round}`);
    }
    assert.ok(cut >= ROUNDS, `${cut} logins were cut off`);
    assert.ok(cookies.length >= ROUNDS, `${cookies.length} were not`);
    for (const cookie of cookies) assert.equal((await ask(the(), { cookie })).status, 200, 'and after all the others');
    const lines = await the().auditLines();
    assert.ok(lines.filter(({ type, outcome }) => type === 'login' && outcome === 'ok').length >= cookies.length, 'each has its line');
    for (const browser of browsers) assert.ok(await login(browser), 'those that were cut off log in again');
  });
});
