// A stand-in for GitHub, as far as an anonymous visibility probe sees it: GET /{owner}/{repo}.git/info/refs?service=git-upload-pack.
import { once } from 'node:events';
import { createServer } from 'node:http';

const PUBLIC = ['acme/site', 'acme/docs'];
const PRIVATE = ['acme/vault', 'acme/payments'];
const COMMIT = '1f7a7a472abf3dd9643fd615f6da379c4acb3e3a';

function packetLine(text) {
  return (text.length + 4).toString(16).padStart(4, '0') + text;
}

const ADVERTISEMENT = `${packetLine('# service=git-upload-pack\n')}0000${packetLine(`${COMMIT} HEAD\0symref=HEAD:refs/heads/main agent=git/2.39.5\n`)}${
  packetLine(`${COMMIT} refs/heads/main\n`)}0000`;

class Forge {
  visibility = new Map([...PUBLIC.map((name) => [name, 'public']), ...PRIVATE.map((name) => [name, 'private'])]);
  mode = 'normal'; // normal, slow, moved, busy, garbage, html, down
  slowMs = 2000;
  requests = []; // { method, url, headers } of every probe

  async answer(req, res) {
    this.requests.push({ method: req.method, url: req.url, headers: req.headers });
    const match = /^\/([^/?]+\/[^/?]+?)(?:\.git)?\/info\/refs\?service=git-upload-pack$/.exec(req.url);
    const send = (status, type, body, headers = {}) => {
      res.writeHead(status, { 'content-type': type, ...headers });
      res.end(body);
    };
    switch (this.mode) {
      case 'down':
        return req.socket.destroy();
      case 'moved':
        return send(301, 'text/html', '', { location: `http://${req.headers.host}/moved${req.url}` });
      case 'busy':
        return send(429, 'text/plain', 'Too many requests\n', { 'retry-after': '60' });
      case 'garbage':
        return send(200, 'application/x-git-upload-pack-advertisement', Buffer.from('00zz\0\xff not a packet line', 'latin1'));
      case 'html':
        return send(200, 'text/html', '<!doctype html><title>Sign in</title>');
      case 'slow':
        await new Promise((resolve) => setTimeout(resolve, this.slowMs));
    }
    const visibility = match && this.visibility.get(match[1].toLowerCase());
    if (visibility === 'public') return send(200, 'application/x-git-upload-pack-advertisement', ADVERTISEMENT, { 'cache-control': 'no-cache' });
    if (visibility === 'private') return send(401, 'text/plain', 'Authentication required\n', { 'www-authenticate': 'Basic realm="forge"' });
    return send(404, 'text/plain', 'Repository not found\n');
  }
}

export async function startForge({ port = 0 } = {}) {
  const forge = new Forge();
  const server = createServer((req, res) => forge.answer(req, res)).listen(port, '127.0.0.1');
  await once(server, 'listening');
  forge.port = server.address().port;
  forge.url = `http://127.0.0.1:${forge.port}`;
  forge.close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return forge;
}
