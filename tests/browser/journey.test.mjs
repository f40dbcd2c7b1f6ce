// A person's way in Debian's Chromium, through NGINX: log in, see the workspace and its clock, be refused, open a repository from the portal,
// log out; by mouse and by keyboard alone. SCREENSHOTS=directory keeps pictures of every page, light, dark and on a phone.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { TOPOLOGIES } from '../../scripts/lib/nginx.mjs';
import { closeStand, startStand, variant } from '../integration/lib/stand.mjs';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const LOOKS = {
  light: { colorScheme: 'light', viewport: { width: 1100, height: 760 } },
  dark: { colorScheme: 'dark', viewport: { width: 1100, height: 760 } },
  phone: { colorScheme: 'light', viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};
const PATIENCE = 15000;
const shots = process.env.SCREENSHOTS;
const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64"><rect width="64" height="64" rx="14" fill="#0b5f67"/><path d="M18 44V20h28v24" fill="none" stroke="#fff" stroke-width="6"/></svg>';

function branded(dir) {
  writeFileSync(join(dir, 'logo.svg'), LOGO);
  return { server: { contact: 'platform@example.org', logo_file: join(dir, 'logo.svg') } };
}

for (const topology of TOPOLOGIES) {
  describe(`a person's way (${topology})`, { timeout: 120000 }, () => {
    let stand;
    let profile;
    let context;
    let page;
    const complaints = []; // of the browser about our pages
    const at = (path) => `${stand.url}${path}`;

    // One window of a browser that has never been used.
    async function launch(look = LOOKS.light) {
      profile = await mkdtemp(join(tmpdir(), 'repogate-chromium-'));
      context = await chromium.launchPersistentContext(profile, { executablePath: '/usr/bin/chromium', args: ARGS, headless: true, ...look });
      context.setDefaultTimeout(PATIENCE);
      page = context.pages()[0] ?? (await context.newPage());
      page.on('console', (message) => {
        const { url } = message.location();
        // What the sample workspace and the provider do on their own pages is not ours.
        if (message.type() === 'error' && /content security policy|refused to/i.test(message.text())) complaints.push(`${url}: ${message.text()}`);
      });
      page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`));
    }

    async function quit() {
      await context?.close();
      if (profile) await rm(profile, { recursive: true, force: true });
      context = profile = undefined;
    }

    async function shoot(name) {
      if (!shots || topology !== TOPOLOGIES[0]) return;
      await mkdir(shots, { recursive: true });
      for (const [look, { colorScheme, viewport }] of Object.entries(LOOKS)) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(viewport);
        await page.screenshot({ path: join(shots, `${name}-${look}.png`), fullPage: true });
      }
      await page.emulateMedia({ colorScheme: 'light' });
      await page.setViewportSize(LOOKS.light.viewport);
    }

    async function logIn(username) {
      await page.fill('input[name=username]', username);
      await page.fill('input[name=password]', `${username}-demo`);
      await page.press('input[name=password]', 'Enter');
    }

    // What a keyboard stands on.
    const focused = () => page.evaluate(() => {
      const { activeElement: element } = document;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return { tag: element.tagName, id: element.id, text: element.textContent.trim(), isVisible: outlineStyle !== 'none' && outlineWidth !== '0px' };
    });

    before(async () => { stand = await startStand({ variant: variant(), topology, host: 'localhost', config: branded }); });
    after(async () => {
      await quit();
      await closeStand(stand);
    });

    test('logging in leads to the very workspace, which knows who is there, and its clock ticks', async () => {
      await launch();
      await page.goto(at('/github/acme/vault/?folder=%2Fsrc'));
      assert.equal(new URL(page.url()).origin, stand.provider.url);
      await logIn('dora');
      await page.waitForURL(at('/github/acme/vault/?folder=%2Fsrc'));
      assert.equal(await page.textContent('h1'), 'github:acme/vault');
      assert.match(await page.textContent('p'), /Dora Developer/);
      assert.match(await page.textContent('table'), /X-authentik-username\s*dora/i);
      const first = await page.waitForFunction(() => /^\d\d:\d\d:\d\d$/.test(document.getElementById('clock').textContent) && document.getElementById('clock').textContent);
      const before = await first.jsonValue();
      await page.waitForFunction((text) => document.getElementById('clock').textContent !== text, before);
      assert.match(await page.textContent('#state'), /is open/);
      await shoot('workspace');
    });

    test('a repository that is refused says who, what, and which decision', async () => {
      await quit();
      await launch();
      await page.goto(at('/github/acme/vault/'));
      await logIn('dave');
      await page.waitForURL(at('/github/acme/vault/'));
      const text = await page.textContent('main');
      assert.match(text, /Access denied/);
      assert.match(text, /logged in as dave/);
      assert.match(text, /github:acme\/vault/);
      assert.match(text, /not on your private-repo-access list/);
      assert.match(await page.textContent('footer'), /platform@example\.org/);
      const [id] = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/.exec(text);
      const [line] = await stand.auditUntil((entry) => entry.id === id);
      assert.deepEqual([line.decision, line.subject.username, line.resource.name], ['deny', 'dave', 'vault']);
      assert.deepEqual(await page.evaluate(() => [...document.images].map(({ complete, naturalWidth }) => complete && naturalWidth > 0)), [true], 'the logo is shown');
      await shoot('denied');
      const answer = await page.reload();
      assert.equal(answer.status(), 403);
    });

    test('the portal opens a repository by keyboard alone, and says so if it is none', async () => {
      await page.goto(at('/'));
      assert.equal(await page.textContent('h1'), 'Open a repository');
      assert.deepEqual(await focused().then(({ tag, id }) => [tag, id]), ['INPUT', 'repo']);
      await shoot('portal');
      await page.keyboard.type('not a repository');
      await page.keyboard.press('Enter');
      await page.waitForSelector('[role=alert]');
      assert.equal(await page.inputValue('#repo'), 'not a repository');
      assert.equal(await page.getAttribute('#repo', 'aria-invalid'), 'true');
      await shoot('portal-invalid');
      await page.focus('#repo');
      await page.keyboard.press('Control+A');
      await page.keyboard.type('acme/site');
      await page.keyboard.press('Tab');
      const button = await focused();
      assert.deepEqual([button.tag, button.isVisible], ['BUTTON', true], 'the focus can be seen');
      await page.keyboard.press('Space');
      await page.waitForURL(at('/github/acme/site/'));
      assert.equal(await page.textContent('h1'), 'github:acme/site');
      for (const link of ['https://github.com/nobody', 'github:acme/docs', 'Acme/Docs']) {
        await page.goto(at('/'));
        await page.fill('#repo', link);
        await page.press('#repo', 'Enter');
        if (link.includes('nobody')) await page.waitForSelector('[role=alert]');
        else await page.waitForURL(at('/github/acme/docs/'));
      }
    });

    test('every step of the portal can be reached with Tab, in the order it is read, and the focus shows', async () => {
      await page.goto(at('/'));
      await page.focus('.brand');
      const order = [];
      for (let i = 0; i < 4; i++) {
        const { tag, text } = await focused();
        order.push(tag === 'INPUT' ? 'input' : text);
        await page.keyboard.press('Tab');
        const next = await focused();
        assert.ok(next.isVisible || next.tag === 'BODY', `${next.tag} ${next.text}`);
      }
      assert.deepEqual(order, ['Repogate', 'Log out', 'input', 'Open']);
    });

    test('pages are readable on a phone: nothing is wider than the screen', async () => {
      await page.setViewportSize(LOOKS.phone.viewport);
      for (const path of ['/', '/_repogate/logout', '/github/acme/vault/', '/_repogate/open?repo=%25', '/_repogate/nowhere', `/github/acme/${'x'.repeat(90)}/`]) {
        await page.goto(at(path));
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), path);
        assert.equal(await page.getAttribute('html', 'lang'), 'en', path);
        assert.equal(await page.locator('h1').count(), 1);
        assert.ok((await page.title()).length > 0);
      }
      await page.setViewportSize(LOOKS.light.viewport);
    });

    test('dark pages are dark, light ones light', async () => {
      const brightness = () => page.evaluate(() => {
        const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
        return (r + g + b) / 3;
      });
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.goto(at('/'));
      assert.ok((await brightness()) < 80);
      await page.emulateMedia({ colorScheme: 'light' });
      assert.ok((await brightness()) > 200);
    });

    test('whoever is refused goes on as somebody else, at the same address', async () => {
      await page.goto(at('/github/acme/vault/?folder=%2Fsrc'));
      assert.match(await page.textContent('main'), /logged in as dave/);
      await page.focus('text=Log in as somebody else');
      assert.equal((await focused()).isVisible, true);
      await page.keyboard.press('Enter');
      await page.waitForSelector('input[name=username]');
      assert.equal(new URL(page.url()).origin, stand.provider.url);
      await logIn('dora');
      await page.waitForURL(at('/github/acme/vault/?folder=%2Fsrc'));
      assert.match(await page.textContent('p'), /Dora Developer/);
    });

    test('logging out ends it: the workspace asks for a login again', async () => {
      await page.goto(at('/'));
      await page.click('text=Log out');
      await page.waitForURL(at('/_repogate/logout'));
      await shoot('logout');
      await page.click('text=Log out of the identity provider too');
      await page.waitForSelector('text=Signed out');
      assert.equal(new URL(page.url()).origin, stand.url);
      await shoot('signed-out');
      assert.deepEqual((await context.cookies(stand.url)).filter(({ name }) => name === 'repogate'), []);
      await page.goto(at('/github/acme/site/'));
      assert.equal(new URL(page.url()).origin, stand.provider.url);
      assert.equal(await page.locator('input[name=password]').count(), 1);
    });

    test('a login that the provider spoils, and a workspace that is not there, say so', async () => {
      stand.provider.setFaults({ id_token: 'wrong_nonce' });
      await logIn('dave');
      await page.waitForSelector('text=This login could not be finished');
      await shoot('login-failed');
      stand.provider.setFaults({});
      await page.goto(at('/github/acme/site/'));
      await page.waitForURL(at('/github/acme/site/'));
      await stand.workspace.close();
      const answer = await page.goto(at('/github/acme/site/'));
      assert.equal(answer.status(), 502);
      assert.match(await page.textContent('h1'), /cannot be reached/);
      await shoot('unreachable');
    });

    test('the browser had nothing to complain about: no policy of ours was broken, no script failed', () => {
      assert.deepEqual(complaints, []);
    });
  });
}
