// Everything that a login needs, on free ports of 127.0.0.1 and in one directory: provider, forge, workspace, gateway, a proxy in front.
import { existsSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProvider } from '../../authentik/dev/provider.mjs';
import { Browser, request } from './browser.mjs';
import { startForge } from './forge.mjs';
import { FRONTS } from './fronts.mjs';
import { freePort, run, startChild, waitFor } from './processes.mjs';
import { startWorkspace } from './workspace.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAMS = { release: 'build/repogate', asan: 'build/asan/repogate', tsan: 'build/tsan/repogate' };
export const POLICIES = join(ROOT, 'policies');
const SANITIZER_REPORT = /(?:Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:/;

// Flow style is JSON, and JSON is YAML; sections and keys get lines of their own, so that messages can name them.
function toYaml(config) {
  const lines = [];
  for (const [section, keys] of Object.entries(config)) {
    lines.push(`${section}:`);
    for (const [key, value] of Object.entries(keys)) if (value !== null) lines.push(`  ${key}: ${JSON.stringify(value)}`);
  }
  return `${lines.join('\n')}\n`;
}

function merge(base, extra) {
  const merged = { ...base };
  for (const [section, keys] of Object.entries(extra)) merged[section] = { ...base[section], ...keys };
  return merged;
}

async function writePolicies(dir, policies) {
  if (typeof policies === 'string') return policies;
  await mkdir(dir, { recursive: true });
  for (const [name, text] of Object.entries(policies)) await writeFile(join(dir, name), text);
  return dir;
}

class Gateway {
  constructor({ program, config, env, log }) {
    Object.assign(this, { program, config, env, log });
  }

  async start() {
    let ready;
    this.child = startChild(this.program, ['serve', '--config', this.config], {
      env: { ...process.env, ...this.env },
      cwd: ROOT,
      log: this.log,
      onLine: (line) => {
        if (/\blistening\b/.test(line)) ready = line;
      },
    });
    let how;
    this.child.exited.then((value) => { how = value; });
    await waitFor('the gateway', () => {
      if (how) throw new Error(`the gateway did not start (${how.error?.message ?? how.code ?? how.signal}):\n${this.child.output()}`);
      return ready;
    }, { timeoutMs: 20000 });
    const field = (name) => new RegExp(`\\b${name}="?([^\\s"]+)`).exec(ready)?.[1];
    this.url = `http://${field('public')}`;
    this.adminUrl = `http://${field('admin')}`;
    this.pid = this.child.pid;
  }

  output() {
    return this.child.output();
  }

  reload() {
    this.child.kill('SIGHUP');
  }

  kill(signal) {
    this.child.kill(signal);
  }

  /* Returns { code, signal }; a sanitizer's complaint shows as a code that is not 0. */
  stop() {
    return this.child.stop('SIGTERM', 15000);
  }
}

class Stand {
  replicas = [];

  /* A directory that goes away with us, even if nobody calls close(). */
  async makeDir() {
    this.dir = await mkdtemp(join(tmpdir(), 'repogate-'));
    this.removeDir = () => rmSync(this.dir, { recursive: true, force: true });
    process.on('exit', this.removeDir);
  }

  browser() {
    return new Browser(this.url);
  }

  /* One request through the proxy in front, nothing added. */
  request(path, options = {}) {
    return request(this.url, { path, ...options });
  }

  /* The lines of the audit log, parsed. */
  async auditLines() {
    const text = await readFile(this.auditFile, 'utf8').catch(() => '');
    return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  /* Waits for audit lines that pass `test` and returns them. */
  auditUntil(test, count = 1) {
    return waitFor(`${count} audit line(s)`, async () => {
      const lines = (await this.auditLines()).filter(test);
      return lines.length >= count && lines;
    }, { timeoutMs: 5000 });
  }

  /* A token for a program: the client_credentials grant with the user's app password. */
  async bearer(username, { password = `${username}-app-password`, scope = 'openid profile email entitlements repogate' } = {}) {
    const answer = await request(`${this.provider.url}/application/o/token/`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: this.provider.clientId,
        client_secret: this.provider.clientSecret,
        username,
        password,
        scope,
      }).toString(),
    });
    if (answer.status !== 200) throw new Error(`no token for ${username}: ${answer.text}`);
    return answer.json().access_token;
  }

  /* Ends the gateway, unless it has ended already, and starts it again at the same addresses. Returns how the old one ended. */
  async restart({ signal = 'SIGTERM', change = () => {} } = {}) {
    const wasRunning = await Promise.race([this.gateway.child.exited.then(() => false), new Promise((resolve) => setImmediate(resolve, true))]);
    const how = await this.gateway.child.stop(signal, 15000);
    if (wasRunning && signal === 'SIGTERM' && how.code !== 0) throw new Error(`the gateway ended with ${how.code ?? how.signal}:\n${this.gateway.output()}`);
    this.pastOutput = (this.pastOutput ?? '') + this.gateway.output();
    const fixed = (text, key, url) => text.replace(new RegExp(`^( {2}${key}: ).*$`, 'm'), `$1"${url.slice('http://'.length)}"`);
    const text = await readFile(this.configFile, 'utf8');
    await writeFile(this.configFile, fixed(fixed(text, 'listen', this.gateway.url), 'admin_listen', this.gateway.adminUrl));
    await change(this);
    await this.gateway.start();
    return how;
  }

  /* All that the gateway ever wrote to its outputs. */
  output() {
    return (this.pastOutput ?? '') + (this.gateway?.child?.output() ?? '');
  }

  /* One more gateway on the same store, provider and keys, with an audit log and a front of its own: { gateway, url, auditFile, request() }.
   * Browsers know the address of the first one only. */
  async addReplica() {
    const number = this.replicas.length + 2;
    const at = (name) => join(this.dir, `${name}-${number}`);
    const set = (text, key, value) => text.replace(new RegExp(`^( {2}${key}: ).*$`, 'm'), `$1${JSON.stringify(value)}`);
    const replica = { auditFile: at('audit.jsonl') };
    let text = (await readFile(this.configFile, 'utf8')).replace(JSON.stringify(this.auditFile), JSON.stringify(replica.auditFile));
    for (const [key, value] of [['listen', '127.0.0.1:0'], ['admin_listen', '127.0.0.1:0'], ['state_dir', at('policy-state')]]) text = set(text, key, value);
    await mkdir(at('policy-state'));
    await writeFile(at('repogate.yaml'), text, { mode: 0o600 });
    const { program, env } = this.gateway;
    replica.gateway = new Gateway({ program, config: at('repogate.yaml'), env, log: at('gateway.log') });
    this.replicas.push(replica);
    await replica.gateway.start();
    const port = await freePort();
    const gatewayPort = new URL(replica.gateway.url).port;
    replica.front = await FRONTS[this.frontName]({ dir: at(this.frontName), port, gatewayPort, topology: this.topology });
    replica.url = `http://127.0.0.1:${port}`;
    const { host } = new URL(this.url);
    replica.request = (path, { headers = {}, ...options } = {}) => request(replica.url, { path, headers: { host, ...headers }, ...options });
    return replica;
  }

  async closeReplicas() {
    for (const { gateway, front } of this.replicas.splice(0)) {
      const { code, signal } = await gateway.stop();
      await front?.close();
      if (code !== 0 || SANITIZER_REPORT.test(gateway.output())) throw new Error(`a replica ended with ${code ?? signal}:\n${gateway.output()}`);
    }
  }

  async close() {
    let complaint;
    await this.closeReplicas().catch((error) => { complaint = error; });
    const { code, signal } = (await this.gateway?.stop()) ?? { code: 0 };
    await Promise.all([this.front, this.provider, this.forge, this.workspace].map((one) => one?.close()));
    const output = this.output();
    if (this.removeDir) {
      this.removeDir();
      process.off('exit', this.removeDir);
    }
    if (code !== 0) throw new Error(`the gateway ended with ${code ?? signal}:\n${output}`);
    if (complaint) throw complaint;
    if (SANITIZER_REPORT.test(output)) throw new Error(`a sanitizer complained:\n${output}`);
  }
}

