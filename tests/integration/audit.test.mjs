// The audit log of the running gateway: no line, no allow; every line true, chained, and without a secret in it. THREATS groups J and L.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ask, closeStand, converse, describeStand, formsOf, gatewayPort, lineOf, proveLog, request, requestBytes, sessionCookie, startStand, variant, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const NAVIGATE = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

const digestOf = (bytes) => createHash('sha256').update(bytes).digest('hex');

// How far files of this process may grow; undefined: as far as they like.
function limitFiles(stand, bytes) {
  execFileSync('prlimit', ['--pid', String(stand.gateway.pid), `--fsize=${bytes ?? 'unlimited'}:unlimited`]);
}

async function sizeOf(file) {
  return (await stat(file)).size;
}

describeStand('audit log', {}, (the) => {
  const reloads = (type) => the().auditUntil((line) => line.type === type);

  test('what happened is there: each login, logout, decision and policy change, once', async () => {
    const browser = the().browser();
    await browser.login('dora', SITE);
    await browser.post('/_repogate/logout', {});
    const cookie = await sessionCookie(the(), 'dave');
    const before = (await the().auditLines()).length;
    const asked = [[{ cookie }, 'allow'], [{ cookie, url: '/github/acme/vault/' }, 'deny'], [{}, 'login'], [{ cookie, url: '/github/../x' }, 'deny'], [{ cookie, headers: { 'X-Original-URL': null } }, 'deny'], [{ token: 'x' }, 'login'],
      [{ cookie, method: 'BREW' }, 'deny']];
    const answers = [];
    for (const [options] of asked) answers.push(await ask(the(), options));
    const lines = (await the().auditUntil(() => true, before + asked.length)).slice(before);
    assert.deepEqual(lines.map(({ type, decision }) => [type, decision]), asked.map(([, decision]) => ['decision', decision]), 'one line each, in order');
    answers.slice(0, 6).forEach(({ decisionId }, i) => assert.equal(lines[i].id, decisionId));
    const [first] = lines;
    assert.equal(first.subject.username, 'dave');
    assert.deepEqual([first.policy.rule, first.policy.file, first.reason.code.length > 0], ['developers: public repositories', '10-access.lua', true]);
    assert.match(first.policy.revision, /^[0-9a-f]{12}$/);
    assert.deepEqual([first.request.action, first.request.dialect, first.resource.visibility], ['open', 'nginx', 'public']);
    assert.ok(first.eval.us >= 0);
    const all = await the().auditLines();
    for (const type of ['policy.activated', 'login', 'logout']) assert.ok(all.some((line) => line.type === type), type);
    const written = await request(`${the().adminUrl}/metrics`);
    assert.match(written.text, new RegExp(`repogate_audit_lines_total ${all.length}\\b`));
  });

  test('the chain holds from the first line, and shows a change, a loss and a swap', async () => {
    for (let i = 0; i < 20; i++) await ask(the(), { url: `${SITE}?${i}` });
    const lines = proveLog(the().auditFile);
    assert.equal(lines[0].prev, '0'.repeat(64));
    const text = (await readFile(the().auditFile, 'utf8')).split('\n');
    assert.equal(JSON.parse(text[6]).prev, digestOf(text[5]));
    assert.notEqual(JSON.parse(text[6]).prev, digestOf(text[5].replace('login', 'allow')));
    assert.notEqual(JSON.parse(text[7]).prev, digestOf(text[5]));
  });

  test('J2: every byte value survives as JSON, and a line never grows beyond 16 KiB', async () => {
    const bytes = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).filter((c) => !'\0\r\n'.includes(c)).join('');
    for (const value of [bytes, bytes.replace(/[\x00-\x1f\x7f]/g, ''), '"'.repeat(9000), '\\'.repeat(9000), '\xff'.repeat(9000), '\xed\xa0\x80', '\xc0\xaf', '\xf4\x90\x80\x80', '\xe2\x80\xa8<script>', '{"v":1}', '%s%n%d']) {
      const { answers } = await converse(gatewayPort(the()), requestBytes({ target: '/_repogate/auth/nginx', headers: { 'X-Original-URL': value, 'X-Original-Method': value, 'X-Real-IP': value } }));
      assert.equal(answers[0].status, 403);
    }
    const answer = await ask(the(), { url: `${SITE}${'x'.repeat(12000)}`, headers: { 'User-Agent': 'x'.repeat(3000) } });
    assert.ok([401, 403].includes(answer.status));
    await converse(gatewayPort(the()), requestBytes({ target: `/github/acme/site/${'|'.repeat(9000)}`, headers: { Host: new URL(the().url).host } }));
    const lines = proveLog(the().auditFile);
    assert.ok(lines.some(({ truncated }) => truncated?.length > 0), 'what was cut is named');
  });

  test('J3: a person\'s endless name does not fill the log', async () => {
    const token = the().provider.mint({ username: 'dora', claims: { preferred_username: 'd'.repeat(5000), name: '"'.repeat(4000) } });
    const answer = await ask(the(), { token });
    assert.ok([200, 401, 403].includes(answer.status));
    proveLog(the().auditFile);
  });

  test('SIGHUP reopens after a rename, and the chain goes on in the new file', async () => {
    const old = `${the().auditFile}.1`;
    await ask(the(), {});
    await rename(the().auditFile, old);
    the().auditFiles = [old];
    const { decisionId } = await ask(the(), {});
    const last = await waitFor('the line', async () => {
      const line = (await readFile(old)).toString().trimEnd().split('\n').at(-1);
      return line.includes(decisionId) && line;
    });
    the().gateway.reload();
    await reloads('policy.activated');
    const answer = await ask(the(), {});
    await lineOf(the(), answer);
    const [next] = await the().auditLines();
    assert.equal(next.prev, digestOf(last));
    proveLog(old, the().auditFile);
  });

  test('SIGHUP that cannot reopen keeps the file that it has', async () => {
    const kept = `${the().auditFile}.2`;
    const sequence = (await the().auditLines()).at(-1).seq;
    await rename(the().auditFile, kept);
    await mkdir(the().auditFile);
    the().gateway.reload();
    await waitFor('the complaint', () => /audit log cannot be reopened/.test(the().output()));
    const { decisionId } = await ask(the(), {});
    const lines = await waitFor('the line', async () => {
      const found = (await readFile(kept, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line));
      return found.some(({ id }) => id === decisionId) && found;
    });
    assert.ok(lines.at(-1).seq > sequence);
    await rmdir(the().auditFile);
    the().auditFiles.push(kept);
    the().gateway.reload();
    await waitFor('the new file', () => stat(the().auditFile).catch(() => undefined));
    await lineOf(the(), await ask(the(), {}));
    proveLog(...the().auditFiles, the().auditFile);
  });
});

