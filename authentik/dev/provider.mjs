// A local OpenID Connect provider dressed as Authentik. oidc-provider does the protocol (codes, PKCE, rotation, client authentication);
// the layer around it gives Authentik's paths, token shapes, error answers and habits. See README.md.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Provider, errors } from 'oidc-provider';
import { newMemoryAdapter } from './adapter.mjs';
import { Keys, TOKEN_FAULTS } from './keys.mjs';
import { loginPage, messagePage } from './pages.mjs';
import { CLAIM_FAULTS, People, claimsFor } from './people.mjs';

const SLUG = 'repogate';
const BASE = '/application/o/';
const FLOW = '/if/flow/default-authentication-flow/';
const ROUTES = {
  authorization: `${BASE}authorize/`,
  token: `${BASE}token/`,
  userinfo: `${BASE}userinfo/`,
  introspection: `${BASE}introspect/`,
  revocation: `${BASE}revoke/`,
  end_session: `${BASE}${SLUG}/end-session/`,
  jwks: `${BASE}${SLUG}/jwks/`,
};
const DISCOVERY = `${BASE}${SLUG}/.well-known/openid-configuration`;
const SCOPES = ['openid', 'profile', 'email', 'entitlements', 'offline_access', 'repogate'];
// oidc-provider ignores offline_access without prompt=consent, Authentik does not: inside, the scope goes by another name.
const OFFLINE = 'offline_access';
const OFFLINE_INSIDE = 'offline';
const BODY_MAX = 64 * 1024;

