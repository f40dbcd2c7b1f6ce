// The signing key, and compact JWTs made with it: right ones, and every wrong kind that a verifier must refuse.
import { createHash, createHmac, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';

function base64url(data) {
  return Buffer.from(data).toString('base64url');
}

/* A Buffer goes in as it is: for what JSON.stringify() would not write. */
function part(value) {
  return base64url(Buffer.isBuffer(value) ? value : JSON.stringify(value));
}

export function encodeJwt(header, payload, makeSignature) {
  const input = `${part(header)}.${part(payload)}`;
  return `${input}.${makeSignature(input)}`;
}

// What Authentik signs with follows from the kind of key that the provider was given; without one, the client secret.
const ALGORITHMS = {
  RS256: { type: 'rsa', options: { modulusLength: 2048 }, hash: 'sha256' },
  ES256: { type: 'ec', options: { namedCurve: 'P-256' }, hash: 'sha256' },
  ES384: { type: 'ec', options: { namedCurve: 'P-384' }, hash: 'sha384' },
  ES512: { type: 'ec', options: { namedCurve: 'P-521' }, hash: 'sha512' },
  EdDSA: { type: 'ed25519', options: {}, hash: null },
};

function newKey(alg, secret) {
  if (alg === 'HS256') return { alg, secret };
  if (!ALGORITHMS[alg]) throw new Error(`no such algorithm: ${alg}`);
  const { type, options } = ALGORITHMS[alg];
  const { privateKey, publicKey } = generateKeyPairSync(type, options);
  const jwk = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha512').update(jwk.n ?? jwk.x).digest('base64url');
  return { alg, privateKey, publicKey, kid, jwk: { ...jwk, alg, use: 'sig', kid } };
}

function signature({ alg, privateKey, secret }, input) {
  if (alg === 'HS256') return createHmac('sha256', secret).update(input).digest('base64url');
  return base64url(sign(ALGORITHMS[alg].hash, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }));
}

export class Keys {
  #current;
  #kept = []; // published still, but nothing is signed with them
  #secret;

  constructor(secret = '') {
    this.#secret = secret;
    this.#current = newKey('RS256', secret);
  }

  /* Authentik switches at once: the old key is gone from the JWKS, unless `keep`. */
  rotate(alg = 'RS256', { keep = false } = {}) {
    this.#kept = keep ? [...this.#kept, this.#current] : [];
    this.#current = newKey(alg, this.#secret);
    return this.#current.kid;
  }

  get alg() {
    return this.#current.alg;
  }

  get kid() {
    return this.#current.kid;
  }

  get publicPem() {
    return this.#current.publicKey.export({ type: 'spki', format: 'pem' });
  }

  privateJwk() {
    return { ...this.#current.privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' };
  }

  /* Without a signing key: an object without `keys`. */
  jwks() {
    const keys = [...this.#kept, this.#current].map(({ jwk }) => jwk).filter(Boolean);
    return keys.length > 0 ? { keys } : {};
  }

  sign(payload, header = {}) {
    const { alg, kid } = this.#current;
    const full = Buffer.isBuffer(header) ? header : { alg, typ: 'JWT', ...(kid && { kid }), ...header };
    return encodeJwt(full, payload, (input) => signature(this.#current, input));
  }

  // For id_token_hint: signature only, expiry is ignored there. Undefined if it is not ours.
  open(jwt) {
    const [header, payload, made] = String(jwt).split('.');
    try {
      if (!this.#isOurs(`${header}.${payload}`, made)) return undefined;
      return JSON.parse(Buffer.from(payload, 'base64url'));
    } catch {
      return undefined;
    }
  }

  #isOurs(input, made) {
    if (this.alg === 'HS256') return signature(this.#current, input) === made;
    const key = { key: createPublicKey({ key: this.#current.jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
    return verify(ALGORITHMS[this.alg].hash, Buffer.from(input), key, Buffer.from(made, 'base64url'));
  }
}

const HOUR = 3600;

// Each takes the keys and a good payload, and gives a token that must not be accepted.
export const TOKEN_FAULTS = {
  wrong_iss: (keys, payload) => keys.sign({ ...payload, iss: 'https://elsewhere.example/application/o/repogate/' }),
  iss_without_slash: (keys, payload) => keys.sign({ ...payload, iss: payload.iss.replace(/\/$/, '') }),
  wrong_aud: (keys, payload) => keys.sign({ ...payload, aud: 'another-client' }),
  wrong_nonce: (keys, payload) => keys.sign({ ...payload, nonce: 'another-nonce' }),
  no_nonce: (keys, { nonce, ...payload }) => keys.sign(payload),
  expired: (keys, payload) => keys.sign({ ...payload, iat: payload.iat - 3 * HOUR, auth_time: payload.iat - 3 * HOUR, exp: payload.iat - 2 * HOUR }),
  not_yet_valid: (keys, payload) => keys.sign({ ...payload, iat: payload.iat + HOUR, nbf: payload.iat + HOUR, exp: payload.exp + HOUR }),
  no_exp: (keys, { exp, ...payload }) => keys.sign(payload),
  alg_none: (keys, payload) => encodeJwt({ alg: 'none', typ: 'JWT' }, payload, () => ''),
  // The old confusion: the public key, which everybody has, used as an HMAC secret.
  hs256_public_key: (keys, payload) =>
    encodeJwt({ alg: 'HS256', typ: 'JWT', kid: keys.kid }, payload, (input) => createHmac('sha256', keys.publicPem).update(input).digest('base64url')),
  unknown_kid: (keys, payload) => keys.sign(payload, { kid: 'nobody-knows-this-key' }),
  bad_signature: (keys, payload) => {
    const jwt = keys.sign(payload);
    const [head, body, signature] = jwt.split('.');
    return `${head}.${body}.${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`;
  },
  sub_missing: (keys, { sub, ...payload }) => keys.sign(payload),
  sub_number: (keys, payload) => keys.sign({ ...payload, sub: 4711 }),
  exp_text: (keys, payload) => keys.sign({ ...payload, exp: String(payload.exp) }),
  aud_number: (keys, payload) => keys.sign({ ...payload, aud: 1 }),
  duplicate_sub: (keys, payload) => keys.sign(Buffer.from(`{"sub":"somebody-else",${JSON.stringify(payload).slice(1)}`)),
  duplicate_alg: (keys, payload) => keys.sign(payload, Buffer.from(JSON.stringify({ alg: keys.alg, typ: 'JWT', kid: keys.kid }).replace('{', '{"alg":"none",'))),
  invalid_utf8: (keys, payload) => keys.sign(Buffer.from(JSON.stringify({ ...payload, nickname: '\xff\xfe' }), 'latin1')),
  trailing_json: (keys, payload) => keys.sign(Buffer.from(`${JSON.stringify(payload)}{}`)),
  payload_array: (keys, payload) => keys.sign([payload]),
  five_parts: (keys, payload) => `${keys.sign(payload)}.${base64url('x')}.${base64url('y')}`,
  logout_token: (keys, { nonce, azp, uid, scope, ...payload }) =>
    keys.sign({ ...payload, events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, { typ: 'logout+jwt' }),
};
