// The signing key, and compact JWTs made with it: right ones, and every wrong kind that a verifier must refuse.
import { createHash, createHmac, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';

function base64url(data) {
  return Buffer.from(data).toString('base64url');
}

export function encodeJwt(header, payload, makeSignature) {
  const input = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(payload))}`;
  return `${input}.${makeSignature(input)}`;
}

function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha512').update(jwk.n).digest('base64url');
  return { privateKey, publicKey, kid, jwk: { kty: 'RSA', alg: 'RS256', use: 'sig', kid, n: jwk.n, e: jwk.e } };
}

export class Keys {
  #current = newKey();

  // Authentik switches at once: the old key is gone from the JWKS.
  rotate() {
    this.#current = newKey();
    return this.#current.kid;
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

  jwks() {
    return { keys: [this.#current.jwk] };
  }

  sign(payload, header = {}) {
    const { kid, privateKey } = this.#current;
    return encodeJwt({ alg: 'RS256', typ: 'JWT', kid, ...header }, payload, (input) => base64url(sign('sha256', Buffer.from(input), privateKey)));
  }

  // For id_token_hint: signature only, expiry is ignored there. Undefined if it is not ours.
  open(jwt) {
    const [header, payload, signature] = String(jwt).split('.');
    try {
      const key = createPublicKey({ key: this.#current.jwk, format: 'jwk' });
      if (!verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'))) return undefined;
      return JSON.parse(Buffer.from(payload, 'base64url'));
    } catch {
      return undefined;
    }
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
};
