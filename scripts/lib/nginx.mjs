// NGINX with the configuration of deploy/nginx/, in a directory of its own. One process, so that nothing can be left behind.
import { existsSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startChild, waitFor } from './processes.mjs';
import { request } from './browser.mjs';

const SHIPPED = fileURLToPath(new URL('../../deploy/nginx/', import.meta.url));
const PROGRAM = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'].find(existsSync) ?? 'nginx';

export const TOPOLOGIES = ['auth-request', 'gateway'];

function configuration({ dir, port, gatewayPort, topology, locations }) {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `    ${name}_temp_path ${dir}/temp-${name};`).join('\n');
  return `daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log;

events {
    worker_connections 1024;
}

http {
${temp}
    access_log off;
    server_tokens off;

    include repogate/repogate-http.conf;
    upstream repogate {
        server 127.0.0.1:${gatewayPort};
        keepalive 32;
    }
    server {
        listen 127.0.0.1:${port};
        location = /nginx-is-up {
            return 204;
        }
        include repogate/repogate-${topology}.conf;
${locations}
    }
}
`;
}

/* locations: more of them, for the server block. */
export async function startNginx({ dir, port, gatewayPort, topology, locations = '' }) {
  await mkdir(dir, { recursive: true });
  if (!existsSync(join(dir, 'repogate'))) await symlink(SHIPPED, join(dir, 'repogate'));
  const file = join(dir, 'nginx.conf');
  await writeFile(file, configuration({ dir, port, gatewayPort, topology, locations }));
  const child = startChild(PROGRAM, ['-p', dir, '-c', file]);
  const url = `http://127.0.0.1:${port}`;
  let isGone = false;
  child.exited.then(() => { isGone = true; });
  await waitFor('NGINX', async () => {
    if (isGone) throw new Error(`NGINX did not start:\n${child.output()}${await readFile(join(dir, 'error.log'), 'utf8').catch(() => '')}`);
    return request(`${url}/nginx-is-up`).then(({ status }) => status === 204, () => false);
  });
  return { url, port, pid: child.pid, errorLog: () => readFile(join(dir, 'error.log'), 'utf8'), close: () => child.stop('SIGTERM', 2000) };
}
