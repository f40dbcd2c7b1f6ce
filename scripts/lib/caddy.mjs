// Caddy with the snippets of deploy/caddy/, in a directory of its own.
import { mkdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startFront } from './processes.mjs';

const SHIPPED = fileURLToPath(new URL('../../deploy/caddy/', import.meta.url));
const PROGRAM = ['/usr/bin/caddy', '/usr/local/bin/caddy'].find(existsSync) ?? 'caddy';

const configuration = (port, topology, files) => `{
	admin off
	auto_https off
}
import ${join(files, 'repogate.caddy')}
http://:${port} {
	bind 127.0.0.1
	import repogate-${topology}
}
`;

/* files: a directory in place of the shipped one. */
export async function startCaddy({ dir, port, gatewayPort, topology, files = SHIPPED }) {
  await mkdir(dir, { recursive: true });
  const file = join(dir, 'Caddyfile');
  await writeFile(file, configuration(port, topology, files));
  return startFront('Caddy', PROGRAM, ['run', '--adapter', 'caddyfile', '--config', file], {
    port,
    env: { ...process.env, REPOGATE_GATEWAY: `127.0.0.1:${gatewayPort}`, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir },
  });
}
