// Policies in force in the running gateway: edited, broken, missing, endless, greedy; and the visibility that they ask the forge for.
// THREATS groups C (staleness), E (errors), K (the engine).
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, beforeEach, test } from 'node:test';
import { ask, describeStand, lineOf, request, sessionCookie, waitFor } from './lib/stand.mjs';

const SITE = '/github/acme/site/';
const DOCS = '/github/acme/docs/';
const UNTESTED = { policy: { require_tests: false } };
const OPEN = 'allow "all" { everyone = true }\n';

const countOf = async (stand, type) => (await stand.auditLines()).filter((line) => line.type === type).length;

// Writes files (null removes one), reloads, and waits until the set is in force or refused; gives the line that says so.
async function put(stand, files, type = 'policy.activated') {
  const before = await countOf(stand, type);
  for (const [name, text] of Object.entries(files)) await (text === null ? rm(join(stand.policyDir, name), { force: true }) : writeFile(join(stand.policyDir, name), text));
  stand.gateway.reload();
  return (await stand.auditUntil((line) => line.type === type, before + 1)).at(-1);
}

// Both threads' own view.
async function expectAll(stand, options, status, reason) {
  for (let i = 0; i < 8; i++) {
    const answer = await ask(stand, options);
    assert.deepEqual([answer.status, answer.reason], [status, reason]);
  }
}

async function metric(stand, name) {
  const { text } = await request(`${stand.adminUrl}/metrics`);
  return Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\d+)$`, 'm').exec(text)?.[1]);
}

describeStand('policies', { policies: { '10-rules.lua': OPEN, '10-rules_test.lua': 'test "all" { user = user { username = "x" }, repo = repo "github:acme/site" { visibility = "public" }, expect = "allow" }\n' } }, (the) => {
  let cookie;

  before(async () => { cookie = await sessionCookie(the(), 'dora'); });

  test('an edit changes the next decision after SIGHUP, and not before', async () => {
    await expectAll(the(), { cookie }, 200);
    await writeFile(join(the().policyDir, '10-rules.lua'), 'deny "closed" { everyone = true, reason = "maintenance", message = "Back at <b>noon</b>." }\n');
    await writeFile(join(the().policyDir, '10-rules_test.lua'), 'test "closed" { user = user { username = "x" }, repo = repo "github:acme/site" { visibility = "public" }, expect = "deny" }\n');
    await expectAll(the(), { cookie }, 200);
    const { policy } = await put(the(), {});
    await expectAll(the(), { cookie }, 403, 'maintenance');
    const line = await lineOf(the(), await ask(the(), { cookie }));
    assert.deepEqual([line.policy.rule, line.policy.revision, line.decision], ['closed', policy.revision, 'deny']);
    const page = await the().request(SITE, { headers: { cookie, accept: 'text/html' } });
    assert.equal(page.status, 403);
    assert.match(page.text, /Back at &lt;b&gt;noon&lt;\/b&gt;\./);
  });

  const broken = {
    'a syntax error': { '10-rules.lua': 'allow "x" {' },
    'an unknown global': { '10-rules.lua': 'allow "x" { everyone = true, when = function() return os.time() end }' },
    'an unknown key': { '10-rules.lua': 'allow "x" { everybody = true }' },
    'a rule without a condition': { '10-rules.lua': 'allow "x" {}' },
    'one name twice': { '20-more.lua': 'allow "closed" { everyone = true }' },
    'a failing test': { '10-rules_test.lua': 'test "x" { user = user { username = "x" }, repo = repo "github:acme/site" { visibility = "public" }, expect = "deny" }' },
    'no tests': { '10-rules_test.lua': null },
    'bytecode': { '10-rules.lua': '\x1bLua' },
    'an endless load': { '10-rules.lua': 'while true do end' },
    'a greedy load': { '10-rules.lua': 'local t = {} for i = 1, 1e9 do t[i] = str.fmt("%d", i) end' },
    'no rules at all': { '10-rules.lua': '' },
    'a file that is no text': { '10-rules.lua': '\0\0\0' },
  };
  for (const [what, files] of Object.entries(broken)) {
    test(`${what}: what was in force stays, and that is recorded`, async () => {
      const good = { '10-rules.lua': 'allow "closed" { everyone = true }\n', '10-rules_test.lua': 'test "closed" { user = user { username = "x" }, repo = repo "github:acme/site" { visibility = "public" }, expect = "allow" }\n', '20-more.lua': null };
      const { policy } = await put(the(), good);
      const line = await put(the(), files, 'policy.rejected');
      assert.equal(line.outcome, 'failed');
      assert.ok(line.reason.text.length > 0);
      await expectAll(the(), { cookie }, 200);
      assert.equal((await lineOf(the(), await ask(the(), { cookie }))).policy.revision, policy.revision);
      assert.equal((await request(`${the().adminUrl}/readyz`)).status, 200);
    });
  }

  test('a restart with broken files comes up on the last good set, and says so', async () => {
    const good = { '10-rules.lua': 'allow "kept" { repos = {"github:acme/site"} }\n', '10-rules_test.lua': 'test "kept" { user = user { username = "x" }, repo = repo "github:acme/site" { visibility = "public" }, expect = "allow" }\n', '20-more.lua': null };
    const { policy } = await put(the(), good);
    await the().restart({ change: () => writeFile(join(the().policyDir, '10-rules.lua'), 'allow "x" {') });
    await expectAll(the(), { cookie }, 200);
    await expectAll(the(), { cookie, url: DOCS }, 403, 'no_rule');
    const line = await lineOf(the(), await ask(the(), { cookie }));
    assert.deepEqual([line.policy.rule, line.policy.revision], ['kept', policy.revision]);
    const lines = (await the().auditLines()).filter(({ boot, type }) => boot === line.boot && type.startsWith('policy.'));
    assert.deepEqual(lines.map(({ type }) => type), ['policy.rejected', 'policy.activated']);
    assert.match(the().output(), /last good/);
  });

  test('a hundred reloads under load fail nobody', async () => {
    await put(the(), { '10-rules.lua': OPEN, '10-rules_test.lua': 'test "all" { user = user { username = "x" }, repo = repo "github:acme/site" { visibility = "public" }, expect = "allow" }\n' });
    let isOver = false;
    const statuses = new Set();
    const load = async () => {
      while (!isOver) statuses.add((await ask(the(), { cookie })).status);
    };
    const running = Promise.all(Array.from({ length: 4 }, load));
    for (let i = 0; i < 100; i++) {
      the().gateway.reload();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    isOver = true;
    await running;
    assert.deepEqual([...statuses], [200]);
  });
});

describeStand('no policy at all', { config: UNTESTED, policies: { '10-rules.lua': 'allow "x" {' } }, (the) => {
  test('everything is denied with no_policy, and the gateway is not ready', async () => {
    const cookie = await sessionCookie(the(), 'admin');
    await expectAll(the(), { cookie }, 403, 'no_policy');
    const routed = await the().request(`${SITE}echo`, { headers: { cookie } });
    assert.deepEqual([routed.status, routed.json().reason], [503, 'no_policy']);
    assert.deepEqual(the().workspace.requests, []);
    const ready = await request(`${the().adminUrl}/readyz`);
    assert.deepEqual([ready.status, ready.json().policy.state, ready.json().ready], [503, 'failed', false]);
    assert.equal((await request(`${the().adminUrl}/healthz`)).status, 200);
    assert.equal((await ask(the(), {})).status, 401, 'whom a login would not help is not told so yet');
  });

  test('until one loads', async () => {
    await put(the(), { '10-rules.lua': OPEN });
    await expectAll(the(), { token: the().provider.mint() }, 200);
    assert.equal((await request(`${the().adminUrl}/readyz`)).status, 200);
  });
});

describeStand('rules that misbehave', {
  config: UNTESTED,
  policies: {
    '10-rules.lua': `
