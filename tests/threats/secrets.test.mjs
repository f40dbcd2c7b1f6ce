// What comes from outside and is compared with a secret is compared in constant time. Time itself is no thing to test: which function compares is.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

const GATEWAY = new URL('../../gateway/', import.meta.url);
const sources = readdirSync(GATEWAY, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSync(new URL(`${name}/`, GATEWAY)).filter((file) => file.endsWith('.c')).map((file) => `${name}/${file}`));
const text = (file) => readFileSync(new URL(file, GATEWAY), 'utf8');

const COMPARES = {
  'util/secret.c': /CRYPTO_memcmp\(/,
  'util/secretfile.c': /return secret_eq\(secrettext_view\(/, // tokens and secrets from files: the proxy's, the admin's
  'store/pending.c': /return secret_eq\(view_at\(p->state, /,
};

// Compares of what nobody sends: rows of our own with each other.
const INNER = ['store/sessionrevoke.c: is_theirs = memcmp(p->macs[i], row->sub_mac, DIGEST_BYTES) != 0;', 'store/store.c: return memcmp(mac, none, DIGEST_BYTES) == 0;',
  'handlers/identify.c: else if (view_eq(b.username, VIEW("goauthentik.io/token")))'];

test('L5: what is secret is compared in constant time', () => {
  for (const [file, pattern] of Object.entries(COMPARES)) assert.match(text(file), pattern, file);
  const suspects = sources.flatMap((file) => text(file).split('\n')
    .filter((line) => /\b(view_eq|view_ieq|memcmp|str(?:n?case)?cmp|strncmp)\([^;]*(secret|token|mac\b|macs\b|state\b|password|cookie\b)/i.test(line))
    .map((line) => `${file}: ${line.trim()}`));
  const strays = suspects.filter((line) => !INNER.some((one) => line.startsWith(one)));
  assert.deepEqual(strays, []);
});
