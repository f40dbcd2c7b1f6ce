// Pages that are no repository's, behind the same NGINX: judged by rules with `paths`, at the address that NGINX then uses. THREATS groups B and H.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startNginx } from '../../scripts/lib/nginx.mjs';
import { startWorkspace } from '../../scripts/lib/workspace.mjs';
import { ask, askAs, closeStand, converse, gatewayPort, lineOf, PROXIES, requestBytes, sessionCookie, startStand, valuesOf, variant } from './lib/stand.mjs';

const policies = {
  'pages.lua': `
allow "staff: the wiki" { groups = {"staff"}, paths = {"/wiki/**"} }
deny "drafts: admins only" { paths = {"/wiki/drafts/**"}, not_groups = {"admins"}, reason = "draft" }
allow "help" { paths = {"/help/*.html"}, groups = {"staff"}, when = function(u, r, q) return not has(r) and q.method == "GET" end }
allow "developers" { groups = {"developers"}, repos = {"github:acme/*"} }
`,
  'pages_test.lua': `
local sam = user { username = "sam", groups = {"staff"} }
test "the wiki is for staff" { user = sam, path = "/wiki/start", expect = "allow", rule = "staff: the wiki" }
test "and for nobody else" { user = user { username = "x", groups = {"developers"} }, path = "/wiki/start", expect = "deny", reason = "no_rule" }
test "drafts are not" { user = sam, path = "/wiki/drafts/x", expect = "deny", rule = "drafts: admins only", reason = "draft" }
test "drafts are for admins" { user = user { username = "a", groups = {"staff", "admins"} }, path = "/wiki/drafts/x", expect = "allow" }
test "help" { user = sam, path = "/help/x.html", method = "GET", expect = "allow", rule = "help" }
test "help is read only" { user = sam, path = "/help/x.html", method = "POST", expect = "deny" }
test "a repository" { user = user { username = "d", groups = {"developers"} }, repo = repo "github:acme/site" { visibility = "private" }, expect = "allow", rule = "developers" }
test "of others" { user = sam, repo = repo "github:acme/site" { visibility = "private" }, expect = "deny" }
`,
};

/* Spellings of a draft's address that a server could read as one; NGINX would take the location /wiki/ for most of them. */
const SPELLINGS = ['/wiki//drafts/x', '//wiki/drafts/x', '/wiki/./drafts/x', '/wiki/a/../drafts/x', '/wiki/%2e/drafts/x', '/wiki/a/%2e%2e/drafts/x', '/wiki%2fdrafts/x', '/wiki/%64rafts/x', '/wiki/%2564rafts/x', '/wiki/drafts%2fx',
  '/wiki/drafts;/x', '/wiki;/drafts/x', '/wiki/drafts%5cx', '/wiki\\drafts\\x', '/wiki/%00drafts/x', '/help/../wiki/drafts/x'];

