// The demo: the whole product on this machine, until Ctrl-C; or, with --check, one round of it that says what happened.
import { relative } from 'node:path';
import { parseArgs } from 'node:util';
import { TOPOLOGIES } from './nginx.mjs';
import { POLICIES, startStand } from './stand.mjs';

const USAGE = `usage: scripts/demo [--check] [--topology auth-request|gateway]

Starts Repogate, NGINX, a local identity provider, a stand-in forge and a sample workspace on free ports of 127.0.0.1.

  --check      log in twice (allowed, denied) and send one bearer request through NGINX, say what happened, exit 0 or 1
  --topology   auth-request: NGINX asks the gateway and carries the request itself (default)
               gateway: NGINX passes everything to the gateway
`;

function introduce(stand) {
  const policies = relative(process.cwd(), POLICIES) || POLICIES;
  console.log(`
Repogate is running.

  Open         ${stand.url}/
  Repositories ${stand.url}/github/acme/site/       public, so is acme/docs
               ${stand.url}/github/acme/vault/      private, so is acme/payments

  user   password     may open
  admin  admin-demo   everything (group admins)
  dora   dora-demo    public repositories (group developers), and acme/vault, which is on her list
  dave   dave-demo    public repositories (group developers)
  guest  guest-demo   nothing (no group)

  Policies     ${policies}/
  Audit log    ${stand.auditFile}
  Gateway log  ${stand.gateway.log}
  Provider     ${stand.provider.issuer}
  Metrics      ${stand.adminUrl}/metrics

Try this:
  1. Open acme/vault as dora: the sample workspace shows who it thinks is asking. Log out at ${stand.url}/_repogate/logout,
     choose to log out of the provider too, and try as dave: the page says why not, and names the decision.
  2. Follow the decisions:   tail -f ${stand.auditFile}
  3. Change the rules: edit ${policies}/10-access.lua (and its test, which must pass), then
       kill -HUP ${stand.gateway.pid}
     The next request is judged by the new rules. A broken file is refused, and the rules before it stay in force.
  4. As a program, with dora's app password:
       token=$(curl -s ${stand.provider.url}/application/o/token/ -d grant_type=client_credentials -d client_id=${stand.provider.clientId} \\
         -d client_secret=${stand.provider.clientSecret} \\
         -d username=dora -d password=dora-app-password -d 'scope=openid profile repogate' | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
       curl -H "Authorization: Bearer $token" ${stand.url}/github/acme/vault/echo

Ctrl-C stops everything and leaves nothing behind.`);
}

function say(isGood, text) {
  console.log(`${isGood ? 'ok  ' : 'FAIL'} ${text}`);
  return isGood;
}

async function recorded(stand, test) {
  const [line] = await stand.auditUntil((entry) => entry.type === 'decision' && test(entry)).catch(() => []);
  return line ? `recorded as ${line.decision} (${line.reason?.code ?? 'no reason'}), decision ${line.id}` : undefined;
}

async function checkLogin(stand, username, path, expected) {
  const page = await stand.browser().login(username, path);
  const is = (line) => line.request.path === path && line.subject?.username === username && line.decision === (expected === 200 ? 'allow' : 'deny');
  const record = await recorded(stand, is);
  const isRight = page.status === expected && (expected !== 200 || page.text.includes('sample workspace')) && record !== undefined;
  return say(isRight, `${username} logs in and asks for ${path}: status ${page.status}, expected ${expected}; ${record ?? 'no audit line'}`);
}

async function checkBearer(stand, username, path) {
  const token = await stand.bearer(username);
  const answer = await stand.request(path, { headers: { authorization: `Bearer ${token}` } });
  const isToldWho = answer.status === 200 && answer.json().headers.some(([name, value]) => name.toLowerCase() === 'x-authentik-username' && value === username);
  const record = await recorded(stand, (line) => line.request.path === path && line.subject?.via === 'bearer');
  return say(isToldWho && record !== undefined, `a program with ${username}'s token asks for ${path}: status ${answer.status}, expected 200; ${record ?? 'no audit line'}`);
}

async function check(stand) {
  const results = [];
  for (const step of [
    () => checkLogin(stand, 'dora', '/github/acme/vault/', 200),
    () => checkLogin(stand, 'dave', '/github/acme/vault/', 403),
    () => checkBearer(stand, 'dora', '/github/acme/vault/echo'),
  ]) {
    results.push(await step().catch((error) => say(false, error.message)));
  }
  return results.every(Boolean);
}

function options() {
  try {
    const { values } = parseArgs({
      options: { check: { type: 'boolean' }, topology: { type: 'string', default: TOPOLOGIES[0] }, help: { type: 'boolean' } },
    });
    if (!TOPOLOGIES.includes(values.topology)) throw new Error(`no such topology: ${values.topology}`);
    return values;
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
}

async function main() {
  const values = options();
  if (values.help) {
    console.log(USAGE);
    return;
  }
  let onSignal = () => process.exit(130);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => onSignal());
  console.log('Starting gateway, NGINX, identity provider, forge and workspace …');
  // Another name than the provider's address, as in real life: browsers share cookies across the ports of one name.
  const stand = await startStand({ topology: values.topology, host: 'localhost' });
  let closing;
  const close = () => {
    closing ??= stand.close();
    return closing;
  };
  if (values.check) {
    const isGood = await check(stand).finally(close);
    console.log(isGood ? 'The demo works.' : 'The demo does not work.');
    process.exitCode = isGood ? 0 : 1;
    return;
  }
  const ended = new Promise((resolve) => {
    onSignal = () => resolve();
    stand.gateway.child.exited.then(({ code, signal }) => resolve(`The gateway ended by itself (${code ?? signal}).`));
  });
  introduce(stand);
  const complaint = await ended;
  console.log(`\n${complaint ? `${complaint}\n${stand.gateway.output()}` : 'Stopping …'}`);
  await close();
  if (complaint) process.exitCode = 1;
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
