// Who is refused learns who he is, what was refused and why, under which decision, whom to ask, and may go on as somebody else.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ask, describeStand, describeTopologies, formsOf } from './lib/stand.mjs';

const VAULT = '/github/acme/vault/';
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
const SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script>alert(1)</script><rect width="1" height="1"/></svg>';
const named = (file, bytes) => (dir) => {
  if (bytes) writeFileSync(join(dir, file), bytes);
  return { server: { contact: 'platform@example.org', product_name: 'Acme <Dev>', ...(bytes && { logo_file: join(dir, file) }) } };
};
const sessionOf = (browser, stand) => browser.jar.for(`${stand.url}/`).find(({ name }) => name === 'repogate')?.value;

describeTopologies('a refusal', { host: 'localhost', config: named('logo.png', PNG) }, (the) => {
  test('for a person: who, what, why, which decision, whom to ask', async () => {
    const page = await the().browser().login('dave', `${VAULT}?a=b`);
    assert.equal(page.status, 403);
    for (const pattern of [/<strong>dave<\/strong>/, /<strong>github:acme\/vault<\/strong>/, /not on your private-repo-access list/, /platform@example\.org/, /Acme &lt;Dev&gt;/, /src="\/_repogate\/logo"/]) assert.match(page.text, pattern);
    const [id] = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/.exec(page.text);
    const [line] = await the().auditUntil((entry) => entry.id === id);
    assert.deepEqual([line.decision, line.subject.username, line.resource.name], ['deny', 'dave', 'vault']);
  });

  test('for a program: the same, as problem details', async () => {
    const answer = await the().request(VAULT, { headers: { authorization: `Bearer ${await the().bearer('dave')}` } });
    assert.equal(answer.status, 403);
    assert.equal(answer.headers['content-type'], 'application/problem+json');
    const { decision_id: id, ...problem } = answer.json();
    assert.deepEqual(problem, { type: 'about:blank', title: 'Access denied', status: 403, detail: problem.detail, reason: 'no_rule', user: 'dave', resource: 'github:acme/vault', contact: 'platform@example.org' });
    assert.match(problem.detail, /not on your private-repo-access list/);
    await the().auditUntil((entry) => entry.id === id);
  });

  test('F1: somebody else may go on in the same browser, at the same address, and the session before is over', async () => {
    const browser = the().browser();
    const page = await browser.login('dave', `${VAULT}?a=b&c=%2f`);
    const daves = sessionOf(browser, the());
    const form = formsOf(page).find(({ fields }) => 'switch' in fields);
    assert.deepEqual([form.method, form.fields], ['POST', { switch: `${VAULT}?a=b&c=%2f` }]);
    const question = await browser.submit(form);
    assert.equal(sessionOf(browser, the()), undefined, 'logged out before anybody is logged in');
    assert.equal((await ask(the(), { cookie: `repogate=${daves}` })).status, 401);
    const login = formsOf(question).find(({ fields }) => 'password' in fields);
    assert.ok(login, 'the provider asks, though it knows dave');
    const arrived = await browser.submit(login, { username: 'dora', password: 'dora-demo' });
    assert.deepEqual([arrived.status, arrived.url], [200, `${the().url}${VAULT}?a=b&c=%2f`]);
    const [line] = await the().auditUntil(({ type, reason, subject }) => type === 'logout' && subject?.username === 'dave' && /somebody else/.test(reason?.text ?? ''));
    assert.equal(line.outcome, 'ok');
  });

  test('F6: another site cannot make anybody switch', async () => {
    const browser = the().browser();
    await browser.login('dave', VAULT);
    const daves = sessionOf(browser, the());
    for (const headers of [{ origin: 'http://evil.example' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site', origin: '' }]) {
      assert.equal((await browser.post('/_repogate/logout', { switch: VAULT }, { headers })).status, 403);
      assert.equal((await ask(the(), { cookie: `repogate=${daves}` })).status, 200);
    }
  });

  test('R1, R7: where they go on is an address of ours', async () => {
    for (const target of ['http://evil.example/', '//evil.example', '/\\evil.example', '/_repogate/logout', `/${'x'.repeat(3000)}`]) {
      const browser = the().browser();
      await browser.login('dave', VAULT);
      const { status, headers } = await browser.post('/_repogate/logout', { switch: target });
      assert.equal(status, 303);
      const login = new URL(headers.location, the().url);
      assert.deepEqual([login.origin, login.pathname], [the().url, '/_repogate/login']);
      const question = await browser.visit(login.href);
      const arrived = await browser.submit(formsOf(question).find(({ fields }) => 'password' in fields), { username: 'dora', password: 'dora-demo' });
      assert.equal(arrived.url, `${the().url}/`, target);
    }
  });

  test('the logo is a picture and nothing else', async () => {
    const answer = await the().request('/_repogate/logo');
    assert.deepEqual([answer.status, answer.headers['content-type'], answer.headers['x-content-type-options']], [200, 'image/png', 'nosniff']);
    assert.match(answer.headers['content-security-policy'], /default-src 'none'.*sandbox/);
    assert.equal(Number(answer.headers['content-length']), PNG.length);
  });
});

describeStand('a logo that is a document', { config: named('logo.svg', SVG) }, (the) => {
  test('J1: runs no script, and belongs to no origin', async () => {
    const answer = await the().request('/_repogate/logo');
    assert.deepEqual([answer.status, answer.headers['content-type'], answer.text], [200, 'image/svg+xml', SVG]);
    assert.match(answer.headers['content-security-policy'], /^default-src 'none'; style-src 'unsafe-inline'; sandbox$/);
  });
});

describeStand('without a logo', { config: named() }, (the) => {
  test('there is none', async () => {
    assert.equal((await the().request('/_repogate/logo')).status, 404);
    assert.equal((await the().browser().visit('/_repogate/logout')).text.includes('<img'), false);
  });
});
