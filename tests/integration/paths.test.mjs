// THREATS group B: one reading of a path for policy, router and log. What could be read in two ways is refused, never repaired; what is judged
// is what the workspace gets and what the log says.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startNginxWith } from '../../scripts/lib/nginx.mjs';
import { freePort } from '../../scripts/lib/processes.mjs';
import { ask, converse, describeFronts, describeStand, lineOf, requestBytes, sessionCookie, valuesOf } from './lib/stand.mjs';
import { hostileTargets, picker } from './lib/targets.mjs';

// Always the same; another number looks elsewhere.
const SEED = Number(process.env.REPOGATE_SEED ?? 20240611);
const HOSTILE = 400;

// As admin, who may open everything: only ambiguity can stop these.
const AMBIGUOUS = {
  'B3: dot segments': ['/github/acme/../acme/site/', '/github/acme/site/../vault/', '/github/acme/site/x/../../vault/', '/github/./acme/site/', '/github/acme/./site/', '/github/acme/site/./', '/./github/acme/site/', '/../github/acme/site/',
    '/github/acme/site/..', '/github/acme/site/.', '/github/acme/..', '/github/..', '/..', '/.'],
  'B7: encoded dots': ['/github/acme/%2e%2e/acme/site/', '/github/acme/site/%2e%2e/vault/', '/github/acme/site/%2E%2E/vault/', '/github/acme/site/.%2e/vault/', '/github/acme/site/%2e./vault/', '/github/acme/site/%2e/', '/%2e%2e/github/acme/site/',
    '/github/acme/site/x/%2e%2e', '/github/acme/site/%2e%2e%2fvault/', '/github/acme/site/..%2fvault/', '/github/acme/site/..%5cvault/', '/github/acme/site/x%2f..%2f..%2fvault'],
  'B4: encoded slashes': ['/github%2facme/site/', '/github%2Facme%2Fsite/', '/github/acme%2fsite/', '/github/acme%2fsite/vault/', '/%2fgithub/acme/site/', '/github/acme/site%2f', '/github/acme/site%2fvault', '/github/acme/site%2Fx/'],
  'B4: backslashes': ['/github/acme/site%5cvault/', '/github/acme%5csite/', '/github%5Cacme/site/', '/github/acme%5c..%5cacme/site/'],
  'B7: empty segments': ['//github/acme/site/', '/github//acme/site/', '/github/acme//site/', '/github/acme/site//', '/github/acme/site//x', '///github/acme/site/', '/github/acme//', '/github//site/'],
  'B5, B6: parameters': ['/github;x/acme/site/', '/github/acme;x=1/site/', '/github/acme/site;x/', '/github/acme/site;/', '/github/acme/site/..;/vault/', '/github/acme/site/..;x=1/vault/', '/github/acme/site/.;/', '/;/github/acme/site/'],
  'B13: NUL': ['/github/acme/site%00/', '/github/acme%00/site/', '/github/acme/site/%00', '/github/acme/site/x%00.js', '/%00', '/elsewhere%00'],
  'B2: fragments': ['/github/acme/site%23/', '/github/acme%23/site/'],
  'B7, B9: encoded letters': ['/g%69thub/acme/site/', '/github/%61cme/site/', '/github/acme/s%69te/', '/github/acme/%73ite', '/github/acme/site%20/', '/github/acme/site%09/', '/github/%20acme/site/', '/github/acme/site%0a/', '/github/acme/site%0d%0a/', '/github/acme/site%7f/'],
  'B7: double encoding': ['/github/acme/%2573ite/', '/github/acme%252fsite/', '/github/acme/%252e%252e/site/', '/github%252facme/site/'],
  'B7: overlong and other UTF-8': ['/github/acme/%c0%ae%c0%ae/site/', '/github/acme%c0%afsite/', '/github/acme/s%c3%aete/', '/github/acme/%ef%bc%8fsite/', '/github/acme/%e2%80%aesite/', '/github/ac%ff/site/', '/github/acme/%d1%95ite/'],
  'B8b, B12: case of the forge': ['/GitHub/acme/site/', '/GITHUB/acme/site/', '/gitHub/acme/site'],
  'trailing dots and blanks': ['/github/acme./site/', '/github/acme/site.git/', '/github/acme/site.git', '/github/acme/site.GIT/', '/github/acme/site.wiki/', '/github/acme/-x/'],
  'B13: names that no forge has': ['/github/-acme/site/', '/github/acme-/site/', '/github/ac--me/site/', '/github/ac_me_x/site/', '/github/acme/si+te/', '/github/acme/si~te/', '/github/acme/si:te/', '/github/acme/si@te/', '/github/acme/si,te/', `/github/${'a'.repeat(40)}/site/`,
    `/github/acme/${'a'.repeat(101)}/`, '/github/acme/si*te/', "/github/acme/si'te/", '/github/acme/$site/', '/github/acme/(site)/'],
  'half a repository': ['/github', '/github/', '/github/acme', '/github/acme/'],
  'nested groups on a forge without': ['/github/acme/site/-/../ws/'],
  'broken escapes': ['/github/acme/site%/', '/github/acme/site%2/', '/github/acme/site%zz/', '/github/acme/site/%', '/github/acme/site/%4', '/github/acme/site/%g1', '/github/acme/%u002e/'],
};

