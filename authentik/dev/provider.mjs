// A local OpenID Connect provider dressed as Authentik. oidc-provider does the protocol (codes, PKCE, rotation, client authentication);
// the layer around it gives Authentik's paths, token shapes, error answers and habits. See README.md.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Provider, errors } from 'oidc-provider';
import { newMemoryAdapter } from './adapter.mjs';
import { logoutPayload, postLogout } from './backchannel.mjs';
import { control, readBody } from './control.mjs';
import { BASE, GRANTS, ROUTES, SCOPES, SLUG, endpointOf, isEndpoint, metadata } from './endpoints.mjs';
import { Holds } from './holds.mjs';
import { answerInstead, readOrder, spoilAnswer } from './hostile.mjs';
import { Keys, TOKEN_FAULTS } from './keys.mjs';
import { loginPage, messagePage } from './pages.mjs';
import { CLAIM_FAULTS, People, claimsFor } from './people.mjs';

const FLOW = '/if/flow/default-authentication-flow/';
// oidc-provider ignores offline_access without prompt=consent, Authentik does not: inside, the scope goes by another name.
const OFFLINE = 'offline_access';
const OFFLINE_INSIDE = 'offline';
const LOG_MAX = 1000;

const sha256Hex = (text) => createHash('sha256').update(text).digest('hex');
const rename = (scope, from, to) => scope.split(' ').map((name) => (name === from ? to : name)).join(' ');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class DevProvider {
  counts = {}; // requests per endpoint, and per grant as token:<grant type>, for tests of caching and single-flight
  log = []; // the latest requests: { endpoint, grant, door, host }
  faults = { id_token: '', access_token: '', claims: '', endpoints: {} };
  accessTokenSeconds = 3600;
  refreshTokenSeconds = 30 * 24 * 3600;
  clockSkewSeconds = 0; // how far our clock is ahead: iat, exp, auth_time, Date
  rotatesRefreshTokens = true;
  reuseEndsFamily = true; // a rotated refresh token that comes again ends what descends from it; otherwise it is just refused
  logoutUri = ''; // where logout tokens go when a session ends; '' = nowhere
  logoutsSent = []; // { token, status } or { token, error }
  #holds = new Holds();
  #issued = new Map(); // our access token -> what stands behind it
  #grants = new Map(); // grant id -> sub
  #endedSessions = new Set();
  #oidc;

  constructor({ clientId, clientSecret, redirectUris, logoutRedirectUris, people }) {
    this.clientId = clientId;
    this.clientSecret = clientSecret;
    this.logoutRedirectUris = logoutRedirectUris;
    this.keys = new Keys(clientSecret);
    this.people = new People(people);
    this.#oidc = this.#newOidc(redirectUris);
    this.#translateAccessTokens();
    this.#oidc.use((ctx, next) => this.#around(ctx, next));
  }

  // ---- what tests and the control endpoint use ----

  /* alg: RS256, ES256, ES384, ES512, EdDSA, or HS256 = no signing key. keep: the old key stays published. */
  rotateKey(alg = 'RS256', { keep = false } = {}) {
    return this.keys.rotate(alg, { keep });
  }

  updateUser(username, patch) {
    return this.people.update(username, patch);
  }

  /* { id_token, access_token: a name of TOKEN_FAULTS; claims: a name of CLAIM_FAULTS, or members over the true ones, null takes one away;
   *   endpoints: { discovery|jwks|authorization|token|token:<grant type>|userinfo|introspection|revocation|end_session|all: an order of hostile.mjs } } */
  setFaults({ id_token = '', access_token = '', claims = '', endpoints = {} } = {}) {
    for (const name of [id_token, access_token]) if (name && !TOKEN_FAULTS[name]) throw new Error(`no such token fault: ${name}`);
    if (typeof claims === 'string' && claims && !CLAIM_FAULTS[claims]) throw new Error(`no such claims fault: ${claims}`);
    const orders = Object.entries(endpoints).map(([name, order]) => [this.#known(name), readOrder(order)]);
    this.faults = { id_token, access_token, claims, endpoints: Object.fromEntries(orders) };
  }

  /* Requests to an endpoint (names as in setFaults) wait, on arrival or with { answered: true } just before the answer leaves, until released. */
  hold(endpoint, options) {
    this.#holds.hold(this.#known(endpoint), options);
  }

  held(endpoint) {
    return this.#holds.held(this.#known(endpoint));
  }

  whenHeld(endpoint, count = 1) {
    return this.#holds.whenHeld(this.#known(endpoint), count);
  }

  /* The oldest `count`; without it all, and the hold ends; without an endpoint everywhere. */
  release(endpoint, count) {
    this.#holds.release(endpoint, count);
  }

  /* Resolves once an endpoint was asked `count` times in all. */
  whenCounted(endpoint, count) {
    return this.#holds.when(`${count} requests to ${endpoint}`, () => (this.counts[this.#known(endpoint)] ?? 0) >= count);
  }

  /* The sessions of a person that still hold an access token: [{ uid, sid }]. */
  sessionsOf(username) {
    const { sub } = this.people.find(username);
    const uids = [...this.#issued.values()].filter((one) => one.sub === sub && one.sessionUid).map(({ sessionUid }) => sessionUid);
    return [...new Set(uids)].map((uid) => ({ uid, sid: sha256Hex(uid) }));
  }

  /* As an administrator ends all sessions of a person. */
  async endSessionsOf(username) {
    for (const { uid } of this.sessionsOf(username)) await this.endSession(uid);
  }

  /* Deletes access and refresh tokens, and logs nobody out: no logout token is sent, as before 2026.8. */
  async deactivate(username) {
    const { sub } = this.updateUser(username, { active: false });
    for (const [grantId, owner] of this.#grants) if (owner === sub) await this.#oidc.AccessToken.revokeByGrantId(grantId); // refresh tokens go along
    for (const [jwt, issued] of this.#issued) if (issued.sub === sub) this.#issued.delete(jwt);
  }

  /* by: 'sid', 'sub' or 'both'. sid: default, that of the person's latest session. claims and header over the usual ones; claims: null takes one away. */
  logoutToken({ username = 'dora', by = 'both', sid = this.sessionsOf(username).at(-1)?.sid, sub = this.people.find(username)?.sub, claims = {}, header = {} } = {}) {
    const who = { ...(by !== 'sid' && { sub }), ...(by !== 'sub' && { sid }) };
    const payload = logoutPayload({ issuer: this.issuer, clientId: this.clientId, iat: this.#now(), ...who, claims });
    return this.keys.sign(payload, { typ: 'logout+jwt', ...header });
  }

  /* Sends a logout token to the gateway's endpoint and gives back what it answered: { token, status, headers, text }. */
  async sendLogout(url, { token, fields, headers, ...options } = {}) {
    const sent = token ?? this.logoutToken(options);
    return { token: sent, ...(await postLogout(url, sent, { fields, headers })) };
  }

  /* A token of the right shape for a user, then changed as asked; nothing of it is stored, so userinfo does not know it. */
  mint({ username = 'dora', kind = 'access', scope = 'openid profile email entitlements repogate', sid = sha256Hex(randomUUID()), issuer = this.issuer,
    lifetime = 3600, claims = {}, header = {}, fault = '' } = {}) {
    const person = this.people.find(username);
    const now = this.#now();
    const payload = this.#payload({ person, kind, issuer, scope, sid, iat: now, exp: now + lifetime, authTime: now, amr: ['pwd'] });
    const changed = JSON.parse(JSON.stringify({ ...payload, ...claims }, (_, value) => (value === null ? undefined : value)));
    return fault ? TOKEN_FAULTS[fault](this.keys, changed) : this.keys.sign(changed, header);
  }

  callback() {
    return this.#oidc.callback();
  }

  #now() {
    return Math.floor(Date.now() / 1000) + this.clockSkewSeconds;
  }

  #known(endpoint) {
    if (!isEndpoint(endpoint)) throw new Error(`no such endpoint: ${endpoint}`);
    return endpoint;
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
        grant_types: GRANTS,
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
      rotateRefreshToken: () => this.rotatesRefreshTokens,
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
    oidc.app.on('error', (error) => {
      if (!['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'].includes(error.code)) console.error(error);
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

  // Machine to machine: user name and app password, or client id and secret alone. No session, hence no sid, and no refresh token.
  async #appPasswordGrant(ctx, next) {
    const { username, password, scope = '' } = ctx.oidc.params;
    const isAlone = username === undefined && password === undefined;
    const person = isAlone ? this.people.serviceAccount(this.clientId) : this.people.loginApp(username, password);
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
    const endpoint = endpointOf(ctx.path);
    if (this.clockSkewSeconds !== 0) ctx.set('date', new Date(this.#now() * 1000).toUTCString());
    if (endpoint === undefined) return this.#serve(ctx, next);
    const grant = endpoint === 'token' ? await this.#readTokenRequest(ctx) : undefined;
    const names = [...(grant ? [`token:${grant}`] : []), endpoint, 'all'];
    const order = names.map((name) => this.faults.endpoints[name]).find(Boolean) ?? {}; // as it is when the request comes
    this.#count(ctx, endpoint, grant);
    await this.#holds.pass(names, false, ctx.res);
    if (order.slow_ms) await sleep(order.slow_ms);
    if (endpoint === 'authorization' && order.error) {
      this.#refuseAuthorization(ctx, order);
      return;
    }
    if (answerInstead(ctx, order)) return;
    if (!(await this.#refuseReuse(ctx, grant))) await this.#serve(ctx, next, endpoint);
    await this.#holds.pass(names, true, ctx.res);
    spoilAnswer(ctx, order);
  }

  #count(ctx, endpoint, grant) {
    this.counts[endpoint] = (this.counts[endpoint] ?? 0) + 1;
    if (grant) this.counts[`token:${grant}`] = (this.counts[`token:${grant}`] ?? 0) + 1;
    this.log.push({ endpoint, grant, door: ctx.socket.localPort === this.port ? 'public' : 'internal', host: ctx.get('host') });
    if (this.log.length > LOG_MAX) this.log.shift();
    this.#holds.notify();
  }

  /* The body has to be known before oidc-provider reads it: which grant it is, and the second form of an app password, client_secret = Base64 of
   * user:password. */
  async #readTokenRequest(ctx) {
    const form = new URLSearchParams(await readBody(ctx.req));
    const grant = form.get('grant_type');
    const secret = form.get('client_secret') ?? '';
    if (grant === 'client_credentials' && !form.has('username') && secret !== this.clientSecret) {
      const [, username, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(secret, 'base64').toString()) ?? [];
      if (username) {
        form.set('username', username);
        form.set('password', password);
        form.set('client_secret', this.clientSecret);
      }
    }
    const body = Buffer.from(form.toString());
    const { method, url, socket, headers } = ctx.req;
    headers['content-length'] = String(body.length);
    delete headers['transfer-encoding'];
    ctx.req = Object.assign(Readable.from([body]), { method, url, socket, headers });
    ctx.tokenForm = form;
    return GRANTS.includes(grant) ? grant : undefined;
  }

  // With reuseEndsFamily off: oidc-provider would end the family, so it must not see the token again.
  async #refuseReuse(ctx, grant) {
    if (grant !== 'refresh_token' || this.reuseEndsFamily) return false;
    const known = await this.#oidc.RefreshToken.find(ctx.tokenForm.get('refresh_token') ?? '', { ignoreExpiration: true });
    if (!known?.consumed) return false;
    ctx.status = 400;
    ctx.body = { error: 'invalid_grant', error_description: 'the refresh token was used before', request_id: randomUUID().replaceAll('-', '') };
    return true;
  }

  #refuseAuthorization(ctx, { error, error_description }) {
    const params = new URLSearchParams(ctx.querystring);
    const target = new URL(params.get('redirect_uri'));
    for (const [name, value] of Object.entries({ error, error_description, state: params.get('state') })) if (value) target.searchParams.set(name, value);
    ctx.redirect(target.href);
  }

  async #serve(ctx, next, endpoint) {
    if (ctx.path.startsWith(FLOW)) {
      await this.#login(ctx);
      return;
    }
    switch (endpoint) {
      case 'discovery':
        ctx.body = metadata(`${ctx.protocol}://${ctx.host}`, this.keys.alg);
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

  // Authentik builds the issuer from the Host header of the request.
  #issuerFor(ctx) {
    return `${ctx.protocol}://${ctx.host}${BASE}${SLUG}/`;
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
    const form = new URLSearchParams(await readBody(ctx.req));
    const person = this.people.login(form.get('username'), form.get('password') ?? '');
    if (!person) {
      ctx.body = loginPage({ action: ctx.path, username: form.get('username') ?? '', error: 'Wrong user name or password.' });
      return;
    }
    await this.#endOther(ctx, interaction, person);
    await this.#resume(ctx, { login: { accountId: person.sub, amr: person.amr ?? ['pwd'] } });
  }

  // Whoever logs in takes the browser over: the session of somebody else ends, as in Authentik. (oidc-provider would ask on a page of its own.)
  async #endOther(ctx, interaction, person) {
    const session = await this.#oidc.Session.get(ctx);
    if (!session.accountId || session.accountId === person.sub) return;
    if (interaction.session) {
      delete interaction.session.uid;
      await interaction.save(interaction.exp - Math.floor(Date.now() / 1000));
    }
    await this.endSession(session.uid);
  }

  async #resume(ctx, result) {
    const to = await this.#oidc.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
    ctx.status = 303;
    ctx.set('location', to);
    ctx.body = '';
  }

  async #endSession(ctx) {
    const params = new URLSearchParams(ctx.method === 'POST' ? await readBody(ctx.req) : ctx.querystring);
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
    ctx.cookies.set('authentik_session', null, { signed: true });
    if (target) {
      const url = new URL(target);
      if (params.has('state')) url.searchParams.set('state', params.get('state'));
      ctx.redirect(url.href);
      return;
    }
    ctx.body = messagePage('Logged out', 'You are logged out of the identity provider.');
  }

  /* Ending a session deletes its access tokens: userinfo and introspection no longer know them, while the JWT verifies until exp. Refresh tokens go
   * on, and what they bring has no `sid`. One logout token goes out for each access token that has not expired. */
  async endSession(uid) {
    const tokens = [];
    this.#endedSessions.add(uid);
    await (await this.#oidc.Session.findByUid(uid))?.destroy();
    for (const [jwt, issued] of this.#issued) {
      if (issued.sessionUid !== uid) continue;
      const token = await this.#oidc.AccessToken.find(jwt);
      await token?.destroy();
      this.#issued.delete(jwt);
      if (issued.exp > this.#now()) tokens.push(this.logoutToken({ sub: issued.sub, sid: sha256Hex(uid) }));
    }
    if (this.logoutUri) for (const token of tokens) await this.#announceLogout(token);
  }

  async #announceLogout(token) {
    const answer = await this.sendLogout(this.logoutUri, { token }).catch((error) => ({ error }));
    this.logoutsSent.push({ token, ...answer });
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
      sid: token.sessionUid && !this.#endedSessions.has(token.sessionUid) && sha256Hex(token.sessionUid),
      iat: this.#now(),
      exp: this.#now() + ctx.body.expires_in,
      authTime: (code ?? refresh)?.authTime && (code ?? refresh).authTime + this.clockSkewSeconds,
      amr: (code ?? refresh)?.amr,
      nonce: code?.nonce, // refreshed ID tokens may lack it, so here they do
    };
    const access = this.#signed('access', made, this.faults.access_token);
    this.#issued.set(access, { opaque: ctx.body.access_token, sessionUid: token.sessionUid, sub: token.accountId, exp: made.exp });
    this.#grants.set(token.grantId, token.accountId);
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
      ...(authTime > (person.authAgo ?? 0) && { auth_time: authTime - (person.authAgo ?? 0) }), // authAgo: seconds; Infinity: not said
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

/* Starts a provider on 127.0.0.1; port 0 = a free one. Returns the provider with issuer, port and close(); with hasInternalDoor also internalUrl, a
 * second address for back channels: which one a request came by is in the log. */
export async function startProvider({
  port = 0,
  clientId = 'repogate',
  clientSecret = randomBytes(32).toString('hex'),
  redirectUris = ['http://127.0.0.1/_repogate/callback'],
  logoutRedirectUris = [],
  people = [],
  withControl = false,
  hasInternalDoor = false,
} = {}) {
  const provider = new DevProvider({ clientId, clientSecret, redirectUris, logoutRedirectUris, people });
  const callback = provider.callback();
  const listen = async (at) => {
    const server = createServer((req, res) => {
      if (withControl && req.url === '/control') control(provider, req, res);
      else callback(req, res);
    });
    server.listen(at, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  const servers = [await listen(port), ...(hasInternalDoor ? [await listen(0)] : [])];
  const [{ port: publicPort }, internal] = servers.map((server) => server.address());
  provider.port = publicPort;
  provider.url = `http://127.0.0.1:${provider.port}`;
  provider.issuer = `${provider.url}${BASE}${SLUG}/`;
  if (internal) provider.internalUrl = `http://127.0.0.1:${internal.port}`;
  provider.close = () => Promise.all(servers.map((server) => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  })));
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
