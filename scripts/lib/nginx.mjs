// NGINX with the configuration of deploy/nginx/, in a directory of its own. One process, so that nothing can be left behind.
import { existsSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startFront } from './processes.mjs';

const SHIPPED = fileURLToPath(new URL('../../deploy/nginx/', import.meta.url));
const PROGRAM = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'].find(existsSync) ?? 'nginx';

export const TOPOLOGIES = ['auth-request', 'gateway'];

const configuration = (dir, http) => `daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log;

events {
    worker_connections 1024;
}

http {
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `    ${name}_temp_path ${dir}/temp-${name};`).join('\n')}
    access_log off;
    server_tokens off;
${http}
}
`;

const gatewayBehind = ({ port, gatewayPort, topology, locations }) => `
    include repogate/repogate-http.conf;
    upstream repogate {
        server 127.0.0.1:${gatewayPort};
        keepalive 32;
    }
    server {
        listen 127.0.0.1:${port};
        include repogate/repogate-${topology}.conf;
${locations}
    }`;

/* NGINX with these lines in its http block, of which a server listens on the port. files: a directory in place of the shipped one. */
export async function startNginxWith(http, { dir, port, files = SHIPPED }) {
  await mkdir(dir, { recursive: true });
  if (!existsSync(join(dir, 'repogate'))) await symlink(files, join(dir, 'repogate'));
  const file = join(dir, 'nginx.conf');
  await writeFile(file, configuration(dir, http));
  const errorLog = () => readFile(join(dir, 'error.log'), 'utf8');
  return { ...(await startFront('NGINX', PROGRAM, ['-p', dir, '-c', file], { port })), errorLog };
}

/* locations: more of them, for the server block. */
export function startNginx({ dir, port, gatewayPort, topology, locations = '', files }) {
  return startNginxWith(gatewayBehind({ port, gatewayPort, topology, locations }), { dir, port, files });
}
