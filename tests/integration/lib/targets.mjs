// Request targets as nobody should send them, always the same ones for a seed.

/* Repeatable randomness: numbers from 0 up to 1. */
export function* numbers(seed) {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

/* A function that picks from a list. */
export function picker(seed) {
  const random = numbers(seed);
  return (list) => list[Math.floor(random.next().value * list.length)];
}

// What stands in a target, and what may stand in its place.
const SLASHES = ['//', '///', '/./', '/../', '%2f', '%2F', '\\', '%5c', '/%2e/', '/%2e%2e/', '/.%2E/', '/..%2f', '/;/', ';/', '/..;/', '%252f', '/%00/', '%c0%af', '/ /', '/\t/', '/#/', '/?/'];
const FORGES = ['GitHub', '%67ithub', 'github%20', 'gitlab', '_repogate', 'outpost.goauthentik.io', '..', 'github;x', ''];
const CLEAN_OWNERS = ['acme', 'ACME', 'Acme'];
const OWNERS = ['%61cme', 'acme.', 'acme%00', 'acme;x=1', 'acme%09', 'ac%6De', '-acme', '..', '.', '%2e%2e', '\u00e4cme'];
const CLEAN_NAMES = ['site', 'payments', 'Site', 'vault', 'a.b-c_d'];
const NAMES = ['site.git', 'site.', 's%69te', 'site%2f..%2fpayments', 'site;x', 'site%20', 'site%3f', 'site%23', '..', 'site%c3%a9', 'site\x7f', 'site\xe9'];
const RESTS = ['a', 'B', '0', '-', '_', '.x', 'x.', '~', '%20', '%2f', '%2F', '%5c', '%3b', ';', ';x=1', '/', '//', '/', '%c3%a9', '%25', '%2525', '+', ',', '@', ':', '=', '&', '$', '!', '*', "'", '(', ')', '%23', '%3f', '%7e', '|', '^', '[', ']', '{', '}', '"', '<', '`', '\\', '...', '%e2%82%ac', '%00',
  '%0d%0a', '%zz', '%', '/..', '/../', '/.', '/%2e%2e/', '/..%2fpayments', '/../payments/', '/../../payments/x', '/-/ws/', '#', 'http://evil.example/', '\xe9', '\xc3\xa9', '\x01', '_repogate/auth/nginx', '..;/'];
const CLEAN_RESTS = RESTS.slice(0, 36).filter((piece) => piece !== ';');
const QUERIES = [...Array(6).fill(''), '?', '?a=b', '?/../', '?%2e%2e', '?a?b', '?a=%00', '?x=//evil', '?&&', '?a+b', '?%', '?{"a":[1]}', '?=;', '?#', '?a#b', '?X-authentik-auth-callback=true', `?${'y'.repeat(300)}`];
const AUTHORITIES = ['http://evil.example', 'https://evil.example', 'http://127.0.0.1', '//evil.example', 'evil.example:80', 'http:', '*'];

/* `count` targets, each as bytes in a text. About one part in eight is not what it should be, so a good half of them gets nowhere. */
export function hostileTargets(seed, count) {
  const pick = picker(seed);
  const part = (clean, odd, isOdd = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]) => pick(pick(isOdd) ? odd : clean);
  return Array.from({ length: count }, () => {
    const rest = Array.from({ length: pick([0, 1, 1, 2, 3, 5]) }, () => part(CLEAN_RESTS, RESTS, [0, 0, 0, 1])).join('');
    const slash = () => part(['/'], SLASHES);
    const query = part(['', '?', '?a=b'], QUERIES, [0, 1]);
    return `${part([''], AUTHORITIES)}${slash()}${part(['github'], FORGES)}${slash()}${part(CLEAN_OWNERS, OWNERS)}${slash()}${part(CLEAN_NAMES, NAMES)}${slash()}${rest}${query}`;
  });
}
