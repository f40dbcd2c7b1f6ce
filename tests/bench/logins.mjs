// Logins as fast as they go, against an identity provider whose answers are as good as ready, so that the gateway is what is measured.
//
//   node logins.mjs PROVIDER-PORT GATEWAY-PORT ROUNDS SECONDS
//
// A login is what a browser makes of it, without the provider's own pages: /_repogate/login, then the callback with what that gave. The code is
// the nonce, so that the provider can answer without memory. Prints for each round: logins COMPLETED FAILED MICROSECONDS, and at the end
// sessions ASKED GOOD: how many of the sessions, taken here and there, whoami knows.
import { generateKeyPairSync, sign } from 'node:crypto';
import http from 'node:http';

const [providerPort, gatewayPort, rounds, seconds] = process.argv.slice(2).map(Number);
const AT_ONCE = 64;
const PEOPLE = 1000;
const SAMPLE = 200;
const READY_MS = 30000;
const HOST = 'dev.example.org';
const ISSUER = `http://127.0.0.1:${providerPort}/application/o/repogate/`;
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const HEADER = encode({ alg: 'ES256', typ: 'JWT', kid: 'bench' });

function jwt(payload) {
  const input = `${HEADER}.${encode(payload)}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

// ---- the provider ----

const at = (path) => `http://127.0.0.1:${providerPort}/application/o/${path}`;
const METADATA = {
  issuer: ISSUER,
  authorization_endpoint: at('authorize/'),
  token_endpoint: at('token/'),
  userinfo_endpoint: at('userinfo/'),
  jwks_uri: at('repogate/jwks/'),
  end_session_endpoint: at('repogate/end-session/'),
  id_token_signing_alg_values_supported: ['ES256'],
  code_challenge_methods_supported: ['S256'],
};
const KEYS = { keys: [{ ...publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'bench' }] };
const groups = Array.from({ length: 10 }, (_, i) => `group-${i}`).concat('developers');
const list = Array.from({ length: 20 }, (_, i) => `acme/private-${i}`);

function claimsOf(sub) {
  return {
    name: `Person ${sub}`,
    preferred_username: `person-${sub}`,
    email: `person-${sub}@example.org`,
    groups,
    entitlements: [],
    repogate: { v: 1, groups, attributes: { 'private-repo-access': list }, service: false },
  };
}

// Person and session follow from the nonce.
function tokensFor(nonce) {
  const sub = String(Buffer.from(nonce, 'base64url').readUInt16BE() % PEOPLE);
  const now = Math.floor(Date.now() / 1000);
  const payload = { iss: ISSUER, sub, aud: 'repogate', iat: now, exp: now + 3600, auth_time: now, amr: ['pwd'], sid: nonce, jti: nonce, ...claimsOf(sub) };
  return {
    access_token: jwt({ ...payload, azp: 'repogate', uid: nonce, scope: 'openid profile email entitlements offline_access repogate' }),
    id_token: jwt({ ...payload, nonce }),
    refresh_token: nonce,
    token_type: 'Bearer',
    expires_in: 3600,
  };
}

function userinfoFor(authorization) {
  const { sub } = JSON.parse(Buffer.from(authorization.split('.')[1], 'base64url'));
  return { sub, ...claimsOf(sub) };
}

const provider = http.createServer((req, res) => {
  const reply = (value) => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  if (req.url.endsWith('/openid-configuration')) reply(METADATA);
  else if (req.url.endsWith('/jwks/')) reply(KEYS);
  else if (req.url.endsWith('/userinfo/')) reply(userinfoFor(req.headers.authorization));
  else {
    let form = '';
    req.on('data', (chunk) => { form += chunk; });
    req.on('end', () => reply(tokensFor(new URLSearchParams(form).get('code'))));
  }
});
provider.keepAliveTimeout = 60000;

// ---- the browsers ----

const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
let nClients = 0;

function get(path, headers) {
  return new Promise((resolve, reject) => {
    const req = http.get({ host: '127.0.0.1', port: gatewayPort, path, agent, headers: { host: HOST, accept: 'text/html', 'sec-fetch-mode': 'navigate', ...headers } }, (res) => {
      res.resume();
      res.once('end', () => resolve(res));
    });
    req.once('error', reject);
  });
}

const cookieOf = (res, prefix) => (res.headers['set-cookie'] ?? []).map((line) => line.split(';')[0]).find((pair) => pair.startsWith(prefix) && !pair.endsWith('='));

// The session's cookie, or undefined. Everyone comes from an address of their own.
async function login() {
  nClients++;
  const client = { 'x-forwarded-for': `10.${(nClients >> 16) & 255}.${(nClients >> 8) & 255}.${nClients & 255}` };
  const begun = await get('/_repogate/login?rd=/github/acme/site/', client);
  const attempt = cookieOf(begun, '__Host-repogate-login-');
  if (begun.statusCode !== 302 || !attempt) return undefined;
  const asked = new URL(begun.headers.location).searchParams;
  const back = new URLSearchParams({ code: asked.get('nonce'), state: asked.get('state') });
  const done = await get(`/_repogate/callback?${back}`, { ...client, cookie: attempt });
  return done.statusCode === 302 && done.headers.location === `https://${HOST}/github/acme/site/` ? cookieOf(done, '__Host-repogate=') : undefined;
}

const sample = [];

async function round() {
  const start = process.hrtime.bigint();
  const until = Date.now() + seconds * 1000;
  let completed = 0;
  let failed = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (Date.now() < until) {
      const cookie = await login().catch(() => undefined);
      if (!cookie) failed++;
      else if (++completed % 37 === 0 && sample.length < SAMPLE) sample.push(cookie);
    }
  }));
  console.log(`logins ${completed} ${failed} ${(process.hrtime.bigint() - start) / 1000n}`);
}

async function untilReady() {
  for (const until = Date.now() + READY_MS; Date.now() < until;) {
    if (await login().catch(() => undefined)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no login within ${READY_MS} ms`);
}

await new Promise((resolve) => provider.listen(providerPort, '127.0.0.1', resolve));
await untilReady();
for (let i = 0; i < rounds; i++) await round();
const known = await Promise.all(sample.map((cookie) => get('/_repogate/whoami', { cookie }).then(({ statusCode }) => statusCode === 200)));
console.log(`sessions ${known.length} ${known.filter(Boolean).length}`);
agent.destroy();
provider.close();
provider.closeAllConnections();
