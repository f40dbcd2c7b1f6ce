// `repogate doctor` against front doors as they are shipped, which it must pass, and against the same with one mistake each, which it must find
// by the check that is about it. THREATS groups A, B, H; also C, E, L, R where a proxy can make the mistake.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { FRONTS } from '../../scripts/lib/fronts.mjs';
import { freePort } from '../../scripts/lib/processes.mjs';
import { programOf } from './lib/guard.mjs';
import { closeStand, describeFronts, describeStand, request, startStand, variant } from './lib/stand.mjs';

const POLICY = {
  'echo.lua': 'allow "developers: the doctor\'s echo" { groups = {"developers"}, paths = {"/_repogate/echo/**"} }\n',
  'echo_test.lua': 'test "a developer sees it" { user = user { username = "d", groups = {"developers"} }, path = "/_repogate/echo/a/b", expect = "allow" }\n',
};
const WITH_ECHO = { policies: POLICY, config: { doctor: { enabled: true } } };

/* Runs the command: { code, out, err, report } with the JSON if there is some. */
function doctor(url, ...args) {
  const child = spawn(programOf(variant()), ['doctor', url, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text) => { out += text; });
  child.stderr.setEncoding('utf8').on('data', (text) => { err += text; });
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ code, out, err, report: out.startsWith('{') ? JSON.parse(out) : undefined }));
  });
}

async function tokenFile(stand, username = 'dora') {
  const file = join(stand.dir, `token-${username}`);
  await writeFile(file, `${await stand.bearer(username)}\n`);
  return file;
}

const checkOf = (report, id) => report.checks.find((check) => check.id === id);

// ---- front doors with a mistake ----

/* edits: [file, what stands there, what a mistake makes of it], with TOKEN for a token that is good and WORKSPACE for the sample workspace's address;
 * every one must match. */
async function editFiles(dir, edits, words) {
  for (const [name, from, to] of edits) {
    const file = join(dir, name);
    const text = await readFile(file, 'utf8');
    assert.ok(typeof from === 'string' ? text.includes(from) : from.test(text), `${name} has nothing like ${from}`);
    await writeFile(file, text.replace(from, () => to.replace(/TOKEN|WORKSPACE/g, (word) => words[word])));
  }
}

async function startBroken(stand, { dir, edits, words }) {
  const files = join(dir, 'files');
  await mkdir(dir, { recursive: true });
  await cp(fileURLToPath(new URL(`../../deploy/${stand.frontName}/`, import.meta.url)), files, { recursive: true });
  await editFiles(files, edits, words);
  return FRONTS[stand.frontName]({ dir, port: new URL(stand.url).port, gatewayPort: new URL(stand.gateway.url).port, topology: stand.topology, files });
}

const HTTP = 'repogate-http.conf';
const SITE = 'repogate-auth-request.conf';
const WORKSPACE = 'repogate-workspace.conf';
const NO_CLAIMS = 'repogate-no-claims.conf';
const GATEWAY = 'repogate-gateway.conf';
const HAPROXY = 'repogate-gateway.cfg';
const HAPROXY_ASKS = 'repogate-auth-request.cfg';
const LUA = 'repogate.lua';
const CADDY = 'repogate.caddy';
const without = (file, line) => [file, line, ''];

const asks = (line) => [CADDY, 'uri /_repogate/auth/caddy', `uri /_repogate/auth/caddy\n\t\t\t\t${line}`];
const CACHE = 'proxy_cache_path auth-cache keys_zone=auth:1m;\n';
const cachedBy = (key) => `proxy_cache auth;\n    proxy_cache_key ${key};\n    proxy_cache_valid 200 1m;\n    proxy_ignore_headers Cache-Control;\n    `;

