// A sample workspace: shows who it thinks is asking and for which repository, keeps a clock ticking over a WebSocket, and answers in every way
// that a relay has to cope with. It runs below a prefix that is stripped, so all of its URLs are relative. Any other path is an echo.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { acceptWebSocket } from './websocket.mjs';

const ATTRIBUTION = /^(x-authentik-|x-github-repo$|x-request-path$|x-repogate-|x-policy-|x-forwarded-|x-real-ip$|traceparent$|host$)/i;
const DOWNLOAD_MAX = 1024 * 1024 * 1024;
const STREAM_MAX = 100000;
const KEPT_REQUESTS = 1000;

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --accent: #0f766e; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { font-weight: 600; width: 16rem; }
td { font-family: ui-monospace, monospace; font-size: .9em; }
.empty { opacity: .6; }
#clock { font: 600 2rem ui-monospace, monospace; color: var(--accent); }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (prefers-color-scheme: dark) { :root { --accent: #2dd4bf; } }
@media (max-width: 40rem) { th, td { display: block; width: auto; border: 0; padding: .1rem 0; } td { border-bottom: 1px solid var(--line); } }`;

const SCRIPT = `
const clock = document.getElementById('clock');
const state = document.getElementById('state');
const url = new URL('ws', location.href);
url.protocol = url.protocol.replace('http', 'ws');
const socket = new WebSocket(url);
socket.onopen = () => { state.textContent = 'The WebSocket is open.'; };
socket.onmessage = (event) => { clock.textContent = event.data; };
socket.onclose = (event) => { state.textContent = 'The WebSocket was closed (' + event.code + '). Reload to open it again.'; };`;

function escapeHtml(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function pairs(rawHeaders) {
  const list = [];
  for (let i = 0; i < rawHeaders.length; i += 2) list.push([rawHeaders[i], rawHeaders[i + 1]]);
  return list;
}

// Node reads header bytes as Latin-1; ours are UTF-8.
function utf8(value) {
  return Buffer.from(value, 'latin1').toString('utf8');
}

function homePage(req) {
  const repo = req.headers['x-repogate-repo'] || req.headers['x-github-repo'] || 'an unknown repository';
  const who = utf8(req.headers['x-authentik-name'] || req.headers['x-authentik-username'] || 'nobody that I know of');
  const rows = pairs(req.rawHeaders)
    .filter(([name]) => ATTRIBUTION.test(name))
    .map(([name, value]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(utf8(value)) || '<span class="empty">(empty)</span>'}</td></tr>`);
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(repo)}: sample workspace</title><style>${STYLE}</style></head>
<body>
<h1>${escapeHtml(repo)}</h1>
<p>This is a sample workspace. It thinks that <strong>${escapeHtml(who)}</strong> is asking.</p>
<p><span id="clock">--:--:--</span><br><span id="state" role="status">Opening a WebSocket …</span></p>
<table><caption hidden>What the gateway said about this request</caption>${rows.join('\n')}</table>
<p>Also here: <a href="echo">everything that arrived</a>, <a href="stream?chunks=20&amp;ms=250">a slow stream</a>, <a href="download?bytes=1048576">a download</a>.</p>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

async function digestBody(req) {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of req) {
    length += chunk.length;
    hash.update(chunk);
  }
  return { length, sha256: hash.digest('hex') };
}

function sendJson(res, value) {
  res.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  res.end(`${JSON.stringify(value)}\n`);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function writeAll(res, chunk) {
  if (res.destroyed) return false;
  if (!res.write(chunk)) {
    await new Promise((resolve) => {
      const done = () => {
        res.off('drain', done).off('close', done);
        resolve();
      };
      res.on('drain', done).on('close', done);
    });
  }
  return !res.destroyed;
}

const ACTIONS = {
  '/': async (req, res) => {
    res.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    res.end(homePage(req));
  },
  '/stream': async (req, res, query) => {
    const chunks = Math.min(Number(query.get('chunks') ?? 10), STREAM_MAX);
    res.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store' });
    for (let i = 1; i <= chunks && (await writeAll(res, `line ${i}\n`)); i++) await pause(Number(query.get('ms') ?? 100));
    res.end();
  },
  '/download': async (req, res, query) => {
    const bytes = Math.min(Number(query.get('bytes') ?? 1024), DOWNLOAD_MAX);
    const block = Buffer.alloc(64 * 1024, 'repogate');
    res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes });
    for (let left = bytes; left > 0 && (await writeAll(res, left < block.length ? block.subarray(0, left) : block));) left -= block.length;
    res.end();
  },
  '/upload': async (req, res) => sendJson(res, await digestBody(req)),
  '/slow': async (req, res, query) => {
    await pause(Number(query.get('ms') ?? 1000));
    sendJson(res, { slept_ms: Number(query.get('ms') ?? 1000) });
  },
  // ?status=200&header=Name:%20value&header=…&body=text: an answer as ordered, hostile ones too.
  '/answer': async (req, res, query) => {
    res.writeHead(Number(query.get('status') ?? 200), query.getAll('header').flatMap((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }));
    res.end(query.get('body') ?? '');
  },
};

class Workspace {
  requests = []; // { method, target, headers } of the latest requests, upgrades too
  #sockets = new Set();

  note(req) {
    this.requests.push({ method: req.method, target: req.url, headers: pairs(req.rawHeaders) });
    if (this.requests.length > KEPT_REQUESTS) this.requests.shift();
  }

  async answer(req, res) {
    this.note(req);
    const [path, search = ''] = req.url.split(/\?(.*)/s);
    const status = /^\/status\/([1-5]\d\d)$/.exec(path);
    if (status) {
      res.writeHead(Number(status[1]), { 'content-type': 'text/plain' });
      res.end(`status ${status[1]}\n`);
    } else if (ACTIONS[path]) {
      await ACTIONS[path](req, res, new URLSearchParams(search));
    } else {
      sendJson(res, { method: req.method, target: req.url, version: req.httpVersion, headers: pairs(req.rawHeaders), body: await digestBody(req), trailers: pairs(req.rawTrailers) });
    }
  }

  upgrade(req, socket, early) {
    this.note(req);
    const path = req.url.split('?')[0];
    if ((path !== '/ws' && path !== '/ws-echo') || !req.headers['sec-websocket-key']) {
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const ws = acceptWebSocket(req, socket, early);
    this.#sockets.add(socket);
    let timer;
    ws.onClose = () => {
      clearInterval(timer);
      this.#sockets.delete(socket);
    };
    if (path === '/ws-echo') {
      ws.onMessage = (message) => ws.send(message);
      return;
    }
    const tick = () => ws.send(new Date().toTimeString().slice(0, 8));
    timer = setInterval(tick, 1000);
    tick();
  }

  get openSockets() {
    return this.#sockets.size;
  }

  dropSockets() {
    this.#sockets.forEach((socket) => socket.destroy());
  }
}

export async function startWorkspace({ port = 0 } = {}) {
  const workspace = new Workspace();
  const server = createServer({ keepAliveTimeout: 60000 }, (req, res) => {
    workspace.answer(req, res).catch(() => res.destroy());
  });
  server.on('upgrade', (req, socket, early) => workspace.upgrade(req, socket, early));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  workspace.port = server.address().port;
  workspace.url = `http://127.0.0.1:${workspace.port}`;
  workspace.close = () => new Promise((resolve) => {
    server.close(resolve);
    workspace.dropSockets();
    server.closeAllConnections();
  });
  return workspace;
}
