// From the command line to the end of the process: what is refused before the start, what listens, what a restart keeps, how it drains;
// and bytes that are no request. THREATS groups D (side doors), E (errors), H (smuggling), M (denial of service).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { ask, closeStand, converse, describeStand, describeTopologies, gatewayPort, request, requestBytes, sessionCookie, startStand, statusesOf, variant, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site';

describe('commands', () => {
  let stand;
  let dir;
  let good;
  const repogate = (args, { env = {}, cwd } = {}) => {
    const { status, stdout, stderr } = spawnSync(stand.gateway.program, args, { encoding: 'utf8', cwd, env: { ...process.env, ...env }, timeout: 20000 });
    assert.doesNotMatch(stderr, /Sanitizer|runtime error/);
    return { status, stdout, stderr, all: stdout + stderr };
  };
  const configured = async (text) => {
    const file = join(dir, 'repogate.yaml');
    await writeFile(file, text);
    return file;
  };

  before(async () => {
    stand = await startStand({ variant: variant() });
    dir = await mkdtemp(join(tmpdir(), 'repogate-commands-'));
    const text = await readFile(stand.configFile, 'utf8');
    good = text.replace(/^( {2}path: ).*audit.*$/m, `$1"${join(dir, 'audit.jsonl')}"`).replace(/^( {2}path: ).*sessions.*$/m, `$1"${join(dir, 'sessions.db')}"`);
  });

  after(async () => {
    await closeStand(stand);
    await rm(dir, { recursive: true, force: true });
  });

  test('every command explains itself, and a wrong use of it is exit 2', () => {
    for (const args of [['--help'], ['serve', '--help'], ['check', '--help'], ['policy', '--help'], ['policy', 'test', '--help'], ['keygen', '--help'], ['version', '--help']]) {
      const { status, stdout, stderr } = repogate(args);
      assert.deepEqual([status, stderr], [0, ''], args.join(' '));
      assert.match(stdout, /usage: repogate/i);
    }
    for (const args of [[], ['nonsense'], ['--nonsense'], ['serve'], ['serve', '--config'], ['serve', '--port', '1'], ['check'], ['check', '--config'], ['policy'], ['policy', 'nonsense'], ['keygen'], ['keygen', 'nonsense'], ['keygen', 'session', '--nonsense'], ['version', 'x']]) {
      const { status, stdout, stderr } = repogate(args);
      assert.deepEqual([status, stdout], [2, ''], args.join(' '));
      assert.ok(stderr.length > 0);
    }
  });

  test('version names what it is linked with', () => {
    const { status, stdout } = repogate(['version']);
    assert.equal(status, 0);
    for (const name of ['repogate', 'libmicrohttpd', 'libcurl', 'OpenSSL', 'jansson', 'lua', 'SQLite']) assert.match(stdout, new RegExp(name, 'i'));
    assert.equal(typeof JSON.parse(repogate(['version', '--json']).stdout), 'object');
  });

  test('keygen makes a key that only its owner may read, and never overwrites one', async () => {
    const file = join(dir, 'session.key');
    assert.equal(repogate(['keygen', 'session', '--out', file]).status, 0);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const first = await readFile(file, 'utf8');
    assert.notEqual(repogate(['keygen', 'session', '--out', file]).status, 0);
    assert.equal(await readFile(file, 'utf8'), first);
    assert.equal(repogate(['keygen', 'session', '--rotate', file]).status, 0);
    const lines = (await readFile(file, 'utf8')).trim().split('\n');
    assert.equal(lines.length, 2);
    assert.ok(lines.includes(first.trim()) && lines[0] !== first.trim());
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  test('check: a good configuration is 0, broken policies 1, what cannot be read 3', async () => {
    const file = await configured(good);
    assert.equal(repogate(['check', '--config', file]).status, 0, repogate(['check', '--config', file]).all);
    assert.equal(repogate(['check', '--config', join(dir, 'nowhere.yaml')]).status, 3);
    await writeFile(join(dir, '10-x.lua'), 'allow "x" {');
    const broken = repogate(['check', '--config', await configured(good.replace(/^( {2}dir: ).*$/m, `$1"${dir}"`))]);
    assert.equal(broken.status, 1);
    assert.match(broken.all, /10-x\.lua:1/);
    await rm(join(dir, '10-x.lua'));
  });

  test('policy test: passes, fails, and says which', async () => {
    assert.match(repogate(['policy', 'test', stand.policyDir]).stdout, /\d+ passed, 0 failed\n$/);
    await writeFile(join(dir, '10-x.lua'), 'allow "x" { everyone = true }');
    assert.equal(repogate(['policy', 'test', dir]).status, 1, 'no tests');
    await writeFile(join(dir, '10-x_test.lua'), 'test "x" { user = user { username = "x" }, repo = repo "github:a/b" { visibility = "private" }, expect = "deny" }');
    const failed = repogate(['policy', 'test', dir]);
    assert.equal(failed.status, 1);
    assert.match(failed.all, /10-x_test\.lua:1/);
    assert.match(failed.stdout, /0 passed, 1 failed\n$/);
    await rm(join(dir, '10-x.lua'));
    await rm(join(dir, '10-x_test.lua'));
  });

  const wrong = {
    'an unknown key': [(text) => text.replace('server:', 'server:\n  lissten: 127.0.0.1:1'), /repogate\.yaml:2\b.*server\.lissten/],
    'an unknown section': [(text) => `${text}sever:\n  listen: 127.0.0.1:1\n`, /repogate\.yaml:\d+\b.*sever/],
    'a key twice': [(text) => text.replace(/^( {2}listen: .*)$/m, '$1\n$1'), /repogate\.yaml:\d+\b.*listen/],
    'a wrong type': [(text) => text.replace(/^ {2}threads: .*$/m, '  threads: many'), /repogate\.yaml:\d+\b.*server\.threads.*/],
    'a list where a text belongs': [(text) => text.replace(/^ {2}public_url: .*$/m, '  public_url: [x]'), /repogate\.yaml:\d+\b.*server\.public_url/],
    'a URL that is none': [(text) => text.replace(/^ {2}public_url: .*$/m, '  public_url: dev.example.org'), /repogate\.yaml:\d+\b.*server\.public_url/],
    'a public URL with a path': [(text) => text.replace(/^( {2}public_url: ").*"$/m, '$1http://x/y"'), /server\.public_url/],
    'a network that is none': [(text) => text.replace(/^ {2}trusted_proxies: .*$/m, '  trusted_proxies: [10.0.0.0/33]'), /server\.trusted_proxies/],
    'A1b: a network of everybody, spelled wrong': [(text) => text.replace(/^ {2}trusted_proxies: .*$/m, '  trusted_proxies: ["*"]'), /server\.trusted_proxies/],
    'no issuer': [(text) => text.replace(/^ {2}issuer: .*\n/m, ''), /oidc\.issuer/],
    'a secret that cannot be read': [(text) => text.replace(/^ {2}client_secret_file: .*$/m, '  client_secret_file: /nonexistent/secret'), /repogate\.yaml:\d+\b.*oidc\.client_secret_file/],
    'an algorithm that is none': [(text) => text.replace('oidc:', 'oidc:\n  algorithms: [RS256, none]'), /oidc\.algorithms/],
    'path mode without single_trust': [(text) => text.replace(/^ {2}single_trust: .*$/m, '  single_trust: false'), /workspace\.(mode|single_trust)/],
    'a mode that is not built': [(text) => text.replace(/^ {2}mode: "path"$/m, '  mode: host'), /workspace\.mode/],
    'a dialect that is none': [(text) => text.replace(/^ {2}dialects: .*$/m, '  dialects: [nginx, apache]'), /server\.dialects/],
    'a reserved name of a forge': [(text) => text.replace(/^ {2}github: /m, '  _repogate: '), /forges/],
    'a forge of no kind': [(text) => text.replace(/^ {2}github: .*$/m, '  github: {kind: svn, url: "http://x"}'), /forges/],
    'a placeholder in the workspace\'s host': [(text) => text.replace(/^( {2}url: ").*"$/m, '$1http://{owner}.example/"'), /workspace\.url/],
    'no YAML': [() => 'server: [\n', /repogate\.yaml:\d+/],
    'an empty file': [() => '', /repogate\.yaml/],
    'a tab': [(text) => text.replace('  listen', '\tlisten'), /repogate\.yaml:\d+/],
  };
  for (const [what, [change, pattern]] of Object.entries(wrong)) {
    test(`E5: ${what} stops the start with file, line and key`, async () => {
      const text = change(good);
      assert.notEqual(text, good, 'something was changed');
      const file = await configured(text);
      for (const command of ['check', 'serve']) {
        const { status, all } = repogate([command, '--config', file]);
        assert.equal(status, 2, `${command}: ${all}`);
        assert.match(all, pattern, command);
      }
    });
  }

  test('E5: the environment overrides the file, and is checked like it', async () => {
    const file = await configured(good);
    const bad = repogate(['check', '--config', file], { env: { REPOGATE__SERVER__THREADS: 'many' } });
    assert.equal(bad.status, 2);
    assert.match(bad.all, /REPOGATE__SERVER__THREADS/);
    const unknown = repogate(['check', '--config', file], { env: { REPOGATE__SERVER__TREADS: '1' } });
    assert.equal(unknown.status, 2);
    assert.match(unknown.all, /REPOGATE__SERVER__TREADS/);
    assert.equal(repogate(['check', '--config', file], { env: { REPOGATE__SERVER__THREADS: '1', REPOGATE_PORT: 'tcp://10.0.0.1:80', REPOGATE_SERVICE_HOST: 'x' } }).status, 0, 'Kubernetes\' own names are not ours');
  });

  test('what is needed and cannot be had is exit 3, with a reason', async () => {
    const cases = {
      'a log that another gateway holds': good.replace(/^( {2}path: ).*audit.*$/m, `$1"${stand.auditFile}"`),
      'a directory as the log': good.replace(/^( {2}path: ).*audit.*$/m, `$1"${dir}"`),
      'a store in a directory that is not there': good.replace(/^( {2}path: ).*sessions.*$/m, '$1"/nonexistent/sessions.db"'),
      'a key that is not there': good.replace(/^( {2}key_file: ).*$/m, '$1"/nonexistent/key"'),
    };
    await writeFile(join(dir, 'not-a.db'), 'x'.repeat(10000));
    cases['a store that is no database'] = good.replace(/^( {2}path: ).*sessions.*$/m, `$1"${join(dir, 'not-a.db')}"`);
    await writeFile(join(dir, 'short.key'), 'c2hvcnQ\n', { mode: 0o600 });
    cases['a key that is too short'] = good.replace(/^( {2}key_file: ).*$/m, `$1"${join(dir, 'short.key')}"`);
    for (const [what, text] of Object.entries(cases)) {
      const { status, stderr } = repogate(['serve', '--config', await configured(text)]);
      assert.ok([2, 3].includes(status), `${what}: ${status} ${stderr}`);
      assert.match(stderr, /session|audit|store|key/i, what);
    }
  });

  test('a damaged file of lines on their way to the log stops the start, and is named', async () => {
    const log = join(dir, 'damaged.jsonl');
    await writeFile(`${log}.ring`, 'x'.repeat(10000));
    const { status, stderr } = repogate(['serve', '--config', await configured(good.replace(/^( {2}path: ).*audit.*$/m, `$1"${log}"`))]);
    assert.equal(status, 3);
    assert.ok(stderr.includes(`${log}.ring`), stderr);
    assert.match(stderr, /damaged/);
  });
});

describeStand('what listens', {}, (the) => {
  test('D3: two addresses, as configured, and no third', async () => {
    const fds = await readdir(`/proc/${the().gateway.pid}/fd`);
    const links = await Promise.all(fds.map((fd) => readlink(`/proc/${the().gateway.pid}/fd/${fd}`).catch(() => '')));
    const own = new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]).filter(Boolean));
    const listening = new Set();
    for (const file of ['tcp', 'tcp6', 'udp', 'udp6']) {
      for (const line of (await readFile(`/proc/net/${file}`, 'utf8')).split('\n').slice(1)) {
        const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
        if (own.has(inode) && (state === '0A' || file.startsWith('udp'))) listening.add(local);
      }
    }
    const hex = (url) => `0100007F:${Number(new URL(url).port).toString(16).toUpperCase().padStart(4, '0')}`;
    assert.deepEqual([...listening].sort(), [hex(the().gateway.url), hex(the().adminUrl)].sort());
  });

  test('D3, G2: the admin\'s pages are not on the public address, nor the public ones on the admin\'s', async () => {
    const admin = await sessionCookie(the(), 'admin');
    for (const path of ['/metrics', '/healthz', '/readyz', '/admin/', '/admin/sessions', '/debug/pprof/']) {
      for (const headers of [{}, { cookie: admin }]) {
        assert.equal((await request(the().gateway.url, { path, headers: { ...headers, host: new URL(the().url).host } })).status, 404, path);
        assert.ok([401, 404].includes((await the().request(path, { headers })).status), path);
      }
    }
    for (const path of ['/', '/github/acme/site/', '/_repogate/login', '/_repogate/auth/nginx', '/_repogate/whoami', '/admin/sessions', '/x']) {
      assert.equal((await request(the().adminUrl, { path, headers: { cookie: admin } })).status, 404, path);
    }
    for (const method of ['POST', 'PUT', 'DELETE']) assert.equal((await request(`${the().adminUrl}/metrics`, { method })).status, 405);
    assert.equal((await request(`${the().adminUrl}/metrics`, { method: 'HEAD' })).status, 200);
  });

  test('health, for whoever asks', async () => {
    const health = await the().request('/health');
    assert.deepEqual([health.status, health.text], [200, 'OK']);
    assert.equal((await the().request('/outpost.goauthentik.io/ping')).status, 204);
    assert.equal((await request(`${the().adminUrl}/healthz`)).status, 200);
    assert.deepEqual((await request(`${the().adminUrl}/readyz`)).json().ready, true);
  });

  test('metrics are Prometheus text, with help and type for each, and count', async () => {
    const read = async () => {
      const answer = await request(`${the().adminUrl}/metrics`);
      assert.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/);
      return answer.text;
    };
    const text = await read();
    assert.ok(text.endsWith('\n'));
    const types = new Map();
    const helps = new Set();
    const values = new Map();
    for (const line of text.trimEnd().split('\n')) {
      const comment = /^# (HELP|TYPE) (repogate_\w+) (.+)$/.exec(line);
      const sample = /^(repogate_\w+)(\{\w+="[^"\\\n]*"(?:,\w+="[^"\\\n]*")*\})? (-?\d+(?:\.\d+)?)$/.exec(line);
      assert.ok(comment || sample, line);
      if (comment?.[1] === 'HELP') helps.add(comment[2]);
      if (comment?.[1] === 'TYPE') types.set(comment[2], comment[3]);
      if (sample) {
        assert.ok(types.has(sample[1]) && helps.has(sample[1]), sample[1]);
        assert.equal(values.has(sample[1] + (sample[2] ?? '')), false, 'each once');
        values.set(sample[1] + (sample[2] ?? ''), Number(sample[3]));
        assert.ok(Number(sample[3]) >= 0, line);
        assert.equal(types.get(sample[1]), sample[1].endsWith('_total') ? 'counter' : 'gauge');
      }
    }
    await ask(the(), {});
    assert.match(await read(), new RegExp(`^repogate_decisions_total\\{outcome="login"\\} ${values.get('repogate_decisions_total{outcome="login"}') + 1}$`, 'm'));
    const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
    for (const name of types.keys()) assert.ok(readme.includes(`\`${name}\``), `${name} is in the README`);
  });
});

