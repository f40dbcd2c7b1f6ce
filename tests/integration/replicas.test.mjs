// Two gateways on one PostgreSQL keep their sessions fresh: one asks for both, and whoever is logged out on one is out on the other while it asks.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { startPostgres } from '../../scripts/lib/postgres.mjs';
import { ask, closeStand, sessionCookie, startStand, variant, waitFor } from './lib/stand.mjs';

const GRANT = 'token:refresh_token';

/* A second gateway beside that of the stand: another listener, log and state, all else shared. */
async function startBeside(stand) {
  const { constructor: Gateway, program, env } = stand.gateway;
  const at = (name) => join(stand.dir, name);
  const text = (await readFile(stand.configFile, 'utf8'))
    .replace(/^( {2}state_dir: ).*$/m, `$1${JSON.stringify(at('policy-state-2'))}`)
    .replace(stand.auditFile, at('audit-2.jsonl'));
  await writeFile(at('repogate-2.yaml'), text, { mode: 0o600 });
  const gateway = new Gateway({ program, config: at('repogate-2.yaml'), env, log: at('gateway-2.log') });
  await gateway.start();
  return gateway;
}

describe('two gateways on one database', () => {
  let postgres;
  let stand;
  let other;
  const grants = () => stand.provider.counts[GRANT] ?? 0;
  const askOther = (options) => ask({ url: stand.url, gateway: other }, options);

  before(async () => {
    postgres = await startPostgres();
    stand = await startStand({
      variant: variant(),
      config: (dir) => ({ session: { store: 'postgres', path: null, dsn_file: join(dir, 'dsn'), refresh: '2s', grace: '10m' } }),
      beforeGateway: ({ dir }) => postgres.dsnFile(join(dir, 'dsn')),
    });
    other = await startBeside(stand);
  });
  afterEach(() => {
    stand.provider.setFaults();
    stand.provider.release();
    stand.provider.accessTokenSeconds = 3600;
  });
  after(async () => {
    const how = await other?.stop();
    await closeStand(stand);
    await postgres?.close();
    assert.equal(how?.code, 0, other?.output());
  });

  /* Asks both until the provider holds one of them at `endpoint`; gives { answers }, still to come. */
  async function askBothUntilHeld(cookie, endpoint) {
    const held = stand.provider.whenHeld(endpoint).then(() => 'held');
    for (;;) {
      const answers = [ask(stand, { cookie }), askOther({ cookie })];
      if ((await Promise.race([held, Promise.all(answers).then(() => 'answered')])) === 'held') return { answers };
    }
  }

  for (const isGranting of [false, true]) {
    test(`a lapsed session is refreshed once for both${isGranting ? ', its grant too' : ''}`, async () => {
      if (isGranting) stand.provider.accessTokenSeconds = 1;
      const cookie = await sessionCookie(stand, 'dora');
      assert.equal((await askOther({ cookie })).status, 200, 'a login on one is good on the other');
      const endpoint = isGranting ? GRANT : 'userinfo';
      stand.provider.accessTokenSeconds = 3600;
      stand.provider.hold(endpoint);
      const { answers } = await askBothUntilHeld(cookie, endpoint);
      const counted = { userinfo: stand.provider.counts.userinfo, grants: grants() };
      stand.provider.release();
      for (const answer of await Promise.all(answers)) assert.equal(answer.status, 200);
      assert.equal(grants(), counted.grants, 'the one that was held');
      assert.equal(stand.provider.counts.userinfo, counted.userinfo + (isGranting ? 1 : 0));
    });
  }

  test('a group that is taken away is gone on both', async () => {
    const cookie = await sessionCookie(stand, 'dora');
    assert.equal((await askOther({ cookie })).status, 200);
    stand.provider.updateUser('dora', { groups: [] });
    await waitFor('403', async () => (await ask(stand, { cookie })).status === 403);
    await waitFor('403 there', async () => (await askOther({ cookie })).status === 403);
    stand.provider.updateUser('dora', { groups: ['developers'] });
  });

  test('logged out on one while the other asks the provider: nobody comes back', async () => {
    stand.provider.accessTokenSeconds = 1;
    const cookie = await sessionCookie(stand, 'dora');
    assert.equal((await askOther({ cookie })).status, 200);
    stand.provider.hold(GRANT, { answered: true });
    const held = stand.provider.whenHeld(GRANT).then(() => 'held');
    let waiting;
    do waiting = { answer: askOther({ cookie }) };
    while ((await Promise.race([held, waiting.answer.then(() => 'answered')])) !== 'held');
    const { status } = await stand.request('/_repogate/logout', {
      method: 'POST', headers: { cookie, origin: stand.url, 'content-type': 'application/x-www-form-urlencoded' }, body: '',
    });
    assert.equal(status, 200);
    stand.provider.release();
    assert.equal((await waiting.answer).status, 401);
    assert.equal((await askOther({ cookie })).status, 401);
  });
});
