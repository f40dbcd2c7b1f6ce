// The stand that demo and tests share, with what only tests want: every topology, and the builds that are there.
import { after, before, describe } from 'node:test';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { FRONTS, TOPOLOGIES } from '../../../scripts/lib/fronts.mjs';
import { startStand } from '../../../scripts/lib/stand.mjs';
import { proveStand } from './audit.mjs';

export { startStand, POLICIES } from '../../../scripts/lib/stand.mjs';
export { Browser, formsOf, request } from '../../../scripts/lib/browser.mjs';
export { waitFor } from '../../../scripts/lib/processes.mjs';
export { proveLog } from './audit.mjs';
export { sendRaw, statusesOf } from './raw.mjs';
export { askAs, PROXIES } from './dialects.mjs';
export { ask, converse, gatewayPort, lineOf, parseAnswers, questionBytes, requestBytes } from './wire.mjs';

/* The sanitizer's build if it is there, since it sees more; REPOGATE_VARIANT=release|asan|tsan chooses. */
export function variant() {
  if (process.env.REPOGATE_VARIANT) return process.env.REPOGATE_VARIANT;
  return existsSync(fileURLToPath(new URL('../../../build/asan/repogate', import.meta.url))) ? 'asan' : 'release';
}

/* Ends a stand; what it leaves must be in order: the gateway's end, no sanitizer's complaint, an audit log that can be proven. */
export async function closeStand(stand) {
  let complaint;
  try {
    await stand?.gateway?.child?.stop('SIGTERM', 15000);
    proveStand(stand);
  } catch (error) {
    complaint = error;
  }
  await stand?.close();
  if (complaint) throw complaint;
}

/* describe() with a stand around it: `body` gets a function that returns the stand once the tests run. */
export function describeStand(name, options, body) {
  describe(name, () => {
    let stand;
    before(async () => { stand = await startStand({ variant: variant(), ...options }); });
    after(() => closeStand(stand));
    body(() => stand);
  });
}

export function describeTopologies(name, options, body) {
  for (const topology of TOPOLOGIES) describeStand(`${name} (${topology})`, { ...options, topology }, body);
}

/* Every proxy that we ship a configuration for and that Debian has, in every topology. */
export function describeFronts(name, options, body) {
  for (const front of Object.keys(FRONTS)) for (const topology of TOPOLOGIES) describeStand(`${name} (${front}, ${topology})`, { ...options, front, topology }, body);
}

/* Logs in and gives the Cookie header of the session. */
export async function sessionCookie(stand, username) {
  const browser = stand.browser();
  await browser.login(username, '/_repogate/login');
  const cookie = browser.jar.for(`${stand.url}/`).find(({ name }) => name === 'repogate');
  if (!cookie) throw new Error(`${username} has no session`);
  return `repogate=${cookie.value}`;
}

/* The values of a header in what a workspace saw, or in its echo. */
export function valuesOf({ headers }, name) {
  return headers.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}