describe('stopping and starting', () => {
  let stand;
  let cookie;

  before(async () => {
    stand = await startStand({ variant: variant(), topology: 'gateway' });
    cookie = await sessionCookie(stand, 'dora');
  });

  after(() => closeStand(stand));

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal}: what is under way is finished, nothing new begins, exit 0`, async () => {
      const { port } = new URL(stand.gateway.url);
      const slow = await new Promise((resolve, reject) => {
        http.get({ host: '127.0.0.1', port, path: `${SITE}/stream?chunks=8&ms=150`, headers: { cookie, host: new URL(stand.url).host }, agent: false }, resolve).once('error', reject);
      });
      const socket = new WebSocket(`${stand.gateway.url.replace('http', 'ws')}${SITE}/ws`, { origin: stand.url, headers: { cookie, host: new URL(stand.url).host } });
      await new Promise((resolve) => socket.once('message', resolve));
      let text = '';
      slow.on('data', (chunk) => { text += chunk; });
      const ended = new Promise((resolve, reject) => {
        slow.once('end', resolve);
        slow.once('aborted', () => reject(new Error('cut off')));
      });
      await waitFor('the first lines', () => text.includes('line 2'));
      stand.gateway.kill(signal);
      await waitFor('new connections to be refused', () => request(stand.gateway.url, { path: '/health' }).then(() => false, ({ code }) => code === 'ECONNREFUSED' || code === 'ECONNRESET'));
      await ended;
      assert.ok(text.endsWith('line 8\n'));
      socket.on('error', () => {});
      await waitFor('the WebSocket to end', () => socket.readyState === WebSocket.CLOSED);
      assert.deepEqual(await stand.gateway.child.exited, { code: 0, signal: null });
      await stand.restart();
    });
  }

  test('idle connections do not keep it from stopping', async () => {
    const agent = new http.Agent({ keepAlive: true });
    await request(stand.gateway.url, { path: '/health', agent });
    const half = converse(gatewayPort(stand), 'GET /health HT', { untilClosed: true, timeoutMs: 15000 });
    const started = Date.now();
    await stand.restart();
    assert.ok(Date.now() - started < 9000, `${Date.now() - started} ms`);
    assert.equal((await half).isClosed, true);
    agent.destroy();
  });

  test('a restart keeps sessions', async () => {
    await stand.restart();
    for (let i = 0; i < 4; i++) assert.equal((await ask(stand, { cookie })).status, 200);
  });

  test('a rotated key keeps them too, a key taken away ends them', async () => {
    const key = join(stand.dir, 'session.key');
    const rotate = () => assert.equal(spawnSync(stand.gateway.program, ['keygen', 'session', '--rotate', key]).status, 0);
    await stand.restart({ change: rotate });
    assert.equal((await ask(stand, { cookie })).status, 200, 'sealed by the key before');
    const fresh = await sessionCookie(stand, 'dave');
    await stand.restart({ change: async () => writeFile(key, `${(await readFile(key, 'utf8')).split('\n')[0]}\n`) });
    assert.equal((await ask(stand, { cookie })).status, 401);
    assert.equal((await ask(stand, { cookie: fresh })).status, 200);
  });

  test('E: a store whose rows were changed opens nothing', async () => {
    const file = join(stand.dir, 'sessions.db');
    const survivor = await sessionCookie(stand, 'dora');
    await stand.restart({
      change: async () => {
        const bytes = await readFile(file);
        // The sealed parts of rows live in the last pages; the first page is SQLite's own.
        for (let at = 4096 + 512; at < bytes.length; at += 97) bytes[at] ^= 1;
        await writeFile(file, bytes);
      },
    }).catch((error) => assert.match(error.message, /did not start/));
    if (await request(stand.gateway.url, { path: '/health' }).then(({ status }) => status === 200, () => false)) {
      for (const one of [survivor, cookie]) assert.notEqual((await ask(stand, { cookie: one })).status, 200);
    } else {
      await stand.restart({ change: async () => Promise.all(['', '-wal', '-shm'].map((end) => rm(`${file}${end}`, { force: true }))) });
    }
    assert.equal((await ask(stand, {})).status, 401);
  });
});

// What libmicrohttpd lets through, and what nobody should send.
const SMUGGLED = 'GET /github/acme/site/smuggled HTTP/1.1\r\nHost: HOST\r\nCookie: COOKIE\r\n\r\n';
const head = (lines, first = 'POST /github/acme/site/upload HTTP/1.1') => [first, 'Host: HOST', 'Cookie: COOKIE', ...lines, '', ''].join('\r\n');
const MALFORMED = {
  'H10: two lengths that agree': head(['Content-Length: 3', 'Content-Length: 3']) + 'abc',
  'H10: two lengths that differ': head(['Content-Length: 3', 'Content-Length: 0']) + 'abc',
  'a list of lengths': head(['Content-Length: 3, 3']) + 'abc',
  'a length with a sign': head(['Content-Length: +3']) + 'abc',
  'a length below zero': head(['Content-Length: -1']),
  'an empty length': head(['Content-Length:']),
  'a length in hex': head(['Content-Length: 0x3']) + 'abc',
  'a length beyond 64 bits': head(['Content-Length: 18446744073709551616']),
  'H7: length and chunked': head(['Content-Length: 3', 'Transfer-Encoding: chunked']) + '0\r\n\r\n',
  'H7: chunked and length': head(['Transfer-Encoding: chunked', 'Content-Length: 100']) + '0\r\n\r\n',
  'H7: gzip, chunked': head(['Transfer-Encoding: gzip, chunked']) + '0\r\n\r\n',
  'H7: xchunked': head(['Transfer-Encoding: xchunked']) + '0\r\n\r\n',
  'H7: identity': head(['Transfer-Encoding: identity', 'Content-Length: 3']) + 'abc',
  'H7: chunked twice': head(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']) + '0\r\n\r\n',
  'H7: chunked, then identity': head(['Transfer-Encoding: chunked', 'Transfer-Encoding: identity']) + '0\r\n\r\n',
  'H7: chunked with an alias': head(['Transfer_Encoding: chunked', 'Content-Length: 3']) + 'abc',
  'H7: a length with an alias': head(['Content_Length: 100', 'Content-Length: 3']) + 'abc',
  'H7: Chunked on HTTP/1.0': head(['Transfer-Encoding: chunked'], 'POST /github/acme/site/upload HTTP/1.0') + '0\r\n\r\n',
  'H7: a blank before the colon': head(['Content-Length : 3']) + 'abc',
  'H7: a blank before the colon of another': head(['X-A : b']),
  'two hosts': head(['Host: evil.example']),
  'no host': 'GET /github/acme/site/echo HTTP/1.1\r\nCookie: COOKIE\r\n\r\n',
  'an empty host': 'GET /github/acme/site/echo HTTP/1.1\r\nHost:\r\nCookie: COOKIE\r\n\r\n',
  'a host with a path': 'GET /github/acme/site/echo HTTP/1.1\r\nHost: HOST/x\r\nCookie: COOKIE\r\n\r\n',
  'a host with a user': 'GET /github/acme/site/echo HTTP/1.1\r\nHost: x@HOST\r\nCookie: COOKIE\r\n\r\n',
  'a first header that is folded': 'GET /github/acme/site/echo HTTP/1.1\r\n X: y\r\nHost: HOST\r\nCookie: COOKIE\r\n\r\n',
  'a name with a control byte': head(['X\x01Y: z']),
  'a name with a blank': head(['X Y: z']),
  'a name of eight bits': head(['X\xe9: z']),
  'a name with a NUL': head(['X\0Y: z']),
  'a name with a slash': head(['X/Y: z']),
  'no colon': head(['nonsense']),
  'a CR in a value': head(['X: a\rSet-Cookie: b']),
  'a control byte in a value': head(['X: a\x02b']),
  'HTTP/1.9': head([], 'GET /github/acme/site/echo HTTP/1.9'),
  'HTTP/2.0': head([], 'GET /github/acme/site/echo HTTP/2.0'),
  'HTTP/0.9': 'GET /github/acme/site/echo\r\n\r\n',
  'PRI': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'http in lower case': head([], 'GET /github/acme/site/echo http/1.1'),
  'a version that is longer': head([], 'GET /github/acme/site/echo HTTP/1.1x'),
  'a method in lower case': head([], 'get /github/acme/site/echo HTTP/1.1'),
  'a method that is no token': head([], 'G(T /github/acme/site/echo HTTP/1.1'),
  'H12: CONNECT': head([], 'CONNECT evil.example:443 HTTP/1.1'),
  'H12: CONNECT with a path': head([], 'CONNECT /github/acme/site/echo HTTP/1.1'),
  TRACE: head([], 'TRACE /github/acme/site/echo HTTP/1.1'),
  'a star': head([], 'OPTIONS * HTTP/1.1'),
  'a target without a slash': head([], 'GET github/acme/site/echo HTTP/1.1'),
  'an absolute target elsewhere': head([], 'GET http://evil.example/github/acme/site/echo HTTP/1.1'),
  'an authority as target': head([], 'GET evil.example:443 HTTP/1.1'),
  'a tab in the target': head([], 'GET /github/acme/site/echo\tx HTTP/1.1'),
  'a blank in the target': head([], 'GET /github/acme/site/ec ho HTTP/1.1'),
  'a backslash in the target': head([], 'GET /github/acme/site\\echo HTTP/1.1'),
  'a fragment in the target': head([], 'GET /github/acme/site/echo#x HTTP/1.1'),
  'eight bits in the target': head([], 'GET /github/acme/site/\xe9cho HTTP/1.1'),
  'two slashes first': head([], 'GET //github/acme/site/echo HTTP/1.1'),
  'M: a header of 40,000 bytes': head([`X: ${'y'.repeat(40000)}`], 'GET /github/acme/site/echo HTTP/1.1'),
  'M: a cookie of 20,000 bytes': head([`Cookie: a=${'y'.repeat(20000)}`], 'GET /github/acme/site/echo HTTP/1.1'),
  'M: 1,000 headers': head(Array.from({ length: 1000 }, (_, i) => `X-${i}: y`), 'GET /github/acme/site/echo HTTP/1.1'),
  'M: 300 headers': head(Array.from({ length: 300 }, (_, i) => `X-${i}: y`), 'GET /github/acme/site/echo HTTP/1.1'),
  'M: a target of 40,000 bytes': head([], `GET /github/acme/site/${'x'.repeat(40000)} HTTP/1.1`),
  'TLS': '\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03',
  'a thousand NULs': '\0'.repeat(1000),
};
// These wait for more, or are answered by nobody: the connection may stay for a while, but nothing comes of it.
const SILENT = new Set(['TLS', 'a thousand NULs', 'HTTP/0.9', 'PRI', 'M: 2,000 query arguments']);
MALFORMED['M: 2,000 query arguments'] = head([], `GET /github/acme/site/echo?${Array.from({ length: 2000 }, (_, i) => `a${i}`).join('&')} HTTP/1.1`);

describeTopologies('bytes that are no request', {}, (the) => {
  let cookie;
  const fill = (bytes) => bytes.replaceAll('HOST', new URL(the().url).host).replaceAll('COOKIE', cookie);

  before(async () => { cookie = await sessionCookie(the(), 'dora'); });

  for (const [what, bytes] of Object.entries(MALFORMED)) {
    test(`${what}: never a 2xx, nothing slips through, nobody hangs`, async () => {
      for (const tail of ['', SMUGGLED]) {
        const seenBefore = the().workspace.requests.length;
        const seen = () => the().workspace.requests.slice(seenBefore).map(({ target }) => target);
        if (the().topology === 'gateway') {
          const { raw, isTimeout } = await converse(gatewayPort(the()), fill(bytes + tail), { untilClosed: true, timeoutMs: SILENT.has(what) ? 300 : 5000 });
          assert.deepEqual(statusesOf(raw).filter((status) => status < 400), []);
          assert.deepEqual(seen(), []);
          if (!SILENT.has(what)) assert.equal(isTimeout, false, 'the connection ends');
        }
        // NGINX puts some of it right. Then it is a request, and each that got through has an answer of its own.
        const { raw } = await converse(Number(new URL(the().url).port), fill(bytes + tail), { count: tail ? 2 : 1, timeoutMs: 300 });
        assert.equal(statusesOf(raw).filter((status) => status < 300).length, seen().length, `${statusesOf(raw)} for ${seen()}`);
        assert.ok(seen().filter((target) => target.includes('smuggled')).length <= (tail ? 1 : 0));
      }
    });
  }

  test('H7: a body cut short never arrives as a whole one', async () => {
    for (const port of [gatewayPort(the()), Number(new URL(the().url).port)]) {
      for (const bytes of [`${head(['Content-Length: 100'])}hello`, `${head(['Transfer-Encoding: chunked'])}5\r\nhello\r\n`, `${head(['Transfer-Encoding: chunked'])}64\r\nhello`, `${head(['Transfer-Encoding: chunked'])}5\r\nhello\r\nzz\r\n`]) {
        const { raw } = await converse(port, fill(bytes), { half: true, untilClosed: true, timeoutMs: 700 });
        assert.deepEqual(statusesOf(raw).filter((status) => status < 300), [], bytes.slice(-30));
      }
    }
  });

  test('a NUL in the target cuts it, for policy and workspace alike', async () => {
    const seenBefore = the().workspace.requests.length;
    const { answers } = await converse(gatewayPort(the()), fill(head(['Connection: close'], 'GET /github/acme/site/x\0/../../vault/ HTTP/1.1')), { timeoutMs: 2000 });
    for (const { target, headers } of the().workspace.requests.slice(seenBefore)) assert.deepEqual([target, headers.find(([name]) => name.toLowerCase() === 'x-request-path')[1]], ['/x', `${SITE}/x`]);
    assert.ok(answers.length <= 1);
  });

  test('M11: afterwards it is as well as before', async () => {
    assert.equal((await the().request('/health')).status, 200);
    for (let i = 0; i < 10; i++) assert.equal((await the().request(`${SITE}/echo`, { headers: { cookie } })).status, 200);
    assert.equal((await request(`${the().adminUrl}/readyz`)).status, 200);
    await waitFor('connections to be gone', async () => Number(/^repogate_connections_open (\d+)$/m.exec((await request(`${the().adminUrl}/metrics`)).text)[1]) < 40);
  });
});
