// `repogate check --online`: each thing that can be wrong between the gateway and its identity provider is named, at the line of the key that it is
// about, with what to do; what could not be asked is neither right nor wrong.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startProvider } from '../../authentik/dev/provider.mjs';
import { closeStand, startStand, variant } from './lib/stand.mjs';

const ANSWER_MAX_MS = 30000;
const [OK, FINDING, WRONG_CONFIG, CANNOT_TELL] = [0, 1, 2, 3];

describe('check --online', () => {
  let stand;
  let good;

  // change: of the configuration's text. Gives { status, findings, out, line(key) }.
  async function check(change = (text) => text, { options = ['--online'] } = {}) {
    const file = join(stand.dir, 'checked.yaml');
    const text = change(good);
    await writeFile(file, text);
    const run = (args) => new Promise((resolve) => {
      execFile(stand.gateway.program, ['check', '--config', file, ...args], { timeout: ANSWER_MAX_MS }, (error, stdout, stderr) => {
        assert.doesNotMatch(stderr, /Sanitizer|runtime error/);
        resolve({ status: error ? error.code : 0, out: stdout, err: stderr });
      });
    });
    const answer = await run([...options, '--json']);
    const { findings, ok } = JSON.parse(answer.out);
    assert.equal(ok, answer.status === OK);
    const line = (key) => {
      const [section, name] = key.split('.');
      const lines = text.split('\n');
      const at = lines.indexOf(`${section}:`);
      return lines.findIndex((one, i) => i > at && one.startsWith(`  ${name}:`)) + 1;
    };
    return { ...answer, findings, file, line, run };
  }

  const set = (key, value) => (text) => {
    const [section, name] = key.split('.');
    const without = text.replace(new RegExp(`(^${section}:\\n(?:  .*\\n)*?)  ${name}: .*\\n`, 'm'), '$1');
    return without.replace(new RegExp(`^${section}:\\n`, 'm'), `${section}:\n  ${name}: ${JSON.stringify(value)}\n`);
  };

  before(async () => {
    stand = await startStand({ variant: variant(), provider: { hasInternalDoor: true } });
    good = await readFile(stand.configFile, 'utf8');
  });

  beforeEach(() => {
    stand.provider.setFaults({});
    stand.provider.clockSkewSeconds = 0;
  });

  after(() => closeStand(stand));

  test('nothing wrong: 0, no finding, and nothing has happened at the provider', async () => {
    const { log, people } = stand.provider;
    const before = log.length;
    const answer = await check();
    assert.deepEqual([answer.status, answer.findings], [OK, []]);
    assert.deepEqual(log.slice(before).map(({ endpoint, grant }) => grant ?? endpoint), ['discovery', 'jwks', 'refresh_token', 'authorization_code']);
    assert.ok(people.list().length > 0);
    assert.match((await answer.run(['--online'])).out, /: ok, 3 rules, 0 warnings\n$/);
  });

  test('without --online nobody is asked', async () => {
    const asked = stand.provider.log.length;
    stand.provider.setFaults({ endpoints: { all: 'down' } });
    assert.equal((await check(undefined, { options: [] })).status, OK);
    assert.equal(stand.provider.log.length, asked);
  });

  test('a configuration that is wrong is said first, and nobody is asked', async () => {
    const asked = stand.provider.log.length;
    assert.equal((await check(set('server.threads', 'many'))).status, WRONG_CONFIG);
    assert.equal(stand.provider.log.length, asked);
  });

  test('the internal address is the one that is asked, and iss stays the public one', async () => {
    const { log, internalUrl } = stand.provider;
    const before = log.length;
    assert.equal((await check(set('oidc.internal_url', internalUrl))).status, OK);
    assert.deepEqual([...new Set(log.slice(before).map(({ door, host }) => `${door} ${host}`))], [`internal 127.0.0.1:${stand.provider.port}`]);
  });

  const expected = {
    'an issuer with a slash too few': { change: () => set('oidc.issuer', stand.provider.issuer.slice(0, -1)), key: 'oidc.issuer', match: /issuer mismatch: configured.*repogate", the provider says.*repogate\/".*trailing slash/ },
    'an issuer whose provider calls itself otherwise': { endpoints: { discovery: { set: { issuer: 'http://auth.internal/application/o/repogate/' } } }, key: 'oidc.issuer', match: /configured.*127\.0\.0\.1.*the provider says.*auth\.internal.*Host/ },
    'a slug that nobody knows': { change: () => set('oidc.issuer', `${stand.provider.url}/application/o/other/`), key: 'oidc.issuer', match: /404.*slug/ },
    'HTML instead of metadata': { endpoints: { discovery: 'html' }, key: 'oidc.issuer', match: /no JSON object/ },
    '10 MiB instead of metadata': { endpoints: { discovery: 'huge' }, key: 'oidc.issuer', match: /too large/ },
    'deep metadata': { endpoints: { discovery: 'deep' }, key: 'oidc.issuer', match: /no JSON object/ },
    'a redirect': { endpoints: { discovery: 'redirect' }, key: 'oidc.issuer', match: /302, a redirect/ },
    'no token endpoint': { endpoints: { discovery: { set: { token_endpoint: null } } }, key: 'oidc.issuer', match: /token_endpoint/ },
    'no PKCE': { endpoints: { discovery: { set: { code_challenge_methods_supported: ['plain'] } } }, key: 'oidc.issuer', match: /S256/ },
    'a clock that is ahead': { skew: 3600, key: 'oidc.issuer', match: /clock is 3[56]\d\d s ahead of ours.*NTP/ },
    'a clock that is behind': { skew: -3600, key: 'oidc.issuer', match: /clock is 3[56]\d\d s behind/ },
    'no signing key in Authentik': { algorithm: 'HS256', keys: ['oidc.algorithms', 'oidc.issuer'], key: 'oidc.algorithms', match: /\["HS256"\].*signing key/ },
    'a key of another algorithm': { algorithm: 'EdDSA', keys: ['oidc.algorithms', 'oidc.algorithms'], key: 'oidc.algorithms', match: /\["EdDSA"\]/ },
    'keys that are none': { endpoints: { jwks: { body: { keys: [] } } }, key: 'oidc.issuer', match: /no usable key.*signing key/ },
    'keys that are no set': { endpoints: { jwks: 'html' }, key: 'oidc.issuer', match: /no set of keys/ },
    'keys that are not there': { endpoints: { jwks: { status: 404 } }, key: 'oidc.issuer', match: /404/ },
    'an encryption key': { encrypts: true, key: 'oidc.issuer', match: /encrypts its tokens.*take its encryption key out/ },
    'a scope that the provider lacks: repogate': { lacks: 'repogate', key: 'oidc.scopes', match: /does not offer repogate.*claims_missing.*scope mapping/ },
    'a scope that the provider lacks: offline_access': { lacks: 'offline_access', key: 'oidc.scopes', match: /does not offer offline_access.*sessions would end/ },
    'a scope that the provider lacks: entitlements': { lacks: 'entitlements', key: 'oidc.scopes', match: /does not offer entitlements/ },
    'a client that nobody knows': { change: () => set('oidc.client_id', 'nobody'), key: 'oidc.client_id', match: /client nobody.*client-secret.*invalid_client/ },
    'a wrong secret': { change: () => set('oidc.client_secret_file', join(stand.dir, 'wrong-secret')), key: 'oidc.client_id', match: /wrong-secret.*invalid_client/ },
    'a redirect URI that is not registered': { endpoints: { 'token:authorization_code': { error: 'invalid_client' } }, key: 'server.public_url', match: /add http:\/\/127\.0\.0\.1:\d+\/_repogate\/callback to its redirect URIs/ },
    'a refresh grant that is not allowed': { endpoints: { 'token:refresh_token': { error: 'unauthorized_client' } }, key: 'oidc.scopes', match: /grant type refresh_token/ },
  };
  for (const [what, { change, endpoints = {}, skew = 0, algorithm, encrypts, lacks, keys, key, match }] of Object.entries(expected)) {
    test(`${what}: a finding at the key's own line, with a cure`, async () => {
      const { provider } = stand;
      await writeFile(join(stand.dir, 'wrong-secret'), 'not-this-one-but-as-long-as-one-has-to-be\n');
      if (encrypts) endpoints.jwks = { body: { keys: [...provider.keys.jwks().keys, { kty: 'RSA', use: 'enc', kid: 'e', n: 'AQAB', e: 'AQAB' }] } };
      if (lacks) endpoints.discovery = { set: { scopes_supported: ['openid', 'profile', 'email', 'entitlements', 'offline_access', 'repogate'].filter((name) => name !== lacks) } };
      if (algorithm) provider.rotateKey(algorithm);
      provider.setFaults({ endpoints });
      provider.clockSkewSeconds = skew;
      const answer = await check(change?.());
      if (algorithm) provider.rotateKey();
      assert.equal(answer.status, FINDING, answer.out);
      assert.deepEqual(answer.findings.map((one) => one.key), keys ?? [key], answer.out);
      const [finding] = answer.findings.filter((one) => one.key === key);
      assert.match(finding.text, match);
      assert.deepEqual([finding.file, finding.severity], [answer.file, 'error']);
      // A key that the file does not have stands at line 0: its default is what counts.
      assert.equal(finding.line, answer.line(key));
      assert.equal(answer.out.includes(provider.clientSecret), false);
    });
  }

  const unknown = {
    'nobody listens': { change: () => set('oidc.issuer', 'http://127.0.0.1:1/application/o/repogate/'), key: 'oidc.issuer', match: /cannot be asked.*is it running.*oidc\.internal_url/ },
    'a name that does not resolve': { change: () => set('oidc.issuer', 'https://auth.invalid/application/o/repogate/'), key: 'oidc.issuer', match: /cannot be asked.*resolve.*check the name/ },
    'an internal address where nobody listens': { change: () => set('oidc.internal_url', 'http://127.0.0.1:1'), key: 'oidc.internal_url', match: /cannot be asked/ },
    'https where plain HTTP is spoken': { change: () => set('oidc.internal_url', stand.provider.internalUrl.replace('http:', 'https:')), key: 'oidc.internal_url', match: /is it https there/ },
    'a provider that is starting': { endpoints: { discovery: 'down' }, key: 'oidc.issuer', match: /500.*not up/ },
    'a provider that hangs up': { endpoints: { discovery: 'reset' }, key: 'oidc.issuer', match: /cannot be asked/ },
    'a provider that never answers': { endpoints: { discovery: 'hang' }, key: 'oidc.issuer', match: /cannot be asked.*firewall.*hangs/ },
    'keys that are down': { endpoints: { jwks: 'busy' }, key: 'oidc.issuer', match: /503.*not up/ },
    'a token endpoint that is down': { endpoints: { token: 'down' }, key: 'oidc.issuer', match: /answered 500 to a made-up token/ },
    'a token endpoint that hangs up': { endpoints: { token: 'reset' }, key: 'oidc.issuer', match: /token\/ cannot be asked/ },
    'a token endpoint that says yes': { endpoints: { 'token:refresh_token': { body: { access_token: 'x' }, status: 200 } }, key: 'oidc.issuer', match: /answered 200 to a made-up token/ },
  };
  for (const [what, { change, endpoints = {}, key, match }] of Object.entries(unknown)) {
    test(`${what}: cannot tell, exit 3, with what to try`, async () => {
      stand.provider.setFaults({ endpoints });
      const answer = await check(change?.());
      assert.equal(answer.status, CANNOT_TELL, answer.out);
      const [finding] = answer.findings;
      assert.deepEqual([answer.findings.length, finding.key, finding.severity, finding.line], [1, key, 'unknown', answer.line(key)], answer.out);
      assert.match(finding.text, match);
    });
  }

  test('as text: cannot tell is told from wrong', async () => {
    const change = set('oidc.issuer', 'http://127.0.0.1:1/application/o/repogate/');
    const { run, line, file } = await check(change);
    const { out, status } = await run(['--online']);
    assert.equal(status, CANNOT_TELL);
    assert.ok(out.startsWith(`${file}:${line('oidc.issuer')}: cannot tell: oidc.issuer: http://127.0.0.1:1/`), out);
    assert.match(out, /: could not be checked in full\n$/);
  });

  test('a definite finding is exit 1, though something else cannot be told', async () => {
    stand.provider.setFaults({ endpoints: { jwks: 'down', 'token:refresh_token': { error: 'invalid_client' } } });
    const answer = await check();
    assert.equal(answer.status, FINDING);
    assert.deepEqual(answer.findings.map(({ severity }) => severity).sort(), ['error', 'unknown']);
  });

  test('what can be done without is a warning, and exit 0', async () => {
    stand.provider.setFaults({ endpoints: { discovery: { set: { backchannel_logout_supported: null, end_session_endpoint: null, scopes_supported: null } } } });
    const answer = await check();
    assert.equal(answer.status, OK);
    assert.deepEqual(answer.findings.map(({ key, severity }) => [key, severity]), [['oidc.scopes', 'warning'], ['oidc.issuer', 'warning'], ['oidc.issuer', 'warning']]);
    assert.match(answer.findings[1].text, new RegExp(`logout URI to ${stand.url}/_repogate/backchannel-logout`));
    stand.provider.setFaults({});
    const lean = await check(set('oidc.scopes', ['openid', 'profile', 'repogate']));
    assert.deepEqual([lean.status, lean.findings.map(({ key, severity }) => [key, severity])], [OK, [['oidc.scopes', 'warning']]]);
    assert.match(lean.findings[0].text, /offline_access/);
  });

  test('the session store: one that is in use is fine and is left alone, one of another kind is a finding', async () => {
    const at = (name) => join(stand.dir, name);
    const before = (await readdir(stand.dir)).sort();
    assert.equal((await check()).status, OK);
    assert.deepEqual((await readdir(stand.dir)).filter((name) => name !== 'checked.yaml').sort(), before.filter((name) => name !== 'checked.yaml'));
    await writeFile(at('no.db'), 'this is no database'.repeat(100));
    const other = await check(set('session.path', at('no.db')));
    assert.deepEqual([other.status, other.findings.map(({ key, line }) => [key, line])], [FINDING, [['session.path', other.line('session.path')]]]);
    assert.equal((await check(set('session.path', at('none-yet.db')))).status, OK);
    assert.ok(!(await readdir(stand.dir)).includes('none-yet.db'));
    assert.equal((await stand.browser().login('dora', '/github/acme/site/')).status, 200, 'the gateway has noticed nothing');
  });

  test('further issuers are asked for metadata and keys, and nothing else', async () => {
    const other = await startProvider();
    const further = (issuer) => (text) => text.replace(/^oidc:\n/m, `oidc:\n  bearer: [{issuer: "${issuer}", audience: ci}]\n`);
    try {
      const fine = await check(further(other.issuer));
      assert.equal(fine.status, OK, fine.out);
      assert.deepEqual(other.log.map(({ endpoint }) => endpoint), ['discovery', 'jwks']);
      const slash = await check(further(other.issuer.slice(0, -1)));
      assert.deepEqual([slash.status, slash.findings.map(({ key, line }) => [key, line])], [FINDING, [['oidc.bearer', slash.line('oidc.bearer')]]]);
      assert.match(slash.findings[0].text, /trailing slash/);
      other.rotateKey('HS256');
      const keyless = await check((text) => set('oidc.algorithms', ['RS256', 'HS256'])(further(other.issuer)(text)));
      assert.equal(keyless.status, FINDING);
      assert.ok(keyless.findings.every(({ key }) => key === 'oidc.bearer'), keyless.out);
      const gone = await check(further('http://127.0.0.1:1/application/o/ci/'));
      assert.deepEqual([gone.status, gone.findings.map(({ key }) => key)], [CANNOT_TELL, ['oidc.bearer']]);
    } finally {
      await other.close();
    }
  });

  test('introspection, where it is switched on, has to be there and to know no made-up token', async () => {
    const on = set('oidc.introspection', true);
    const asked = stand.provider.counts.introspection ?? 0;
    assert.equal((await check(on)).status, OK);
    assert.equal(stand.provider.counts.introspection, asked + 1);
    for (const [endpoints, status, severity, match] of [
      [{ discovery: { set: { introspection_endpoint: null } } }, FINDING, 'error', /no introspection_endpoint/],
      [{ introspection: { body: { active: true } } }, FINDING, 'error', /calls a made-up token active/],
      [{ introspection: { body: { active: 'false' } } }, CANNOT_TELL, 'unknown', /"active": false/],
      [{ introspection: 'html' }, CANNOT_TELL, 'unknown', /answered 200/],
    ]) {
      stand.provider.setFaults({ endpoints });
      const answer = await check(on);
      assert.deepEqual([answer.status, answer.findings.map((one) => [one.key, one.severity])], [status, [['oidc.introspection', severity]]], answer.out);
      assert.match(answer.findings[0].text, match);
    }
  });

  test('T11: a certificate is checked: of an unknown authority, for another name, and good with oidc.ca_file', async () => {
    const at = (name) => join(stand.dir, name);
    for (const [name, subject] of [['right', 'IP:127.0.0.1'], ['other', 'DNS:elsewhere.example']]) {
      execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', at(`${name}.key`), '-out', at(`${name}.pem`), '-days', '2', '-subj', '/CN=test', '-addext', `subjectAltName=${subject}`], { stdio: 'ignore' });
    }
    // TLS ends here; what is behind speaks plain HTTP and is told the Host.
    const pass = (req, res) => {
      const { port } = new URL(stand.provider.internalUrl);
      req.pipe(http.request({ host: '127.0.0.1', port, path: req.url, method: req.method, headers: req.headers, agent: false }, (answer) => {
        res.writeHead(answer.statusCode, answer.headers);
        answer.pipe(res);
      }));
    };
    const serve = async (name) => {
      const server = createServer({ key: await readFile(at(`${name}.key`)), cert: await readFile(at(`${name}.pem`)) }, pass);
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    };
    const servers = await Promise.all([serve('right'), serve('other')]);
    try {
      const [right, other] = servers.map((server) => set('oidc.internal_url', `https://127.0.0.1:${server.address().port}`));
      const trusting = (name) => set('oidc.ca_file', at(`${name}.pem`));
      for (const [change, match] of [[right, /certificate.*oidc\.ca_file/], [(text) => trusting('other')(other(text)), /name.*127\.0\.0\.1.*oidc\.ca_file/]]) {
        const answer = await check(change);
        assert.equal(answer.status, CANNOT_TELL);
        assert.equal(answer.findings[0].key, 'oidc.internal_url');
        assert.match(answer.findings[0].text, match);
      }
      const answer = await check((text) => trusting('right')(right(text)));
      assert.equal(answer.status, OK, answer.out);
    } finally {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    }
  });
});