/* variant: release, asan, tsan. topology: auth-request or gateway. policies: a directory, or { "file.lua": text }.
 * config: sections and keys over the default ones, null removes a key; or a function of the directory that gives them.
 * front: nginx, haproxy or caddy. host: the name that browsers use. beforeGateway: called with the stand when all but gateway and front run. */
export async function startStand({
  variant = 'release',
  front = 'nginx',
  topology = 'auth-request',
  policies = POLICIES,
  config = {},
  env = {},
  host = '127.0.0.1',
  port,
  dir,
  provider: providerOptions = {},
  beforeGateway = () => {},
} = {}) {
  const program = join(ROOT, PROGRAMS[variant]);
  if (!existsSync(program)) throw new Error(`${PROGRAMS[variant]} is not built`);
  const stand = new Stand();
  if (dir === undefined) await stand.makeDir();
  else stand.dir = dir;
  const at = (name) => join(stand.dir, name);
  try {
    const frontPort = port ?? (await freePort());
    stand.url = `http://${host}:${frontPort}`;
    Object.assign(stand, { frontName: front, topology });
    stand.auditFile = at('audit.jsonl');
    stand.configFile = at('repogate.yaml');
    [stand.provider, stand.forge, stand.workspace] = await Promise.all([
      startProvider({
        redirectUris: [`${stand.url}/_repogate/callback`, `${stand.url}/outpost.goauthentik.io/callback`],
        logoutRedirectUris: [`${stand.url}/`, `${stand.url}/_repogate/logout`],
        ...providerOptions,
      }),
      startForge(),
      startWorkspace(),
    ]);
    await mkdir(at('policy-state'));
    stand.policyDir = await writePolicies(at('policies'), policies);
    await writeFile(at('client-secret'), `${stand.provider.clientSecret}\n`, { mode: 0o600 });
    await run(program, ['keygen', 'session', '--out', at('session.key')]);
    await run(program, ['keygen', 'assertion', '--out', at('assertion.key')]);
    await writeFile(stand.configFile, toYaml(merge({
      server: {
        listen: '127.0.0.1:0',
        admin_listen: '127.0.0.1:0',
        public_url: stand.url,
        trusted_proxies: ['127.0.0.1/32'],
        dialects: [front],
        threads: 2,
      },
      oidc: { issuer: stand.provider.issuer, client_id: stand.provider.clientId, client_secret_file: at('client-secret') },
      session: { path: at('sessions.db'), key_file: at('session.key') },
      assertion: { key_file: at('assertion.key') },
      policy: { dir: stand.policyDir, state_dir: at('policy-state') },
      audit: { path: stand.auditFile, mode: 'written' },
      forges: { github: { kind: 'github', url: stand.forge.url } },
      workspace: { driver: 'static', url: stand.workspace.url, mode: 'path', single_trust: true },
    }, typeof config === 'function' ? config(stand.dir) : config)), { mode: 0o600 });
    await beforeGateway(stand);
    stand.gateway = new Gateway({ program, config: stand.configFile, env, log: at('gateway.log') });
    await stand.gateway.start();
    stand.adminUrl = stand.gateway.adminUrl;
    stand.front = await FRONTS[front]({ dir: at(front), port: frontPort, gatewayPort: new URL(stand.gateway.url).port, topology });
    return stand;
  } catch (error) {
    await stand.close().catch(() => {});
    throw error;
  }
}