const nowSeconds = () => Math.floor(Date.now() / 1000);
const sha256Hex = (text) => createHash('sha256').update(text).digest('hex');
const rename = (scope, from, to) => scope.split(' ').map((name) => (name === from ? to : name)).join(' ');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class DevProvider {
  keys = new Keys();
  counts = {}; // requests per endpoint, for tests of caching and single-flight
  faults = { id_token: '', access_token: '', claims: '', endpoints: {} };
  accessTokenSeconds = 3600;
  refreshTokenSeconds = 30 * 24 * 3600;
  #issued = new Map(); // our access token -> what stands behind it
  #oidc;

  constructor({ clientId, clientSecret, redirectUris, logoutRedirectUris, people }) {
    this.clientId = clientId;
    this.clientSecret = clientSecret;
    this.logoutRedirectUris = logoutRedirectUris;
    this.people = new People(people);
    this.#oidc = this.#newOidc(redirectUris);
    this.#translateAccessTokens();
    this.#oidc.use((ctx, next) => this.#around(ctx, next));
  }

  // ---- what tests and the control endpoint use ----

  rotateKey() {
    return this.keys.rotate();
  }

  updateUser(username, patch) {
    return this.people.update(username, patch);
  }

  /* { id_token, access_token: a name of TOKEN_FAULTS; claims: a name of CLAIM_FAULTS;
   *   endpoints: { discovery|jwks|authorization|token|userinfo|introspection|revocation|end_session|all: 'down' | 'html' | { slow_ms } } } */
  setFaults({ id_token = '', access_token = '', claims = '', endpoints = {} } = {}) {
    for (const name of [id_token, access_token]) if (name && !TOKEN_FAULTS[name]) throw new Error(`no such token fault: ${name}`);
    if (claims && !CLAIM_FAULTS[claims]) throw new Error(`no such claims fault: ${claims}`);
    this.faults = { id_token, access_token, claims, endpoints };
  }

  /* A token of the right shape for a user, then changed as asked; nothing of it is stored, so userinfo does not know it. */
  mint({ username = 'dora', kind = 'access', scope = 'openid profile email entitlements repogate', sid = sha256Hex(randomUUID()), issuer = this.issuer,
    lifetime = 3600, claims = {}, header = {}, fault = '' } = {}) {
    const person = this.people.find(username);
    const payload = this.#payload({ person, kind, issuer, scope, sid, iat: nowSeconds(), exp: nowSeconds() + lifetime, authTime: nowSeconds(), amr: ['pwd'] });
    const changed = JSON.parse(JSON.stringify({ ...payload, ...claims }, (_, value) => (value === null ? undefined : value)));
    return fault ? TOKEN_FAULTS[fault](this.keys, changed) : this.keys.sign(changed, header);
  }

  callback() {
    return this.#oidc.callback();
  }

  // ---- oidc-provider, configured ----

  #newOidc(redirectUris) {
    const cookies = { signed: true, httpOnly: true, sameSite: 'lax' };
    const oidc = new Provider(`http://127.0.0.1${BASE}${SLUG}/`, {
      adapter: newMemoryAdapter(),
      routes: ROUTES,
      scopes: SCOPES.map((name) => rename(name, OFFLINE, OFFLINE_INSIDE)),
      clients: [{
        client_id: this.clientId,
        client_secret: this.clientSecret,
        redirect_uris: redirectUris,
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials', 'password'],
        response_types: ['code'],
        token_endpoint_auth_method: 'client_secret_post',
      }],
      jwks: { keys: [new Keys().privateJwk()] }, // never seen outside: every token is signed again by this.keys
      cookies: { keys: [randomBytes(32).toString('hex')], names: { session: 'authentik_session' }, long: cookies, short: cookies },
      features: {
        devInteractions: { enabled: false },
        introspection: { enabled: true, allowedPolicy: () => true },
        revocation: { enabled: true },
        rpInitiatedLogout: { enabled: false },
        userinfo: { enabled: true },
      },
      interactions: { url: (ctx, interaction) => `${FLOW}${interaction.uid}/` },
      pkce: { methods: ['S256'], required: () => false },
      rotateRefreshToken: true,
      issueRefreshToken: (ctx, client, code) => code.scopes.has(OFFLINE_INSIDE),
      expiresWithSession: () => false, // access tokens are ended by hand at logout; refresh tokens outlive the session, as Authentik's do
      clientBasedCORS: () => false,
      findAccount: (ctx, sub) => this.#account(sub),
      loadExistingGrant: (ctx) => this.#grant(ctx),
      renderError: (ctx, out) => {
        ctx.type = 'html';
        ctx.body = messagePage('Something is wrong', `${out.error}: ${out.error_description ?? ''}`);
      },
      ttl: {
        AccessToken: () => this.accessTokenSeconds,
        AuthorizationCode: 60,
        IdToken: () => this.accessTokenSeconds,
        RefreshToken: () => this.refreshTokenSeconds,
        Grant: 30 * 24 * 3600,
        Interaction: 1800,
        Session: 14 * 24 * 3600,
      },
    });
    for (const grant of ['client_credentials', 'password']) {
      oidc.registerGrantType(grant, (ctx, next) => this.#appPasswordGrant(ctx, next), ['username', 'password', 'scope']);
    }
    return oidc;
  }

  #account(sub) {
    const person = this.people.findBySub(sub);
    return person && { accountId: sub, claims: () => ({ sub }) };
  }

  // No consent page: the default flow of Authentik has none.
  async #grant(ctx) {
    const { client, session } = ctx.oidc;
    const known = ctx.oidc.result?.consent?.grantId ?? session.grantIdFor(client.clientId);
    if (known) {
      const grant = await this.#oidc.Grant.find(known);
      if (grant) return grant;
    }
    return this.#newGrant(session.accountId, SCOPES.join(' '));
  }

  async #newGrant(accountId, scope) {
    const grant = new this.#oidc.Grant({ accountId, clientId: this.clientId });
    grant.addOIDCScope(rename(scope, OFFLINE, OFFLINE_INSIDE));
    await grant.save();
    return grant;
  }

  // Machine to machine: user name and app password. No session, hence no sid, and no refresh token.
  async #appPasswordGrant(ctx, next) {
    const { username, password, scope = '' } = ctx.oidc.params;
    const person = this.people.loginApp(username, password);
    if (!person) throw new errors.InvalidGrant('wrong user name or app password');
    const grant = await this.#newGrant(person.sub, scope);
    const token = new this.#oidc.AccessToken({ accountId: person.sub, client: ctx.oidc.client, grantId: grant.jti, gty: 'client_credentials', scope });
    ctx.oidc.entity('AccessToken', token);
    ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType, scope };
    await next();
  }

  // Outside there are JWTs, inside opaque tokens: whoever looks one up finds what stands behind it.
  #translateAccessTokens() {
    const { AccessToken } = this.#oidc;
    const find = AccessToken.find.bind(AccessToken);
    AccessToken.find = (value, options) => find(this.#issued.get(value)?.opaque ?? value, options);
  }

  // ---- the dress ----

  async #around(ctx, next) {
    const endpoint = this.#endpoint(ctx.path);
    if (endpoint) this.counts[endpoint] = (this.counts[endpoint] ?? 0) + 1;
    if (await this.#misbehave(ctx, endpoint)) return;
    if (ctx.path.startsWith(FLOW)) return this.#login(ctx);
    switch (endpoint) {
      case 'discovery':
        ctx.body = this.#discovery(ctx);
        return;
      case 'jwks':
        ctx.body = this.keys.jwks();
        return;
      case 'end_session':
        await this.#endSession(ctx);
        return;
      case 'authorization':
        await this.#authorize(ctx, next);
        return;
      case 'token':
        await next();
        this.#dressToken(ctx);
        return;
      case 'userinfo':
        await next();
        this.#dressUserinfo(ctx);
        return;
      case 'introspection':
        await next();
        this.#dressIntrospection(ctx);
        return;
      case 'revocation':
        await next();
        return;
      default:
        ctx.status = 404;
        ctx.body = messagePage('Not found', 'Nothing lives here.');
    }
  }

  // Trailing slashes matter to Authentik, so they do here.
  #endpoint(path) {
    if (path === DISCOVERY) return 'discovery';
    if (path.startsWith(ROUTES.authorization)) return 'authorization';
    return Object.keys(ROUTES).find((name) => ROUTES[name] === path);
  }

  async #misbehave(ctx, endpoint) {
    const fault = this.faults.endpoints[endpoint] ?? this.faults.endpoints.all;
    if (!fault) return false;
    if (fault.slow_ms) {
      await sleep(fault.slow_ms);
      return false;
    }
    ctx.status = fault === 'down' ? 500 : 200;
    ctx.type = 'html';
    ctx.body = messagePage('Authentik is starting', 'Please come back later.');
    return true;
  }

  // Authentik builds the issuer from the Host header of the request.
  #issuerFor(ctx) {
    return `${ctx.protocol}://${ctx.host}${BASE}${SLUG}/`;
  }

  #discovery(ctx) {
    const at = (name) => `${ctx.protocol}://${ctx.host}${ROUTES[name]}`;
    return {
      issuer: this.#issuerFor(ctx),
      authorization_endpoint: at('authorization'),
      token_endpoint: at('token'),
      userinfo_endpoint: at('userinfo'),
      end_session_endpoint: at('end_session'),
      introspection_endpoint: at('introspection'),
      revocation_endpoint: at('revocation'),
      jwks_uri: at('jwks'),
      response_types_supported: ['code'],
      response_modes_supported: ['query', 'fragment', 'form_post'],
      grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials', 'password'],
      id_token_signing_alg_values_supported: ['RS256'],
      subject_types_supported: ['public'],
      token_endpoint_auth_methods_supported: ['client_secret_post'],
      acr_values_supported: ['goauthentik.io/providers/oauth2/default'],
      scopes_supported: SCOPES,
      request_parameter_supported: false,
      claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'auth_time', 'acr', 'amr', 'nonce', 'email', 'email_verified', 'name', 'given_name',
        'preferred_username', 'nickname', 'groups', 'entitlements', 'roles', 'repogate'],
      claims_parameter_supported: false,
      code_challenge_methods_supported: ['S256'],
    };
  }

  async #authorize(ctx, next) {
    if (typeof ctx.query.scope === 'string') ctx.query = { ...ctx.query, scope: rename(ctx.query.scope, OFFLINE, OFFLINE_INSIDE) };
    await next();
    // Authentik does not send the iss parameter of RFC 9207.
    const location = ctx.response.get('location');
    if (location) ctx.set('location', location.replace(/&iss=[^&#]*/, ''));
  }

  async #login(ctx) {
    let interaction;
    try {
      interaction = await this.#oidc.interactionDetails(ctx.req, ctx.res);
    } catch {
      ctx.status = 400;
      ctx.body = messagePage('This login has expired', 'Go back to where you came from and start again.');
      return;
    }
    if (interaction.prompt.name !== 'login') {
      const result = { error: 'access_denied', error_description: `unexpected prompt ${interaction.prompt.name}` };
      await this.#resume(ctx, result);
      return;
    }
    ctx.set('cache-control', 'no-store');
    if (ctx.method !== 'POST') {
      ctx.body = loginPage({ action: ctx.path });
      return;
    }
    const form = await readForm(ctx.req);
    const person = this.people.login(form.get('username'), form.get('password') ?? '');
    if (!person) {
      ctx.body = loginPage({ action: ctx.path, username: form.get('username') ?? '', error: 'Wrong user name or password.' });
      return;
    }
    await this.#resume(ctx, { login: { accountId: person.sub, amr: ['pwd'] } });
  }

  async #resume(ctx, result) {
    const to = await this.#oidc.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
    ctx.status = 303;
    ctx.set('location', to);
    ctx.body = '';
  }

  async #endSession(ctx) {
    const params = ctx.method === 'POST' ? await readForm(ctx.req) : new URLSearchParams(ctx.querystring);
    const target = params.get('post_logout_redirect_uri');
    const hint = params.get('id_token_hint');
    const claims = hint ? this.keys.open(hint) : undefined;
    const isHintGood = claims?.aud === this.clientId && claims?.iss === this.#issuerFor(ctx);
    if ((hint && !isHintGood) || (target && (!hint || !this.logoutRedirectUris.includes(target)))) {
      ctx.status = 400;
      ctx.body = messagePage('Cannot log out like this', 'The id_token_hint or the post_logout_redirect_uri is not valid.');
      return;
    }
    const session = await this.#oidc.Session.get(ctx);
    await this.endSession(session.uid);
    await session.destroy();
    ctx.cookies.set('authentik_session', null, { signed: true });
    if (target) {
      const url = new URL(target);
      if (params.has('state')) url.searchParams.set('state', params.get('state'));
      ctx.redirect(url.href);
      return;
    }
    ctx.body = messagePage('Logged out', 'You are logged out of the identity provider.');
  }

  /* Ending a session deletes its access tokens: userinfo and introspection no longer know them, while the JWT verifies until exp. */
  async endSession(uid) {
    for (const [jwt, issued] of this.#issued) {
      if (issued.sessionUid !== uid) continue;
      const token = await this.#oidc.AccessToken.find(jwt);
      await token?.destroy();
      this.#issued.delete(jwt);
    }
  }

  #dressToken(ctx) {
    if (ctx.status !== 200) {
      // Always 400 with a request id, invalid_client too.
      const { error = 'invalid_request', error_description } = typeof ctx.body === 'object' ? ctx.body : {};
      ctx.remove('www-authenticate');
      ctx.status = 400;
      ctx.body = { error, error_description, request_id: randomUUID().replaceAll('-', '') };
      return;
    }
    const { AccessToken: token, AuthorizationCode: code, RefreshToken: refresh } = ctx.oidc.entities;
    const scope = rename(token.scope ?? '', OFFLINE_INSIDE, OFFLINE);
    const made = {
      person: this.people.findBySub(token.accountId),
      issuer: this.#issuerFor(ctx),
      scope,
      sid: token.sessionUid && sha256Hex(token.sessionUid),
      iat: nowSeconds(),
      exp: nowSeconds() + ctx.body.expires_in,
      authTime: (code ?? refresh)?.authTime,
      amr: (code ?? refresh)?.amr,
      nonce: code?.nonce, // refreshed ID tokens may lack it, so here they do
    };
    const access = this.#signed('access', made, this.faults.access_token);
    this.#issued.set(access, { opaque: ctx.body.access_token, sessionUid: token.sessionUid });
    ctx.body = {
      access_token: access,
      token_type: 'Bearer',
      expires_in: ctx.body.expires_in,
      scope,
      id_token: this.#signed('id', made, this.faults.id_token),
      ...(ctx.body.refresh_token && { refresh_token: ctx.body.refresh_token }),
    };
  }

  #dressUserinfo(ctx) {
    if (ctx.status !== 200) return;
    const { accountId: sub, scope } = ctx.oidc.entities.AccessToken;
    ctx.body = { sub, ...claimsFor(this.people.findBySub(sub), scope, this.faults.claims) };
  }

  #dressIntrospection(ctx) {
    if (ctx.status !== 200 || !ctx.body.active) {
      ctx.remove('www-authenticate');
      ctx.status = 200;
      ctx.body = { active: false };
      return;
    }
    const frozen = this.#issued.has(ctx.oidc.params.token) ? decodePayload(ctx.oidc.params.token) : {};
    ctx.body = { ...frozen, active: true, scope: frozen.scope ?? rename(ctx.body.scope ?? '', OFFLINE_INSIDE, OFFLINE), client_id: this.clientId };
  }

  #signed(kind, made, fault) {
    const payload = this.#payload({ kind, ...made });
    return fault ? TOKEN_FAULTS[fault](this.keys, payload) : this.keys.sign(payload);
  }

  // The same claims in both tokens; azp, uid and scope tell the access token.
  #payload({ person, kind, issuer, scope, sid, iat, exp, authTime, amr, nonce }) {
    return {
      iss: issuer,
      sub: person.sub,
      aud: this.clientId,
      exp,
      iat,
      ...(authTime && { auth_time: authTime }),
      acr: 'goauthentik.io/providers/oauth2/default',
      ...(amr && { amr }),
      ...(nonce && { nonce }),
      ...(sid && { sid }),
      jti: randomUUID(),
      ...claimsFor(person, scope, this.faults.claims),
      ...(kind === 'access' && { azp: this.clientId, uid: randomBytes(20).toString('hex'), scope }),
    };
  }
}

