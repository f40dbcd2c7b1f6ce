// The admin API and `repogate session`: who may use them, what they show and end, and that each use and each refused attempt is in the audit log.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { closeStand, describeStand, request, sessionCookie, startStand, variant, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const TOKEN = 'an-admin-token-of-some-length';
const OTHER = 'another-token-after-a-rotation';
const PROGRAM = fileURLToPath(new URL(`../../build/${variant() === 'release' ? '' : `${variant()}/`}repogate`, import.meta.url));

const nameOf = (token) => createHash('sha256').update(token).digest('hex').slice(0, 8);
const idOf = (cookie) => createHash('sha256').update(cookie.split('=')[1]).digest('hex');
const worth = async (stand, cookie) => (await stand.request(`${SITE}echo`, { headers: { cookie } })).status;
const isAction = ({ type }) => type === 'admin.action';

const withToken = {
  config: (dir) => ({ server: { admin_token_file: join(dir, 'admin-token') } }),
  beforeGateway: (stand) => writeFile(join(stand.dir, 'admin-token'), `${TOKEN}\n`, { mode: 0o600 }),
};

const admin = (stand, path, { method = 'GET', token = TOKEN, headers = {}, body } = {}) => request(`${stand.adminUrl}${path}`, {
  method,
  headers: { ...(token && { authorization: `Bearer ${token}` }), ...(body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }), ...headers },
  body,
});
const revoke = (stand, fields, options = {}) => admin(stand, '/admin/sessions/revoke', { method: 'POST', body: new URLSearchParams(fields).toString(), ...options });
const sessionsOf = async (stand, query = '') => (await admin(stand, `/admin/sessions${query}`)).json().sessions;

/* Runs `repogate session …` against the stand: { code, out, err }. */
function cli(stand, ...args) {
  const env = { ...process.env, REPOGATE__SERVER__ADMIN_LISTEN: new URL(stand.adminUrl).host };
  return new Promise((resolve) => {
    execFile(PROGRAM, ['session', ...args], { env }, (error, out, err) => resolve({ code: error ? error.code : 0, out, err }));
  });
}