local function busy(r, name) return r:is("acme/" .. name) end

allow "well-behaved" { repos = {"github:acme/good"} }
allow "endless" { repos = {"github:acme/endless"}, when = function(u, r) if busy(r, "endless") and u.username == "dora" then while true do end end return true end }
allow "greedy" { repos = {"github:acme/greedy"}, when = function(u, r) if u.username == "dora" then local t = {} local i = 0 while true do i = i + 1 t[i] = {i, i, i, i} end end return true end }
allow "deep" { repos = {"github:acme/deep"}, when = function(u, r) local function f(n) return 1 + f(n + 1) end if u.username == "dora" then return f(1) > 0 end return true end }
allow "wordy" { repos = {"github:acme/wordy"}, when = function(u, r) if u.username == "dora" then local s = "x" while true do s = s .. s end end return true end }
allow "wrong type" { repos = {"github:acme/typed"}, when = function(u, r) if u.username == "dora" then return "yes" end return true end }
allow "nothing" { repos = {"github:acme/nothing"}, when = function(u, r) if u.username == "dora" then return end return true end }
allow "raises" { repos = {"github:acme/raises"}, when = function(u, r) if u.username == "dora" then error("as told") end return true end }
allow "reads what is not there" { repos = {"github:acme/absent"}, when = function(u, r) if u.username == "dora" then return u.attributes:string("nowhere") == "x" end return true end }
allow "all the same" { repos = {"github:acme/denied", "github:acme/slow-deny"} }
deny "errs" { repos = {"github:acme/denied"}, when = function(u, r) if u.username == "dora" then error("as told") end return false end }
deny "endless, too" { repos = {"github:acme/slow-deny"}, when = function(u, r) if u.username == "dora" then while true do end end return false end }
`,
  },
}, (the) => {
  const token = () => the().provider.mint({ username: 'dora' });
  const names = ['endless', 'greedy', 'deep', 'wordy', 'typed', 'nothing', 'raises', 'absent', 'denied', 'slow-deny'];

  for (const name of names) {
    test(`K4, E: ${name}: denied as an error, within its budget, and named in the log`, async () => {
      const errorsBefore = await metric(the(), 'repogate_policy_errors_total');
      const answer = await ask(the(), { token: token(), url: `/github/acme/${name}/` });
      assert.deepEqual([answer.status, answer.reason], [403, 'error']);
      const line = await lineOf(the(), answer);
      assert.ok(line.policy.errors.length > 0);
      assert.ok(line.eval.us < 2_000_000);
      assert.ok((await metric(the(), 'repogate_policy_errors_total')) > errorsBefore);
      assert.equal((await ask(the(), { token: the().provider.mint({ username: 'dave' }), url: `/github/acme/${name}/` })).status, 200, 'for whom it behaves');
    });
  }

  test('K4: others are served meanwhile, as fast as before, and no memory stays taken', async () => {
    const statuses = [];
    await Promise.all(Array.from({ length: 60 }, async (_, i) => {
      const name = i % 2 ? 'good' : names[(i / 2) % names.length];
      statuses.push([name, (await ask(the(), { token: token(), url: `/github/acme/${name}/` })).status]);
    }));
    for (const [name, status] of statuses) assert.equal(status, name === 'good' ? 200 : 403, name);
  });
});

describeStand('visibility', { config: UNTESTED, policies: { '10-rules.lua': 'allow "public" { everyone = true, when = function(u, r) return r:is_public() end }\n' } }, (the) => {
  const open = (name) => ask(the(), { token: the().provider.mint(), url: `/github/acme/${name}/` });
  let next = 0;
  // A repository that nobody has asked about yet.
  const fresh = (visibility) => {
    const name = `fresh-${next++}`;
    the().forge.visibility.set(`acme/${name}`, visibility);
    return name;
  };

  beforeEach(() => {
    the().forge.mode = 'normal';
    the().forge.requests.length = 0;
  });

  test('public opens, private and unknown do not; the probe is anonymous', async () => {
    const cells = [[fresh('public'), 200, 'public'], [fresh('private'), 403, 'private'], ['does-not-exist', 403, 'private']];
    for (const [name, status, visibility] of cells) {
      const answer = await open(name);
      assert.equal(answer.status, status, name);
      assert.equal((await lineOf(the(), answer)).resource.visibility, visibility);
    }
    assert.equal(the().forge.requests.length, 3);
    for (const { method, url, headers } of the().forge.requests) {
      assert.equal(method, 'GET');
      assert.match(url, /^\/acme\/[\w-]+\.git\/info\/refs\?service=git-upload-pack$/);
      for (const name of ['authorization', 'cookie', 'x-authentik-username', 'x-forwarded-for']) assert.equal(headers[name], undefined, name);
    }
  });

  for (const mode of ['down', 'busy', 'moved', 'garbage', 'html']) {
    test(`E: a forge that is ${mode}: unknown, which is private`, async () => {
      the().forge.mode = mode;
      const name = fresh('public');
      const answer = await open(name);
      assert.equal(answer.status, 403);
      assert.equal((await lineOf(the(), answer)).resource.visibility, 'unknown');
      // A kept connection that breaks is tried once more on a new one.
      const asked = the().forge.requests.length;
      assert.ok(mode === 'down' ? asked <= 2 : asked === 1, 'redirects are not followed');
      assert.equal((await open(name)).status, 403);
      assert.equal(the().forge.requests.length, asked, 'remembered for a while');
    });
  }

  test('a slow forge is asked once for all who wait, and keeps nobody else waiting', async () => {
    the().forge.mode = 'slow';
    the().forge.slowMs = 1000;
    const name = fresh('public');
    const known = fresh('public');
    the().forge.mode = 'normal';
    await open(known);
    the().forge.mode = 'slow';
    the().forge.requests.length = 0;
    let done = 0;
    const waiting = Array.from({ length: 30 }, () => open(name).then((answer) => {
      done++;
      return answer.status;
    }));
    await waitFor('the probe', () => the().forge.requests.length > 0);
    for (let i = 0; i < 8; i++) assert.equal((await open(known)).status, 200);
    assert.equal(done, 0, 'all wait for the forge');
    assert.deepEqual([...new Set(await Promise.all(waiting))], [200]);
    assert.equal(the().forge.requests.length, 1);
  });

  test('a forge that never answers: unknown in the end', async () => {
    the().forge.mode = 'slow';
    the().forge.slowMs = 6500;
    const name = fresh('public');
    const answer = await ask(the(), { token: the().provider.mint(), url: `/github/acme/${name}/` });
    assert.equal(answer.status, 403);
    assert.equal((await lineOf(the(), answer)).resource.visibility, 'unknown');
  });

  test('a client that leaves while it waits does no harm', async () => {
    the().forge.mode = 'slow';
    the().forge.slowMs = 500;
    const name = fresh('public');
    const left = Array.from({ length: 5 }, () => request(`${the().gateway.url}/_repogate/auth/nginx`, {
      timeoutMs: 100,
      headers: { authorization: `Bearer ${the().provider.mint()}`, 'x-original-url': `${the().url}/github/acme/${name}/`, 'x-original-method': 'GET', 'x-real-ip': '192.0.2.7' },
    }).then(() => 'answered', () => 'left'));
    assert.deepEqual([...new Set(await Promise.all(left))], ['left']);
    assert.equal((await open(name)).status, 200);
  });
});
