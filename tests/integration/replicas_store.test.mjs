// Two gateways on one PostgreSQL: what one does holds at the other, also when the channel between them is cut or the database is away.
// THREATS groups C (what is remembered too long), E (failing open), F (sessions that outlive a logout).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { join } from 'node:path';
import WebSocket from 'ws';
import { startPostgres } from '../../scripts/lib/postgres.mjs';
import { closeStand, formsOf, proveLog, sessionCookie, startStand, valuesOf, variant, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const SECOND_MS = 1000;
const HOPS_MAX = 6;

describe('two gateways on one PostgreSQL', () => {
  let postgres;
  let stand;
  let other;

  before(async () => {
    postgres = await startPostgres();
    await postgres.psql('CREATE ROLE repogate LOGIN');
    await postgres.psql('CREATE DATABASE repogate OWNER repogate');
    stand = await startStand({
      variant: variant(),
      config: (dir) => ({ session: { store: 'postgres', path: null, dsn_file: join(dir, 'dsn'), refresh: '1h' } }),
      beforeGateway: ({ dir }) => postgres.dsnFile(join(dir, 'dsn'), 'repogate', 'repogate'),
    });
    other = await stand.addReplica();
  });

  after(async () => {
    try {
      await other?.gateway.stop();
      if (other) proveLog(other.auditFile);
      await closeStand(stand);
    } finally {
      await postgres?.close();
    }
  });

  const worth = async (at, cookie) => (await at.request(`${SITE}echo`, { headers: { cookie } })).status;

  async function logOut(cookie) {
    const page = await stand.request('/_repogate/logout', { headers: { cookie } });
    const form = formsOf(page).find(({ method, fields }) => method === 'POST' && !('everywhere' in fields));
    const answer = await stand.request('/_repogate/logout', {
      method: 'POST',
      headers: { cookie, origin: stand.url, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(form.fields).toString(),
    });
    assert.ok(answer.status < 400, `logging out: ${answer.status}`);
  }

  /* How long after the logout's answer the other gateway still let it pass. */
  async function refusedAfter(cookie) {
    const from = performance.now();
    await waitFor('the other gateway to refuse', async () => (await worth(other, cookie)) === 401, { timeoutMs: 10000, everyMs: 5 });
    return performance.now() - from;
  }

  const isDeaf = ({ gateway }) => /other replicas are (not heard|heard again)(?![\s\S]*other replicas are)/.exec(gateway.output())?.[1] === 'not heard';

  /* Ends the connections on which gateways hear, and lets no new one in; calls go on over those that are there. */
  async function cutChannel() {
    await postgres.psql('ALTER ROLE repogate CONNECTION LIMIT 0');
    assert.equal(await postgres.cutListeners('repogate'), 2);
    await waitFor('both to notice', () => isDeaf(stand) && isDeaf(other));
  }

  async function mendChannel() {
    await postgres.psql('ALTER ROLE repogate CONNECTION LIMIT -1');
    await waitFor('both to hear again', () => !isDeaf(stand) && !isDeaf(other));
  }

  test('whoever logs in at one works at the other', async () => {
    const cookie = await sessionCookie(stand, 'dora');
    const answer = await other.request(`${SITE}echo`, { headers: { cookie } });
    assert.equal(answer.status, 200);
    assert.deepEqual(valuesOf(answer.json(), 'X-authentik-username'), ['dora']);
    assert.equal(await worth(stand, cookie), 200);
  });

  test('F14: a login begun at one ends well at the other, once', async () => {
    const browser = stand.browser();
    const page = await browser.visit('/_repogate/login');
    const form = formsOf(page).find(({ fields }) => 'password' in fields);
    let answer = await browser.post(form.action, { ...form.fields, username: 'dora', password: 'dora-demo' });
    for (let hops = 0; hops < HOPS_MAX && !answer.headers.location.includes('/_repogate/callback'); hops++) answer = await browser.get(new URL(answer.headers.location, answer.url).href);
    const { pathname, search } = new URL(answer.headers.location);
    const callback = { headers: { cookie: browser.jar.header(`${stand.url}/`), accept: 'text/html', 'sec-fetch-mode': 'navigate' } };
    const asked = stand.provider.counts.token;
    const first = await other.request(pathname + search, callback);
    assert.equal(first.status, 302);
    const cookie = first.headers['set-cookie'].find((line) => line.startsWith('repogate=')).split(';')[0];
    assert.equal(await worth(stand, cookie), 200);
    const second = await stand.request(pathname + search, callback);
    assert.ok(!(second.headers['set-cookie'] ?? []).some((line) => /^repogate=[^;]/.test(line)), 'no session');
    assert.equal(stand.provider.counts.token, asked + 1, 'the code was redeemed once');
  });

  test('C10, F11: a logout at one is a logout at the other within a second, of what it has in memory too, and cuts its WebSockets', async (t) => {
    const cookie = await sessionCookie(stand, 'dora');
    assert.equal(await worth(other, cookie), 200, 'now it is in memory there');
    const socket = new WebSocket(`${other.url.replace('http', 'ws')}${SITE}ws-echo`, { origin: stand.url, headers: { host: new URL(stand.url).host, cookie } });
    await once(socket, 'open');
    const closed = once(socket, 'close');
    await logOut(cookie);
    const from = performance.now();
    const refused = await refusedAfter(cookie);
    await closed;
    const cut = performance.now() - from;
    t.diagnostic(`refused after ${refused.toFixed(0)} ms, WebSocket cut after ${cut.toFixed(0)} ms`);
    assert.ok(refused < SECOND_MS, `refused after ${refused} ms`);
    assert.ok(cut < 2 * SECOND_MS, `cut after ${cut} ms`);
    assert.equal(await worth(stand, cookie), 401);
  });

  test('C10: back-channel logout at one ends sessions that were made at the other', async () => {
    const cookies = [await sessionCookie(stand, 'guest'), await sessionCookie(stand, 'guest')];
    for (const cookie of cookies) assert.notEqual(await worth(other, cookie), 401);
    assert.equal((await stand.provider.sendLogout(`${stand.url}/_repogate/backchannel-logout`, { by: 'sub', username: 'guest' })).status, 200);
    for (const cookie of cookies) await refusedAfter(cookie);
  });

  test('C10: with the channel between them cut, a logout still reaches the other within the time after which it reads again', async (t) => {
    const cookie = await sessionCookie(stand, 'dora');
    const stays = await sessionCookie(stand, 'dave');
    assert.equal(await worth(other, cookie), 200);
    assert.notEqual(await worth(other, stays), 401);
    await cutChannel();
    try {
      await logOut(cookie);
      const refused = await refusedAfter(cookie);
      t.diagnostic(`refused after ${refused.toFixed(0)} ms`);
      assert.ok(refused < 3 * SECOND_MS, `refused after ${refused} ms`);
      assert.notEqual(await worth(other, stays), 401);
    } finally {
      await mendChannel();
    }
    assert.equal(await worth(other, cookie), 401);
    const again = await sessionCookie(stand, 'dora');
    assert.equal(await worth(other, again), 200);
    await logOut(again);
    assert.ok((await refusedAfter(again)) < SECOND_MS, 'heard again');
  });

  test('E: while the database is away known sessions go on, and nothing else opens', async () => {
    const known = await sessionCookie(stand, 'dora');
    const elsewhere = await sessionCookie(stand, 'dora');
    assert.equal(await worth(other, known), 200);
    await postgres.stop();
    await waitFor('both to notice', () => isDeaf(stand) && isDeaf(other));
    for (let i = 0; i < 8; i++) {
      assert.equal(await worth(stand, known), 200);
      assert.equal(await worth(other, known), 200);
    }
    assert.ok([403, 503].includes(await worth(other, elsewhere)), 'nothing is known of it here');
    assert.equal(await worth(other, `repogate=${'x'.repeat(43)}`), await worth(other, elsewhere));
    assert.equal((await other.request(`${SITE}echo`)).status, 401);
    const browser = stand.browser();
    const page = await browser.login('dave', '/_repogate/login');
    assert.equal(page.status, 503);
    assert.match(page.headers['content-type'], /text\/html/);
    assert.ok(!browser.jar.for(`${stand.url}/`).some(({ name }) => name === 'repogate'), 'no session');
    await postgres.start();
    await waitFor('the other to read again', async () => (await worth(other, elsewhere)) === 200);
    assert.equal(await worth(other, known), 200);
    await mendChannel();
  });

  test('a restart of either, or of both at once, loses nobody', async () => {
    const cookie = await sessionCookie(stand, 'dora');
    await stand.restart();
    assert.equal(await worth(stand, cookie), 200);
    await stand.restart({ signal: 'SIGKILL' });
    assert.equal(await worth(stand, cookie), 200);
    assert.equal(await worth(other, cookie), 200);
  });
});