describeStand('the admin API', withToken, (the) => {
  test('without its token it answers nothing, and the attempt is written down', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    const attempts = [null, 'wrong', '', TOKEN.slice(0, -1), `${TOKEN}x`, TOKEN.toUpperCase()];
    for (const token of attempts) {
      for (const ask of [() => admin(the(), '/admin/sessions', { token }), () => revoke(the(), { user: 'dora' }, { token })]) {
        const answer = await ask();
        assert.equal(answer.status, 401);
        assert.match(answer.headers['www-authenticate'], /^Bearer/);
        assert.ok(!answer.text.includes('dora'));
      }
    }
    for (const authorization of [`Basic ${Buffer.from(`admin:${TOKEN}`).toString('base64')}`, TOKEN, `bearer${TOKEN}`]) {
      assert.equal((await admin(the(), '/admin/sessions', { token: null, headers: { authorization } })).status, 401);
    }
    assert.equal((await admin(the(), '/admin/sessions', { token: null, headers: { cookie } })).status, 401);
    assert.equal(await worth(the(), cookie), 200);
    const lines = await the().auditUntil(isAction, 2 * attempts.length);
    for (const { outcome, reason, subject, request: asked, admin: who } of lines) {
      assert.deepEqual([outcome, reason.code, subject, asked.ip, who], ['failed', 'unauthorized', null, '127.0.0.1', undefined]);
    }
    assert.ok(!JSON.stringify(lines).includes(TOKEN.slice(0, -1)), 'no token is written');
  });

  test('is not on the public listener', async () => {
    for (const path of ['/admin/sessions', '/admin/sessions/revoke']) {
      assert.equal((await request(`${the().gateway.url}${path}`, { headers: { authorization: `Bearer ${TOKEN}`, host: new URL(the().url).host } })).status, 404);
    }
  });

  test('lists who is logged in, since when and from where', async () => {
    const cookie = await sessionCookie(the(), 'dave');
    const found = (await sessionsOf(the(), '?user=dave')).find(({ id }) => id === idOf(cookie));
    assert.equal(found.username, 'dave');
    assert.equal(found.ip, '127.0.0.1');
    for (const time of [found.created, found.seen, found.expires]) assert.ok(!Number.isNaN(Date.parse(time)));
    assert.ok(Date.parse(found.expires) > Date.parse(found.created));
    assert.deepEqual(Object.keys(found).sort(), ['created', 'expires', 'id', 'ip', 'seen', 'username']);
    const [line] = await the().auditUntil(({ type, sessions }) => type === 'admin.action' && sessions?.by === 'username' && sessions.name === 'dave');
    assert.deepEqual([line.outcome, line.reason.code, line.admin, line.sessions.count], ['ok', 'session.list', { token: nameOf(TOKEN) }, 1]);
  });

  test('page by page, each once', async () => {
    for (let i = 0; i < 5; i++) await sessionCookie(the(), 'guest');
    const all = await sessionsOf(the());
    const seen = [];
    for (let next = ''; next !== null;) {
      const page = (await admin(the(), `/admin/sessions?limit=2${next && `&after=${next}`}`)).json();
      assert.ok(page.sessions.length <= 2);
      seen.push(...page.sessions.map(({ id }) => id));
      next = page.next;
    }
    assert.deepEqual(seen, all.map(({ id }) => id));
    for (const query of ['limit=0', 'limit=501', 'limit=x', 'limit=1&limit=2', 'after=x', `after=${'g'.repeat(64)}`, `after=${'A'.repeat(64)}`, 'user=', 'user=a&user=b', 'user=%']) {
      assert.equal((await admin(the(), `/admin/sessions?${query}`)).status, 400, query);
    }
  });

  test('ends one session, those of a provider’s session, or all of a person', async () => {
    const sids = () => the().provider.sessionsOf('dora').map(({ sid }) => sid);
    const known = new Set(sids());
    const cookies = [];
    const mine = [];
    for (let i = 0; i < 4; i++) {
      cookies.push(await sessionCookie(the(), 'dora'));
      mine.push(sids().find((sid) => !known.has(sid)));
      known.add(mine[i]);
    }
    const dave = await sessionCookie(the(), 'dave');
    const alive = async () => Promise.all(cookies.map(async (cookie) => (await worth(the(), cookie)) === 200));
    const { sub } = JSON.parse(Buffer.from(the().provider.logoutToken({ by: 'sub' }).split('.')[1], 'base64url').toString());
    assert.deepEqual((await revoke(the(), { id: idOf(cookies[0]) })).json(), { ended: 1 });
    assert.deepEqual(await alive(), [false, true, true, true]);
    assert.deepEqual((await revoke(the(), { sid: mine[1] })).json(), { ended: 1 });
    assert.deepEqual(await alive(), [false, false, true, true]);
    assert.ok((await revoke(the(), { sub })).json().ended >= 2);
    assert.deepEqual(await alive(), [false, false, false, false]);
    assert.ok((await revoke(the(), { user: 'dave' })).json().ended >= 1);
    assert.equal(await worth(the(), dave), 401);
    for (const fields of [{ id: idOf(cookies[0]) }, { user: 'nobody' }, { sid: 'none' }, { sub: 'none' }]) assert.deepEqual((await revoke(the(), fields)).json(), { ended: 0 });
    const lines = (await the().auditUntil(({ type, reason }) => type === 'admin.action' && reason.code === 'session.revoke', 4)).slice(0, 4);
    assert.deepEqual(lines.map(({ sessions }) => [sessions.how, sessions.by, sessions.name, sessions.count >= 1]),
      [['admin', 'id', idOf(cookies[0]), true], ['admin', 'sid', mine[1], true], ['admin', 'sub', sub, true], ['admin', 'username', 'dave', true]]);
  });

  test('a form that does not say whose ends nobody', async () => {
    const cookie = await sessionCookie(the(), 'guest');
    const id = idOf(cookie);
    for (const body of ['', 'user=', `id=${id}&user=guest`, `id=${id}&id=${id}`, 'id=x', `id=${id.toUpperCase()}`, `id=${id}00`, 'other=guest', 'user=%', 'id']) {
      assert.equal((await admin(the(), '/admin/sessions/revoke', { method: 'POST', body })).status, 400, body);
    }
    assert.equal((await admin(the(), `/admin/sessions/revoke?id=${id}`, { method: 'POST', body: '' })).status, 400);
    for (const method of ['GET', 'PUT', 'DELETE']) assert.equal((await admin(the(), '/admin/sessions/revoke', { method })).status, 405);
    assert.equal((await admin(the(), '/admin/sessions', { method: 'POST', body: '' })).status, 405);
    assert.equal((await the().request('/_repogate/whoami', { headers: { cookie } })).status, 200);
  });

  test('a revoked session’s WebSocket is cut', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    const socket = new WebSocket(`${the().url.replace('http', 'ws')}${SITE}ws-echo`, { origin: the().url, headers: { cookie } });
    socket.on('error', () => {});
    await once(socket, 'open');
    await revoke(the(), { user: 'dora' });
    await waitFor('the WebSocket to be cut', () => socket.readyState === WebSocket.CLOSED);
  });

  test('the token may change while the gateway runs', async () => {
    const file = join(the().dir, 'admin-token');
    await writeFile(`${file}.new`, `${OTHER}\n`, { mode: 0o600 });
    await rename(`${file}.new`, file);
    await waitFor('the new token', async () => (await admin(the(), '/admin/sessions', { token: OTHER })).status === 200, { timeoutMs: 15000 });
    assert.equal((await admin(the(), '/admin/sessions', { token: TOKEN })).status, 401);
    await the().auditUntil(({ type, admin: who }) => type === 'admin.action' && who?.token === nameOf(OTHER));
    await writeFile(file, 'short\n');
    await waitFor('the refusal of the short one', () => the().output().includes('server.admin_token_file'), { timeoutMs: 15000 });
    assert.equal((await admin(the(), '/admin/sessions', { token: OTHER })).status, 200, 'one that is too short changes nothing');
    assert.equal((await admin(the(), '/admin/sessions', { token: 'short' })).status, 401);
    await writeFile(file, `${TOKEN}\n`);
    await waitFor('the first token', async () => (await admin(the(), '/admin/sessions')).status === 200, { timeoutMs: 15000 });
  });

  test('repogate session list and revoke, for people and for programs', async () => {
    const cookie = await sessionCookie(the(), 'dora');
    const config = ['--config', the().configFile];
    const shown = await cli(the(), 'list', ...config);
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.out, /^USER +ADDRESS +SINCE +LAST USED +UNTIL +ID\n/);
    assert.match(shown.out, new RegExp(`^dora +127\\.0\\.0\\.1 .*${idOf(cookie)}$`, 'm'));
    const listed = await cli(the(), 'list', ...config, '--user', 'dora', '--json');
    assert.ok(JSON.parse(listed.out).sessions.every(({ username }) => username === 'dora'));
    assert.ok(JSON.parse(listed.out).sessions.some(({ id }) => id === idOf(cookie)));
    const revoked = await cli(the(), 'revoke', ...config, '--id', idOf(cookie));
    assert.deepEqual([revoked.code, revoked.out], [0, '1 session ended\n']);
    assert.equal(await worth(the(), cookie), 401);
    const again = await cli(the(), 'revoke', ...config, '--id', idOf(cookie), '--json');
    assert.deepEqual([again.code, again.out], [1, '{"ended":0}\n']);
    const nobody = await cli(the(), 'list', ...config, '--user', 'nobody', '--json');
    assert.deepEqual([nobody.code, nobody.out], [1, '{"sessions":[]}\n']);
  });

  test('repogate session lists more than a page', async () => {
    const cookies = [];
    for (let i = 0; i < 12; i++) cookies.push(...await Promise.all(Array.from({ length: 10 }, () => sessionCookie(the(), 'admin'))));
    const { code, out } = await cli(the(), 'list', '--config', the().configFile, '--user', 'admin', '--json');
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(out).sessions.map(({ id }) => id).sort(), cookies.map(idOf).sort());
  });

  test('a name with control bytes does nothing to a terminal', async () => {
    the().provider.updateUser('guest', { username: 'evil\u001b[2J\u009bname' });
    try {
      await sessionCookie(the(), 'evil\u001b[2J\u009bname').catch(() => {});
      const { out } = await cli(the(), 'list', '--config', the().configFile);
      // eslint-disable-next-line no-control-regex
      assert.ok(!/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(out));
    } finally {
      the().provider.updateUser('evil\u001b[2J\u009bname', { username: 'guest' });
    }
  });

  test('usage is checked before anybody is asked', async () => {
    const config = ['--config', the().configFile];
    for (const args of [[], ['list'], ['end', ...config], ['revoke', ...config], ['revoke', ...config, '--user', 'a', '--id', 'b'], ['list', ...config, '--sub', 'x'], ['list', ...config, '--nonsense']]) {
      const { code, err } = await cli(the(), ...args);
      assert.equal(code, 2, args.join(' '));
      assert.ok(err.length > 0);
    }
    const help = await cli(the(), '--help');
    assert.deepEqual([help.code, help.out.includes('Exit codes:')], [0, true]);
    assert.equal((await cli(the(), 'list', '--config', '/nowhere')).code, 3);
    assert.equal((await cli(the(), 'revoke', ...config, '--id', 'no-id')).code, 2);
  });

  test('a gateway that does not answer is exit 3', async () => {
    const gone = { ...the(), adminUrl: 'http://127.0.0.1:1', configFile: the().configFile };
    const { code, err } = await cli(gone, 'list', '--config', the().configFile);
    assert.equal(code, 3);
    assert.match(err, /127\.0\.0\.1:1/);
  });

  test('attempts without end do not fill the audit log', async () => {
    for (let i = 0; i < 300; i++) assert.equal((await admin(the(), '/admin/sessions', { token: 'guess' })).status, 401);
    const refused = (await the().auditLines()).filter((line) => isAction(line) && line.reason.code === 'unauthorized');
    assert.ok(refused.length < 200, String(refused.length)); // 60, and one for each second that it took
    assert.equal((await admin(the(), '/admin/sessions')).status, 200, 'and keep nobody out who has the token');
  });
});

describe('without server.admin_token_file', () => {
  let stand;

  before(async () => { stand = await startStand({ variant: variant() }); });
  after(() => closeStand(stand));

  test('only health and metrics answer', async () => {
    for (const path of ['/healthz', '/readyz', '/metrics']) assert.equal((await request(`${stand.adminUrl}${path}`)).status, 200, path);
    for (const token of [null, TOKEN, '']) {
      assert.equal((await admin(stand, '/admin/sessions', { token })).status, 404);
      assert.equal((await revoke(stand, { user: 'dora' }, { token })).status, 404);
    }
    const { code, err } = await cli(stand, 'list', '--config', stand.configFile);
    assert.equal(code, 2);
    assert.match(err, /admin_token_file/);
  });
});