describeStand('secrets', { config: (dir) => ({ server: { proxy_secret_file: join(dir, 'client-secret') } }) }, (the) => {
  test('L1, L3: no token, cookie, code, password or query is in the log, in the gateway\'s own output, in metrics or in the store\'s file', async () => {
    const browser = the().browser();
    const canary = 'CANARY-5a1f0c';
    const secrets = new Map();
    const keep = (name, value) => value?.length > 8 && secrets.set(name, value);
    const get = browser.get.bind(browser);
    browser.get = async (url, options) => {
      const answer = await get(url, options);
      for (const at of [url, answer.headers.location ?? '']) for (const name of ['code', 'state', 'nonce', 'code_challenge']) keep(`${name} ${secrets.size}`, new URL(at, the().url).searchParams.get(name));
      for (const line of answer.headers['set-cookie'] ?? []) if (line.startsWith('repogate')) keep(`cookie ${secrets.size}`, line.split(';')[0].split('=')[1]);
      return answer;
    };
    const issued = the().provider.keys.sign.bind(the().provider.keys);
    the().provider.keys.sign = (...args) => {
      const token = issued(...args);
      keep(`token ${secrets.size}`, token);
      keep(`signature ${secrets.size}`, token.split('.')[2]);
      return token;
    };
    await browser.login('dora', `${SITE}echo?token=${canary}-query`);
    const asked = { headers: { 'X-Repogate-Proxy-Secret': the().provider.clientSecret } };
    await ask(the(), { ...asked, token: the().provider.mint() });
    await ask(the(), { ...asked, token: the().provider.mint({ fault: 'expired' }) });
    await ask(the(), { ...asked, token: `${canary}.${canary}.${canary}` });
    await ask(the(), { headers: { ...asked.headers, Authorization: `Basic ${canary}` } });
    await ask(the(), { headers: { 'X-Repogate-Proxy-Secret': `${canary}-proxy` } });
    await ask(the(), { ...asked, cookie: `repogate=${canary}` });
    await ask(the(), { ...asked, url: `/github/../x?secret=${canary}` });
    await browser.get(`/github/acme/site/%00?secret=${canary}`);
    await browser.get(`/_repogate/callback?state=${canary}&code=${canary}`, { headers: NAVIGATE });
    await browser.get(`/_repogate/login?rd=/${canary}`, { headers: NAVIGATE });
    await browser.get(`/nowhere?x=${canary}`);
    await the().request(`${SITE}upload`, { method: 'POST', headers: { authorization: `Bearer ${the().provider.mint()}` }, body: `${canary}-body` });
    the().provider.setFaults({ id_token: 'wrong_nonce' });
    await browser.get(`/_repogate/logout`, { method: 'POST', headers: { origin: the().url, 'content-type': 'application/x-www-form-urlencoded' }, body: `everywhere=1&x=${canary}` });
    await the().browser().login('dave', `/?x=${canary}`);
    the().provider.setFaults({});
    keep('client secret', the().provider.clientSecret);
    keep('canary', canary);
    keep('password', 'dora-demo');
    assert.ok(secrets.size > 15, `${secrets.size} secrets`);
    const stored = (await readdir(the().dir)).filter((name) => name.startsWith('sessions.db') && !name.endsWith('.lock'));
    const places = { 'the audit log': await readFile(the().auditFile, 'latin1'), 'standard error': the().output(), metrics: (await request(`${the().adminUrl}/metrics`)).text, readiness: (await request(`${the().adminUrl}/readyz`)).text };
    for (const name of stored) places[name] = await readFile(join(the().dir, name), 'latin1');
    assert.ok(stored.length > 0);
    for (const [place, text] of Object.entries(places)) {
      assert.ok(text.length > 0, place);
      for (const [name, secret] of secrets) assert.equal(text.includes(secret), false, `${name} is in ${place}`);
    }
    for (const name of stored) for (const text of ['dora', 'dora@example.org', 'eyJ']) assert.equal(places[name].includes(text), false, `${text} is in ${name}`);
  });
});