describe('other pages', () => {
  let stand;
  let wiki;
  let dora;
  let guest;
  let admin;

  before(async () => {
    wiki = await startWorkspace();
    stand = await startStand({ variant: variant(), policies, config: { server: { dialects: ['nginx', 'traefik', 'caddy', 'envoy', 'haproxy'] } } });
    await stand.front.close();
    stand.front = await startNginx({
      dir: `${stand.dir}/nginx`,
      port: Number(new URL(stand.url).port),
      gatewayPort: gatewayPort(stand),
      topology: 'auth-request',
      locations: `location /wiki/ { include repogate/repogate-protect.conf; proxy_pass ${wiki.url}; }\nlocation /help/ { include repogate/repogate-protect.conf; proxy_pass ${wiki.url}; }`,
    });
    [dora, guest, admin] = await Promise.all(['dora', 'guest', 'admin'].map((name) => sessionCookie(stand, name)));
  });

  after(async () => {
    await closeStand(stand);
    await wiki?.close();
  });

  const get = (path, options = {}) => stand.request(path, options);

  test('who may see them gets them, as who they are, and the pages see no secret', async () => {
    const seen = wiki.requests.length;
    const answer = await get('/wiki/start?x=%2F..', { headers: { cookie: `a=1; ${dora}; b=2`, 'x-authentik-username': 'admin', 'x-repogate-repo': 'github:acme/site', authorization_: 'x' } });
    assert.equal(answer.status, 200);
    const [page] = wiki.requests.slice(seen);
    assert.equal(page.target, '/wiki/start?x=%2F..');
    assert.deepEqual([valuesOf(page, 'x-authentik-username'), valuesOf(page, 'x-repogate-repo'), valuesOf(page, 'authorization'), valuesOf(page, 'cookie')], [['dora'], [], [], ['a=1; b=2']]);
    const [line] = await stand.auditUntil(({ type, request, decision }) => type === 'decision' && request.path === '/wiki/start' && decision === 'allow');
    assert.deepEqual([line.policy.rule, line.resource], ['staff: the wiki', null]);
  });

  test('who may not gets 403 and why, nobody gets the login or 401', async () => {
    const seen = wiki.requests.length;
    const draft = await get('/wiki/drafts/x', { headers: { cookie: dora } });
    assert.deepEqual([draft.status, draft.json().reason], [403, 'draft']);
    assert.equal((await lineOf(stand, draft.json().decision_id)).policy.rule, 'drafts: admins only');
    const stranger = await get('/wiki/start', { headers: { cookie: guest } });
    assert.deepEqual([stranger.status, stranger.json().reason], [403, 'no_rule']);
    const nobody = await get('/wiki/start');
    assert.deepEqual([nobody.status, nobody.json().reason], [401, 'login_required']);
    const browser = await get('/wiki/start?a=b', { headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' } });
    assert.deepEqual([browser.status, browser.headers.location], [302, `/_repogate/login?rd=${stand.url}/wiki/start?a=b`]);
    assert.equal(wiki.requests.length, seen, 'nothing reached the pages');
  });

  test('a person who logs in on the way comes back to the page', async () => {
    const page = await stand.browser().login('dora', '/wiki/start?a=b&c=d');
    assert.deepEqual([page.status, page.url], [200, `${stand.url}/wiki/start?a=b&c=d`]);
  });

  test('a rule reads that there is no repository, and the method', async () => {
    assert.equal((await get('/help/x.html', { headers: { cookie: dora } })).status, 200);
    assert.equal((await get('/help/x.html', { method: 'POST', headers: { cookie: dora } })).status, 403);
    assert.equal((await get('/help/a/x.html', { headers: { cookie: dora } })).status, 403, 'a star is no slash');
    const { status, reason } = await ask(stand, { cookie: dora, url: '/help/x.html', endpoint: '/outpost.goauthentik.io/auth/nginx' });
    assert.deepEqual([status, reason], [403, 'error'], 'the outpost\'s way of asking does not tell the method');
  });

  test('B1, B3, B4, B5, B7, B9: no other spelling of an address gets past a rule', async () => {
    const seen = wiki.requests.length;
    for (const path of SPELLINGS) {
      const { answers } = await converse(Number(new URL(stand.url).port), requestBytes({ target: path, headers: { Host: new URL(stand.url).host, Cookie: dora } }));
      assert.ok([400, 403, 404].includes(answers[0]?.status), `${path}: ${answers[0]?.status}`);
      for (const [what, proxy] of Object.entries(PROXIES)) {
        const answer = await askAs(stand, proxy, { cookie: dora, path });
        assert.equal(answer.status, 403, `${what} ${path}`);
        assert.match(answer.reason, /^(original_url_ambiguous|malformed_request)$/, `${what} ${path}`);
      }
    }
    assert.equal(wiki.requests.length, seen, 'nothing reached the pages');
    assert.equal((await get('/wiki/drafts/x', { headers: { cookie: admin } })).status, 200, 'whom they are for');
  });

  test('every proxy may ask about them', async () => {
    for (const [what, proxy] of Object.entries(PROXIES)) {
      const allowed = await askAs(stand, proxy, { cookie: dora, path: '/wiki/start' });
      assert.equal(allowed.status, 200, what);
      assert.deepEqual([allowed.values('x-repogate-repo'), allowed.values('x-repogate-upstream'), allowed.values('x-repogate-assertion')], [[''], [], ['']], what);
      const refused = await askAs(stand, proxy, { cookie: guest, path: '/wiki/start' });
      assert.deepEqual([refused.status, refused.reason], [403, 'no_rule'], what);
    }
  });
});