function decodePayload(jwt) {
  return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));
}

async function readBody(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > BODY_MAX) throw new Error('request body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function readForm(req) {
  return new URLSearchParams(await readBody(req));
}

// POST /control with JSON: {"rotate":true}, {"user":{"username","patch"}}, {"faults":{…}}, {"access_token_seconds":n}, {"mint":{…}}.
// JSON only, so that no web page can send it without a preflight that nobody answers.
async function control(provider, req, res) {
  const reply = (status, value) => {
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(`${JSON.stringify(value)}\n`);
  };
  if (req.method !== 'POST' || !/^application\/json\b/.test(req.headers['content-type'] ?? '')) return reply(405, { error: 'POST application/json' });
  try {
    const order = JSON.parse(await readBody(req));
    if (order.rotate) provider.rotateKey();
    if (order.user) provider.updateUser(order.user.username, order.user.patch);
    if (order.faults) provider.setFaults(order.faults);
    if (order.access_token_seconds) provider.accessTokenSeconds = order.access_token_seconds;
    return reply(200, { kid: provider.keys.kid, faults: provider.faults, counts: provider.counts, ...(order.mint && { token: provider.mint(order.mint) }) });
  } catch (error) {
    return reply(400, { error: error.message });
  }
}

/* Starts a provider on 127.0.0.1; port 0 = a free one. Returns the provider with issuer, port and close(). */
export async function startProvider({
  port = 0,
  clientId = 'repogate',
  clientSecret = randomBytes(32).toString('hex'),
  redirectUris = ['http://127.0.0.1/_repogate/callback'],
  logoutRedirectUris = [],
  people = [],
  withControl = false,
} = {}) {
  const provider = new DevProvider({ clientId, clientSecret, redirectUris, logoutRedirectUris, people });
  const callback = provider.callback();
  const server = createServer((req, res) => {
    if (withControl && req.url === '/control') control(provider, req, res);
    else callback(req, res);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  provider.port = server.address().port;
  provider.url = `http://127.0.0.1:${provider.port}`;
  provider.issuer = `${provider.url}${BASE}${SLUG}/`;
  provider.close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return provider;
}

async function main() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      json: { type: 'boolean', default: false },
      control: { type: 'boolean', default: false },
      'client-id': { type: 'string', default: 'repogate' },
      'client-secret': { type: 'string', default: randomBytes(32).toString('hex') },
      'redirect-uri': { type: 'string', multiple: true, default: ['http://127.0.0.1/_repogate/callback'] },
      'logout-redirect-uri': { type: 'string', multiple: true, default: [] },
    },
  });
  const provider = await startProvider({
    port: Number(values.port),
    clientId: values['client-id'],
    clientSecret: values['client-secret'],
    redirectUris: values['redirect-uri'],
    logoutRedirectUris: values['logout-redirect-uri'],
    withControl: values.control,
  });
  const facts = { issuer: provider.issuer, port: provider.port, client_id: provider.clientId, client_secret: provider.clientSecret };
  console.log(values.json ? JSON.stringify(facts) : `Identity provider: ${facts.issuer}  client ${facts.client_id}  secret ${facts.client_secret}`);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => provider.close());
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
