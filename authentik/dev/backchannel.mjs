// OpenID Connect Back-Channel Logout 1.0, as Authentik sends it: https://openid.net/specs/openid-connect-backchannel-1_0.html
import { randomUUID } from 'node:crypto';
import http from 'node:http';

export const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';

/* members: over the usual ones; null takes one away. */
export function logoutPayload({ issuer, clientId, iat, sub, sid, claims = {} }) {
  const payload = { iss: issuer, aud: clientId, iat, exp: iat + 3600, jti: randomUUID(), ...(sub && { sub }), ...(sid && { sid }), events: { [LOGOUT_EVENT]: {} }, ...claims };
  return Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== null));
}

/* POSTs the form to the gateway: { status, headers, text }. */
export function postLogout(url, token, { fields = { logout_token: token }, headers = {} } = {}) {
  const body = new URLSearchParams(fields).toString();
  return new Promise((resolve, reject) => {
    const req = http.request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body), ...headers },
      agent: false,
    });
    req.once('error', reject);
    req.once('response', (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (chunk) => { text += chunk; });
      res.once('error', reject);
      res.once('end', () => resolve({ status: res.statusCode, headers: res.headers, text }));
    });
    req.end(body);
  });
}
