// Authentik's paths and what its metadata says of them. Trailing slashes matter to it, so they do here.
export const SLUG = 'repogate';
export const BASE = '/application/o/';
export const ROUTES = {
  authorization: `${BASE}authorize/`,
  token: `${BASE}token/`,
  userinfo: `${BASE}userinfo/`,
  introspection: `${BASE}introspect/`,
  revocation: `${BASE}revoke/`,
  end_session: `${BASE}${SLUG}/end-session/`,
  jwks: `${BASE}${SLUG}/jwks/`,
};
const DISCOVERY = `${BASE}${SLUG}/.well-known/openid-configuration`;
export const SCOPES = ['openid', 'profile', 'email', 'entitlements', 'offline_access', 'repogate'];
export const GRANTS = ['authorization_code', 'refresh_token', 'client_credentials', 'password'];

export function endpointOf(path) {
  if (path === DISCOVERY) return 'discovery';
  if (path.startsWith(ROUTES.authorization)) return 'authorization';
  return Object.keys(ROUTES).find((name) => ROUTES[name] === path);
}

/* The names that tests use: all, discovery, those of ROUTES, token:<grant type>. */
export function isEndpoint(text) {
  const [name, grant] = text.split(':');
  return ['all', 'discovery', ...Object.keys(ROUTES)].includes(name) && (grant === undefined || (name === 'token' && GRANTS.includes(grant)));
}

/* base: scheme and authority of the request, since Authentik builds its issuer from them. */
export function metadata(base, alg) {
  const at = (name) => `${base}${ROUTES[name]}`;
  return {
    issuer: `${base}${BASE}${SLUG}/`,
    authorization_endpoint: at('authorization'),
    token_endpoint: at('token'),
    userinfo_endpoint: at('userinfo'),
    end_session_endpoint: at('end_session'),
    introspection_endpoint: at('introspection'),
    revocation_endpoint: at('revocation'),
    jwks_uri: at('jwks'),
    response_types_supported: ['code'],
    response_modes_supported: ['query', 'fragment', 'form_post'],
    grant_types_supported: GRANTS,
    id_token_signing_alg_values_supported: [alg],
    subject_types_supported: ['public'],
    token_endpoint_auth_methods_supported: ['client_secret_post'],
    acr_values_supported: ['goauthentik.io/providers/oauth2/default'],
    scopes_supported: SCOPES,
    request_parameter_supported: false,
    claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'auth_time', 'acr', 'amr', 'nonce', 'email', 'email_verified', 'name', 'given_name',
      'preferred_username', 'nickname', 'groups', 'entitlements', 'roles', 'repogate'],
    claims_parameter_supported: false,
    code_challenge_methods_supported: ['plain', 'S256'],
    backchannel_logout_supported: true,
    backchannel_logout_session_supported: true,
  };
}
