// HAProxy with a configuration of deploy/haproxy/: as shipped, but for the address to listen on. One process, so that nothing can be left behind.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startFront } from './processes.mjs';

const SHIPPED = fileURLToPath(new URL('../../deploy/haproxy/', import.meta.url));
const PROGRAM = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find(existsSync) ?? 'haproxy';

/* files: a directory in place of the shipped one. */
export async function startHaproxy({ dir, port, gatewayPort, topology, files = SHIPPED }) {
  await mkdir(dir, { recursive: true });
  const shipped = await readFile(join(files, `repogate-${topology}.cfg`), 'utf8');
  const bind = /^( *)bind :443 .*$/m;
  if (!bind.test(shipped)) throw new Error('no bind line to replace');
  const file = join(dir, 'haproxy.cfg');
  await writeFile(file, shipped.replace(bind, `$1bind 127.0.0.1:${port}`));
  return startFront('HAProxy', PROGRAM, ['-db', '-f', file], { port, cwd: files, env: { ...process.env, REPOGATE_GATEWAY: `127.0.0.1:${gatewayPort}` } });
}