const MISTAKES = [
  {
    front: 'nginx',
    topology: 'auth-request',
    mistakes: {
      'A1: the URL header is not overwritten': {
        finds: 'url',
        edits: [without(SITE, /proxy_set_header X-Original-URL .*;/), without(NO_CLAIMS, 'proxy_set_header X-Original-URL "";')],
      },
      'A1: the URL header is overwritten only if there is none': {
        finds: 'url',
        edits: [
          [HTTP, /^/, 'map $http_x_original_url $claimed_url { "" $scheme://$http_host$request_uri; default $http_x_original_url; }\n'],
          [SITE, /X-Original-URL \$scheme.*;/, 'X-Original-URL $claimed_url;'],
        ],
      },
      'A3: the method header is not overwritten': {
        finds: 'method',
        edits: [without(SITE, /proxy_set_header X-Original-Method .*;/), without(NO_CLAIMS, 'proxy_set_header X-Original-Method "";')],
      },
      'A8: the address header is not overwritten': {
        finds: 'address',
        edits: [without(SITE, /proxy_set_header X-Real-IP .*;/)],
      },
      'A2: the auth path can be reached from outside': {
        finds: 'closed',
        edits: [without(SITE, 'internal;'), without(SITE, /if \(\$repogate_is_auth_endpoint\) \{[^}]*\}/)],
      },
      'B7: $uri for $request_uri in the question': {
        finds: 'path',
        edits: [
          [WORKSPACE, 'auth_request /', 'set $asked $uri;\nauth_request /'],
          [SITE, 'X-Original-URL $scheme://$http_host$request_uri;', 'X-Original-URL $scheme://$http_host$asked;'],
        ],
      },
      'B7: $uri for $request_uri, which there is the address of the question itself': {
        finds: 'question',
        edits: [[SITE, 'X-Original-URL $scheme://$http_host$request_uri;', 'X-Original-URL $scheme://$http_host$uri;']],
      },
      'B7: $uri for $request_uri on the way to the workspace': {
        finds: 'path',
        edits: [[HTTP, /map \$request_uri \$repogate_rest/, 'map $uri $repogate_rest']],
      },
      'H13: identity headers are not cleared on a route that skips the question': {
        finds: 'skipped',
        edits: [[SITE, /^location \/ \{/m, 'location ~ "\\.(?:css|js|png)$" {\n    proxy_pass http://repogate;\n    proxy_set_header Host $http_host;\n}\nlocation / {']],
      },
      'H5: an identity header is not overwritten': {
        finds: 'identity',
        edits: [without(WORKSPACE, /proxy_set_header X-authentik-entitlements .*;/)],
      },
      'H1: underscores are let through in header names': {
        finds: 'identity-aliases',
        edits: [[SITE, 'absolute_redirect off;', 'absolute_redirect off;\nunderscores_in_headers on;']],
      },
      'B3: merge_slashes: the path is taken from the location': {
        finds: 'slashes',
        edits: [[WORKSPACE, 'proxy_pass $repogate_pass;', 'rewrite ^(.*)$ $1 break;\nproxy_pass http://repogate;']],
      },
      'C1: the decision is cached without the cookie in the key': {
        finds: 'cache',
        edits: [
          [HTTP, /^/, CACHE],
          [SITE, 'proxy_connect_timeout 5s;', `${cachedBy('$http_host$request_uri$http_authorization')}proxy_connect_timeout 5s;`],
        ],
      },
      'C1: the decision is cached by its address alone': {
        finds: 'cache',
        edits: [
          [HTTP, /^/, CACHE],
          [SITE, 'proxy_connect_timeout 5s;', `${cachedBy('$http_host$request_uri')}proxy_connect_timeout 5s;`],
        ],
      },
      'E12: the login path is behind the question': {
        finds: 'login',
        edits: [[SITE, 'location ^~ /_repogate/ {', 'location ^~ /_repogate/ {\n    auth_request /_repogate/auth/nginx;\n    error_page 401 = @repogate_login;']],
      },
      'H6: the client\'s Connection is kept': {
        finds: 'connection',
        edits: [[WORKSPACE, 'proxy_set_header Connection "";', 'proxy_set_header Connection $http_connection;']],
      },
      'E12: the question is answered with a redirect': {
        finds: 'answers',
        edits: [[SITE, 'proxy_connect_timeout 5s;', 'proxy_intercept_errors on;\n    error_page 401 =302 /_repogate/login;\n    proxy_connect_timeout 5s;']],
      },
      'E1: the question is asked with a token of the proxy\'s own': {
        finds: 'anonymous',
        edits: [[SITE, 'proxy_connect_timeout 5s;', 'proxy_set_header Authorization "Bearer TOKEN";\n    proxy_connect_timeout 5s;']],
      },
      'L2: the token goes on to the workspace': {
        finds: 'secrets',
        edits: [without(WORKSPACE, /proxy_set_header Authorization .*;/)],
      },
      'R2: a slash is put behind an address as it was sent': {
        finds: 'redirects',
        edits: [[SITE, /^location \/ \{/m, 'location ~ "^/[^/]+/[^/]+$" {\n    return 301 $request_uri/;\n}\nlocation / {']],
      },
    },
  },
  {
    front: 'nginx',
    topology: 'gateway',
    mistakes: {
      'A8: X-Forwarded-For is the client\'s': { finds: 'address', edits: [['repogate-to-gateway.conf', 'X-Forwarded-For $remote_addr', 'X-Forwarded-For $http_x_forwarded_for']] },
      'A2: the auth path can be reached from outside': {
        finds: 'closed',
        edits: [without(GATEWAY, /if \(\$repogate_is_auth_endpoint\) \{[^}]*\}/), without(GATEWAY, /location \^~ \/_repogate\/auth\/ \{[^}]*\}/)],
      },
      'H13: static files are taken from the workspace without asking': {
        finds: 'skipped',
        edits: [[GATEWAY, /^location \/ \{/m, 'location ~ "\\.(?:css|js|png)$" {\n    proxy_pass http://WORKSPACE;\n}\nlocation / {']],
      },
      'E12: the login path wants a login': { finds: 'login', edits: [[GATEWAY, /^location \/ \{/m, 'location = /_repogate/login {\n    return 401;\n}\nlocation / {']] },
      'C1: answers are cached by their address': { finds: 'cache', edits: [[HTTP, /^/, CACHE], [GATEWAY, 'location / {', `location / {\n    ${cachedBy('$request_uri')}proxy_set_header X-Cached 1;`], ['repogate-to-gateway.conf', 'proxy_buffering off;', '']] },
    },
  },
  {
    front: 'haproxy',
    topology: 'auth-request',
    mistakes: {
      'A1: the URL is the client\'s word, if there is one': { finds: 'url', edits: [without(HAPROXY_ASKS, 'original|'), [LUA, '["x-original-url"] = {', '["x-original-url"] = {only(headers, "x-original-url") or ']] },
      'A3: the method is the client\'s word, if there is one': { finds: 'method', edits: [without(HAPROXY_ASKS, 'original|'), [LUA, '["x-original-method"] = {', '["x-original-method"] = {only(headers, "x-original-method") or ']] },
      'A8: the address is the client\'s word, if there is one': {
        finds: 'address',
        edits: [without(HAPROXY_ASKS, 'real-?ip|'), without(HAPROXY_ASKS, 'http-request set-header X-Real-IP %[src]'), [LUA, '["x-real-ip"] = {', '["x-real-ip"] = {only(headers, "x-real-ip") or ']],
      },
      'A2: the auth path can be reached from outside': { finds: 'closed', edits: [without(HAPROXY_ASKS, /http-request return status 404 .*/)] },
      'B7: the path is decoded for the question': { finds: 'path', edits: [[LUA, 'headers = question_about(txn, headers, url)', 'headers = question_about(txn, headers, (url:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)))']] },
      'B3: slashes are merged on the way to the workspace': { finds: 'slashes', edits: [[LUA, 'req_set_uri(judged.uri)', 'req_set_uri((judged.uri:gsub("//+", "/")))']] },
      'H5: identity headers are added to the client\'s, not put in their place': {
        finds: 'identity',
        edits: [without(HAPROXY_ASKS, '(authentik|'), [HAPROXY_ASKS, 'repogate|policy', '(repogate|policy'], without(LUA, '"xauthentik", '), [LUA, 'txn.http:req_set_header(name, only(judged.headers, name) or "")\n    end\n    txn', 'txn.http:req_add_header(name, only(judged.headers, name) or "")\n    end\n    txn']],
      },
      'H1: names with an underscore are let through': {
        finds: 'identity-aliases',
        edits: [without(HAPROXY_ASKS, /http-request del-header '\[\^a-z0-9-\].*/), [LUA, 'is_removed(fold(name)) or name:find("[^a-z0-9-]")', 'is_removed((name:gsub("-", "")))']],
      },
      'H13: static files are taken from the workspace without asking': {
        finds: 'skipped',
        edits: [[HAPROXY_ASKS, 'use_backend workspace if', 'use_backend static if { path_end .css .js .png }\n    use_backend workspace if'], [HAPROXY_ASKS, /$/, '\nbackend static\n    server workspace WORKSPACE\n']],
      },
      'H6: the client\'s Connection is kept': { finds: 'connection', edits: [without(HAPROXY_ASKS, 'http-request del-header Connection unless is_websocket'), without(LUA, '"connection", ')] },
      'C1: the decision is kept by its address': {
        finds: 'cache',
        edits: [[LUA, 'local response = core.httpclient():head({', 'Kept = Kept or {}\n    local response = Kept[url] or core.httpclient():head({'], [LUA, 'if not response or response.status ~= 200 then\n        return\n    end', 'if not response or response.status ~= 200 then\n        return\n    end\n    Kept[url] = response']],
      },
      'E12: the login path wants a login': { finds: 'login', edits: [[HAPROXY_ASKS, 'http-request lua.repogate_ask', 'http-request return status 401 if { path /_repogate/login }\n    http-request lua.repogate_ask']] },
      'L2: the token goes on to the workspace': { finds: 'secrets', edits: [[LUA, '"authorization", "proxyauthorization"', '"proxyauthorization"']] },
    },
  },
  {
    front: 'caddy',
    topology: 'auth-request',
    mistakes: {
      'A1: the URL is the client\'s word': { finds: 'url', edits: [without(CADDY, 'request_header -*forwarded*'), asks('header_up X-Forwarded-Uri {http.request.header.X-Forwarded-Uri}')] },
      'A3: the method is the client\'s word': { finds: 'method', edits: [without(CADDY, 'request_header -*forwarded*'), asks('header_up X-Forwarded-Method {http.request.header.X-Forwarded-Method}')] },
      'A8: the address is the client\'s word': { finds: 'address', edits: [without(CADDY, 'request_header -*forwarded*'), asks('trusted_proxies private_ranges')] },
      'A2: the auth path can be reached from outside': { finds: 'closed', edits: [[CADDY, 'respond @repogate_auth 404', '']] },
      'B7: the path is decoded for the question': { finds: 'path', edits: [asks('header_up X-Forwarded-Uri {path}')] },
      'B3: slashes are merged on the way to the workspace': { finds: 'slashes', edits: [[CADDY, '^/[^/]+/[^/]+/[^/]+ ""', '^/[^/]+/[^/]+/[^/]+ ""\n\t\t\t\turi path_regexp /{2,} /']] },
      'H1: names with an underscore are let through': { finds: 'identity-aliases', edits: [without(CADDY, 'request_header -*_*'), without(CADDY, 'request_header -*authentik*'), without(CADDY, 'request_header -*repogate*')] },
      'H13: static files are taken from the workspace without asking': { finds: 'skipped', edits: [[CADDY, 'route @repogate_judged {', '@static path *.css *.js *.png\n\t\treverse_proxy @static WORKSPACE\n\t\troute @repogate_judged {']] },
      'H6: the client\'s Connection is kept': { finds: 'connection', edits: [without(CADDY, 'request_header @repogate_no_websocket -Connection')] },
      'E12: the login path is behind the question': {
        finds: 'login',
        edits: [[CADDY, 'route @repogate_judged {', 'forward_auth /_repogate/login {$REPOGATE_GATEWAY:127.0.0.1:8080} {\n\t\t\turi /_repogate/auth/caddy\n\t\t}\n\t\troute @repogate_judged {']],
      },
      'L2: the token goes on to the workspace': { finds: 'secrets', edits: [without(CADDY, 'header_up -Authorization')] },
    },
  },
  {
    front: 'haproxy',
    topology: 'gateway',
    mistakes: {
      'A8: X-Forwarded-For is the client\'s': { finds: 'address', edits: [without(HAPROXY, 'forwarded|'), without(HAPROXY, /http-request set-header X-Forwarded-For .*/)] },
      'A2: the auth path can be reached from outside': { finds: 'closed', edits: [without(HAPROXY, /http-request return status 404 .*/)] },
      'H13: static files are taken from the workspace without asking': {
        finds: 'skipped',
        edits: [[HAPROXY, 'default_backend repogate', 'use_backend workspaces if { path_end .css .js .png }\n    default_backend repogate'], [HAPROXY, /$/, '\nbackend workspaces\n    server workspace WORKSPACE\n']],
      },
      'E12: the login path wants a login': { finds: 'login', edits: [[HAPROXY, 'default_backend repogate', 'http-request return status 401 if { path /_repogate/login }\n    default_backend repogate']] },
    },
  },
  {
    front: 'caddy',
    topology: 'gateway',
    mistakes: {
      'A8: X-Forwarded-For is the client\'s': { finds: 'address', edits: [without(CADDY, 'request_header -*forwarded*'), [CADDY, 'header_up X-Real-IP {remote_host}', 'header_up X-Real-IP {remote_host}\n\t\ttrusted_proxies private_ranges']] },
      'A2: the auth path can be reached from outside': { finds: 'closed', edits: [without(CADDY, 'import repogate-close')] },
      'H13: static files are taken from the workspace without asking': { finds: 'skipped', edits: [[CADDY, 'import repogate-close', '@static path *.css *.js *.png\n\t\treverse_proxy @static WORKSPACE\n\t\timport repogate-close']] },
      'E12: the login path wants a login': { finds: 'login', edits: [[CADDY, 'import repogate-close', 'respond /_repogate/login 401\n\t\timport repogate-close']] },
    },
  },
];

for (const { front, topology, mistakes } of MISTAKES) {
  describe(`doctor finds what is wrong (${front}, ${topology})`, () => {
    let stand;
    let token;
    before(async () => {
      stand = await startStand({ variant: variant(), front, topology, ...WITH_ECHO });
      token = await tokenFile(stand);
      await stand.front.close();
    });
    after(() => closeStand(stand));

    Object.entries(mistakes).forEach(([name, { finds, edits }], i) => {
      test(name, async () => {
        const words = { TOKEN: (await readFile(token, 'utf8')).trim(), WORKSPACE: `127.0.0.1:${stand.workspace.port}` };
        const broken = await startBroken(stand, { dir: join(stand.dir, `broken-${i}`), edits, words });
        try {
          const { code, report, err } = await doctor(stand.url, '--token-file', token, '--json');
          assert.equal(code, 1, `${err}${JSON.stringify(report?.checks.filter(({ verdict }) => verdict !== 'safe'), null, 1)}`);
          const check = checkOf(report, finds);
          assert.equal(check.verdict, 'open', JSON.stringify(report.checks.filter(({ verdict }) => verdict !== 'safe'), null, 1));
          assert.match(check.request, /^[A-Z]+ \S+ HTTP\/1\.1\n/, 'with the request that went through');
          assert.ok(Object.values(check.cures).length > 0, 'with what to change');
        } finally {
          await broken.close();
        }
      });
    });
  });
}

describeFronts('doctor and the shipped configuration', WITH_ECHO, (the) => {
  test('A1, A3, A8, B3, B7, H1, H5, H6: all is safe', async () => {
    const { code, report, err } = await doctor(the().url, '--token-file', await tokenFile(the()), '--json');
    assert.deepEqual(report.checks.filter(({ verdict }) => verdict !== 'safe'), [], err);
    assert.deepEqual([code, report.open, report.unknown, report.safe], [0, 0, 0, report.checks.length]);
    assert.equal(report.routed_by, the().topology === 'gateway' ? 'gateway' : 'proxy');
    assert.equal(report.username, 'dora');
  });
});

describeStand('what doctor says', { ...WITH_ECHO, provider: { people: [{ username: 'greta', name: 'Greta Guest', password: 'greta-demo', appPassword: 'greta-app-password', groups: ['guests'] }] } }, (the) => {
  let token;
  const port = () => new URL(the().url).port;
  const echo = (headers, path = '/_repogate/echo/test/page') => the().request(path, { headers });

  before(async () => { token = await tokenFile(the()); });

  test('a table for people, and never the token', async () => {
    const { code, out, err } = await doctor(the().url, '--token-file', token);
    assert.deepEqual([code, err], [0, '']);
    const rows = out.trimEnd().split('\n');
    assert.match(rows.pop(), /^http:\S+: \d+ safe, 0 open, 0 could not be told$/);
    for (const row of rows) assert.match(row, /^safe {8}[a-z-]+ +\S/);
    const broken = await (async () => {
      await the().front.close();
      const front = await startBroken(the(), { dir: join(the().dir, 'kept-connection'), edits: [[WORKSPACE, 'proxy_set_header Connection "";', 'proxy_set_header Connection $http_connection;']] });
      const answer = await doctor(the().url, '--token-file', token);
      await front.close();
      the().front = await FRONTS.nginx({ dir: join(the().dir, 'again'), port: port(), gatewayPort: new URL(the().gateway.url).port, topology: 'auth-request' });
      return answer;
    })();
    assert.equal(broken.code, 1);
    assert.match(broken.out, /^OPEN {8}connection .*\n +Connection arrived as the client wrote it.*\n +the request:\n +GET \/_repogate\/echo\/[0-9a-f]+\/page HTTP\/1\.1\n/m);
    assert.match(broken.out, /Authorization: Bearer \(token\)\n(?:.*\n)* +to change, for nginx:\n +proxy_set_header Connection "";/);
    assert.doesNotMatch(broken.out, /for caddy/, 'of this proxy alone');
    assert.ok(!`${out}${broken.out}`.includes((await readFile(token, 'utf8')).trim()), 'the token is not shown');
  });

  test('each request is one line in the log, and none is longer than it must be', async () => {
    const before = (await the().auditLines()).length;
    await doctor(the().url, '--token-file', token);
    const lines = (await the().auditLines()).slice(before).filter(({ type }) => type === 'decision');
    assert.ok(lines.length > 50 && lines.length < 400, `${lines.length} lines`);
  });

  test('L1, L3: the echo shows neither token nor cookies, in any spelling', async () => {
    const value = (await readFile(token, 'utf8')).trim();
    const answer = await echo({ authorization: `Bearer ${value}`, cookie: 'app=secret-of-app; repogate=secret-of-ours' });
    assert.equal(answer.status, 200);
    assert.equal(answer.json().repogate_echo, 1);
    assert.doesNotMatch(answer.text, /secret-of/);
    assert.ok(!answer.text.includes(value));
    const direct = await request(`${the().gateway.url}/_repogate/echo/test/page`, { headers: { host: new URL(the().url).host, authorization: `Bearer ${value}`, X_Repogate_Proxy_Secret: 'secret-of-proxy', 'X-Repogate-Assertion': 'secret-of-assertion' } });
    assert.equal(direct.status, 200);
    assert.doesNotMatch(direct.text, /secret-of/);
  });

  test('E1: only whom the policy lets sees the echo, and then it is judged as what it is', async () => {
    assert.equal((await echo({})).status, 401);
    const others = await tokenFile(the(), 'greta');
    const refused = await echo({ authorization: `Bearer ${(await readFile(others, 'utf8')).trim()}` });
    assert.deepEqual([refused.status, refused.json().reason], [403, 'no_rule']);
    const { code, out } = await doctor(the().url, '--token-file', others);
    assert.equal(code, 3, out);
    assert.match(out, /^can't tell {2}echo .*\n.*\n +the policy does not let the token's owner see the echo/m);
    const elsewhere = await echo({ authorization: `Bearer ${(await readFile(token, 'utf8')).trim()}` }, '/github/acme/site/');
    assert.equal(elsewhere.status, 403, 'the rule opens the echo and nothing else');
  });

  test('F4: an invented decision lets nobody in, a real one only its like, and not from elsewhere', async () => {
    const authorization = `Bearer ${(await readFile(token, 'utf8')).trim()}`;
    const host = new URL(the().url).host;
    const { judged } = (await echo({ authorization })).json();
    const direct = (id, more = {}) => request(`${the().gateway.url}/_repogate/echo/test/page`, { headers: { host, 'x-repogate-decision-id': id, ...more } });
    assert.equal((await direct('01900000-0000-7000-8000-000000000000')).status, 401);
    assert.equal((await direct('')).status, 401);
    assert.equal((await direct(judged.id)).json().judged.id, judged.id, 'as from the proxy that asked');
    assert.equal((await echo({ 'x-repogate-decision-id': judged.id })).status, 401, 'through the proxy it is only a claim');
    const stranger = http.get(`${the().gateway.url}/_repogate/echo/test/page`, { headers: { host, 'x-repogate-decision-id': judged.id }, localAddress: '127.0.0.2' });
    const [answer] = await once(stranger, 'response');
    answer.resume();
    assert.equal(answer.statusCode, 401, 'only a trusted peer is a proxy');
  });

  test('A2: what is not quite the echo is our own path, and refused', async () => {
    const headers = { authorization: `Bearer ${(await readFile(token, 'utf8')).trim()}` };
    for (const path of ['/_repogate/echo', '/_repogate/echo/', '/_repogate/echo/a', '/_repogate/echo//a', '/_repogate/echo/a//b', '/_repogate/echo/a/../b', '/_repogate/echo/a/%2e%2e/b', '/_repogate/echo/a/%252e%252e/%252e%252e/auth/nginx',
      '/_repogate/echo/a/_repogate/auth/nginx', '/_Repogate/echo/a/b', '/_repogate/ech%6f/a/b', '/_repogate/echo/a%2fb', '/_repogate/echo/a.b/c']) {
      const answer = await echo(headers, path);
      assert.ok([301, 400, 403, 404].includes(answer.status), `${path}: ${answer.status}`);
      assert.doesNotMatch(answer.text, /repogate_echo/);
    }
  });

  test('wrong usage ends with 2, and says what is expected', async () => {
    await writeFile(join(the().dir, 'empty'), '\n');
    for (const args of [[], [the().url], ['--token-file', token], ['ftp://a/', '--token-file', token], [`${the().url}/x`, '--token-file', token], [the().url, '--token-file', join(the().dir, 'empty')], [the().url, '--token-file', '/nowhere'], [the().url, the().url, '--token-file', token]]) {
      const { code, out, err } = await doctor(...args);
      assert.deepEqual([code, out], [2, ''], args.join(' '));
      assert.match(err, /^repogate doctor: .*\nTry: repogate doctor --help\n$/);
    }
    const help = await doctor('--help');
    assert.deepEqual([help.code, help.err], [0, '']);
    assert.match(help.out, /doctor\.enabled/);
  });

  test('a door that is not there ends with 3', async () => {
    const { code, out, err } = await doctor(`http://127.0.0.1:${await freePort()}`, '--token-file', token);
    assert.deepEqual([code, out], [3, '']);
    assert.match(err, /cannot be asked: /);
  });

  test('a token that is worth nothing ends with 3 and says so: a door that lets nobody in proves nothing', async () => {
    const file = join(the().dir, 'worthless');
    await writeFile(file, 'worthless\n');
    const { code, report } = await doctor(the().url, '--token-file', file, '--json');
    assert.deepEqual([code, report.open], [3, 0]);
    for (const id of ['echo', 'url', 'path', 'identity', 'cache', 'secrets']) assert.equal(checkOf(report, id).verdict, 'unknown', id);
    assert.match((await doctor(the().url, '--token-file', file)).out, /^can't tell {2}echo .*\n.*\n +the token is not accepted/m);
  });

  test('something that is no gateway ends with 3, whatever it answers', async () => {
    for (const answer of ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}', 'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"repogate_echo":1}\n', 'nonsense\r\n\r\n', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', `HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(600000)}`]) {
      const server = net.createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => socket.end(answer));
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { code, report } = await doctor(`http://127.0.0.1:${server.address().port}`, '--token-file', token, '--json');
      server.close();
      assert.equal(checkOf(report, 'echo').verdict, 'unknown', answer.slice(0, 60));
      assert.notEqual(code, 0);
    }
  });
});