describe('a full disk', () => {
  let stand;
  let cookie;

  before(async () => {
    stand = await startStand({ variant: variant() });
    cookie = await sessionCookie(stand, 'dora');
  });

  after(() => closeStand(stand));

  beforeEach(() => limitFiles(stand));

  for (const room of [0, 1, 200]) {
    test(`under the audit log (${room} bytes left): nothing is allowed, and it says why`, async () => {
      assert.equal((await ask(stand, { cookie })).status, 200);
      const size = await sizeOf(stand.auditFile);
      limitFiles(stand, size + room);
      for (let i = 0; i < 5; i++) {
        const answer = await ask(stand, { cookie });
        assert.deepEqual([answer.status, answer.reason], [403, 'audit_unavailable']);
        assert.deepEqual(answer.values('x-authentik-username'), []);
      }
      const token = await ask(stand, { token: stand.provider.mint({ username: 'admin' }) });
      assert.deepEqual([token.status, token.reason], [403, 'audit_unavailable']);
      const seen = stand.workspace.requests.length;
      const routed = await stand.request(`${SITE}echo`, { headers: { cookie } });
      assert.equal(routed.status, 503);
      assert.equal(routed.json().reason, 'audit_unavailable');
      assert.ok(Number(routed.headers['retry-after']) > 0);
      assert.equal((await stand.request(`${SITE}`, { headers: { cookie, ...NAVIGATE } })).status, 503);
      assert.equal(stand.workspace.requests.length, seen, 'nothing reached the workspace');
      const ready = await request(`${stand.adminUrl}/readyz`);
      assert.deepEqual([ready.status, ready.json().audit.state], [503, 'failed']);
      assert.equal(await sizeOf(stand.auditFile), size, 'no half line');
      limitFiles(stand);
      const answer = await ask(stand, { cookie });
      assert.equal(answer.status, 200, 'with room it goes on by itself');
      await lineOf(stand, answer);
      assert.equal((await request(`${stand.adminUrl}/readyz`)).status, 200);
      proveLog(stand.auditFile);
    });
  }

  test('nobody is logged in without a line, nor is a refusal turned into an allow', async () => {
    const browser = stand.browser();
    const page = await browser.visit(SITE);
    limitFiles(stand, await sizeOf(stand.auditFile));
    const denied = await ask(stand, { cookie, url: '/github/acme/payments/' });
    assert.equal(denied.status, 403);
    assert.equal((await ask(stand, {})).status, 401);
    const end = await browser.submit(formsOf(page)[0], { username: 'dora', password: 'dora-demo' });
    assert.equal(end.status, 503);
    assert.equal(browser.jar.for(stand.url).find(({ name }) => name === 'repogate'), undefined);
    limitFiles(stand);
    assert.equal((await browser.visit(SITE)).status, 200);
  });
});

describe('kill -9', () => {
  let stand;

  before(async () => { stand = await startStand({ variant: variant() }); });
  after(() => closeStand(stand));

  test('under load: every allow that a client was told has its line after a restart, once', async () => {
    const cookie = await sessionCookie(stand, 'dora');
    for (let round = 0; round < 3; round++) {
      const told = [];
      const load = async () => {
        for (;;) {
          const { answers } = await converse(gatewayPort(stand), requestBytes({ target: '/_repogate/auth/nginx', headers: { Cookie: cookie, 'X-Original-URL': `${stand.url}${SITE}`, 'X-Original-Method': 'GET', 'X-Real-IP': '192.0.2.7' } })).catch(() => ({ answers: [] }));
          if (answers.length === 0) return;
          if (answers[0].status === 200) told.push(answers[0].values('x-repogate-decision-id')[0]);
          if (told.length === 150) stand.gateway.kill('SIGKILL');
        }
      };
      await Promise.all(Array.from({ length: 8 }, load));
      assert.deepEqual(await stand.gateway.child.exited, { code: null, signal: 'SIGKILL' });
      await stand.restart();
      assert.equal((await ask(stand, { cookie })).status, 200, 'sessions live on');
      const ids = new Set((await readFile(stand.auditFile, 'utf8')).split('\n').filter((line) => line.endsWith('}')).map((line) => JSON.parse(line).id));
      assert.ok(told.length >= 150);
      assert.deepEqual(told.filter((id) => !ids.has(id)), []);
    }
    const lines = proveLog(stand.auditFile);
    assert.equal(new Set(lines.map(({ boot, seq }) => `${boot} ${seq}`)).size, lines.length, 'none twice');
    assert.equal(new Set(lines.map(({ boot }) => boot)).size, 4, 'one chain for each boot');
  });
});
