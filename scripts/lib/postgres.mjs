// A PostgreSQL server for tests and demos: on a socket in a directory of its own and on a free port of 127.0.0.1, gone with us.
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, run, startChild, waitFor } from './processes.mjs';

const SERVER = fileURLToPath(new URL('throwaway-postgres', import.meta.url));

class Postgres {
  /* Also after stop(): the data are still there. */
  async start() {
    let how;
    this.child = startChild(SERVER, [this.dir, String(this.port)]);
    this.child.exited.then((value) => { how = value; });
    await waitFor('PostgreSQL', () => {
      if (how) throw new Error(`PostgreSQL did not start (${how.error?.message ?? how.code ?? how.signal}):\n${this.child.output()}`);
      return this.psql('SELECT 1').catch(() => false);
    }, { timeoutMs: 30000, everyMs: 100 });
  }

  /* SIGINT ends all connections and then itself. */
  stop() {
    return this.child.stop('SIGINT', 15000);
  }

  /* A connection string for gateways: with TLS, checked, as in production. */
  dsn(database = 'postgres', user = 'postgres') {
    return `host=pg.test hostaddr=127.0.0.1 port=${this.port} user=${user} dbname=${database} sslmode=verify-full sslrootcert=${this.dir}/server.crt`;
  }

  /* Writes it to a file for session.dsn_file. */
  async dsnFile(path, database, user) {
    await writeFile(path, `${this.dsn(database, user)}\n`, { mode: 0o600 });
    return path;
  }

  async createDatabase(name) {
    await this.psql(`CREATE DATABASE "${name}"`);
    return name;
  }

  /* What the last statement answered, values parted by |, rows by line breaks. */
  async psql(sql, database = 'postgres') {
    const to = `host=${this.dir} port=${this.port} user=postgres dbname=${database}`;
    return (await run('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-c', sql, to])).trim();
  }

  /* Ends the connections on which gateways hear of each other; returns how many. */
  async cutListeners(database) {
    const which = `application_name = 'repogate' AND query IN ('LISTEN repogate', '') AND datname = '${database}'`;
    return Number(await this.psql(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE ${which}`));
  }

  async close() {
    await this.stop();
    this.remove();
    process.off('exit', this.remove);
  }
}

export async function startPostgres() {
  const postgres = new Postgres();
  postgres.dir = await mkdtemp(join(tmpdir(), 'repogate-pg-'));
  postgres.remove = () => rmSync(postgres.dir, { recursive: true, force: true });
  process.on('exit', postgres.remove);
  postgres.port = await freePort();
  await postgres.start();
  return postgres;
}