// Bytes that no URL holds; they cannot even be asked about.
const UNCLEAN = ['/github/acme/site/#', '/github/acme/site#/', '/github/acme\\site/', '/github/acme/site/\\..\\vault/', '/github/acme/site/ x', '/github/acme/site/\tx', '/github/acme/site/<x>', '/github/acme/site/"x"', '/github/acme/site/`x`', '/github/acme/site/{x}',
  '/github/acme/site/\x7f', '/github/acme/site/caf\xe9', '/github/acme/site/\xc3\xa9', '/github/acme/site/?a=\\', '/github/acme/site/?a=\x01', '/github/acme/site/?a=b#c', '/github/acme/site/?caf\xe9'];

// Odd, but everyone reads them alike, or they are the workspace's business alone. They name acme/site.
const LEGAL = ['/github/acme/site/', '/github/acme/site', '/github/ACME/site/', '/github/Acme/Site/x', '/github/acme/site/?', '/github/acme/site/?x=/../..', '/github/acme/site/?x=%2e%2e%2f', '/github/acme/site/?%00', '/github/acme/site/a%2fb', '/github/acme/site/a%5cb',
  '/github/acme/site/a;b', '/github/acme/site/;a', '/github/acme/site/a//b', '/github/acme/site/a//', '/github/acme/site/%20', '/github/acme/site/+', '/github/acme/site/%c3%a9', '/github/acme/site/%C3%A9', '/github/acme/site/%2573', '/github/acme/site/...', '/github/acme/site/.x',
  '/github/acme/site/x.', '/github/acme/site/..x', '/github/acme/site/x..', '/github/acme/site/~x', '/github/acme/site/a|b^c[d]', '/github/acme/site/github/acme/vault/', '/github/acme/site/%23', '/github/acme/site/@:!$&\'()*+,=', '/github/acme/site/%E0%A4', '/github/acme/site/-/ws',
  '/github/acme/site/?x=http://evil.example/', '/github/acme/site/_repogate/login', '/github/acme/site/outpost.goauthentik.io/start', '/github/acme/site/?a=b?c=d&&=;', '/github/acme/site/%0d%0aX-Evil:%201', '/github/acme/site/%7f', '/github/acme/site/%', '/github/acme/site/?%',
  '/github/acme/site/?%zz'].filter((path) => !/%$/.test(path.split('?')[0]));

