// In Debian's Chromium: a stronger login that a rule wants, and a circle that the gateway must break before the browser does, whose own page would
// explain nothing.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { TOPOLOGIES } from '../../scripts/lib/nginx.mjs';
import { closeStand, startStand, variant } from '../integration/lib/stand.mjs';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const policies = {
  'access.lua': `
allow "site" { groups = {"developers"}, repos = {"github:acme/site"} }
allow "payments" { groups = {"developers"}, repos = {"github:acme/payments"}, mfa = true, max_auth_age = "15m" }
`,
  'access_test.lua': 'test "t" { user = user { username = "x" }, repo = repo "github:acme/site", expect = "deny" }',
};

for (const topology of TOPOLOGIES) {
  describe(`a stronger login (${topology})`, { timeout: 120000 }, () => {
    let stand;
    let profile;
    let context;
    let page;
    const at = (path) => `${stand.url}${path}`;

    async function logIn() {
      await page.waitForSelector('input[name=password]');
      await page.fill('input[name=username]', 'dora');
      await page.fill('input[name=password]', 'dora-demo');
      await page.press('input[name=password]', 'Enter');
    }

    before(async () => {
      stand = await startStand({ variant: variant(), topology, host: 'localhost', policies });
      profile = await mkdtemp(join(tmpdir(), 'repogate-chromium-'));
      context = await chromium.launchPersistentContext(profile, { executablePath: '/usr/bin/chromium', args: ARGS, headless: true });
      context.setDefaultTimeout(15000);
      page = context.pages()[0] ?? (await context.newPage());
    });
    after(async () => {
      await context?.close();
      if (profile) await rm(profile, { recursive: true, force: true });
      await closeStand(stand);
    });

    test('is asked for, refused with a way to try again, and then enough', async () => {
      await page.goto(at('/github/acme/site/'));
      await logIn();
      await page.waitForURL(at('/github/acme/site/'));
      await page.goto(at('/github/acme/payments/?folder=%2Fsrc'));
      await logIn();
      await page.waitForURL(at('/github/acme/payments/?folder=%2Fsrc'));
      assert.match(await page.textContent('main'), /does not confirm a second factor/);
      await page.getByRole('link', { name: 'Log in again' }).click();
      stand.provider.updateUser('dora', { amr: ['pwd', 'mfa'] });
      await logIn();
      await page.waitForURL(at('/github/acme/payments/?folder=%2Fsrc'));
      assert.equal(await page.textContent('h1'), 'github:acme/payments');
    });

    test('the back button leads out of the login, not into it', async () => {
      const before = await context.cookies(stand.url);
      await page.goBack();
      await page.goBack();
      const value = (cookies) => cookies.find(({ name }) => name === 'repogate')?.value;
      assert.equal(value(await context.cookies(stand.url)), value(before));
      await page.goto(at('/github/acme/payments/'));
      assert.equal(await page.textContent('h1'), 'github:acme/payments');
    });

    test('a circle ends on a page of ours, and trying again works once its cause is gone', async () => {
      await context.addCookies([{ name: 'repogate', value: 'planted', domain: 'localhost', path: '/github/' }]);
      await page.goto(at('/github/acme/site/'));
      assert.match(await page.textContent('main'), /login_loop/);
      assert.match(await page.textContent('main'), /two of that name/);
      await context.clearCookies({ name: 'repogate', path: '/github/' });
      await page.goto(at('/github/acme/site/'));
      assert.equal(await page.textContent('h1'), 'github:acme/site');
    });
  });
}
