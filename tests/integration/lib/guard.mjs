// The front inside a workspace, as a process of its own, and assertions made by hand.
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startChild, waitFor } from '../../../scripts/lib/processes.mjs';

const PROGRAMS = { release: 'build/repogate', asan: 'build/asan/repogate', tsan: 'build/tsan/repogate' };

export function programOf(variant) {
  return fileURLToPath(new URL(`../../../${PROGRAMS[variant]}`, import.meta.url));
}

/* The workspace's id, computed as the README says. */
export function workspaceId({ iss, sub, repo }) {
  return `ws-${createHash('sha256').update([iss, sub, repo].join('\0')).digest('hex').slice(0, 20)}`;
}

/* options: names of flags without dashes, to their values. */
export async function startGuard(variant, options, { env = {} } = {}) {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  let ready;
  let how;
  const child = startChild(programOf(variant), ['guard', ...args], {
    env: { ...process.env, ...env },
    onLine: (line) => {
      if (/\blistening\b/.test(line)) ready = line;
    },
  });
  child.exited.then((value) => { how = value; });
  await waitFor('the guard', () => {
    if (how) throw new Error(`the guard did not start (${how.code ?? how.signal}):\n${child.output()}`);
    return ready;
  });
  const url = `http://${/\bpublic="?([^\s"]+)/.exec(ready)[1]}`;
  return { url, port: Number(new URL(url).port), child, output: () => child.output(), stop: () => child.stop('SIGTERM', 15000) };
}

const part = (value) => Buffer.from(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value)).toString('base64url');

/* The keys of a gateway's file, first the one that signs: { key, jwk, kid }. */
export function keysIn(file) {
  return readFileSync(file, 'utf8').match(/-----BEGIN [^-]*PRIVATE KEY-----[^-]*-----END [^-]*-----/g).map((pem) => {
    const key = createPrivateKey(pem);
    const { kty, crv, x, y } = createPublicKey(key).export({ format: 'jwk' });
    return { key, jwk: { kty, crv, x, y }, kid: createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url') };
  });
}

export function signWith(key, input, dsaEncoding = 'ieee-p1363') {
  return sign('sha256', Buffer.from(input), { key, dsaEncoding }).toString('base64url');
}

/* makeSignature: of the text that is signed. */
export function encode(header, claims, makeSignature) {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${makeSignature(input)}`;
}

export function decode(token) {
  const [header, claims] = token.split('.').slice(0, 2).map((text) => JSON.parse(Buffer.from(text, 'base64url')));
  return { header, claims };
}