describeStand('paths at the auth endpoint', { host: 'localhost' }, (the) => {
  let admin;

  before(async () => { admin = await sessionCookie(the(), 'admin'); });

  for (const [what, paths] of Object.entries(AMBIGUOUS)) {
    test(`${what}: refused, with a line in the log that shows what was sent`, async () => {
      for (const path of paths) {
        const answer = await ask(the(), { cookie: admin, url: `${the().url}${path}` });
        assert.equal(answer.status, 403, path);
        assert.match(answer.reason, /^(original_url_ambiguous|own_path)$/, path);
        const line = await lineOf(the(), answer);
        assert.deepEqual([line.decision, line.outcome], ['deny', 'refused']);
        assert.ok(line.request.path.endsWith(path.split('?')[0]), line.request.path);
      }
    });
  }

  test('B2, B4: bytes that no URL holds: refused', async () => {
    for (const path of UNCLEAN) {
      const answer = await ask(the(), { cookie: admin, url: `${the().url}${path}` });
      assert.equal(answer.status, 403, path);
      assert.match(answer.reason, /^(original_url_ambiguous|malformed_request)$/, path);
    }
  });

  test('what is odd and clear: judged, as the repository that it names, and logged as it was sent', async () => {
    for (const path of LEGAL) {
      const answer = await ask(the(), { cookie: admin, url: `${the().url}${path}` });
      assert.equal(answer.status, 200, path);
      assert.deepEqual(answer.values('x-repogate-repo'), ['github:acme/site'], path);
      assert.deepEqual(answer.values('x-request-path'), [path.split('?')[0]], path);
      const line = await lineOf(the(), answer);
      const query = path.includes('?') ? path.slice(path.indexOf('?') + 1) : undefined;
      assert.deepEqual([line.request.path, line.request.query_len], [path.split('?')[0], query === undefined ? null : query.length], path);
      assert.deepEqual([line.resource.owner, line.resource.name], ['acme', 'site']);
    }
  });

  test('B8: the host\'s case does not matter, any other spelling of it is refused', async () => {
    const { port } = new URL(the().url);
    for (const host of ['localhost', 'LOCALHOST', 'LocalHost']) assert.equal((await ask(the(), { cookie: admin, url: `http://${host}:${port}/github/acme/site/` })).status, 200, host);
    for (const host of [`localhost.:${port}`, 'localhost', `localhost:0${port}`, `localhost:${port}0`, `localhost:${Number(port) + 65536}`, `.localhost:${port}`, `localhost..:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, `local%68ost:${port}`, `localhost%00:${port}`,
      `localhost:${port}:${port}`, `localhost:`, `:${port}`, `xlocalhost:${port}`, `localhost.evil:${port}`, `localhost :${port}`, `l\u00f6calhost:${port}`]) {
      const answer = await ask(the(), { cookie: admin, url: `http://${host}/github/acme/site/` });
      assert.deepEqual([answer.status, answer.reason], [403, 'original_url_ambiguous'], host);
    }
  });

  test('B11: a path of 4,000 bytes is judged whole, one over the cap is refused', async () => {
    const long = await ask(the(), { cookie: admin, url: `/github/acme/site/${'x'.repeat(4000)}` });
    assert.equal(long.status, 200);
    assert.equal((await lineOf(the(), long)).request.path.length, 4018);
    assert.equal((await ask(the(), { cookie: admin, url: `/github/acme/site/${'x'.repeat(20000)}` })).status, 403);
  });
});

describeFronts('paths through', {}, (the) => {
  let admin;
  const port = () => Number(new URL(the().url).port);
  const send = (target, options = {}) => converse(port(), requestBytes({ target, headers: { Host: new URL(the().url).host, Cookie: admin, ...options } }));

  before(async () => { admin = await sessionCookie(the(), 'admin'); });

  // Caddy reads a target into letters and writes it anew, and, once it has cut off the prefix, some signs as escapes; the others pass the bytes on.
  const isRewriter = () => the().frontName === 'caddy';
  const decoded = (text) => (isRewriter() ? unescape(text) : text);
  const written = (text) => (isRewriter() ? text.replace(/%(?:21|27|28|29|2A|5B|5D)/g, unescape) : text);

  // What came of a target. If it reached the workspace, then by one reading: what was judged (as the policy's header says), what was routed and
  // what was logged are the same, and it is what was sent.
  async function readingOf(target) {
    const before = the().workspace.requests.length;
    const { answers, isTimeout } = await send(target);
    assert.equal(isTimeout, false, target);
    const seen = the().workspace.requests.slice(before);
    if (seen.length === 0) return { answer: answers[0] };
    assert.equal(seen.length, 1, target);
    assert.equal(answers.length, 1, target);
    const [sentPath, sentQuery] = target.replace(/^https?:(?:\/\/[^/?]*)?/, '').split(/\?(.*)/s);
    const [routedRest, routedQuery] = seen[0].target.split(/\?(.*)/s);
    const [judged] = valuesOf(seen[0], 'x-request-path');
    const [, owner, name, rest] = /^\/github\/([^/]+)\/([^/]+)(\/.*)$/s.exec(judged) ?? [];
    assert.equal(written(routedRest), written(rest), `${target}: routed as judged`);
    assert.deepEqual(valuesOf(seen[0], 'x-repogate-repo'), [`github:${owner}/${name}`.toLowerCase()], target);
    const line = await lineOf(the(), valuesOf(seen[0], 'x-repogate-decision-id')[0]);
    assert.deepEqual([line.decision, line.request.path, `${line.resource.owner}/${line.resource.name}`], ['allow', judged, `${owner}/${name}`.toLowerCase()], `${target}: logged as judged`);
    assert.equal(line.request.query_len, routedQuery === undefined ? null : routedQuery.length, `${target}: the query that was logged`);
    assert.deepEqual([routedQuery, decoded(judged)], [sentQuery, decoded(sentPath)], `${target}: judged as sent`);
    return { answer: answers[0], judged, seen: seen[0] };
  }

  for (const [what, paths] of Object.entries(AMBIGUOUS)) {
    test(`${what}: nothing reaches the workspace`, async () => {
      for (const path of paths) {
        const { answer, judged } = await readingOf(path);
        assert.equal(judged, undefined, path);
        assert.ok(answer.status >= 400 || (answer.status === 302 && path.split('?')[0] === '/'), `${path}: ${answer.status}`);
      }
    });
  }

  test('bytes that no URL holds: nothing reaches the workspace, or what the proxy has made of them', async () => {
    for (const path of UNCLEAN) {
      const { answer, judged } = await readingOf(path);
      if (judged !== undefined) assert.ok(isRewriter(), path);
      else assert.ok(answer === undefined || answer.status >= 400, `${path}: ${answer?.status}`);
    }
  });

  async function expectOneReading(path) {
    const { answer, judged } = await readingOf(path);
    const [bare, query] = path.split(/\?(.*)/s);
    if (/^\/[^/]+\/[^/]+\/[^/]+$/.test(bare)) {
      assert.deepEqual([answer.status, judged], [302, undefined], path);
      assert.equal(new URL(answer.values('location')[0], the().url).href, `${the().url}${bare}/${query === undefined ? '' : `?${query}`}`);
    } else {
      assert.equal(answer.status, 200, path);
      assert.notEqual(judged, undefined, path);
    }
  }

  test('B1, B9, B10: what is odd and clear is judged, routed and logged as one and the same', async () => {
    // As the workspace's echo; its own pages answer otherwise, but are seen all the same.
    for (const path of LEGAL) await expectOneReading(path);
  });

  test('B6, B7, B9: so are 150 random rests', async () => {
    const pick = picker(SEED);
    const pieces = ['a', 'B', '0', '-', '_', '.x', 'x.', '~', '%20', '%2f', '%2F', '%5c', '%3b', ';', ';x=1', '/', '//', '%c3%a9', '%25', '%2525', '+', ',', '@', ':', '=', '&', '$', '!', '*', "'", '(', ')', '%23', '%3f', '%7e', '|', '...', '%e2%82%ac'];
    const queries = ['', '?', '?a=b', '?/../', '?%2e%2e', '?a?b', '?a=%00', '?x=//evil', '?&&', '?a+b', '?%', '?{"a":[1]}', '?=;'];
    for (let i = 0; i < 150; i++) {
      const rest = Array.from({ length: 1 + Math.floor(pick([0, 1, 2, 3, 4, 5, 6, 7])) }, () => pick(pieces)).join('');
      const path = `/github/${pick(['acme', 'Acme', 'ACME'])}/${pick(['site', 'docs', 'Vault', 'a.b-c_d'])}/q${rest}${pick(queries)}`;
      if (/(^|\/|%2f|%5c)(\.|%2e){1,2}(\/|$|;|%2f|%5c|%3b|\?)/i.test(path.split('?')[0])) continue;
      await expectOneReading(path);
    }
  });

  test('B1, B2, B3, B4, B5, B6, B7, B9, B10, B12, B14: 400 hostile targets are each judged, routed and logged by one reading, or refused', async () => {
    let arrived = 0;
    for (const target of hostileTargets(SEED, HOSTILE)) arrived += (await readingOf(target)).judged === undefined ? 0 : 1;
    assert.ok(arrived > HOSTILE / 20 && arrived < HOSTILE * 0.9, `${arrived} of them arrived`);
  });

  test('B3: an absolute request line, or another Host, opens nothing', async () => {
    const host = new URL(the().url).host;
    for (const target of ['http://evil.example/github/acme/site/x', `http://evil.example:${port()}/github/acme/site/x`, `https://${host}/github/acme/site/x`]) {
      const before = the().workspace.requests.length;
      const { answers } = await send(target, { Host: 'evil.example' });
      // The authority of the request line beats Host (RFC 9112 3.2.2); the scheme is the connection's.
      const isUs = isRewriter() && target.includes(host);
      assert.ok(isUs || answers[0].status >= 400, target);
      assert.equal(the().workspace.requests.length, before + (isUs ? 1 : 0));
    }
    for (const Host of ['evil.example', `evil.example:${port()}`, '127.0.0.1', '127.0.0.1:1', `127.0.0.1.:${port()}`, `localhost:${port()}`, '']) {
      const { answers } = await send('/github/acme/site/x', { Host });
      assert.ok(answers[0].status >= 400, Host);
    }
  });
});

// NGINX as a reference: which repository's location it would choose, by the path that it has decoded and normalised.
describeStand('paths as NGINX itself understands them', {}, (the) => {
  let admin;
  let reference;

  before(async () => {
    admin = await sessionCookie(the(), 'admin');
    const port = await freePort();
    reference = await startNginxWith(`
    server {
        listen 127.0.0.1:${port};
        location / { return 404; }
        location ~ "^/github/([^/]+)/([^/]+)(/|$)" { return 200 "$1/$2"; }
    }`, { dir: join(the().dir, 'reference'), port });
  });
  after(() => reference?.close());

  test('B5, B7, B9: of 800 hostile targets those that we allow name the repository whose location NGINX would choose', async () => {
    let allowed = 0;
    for (const target of hostileTargets(SEED + 1, 2 * HOSTILE).filter((one) => one.startsWith('/'))) {
      const answer = await ask(the(), { cookie: admin, url: `${the().url}${target}` });
      const [repo] = answer.values('x-repogate-repo');
      if (answer.status !== 200 || !repo) continue;
      allowed += 1;
      const { answers } = await converse(reference.port, requestBytes({ target }));
      assert.deepEqual([answers[0]?.status, `github:${answers[0]?.body}`.toLowerCase()], [200, repo], target);
    }
    assert.ok(allowed > HOSTILE / 20, `${allowed} allowed`);
  });
});