describeStand('doctor and a gateway without an echo', { policies: POLICY }, (the) => {
  test('A2: the echo is a path like any other of ours: refused', async () => {
    const token = await tokenFile(the());
    const headers = { authorization: `Bearer ${(await readFile(token, 'utf8')).trim()}` };
    assert.equal((await the().request('/_repogate/echo/test/page', { headers })).status, 404);
    const question = { ...headers, host: new URL(the().url).host, 'x-original-url': `${the().url}/_repogate/echo/test/page`, 'x-original-method': 'GET', 'x-real-ip': '192.0.2.1' };
    const answer = await request(`${the().gateway.url}/_repogate/auth/nginx`, { headers: question });
    assert.deepEqual([answer.status, answer.headers['x-repogate-reason']], [403, 'own_path']);
  });

  test('doctor says what to set', async () => {
    const { code, out } = await doctor(the().url, '--token-file', await tokenFile(the()));
    assert.equal(code, 3);
    assert.match(out, /^can't tell {2}echo .*\n.*\n +the gateway has no echo: set doctor\.enabled: true/m);
  });
});

describe('doctor over TLS', () => {
  let stand;
  let tls;
  let token;
  before(async () => {
    const port = await freePort();
    stand = await startStand({ variant: variant(), topology: 'gateway', ...WITH_ECHO, config: { ...WITH_ECHO.config, server: { public_url: `https://localhost:${port}` } } });
    const at = (name) => join(stand.dir, name);
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', at('tls.key'), '-out', at('tls.pem'), '-days', '2', '-subj', '/CN=test', '-addext', 'subjectAltName=DNS:localhost'], { stdio: 'ignore' });
    tls = createServer({ key: await readFile(at('tls.key')), cert: await readFile(at('tls.pem')), ALPNProtocols: ['h2', 'http/1.1'] }, (socket) => {
      const front = net.connect(new URL(stand.url).port, '127.0.0.1');
      socket.on('error', () => front.destroy());
      front.on('error', () => socket.destroy());
      socket.pipe(front).pipe(socket);
    }).listen(port, '127.0.0.1');
    await once(tls, 'listening');
    token = await tokenFile(stand);
  });
  after(async () => {
    tls?.close();
    await closeStand(stand);
  });

  test('all is safe, byte for byte the same requests', async () => {
    const { code, report, err } = await doctor(`https://localhost:${tls.address().port}`, '--token-file', token, '--ca-file', join(stand.dir, 'tls.pem'), '--json');
    assert.deepEqual(report?.checks.filter(({ verdict }) => verdict !== 'safe'), [], err);
    assert.equal(code, 0);
  });

  test('T11: a certificate that nobody vouches for gets no token', async () => {
    const { code, out, err } = await doctor(`https://localhost:${tls.address().port}`, '--token-file', token);
    assert.deepEqual([code, out], [3, '']);
    assert.match(err, /certificate/i);
    const other = await doctor(`https://127.0.0.1:${tls.address().port}`, '--token-file', token, '--ca-file', join(stand.dir, 'tls.pem'));
    assert.equal(other.code, 3);
  });
});
