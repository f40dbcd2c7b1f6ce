// The main path through NGINX, in both topologies: log in, be judged, reach the workspace, be refused, log out; and the same for programs.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import WebSocket from 'ws';
import { describeTopologies, formsOf } from './lib/stand.mjs';

function headersOf(echo, name) {
  return echo.headers.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

const isDecision = (decision, path) => (line) => line.type === 'decision' && line.decision === decision && (path === undefined || line.request.path === path);

describeTopologies('login', {}, (the) => {
  test('a browser that nobody knows is sent to the login, and back to the very URL', async () => {
    const browser = the().browser();
    const target = '/github/acme/site/echo?folder=%2Fx%20y&z=1';
    const page = await browser.login('dora', target);
    assert.equal(page.status, 200, page.text);
    assert.equal(page.url, `${the().url}${target}`);
    const echo = page.json();
    assert.equal(echo.target, '/echo?folder=%2Fx%20y&z=1');
    assert.deepEqual(headersOf(echo, 'x-authentik-username'), ['dora']);
    assert.deepEqual(headersOf(echo, 'x-authentik-groups'), ['developers|staff']);
    assert.deepEqual(headersOf(echo, 'x-authentik-email'), ['dora@example.org']);
    assert.match(headersOf(echo, 'x-authentik-uid')[0], /^[0-9a-f]{64}$/);
    assert.deepEqual(headersOf(echo, 'x-repogate-repo'), ['github:acme/site']);
    assert.deepEqual(headersOf(echo, 'x-github-repo'), ['https://github.com/acme/site']);
    assert.equal(headersOf(echo, 'x-repogate-decision-id').length, 1);
    assert.deepEqual(headersOf(echo, 'cookie').filter((value) => value.includes('repogate')), []);
    const [line] = await the().auditUntil(isDecision('allow', '/github/acme/site/echo'));
    assert.equal(line.subject.username, 'dora');
    assert.equal(line.subject.via, 'session');
    assert.equal(line.resource.visibility, 'public');
    assert.equal(JSON.stringify(line).includes('folder'), false, 'the query is not logged');
    await the().auditUntil((entry) => entry.type === 'login' && entry.subject?.username === 'dora');
  });

  test('E12: dora opens her private repository, dave does not, guest opens nothing', async () => {
    const cells = [
      ['dora', '/github/acme/vault/', 200],
      ['dora', '/github/acme/payments/', 403],
      ['dave', '/github/acme/site/', 200],
      ['dave', '/github/acme/vault/', 403],
      ['guest', '/github/acme/site/', 403],
      ['admin', '/github/acme/payments/', 200],
    ];
    for (const [username, path, status] of cells) {
      const seenBefore = the().workspace.requests.length;
      const page = await the().browser().login(username, path);
      assert.equal(page.status, status, `${username} ${path}`);
      assert.equal(the().workspace.requests.length > seenBefore, status === 200, 'the workspace is not even asked');
    }
    const [line] = await the().auditUntil((entry) => isDecision('deny', '/github/acme/vault/')(entry) && entry.subject.username === 'dave');
    assert.equal(line.reason.code, 'no_rule');
  });

  test('the denied page says who was refused what, and by which decision', async () => {
    const page = await the().browser().login('guest', '/github/acme/site/');
    assert.match(page.headers['content-type'], /text\/html/);
    assert.match(page.text, /guest/);
    assert.match(page.text, /acme\/site/);
    const [line] = await the().auditUntil((entry) => isDecision('deny', '/github/acme/site/')(entry) && page.text.includes(entry.id));
    assert.equal(line.subject.username, 'guest');
  });

  test('a program gets 401 and 403 as statuses, never a redirect', async () => {
    const anonymous = await the().request('/github/acme/site/echo', { headers: { accept: 'application/json' } });
    assert.equal(anonymous.status, 401);
    assert.equal(anonymous.headers.location, undefined);
    const post = await the().request('/github/acme/site/echo', { method: 'POST', headers: { accept: 'text/html' }, body: 'x' });
    assert.equal(post.status, 401);
    const denied = await the().request('/github/acme/vault/echo', { headers: { authorization: `Bearer ${await the().bearer('dave')}` } });
    assert.equal(denied.status, 403);
    assert.match(denied.headers['content-type'], /application\/problem\+json/);
    assert.equal(denied.json().reason, 'no_rule');
    assert.ok(denied.json().decision_id);
  });

  test('a bearer token opens what its owner may open', async () => {
    const authorization = `Bearer ${await the().bearer('dora')}`;
    const answer = await the().request('/github/acme/vault/echo?a=b', { method: 'PUT', headers: { authorization }, body: 'hello' });
    assert.equal(answer.status, 200, answer.text);
    const echo = answer.json();
    assert.deepEqual([echo.method, echo.target, echo.body.length], ['PUT', '/echo?a=b', 5]);
    assert.deepEqual(headersOf(echo, 'x-authentik-username'), ['dora']);
    assert.deepEqual(headersOf(echo, 'authorization'), []);
    const [line] = await the().auditUntil((entry) => isDecision('allow', '/github/acme/vault/echo')(entry) && entry.subject.via === 'bearer');
    assert.equal(line.subject.username, 'dora');
  });

  test('a bad bearer token is 401 even beside a good cookie', async () => {
    const browser = the().browser();
    await browser.login('dora', '/github/acme/site/');
    const answer = await browser.get('/github/acme/site/echo', { headers: { authorization: 'Bearer not.a.token' } });
    assert.equal(answer.status, 401);
  });

  test('A10, I7: forged identity headers do not reach the workspace', async () => {
    const browser = the().browser();
    await browser.login('dora', '/github/acme/site/');
    const forged = { 'x-authentik-username': 'admin', 'X-Authentik-Groups': 'admins', 'x-repogate-repo': 'github:acme/payments', 'x-forwarded-for': '10.0.0.1' };
    const echo = (await browser.get('/github/acme/site/echo', { headers: forged })).json();
    assert.deepEqual(headersOf(echo, 'x-authentik-username'), ['dora']);
    assert.deepEqual(headersOf(echo, 'x-authentik-groups'), ['developers|staff']);
    assert.deepEqual(headersOf(echo, 'x-repogate-repo'), ['github:acme/site']);
  });

  test('a WebSocket is judged like a request and then carried', async () => {
    const browser = the().browser();
    await browser.login('dora', '/github/acme/site/');
    const address = `${the().url.replace('http', 'ws')}/github/acme/site/ws-echo`;
    const headers = { cookie: browser.jar.header(the().url) };
    const socket = new WebSocket(address, { headers, origin: the().url });
    await once(socket, 'open');
    socket.send('hello');
    const [message] = await once(socket, 'message');
    assert.equal(message.toString(), 'hello');
    socket.close();
    await once(socket, 'close');
    for (const options of [{ origin: the().url }, { headers, origin: 'http://evil.example' }]) {
      const refused = new WebSocket(address, options);
      const [error] = await once(refused, 'error');
      assert.match(error.message, /40[13]/);
    }
  });

  test('a repository without its final slash redirects after an allow, query kept', async () => {
    const browser = the().browser();
    await browser.login('dora', '/github/acme/site/');
    const answer = await browser.get('/github/acme/site?x=1');
    assert.ok([301, 302, 303, 307, 308].includes(answer.status));
    assert.equal(new URL(answer.headers.location, the().url).href, `${the().url}/github/acme/site/?x=1`);
    const stranger = await the().request('/github/acme/site?x=1');
    assert.equal(stranger.status, 401);
  });

  test('whoami knows the person, and after logging out nobody', async () => {
    const browser = the().browser();
    await browser.login('dora', '/github/acme/site/');
    const session = browser.jar.find('repogate');
    assert.equal((await browser.get('/_repogate/whoami', { headers: { accept: 'application/json' } })).json().username, 'dora');
    const page = await browser.visit('/_repogate/logout');
    assert.equal(page.status, 200);
    const form = formsOf(page).find(({ method }) => method === 'POST');
    assert.ok(form, 'a form to log out');
    await browser.submit(form);
    assert.equal((await browser.get('/github/acme/site/echo')).status, 401);
    const replayed = await the().request('/github/acme/site/echo', { headers: { cookie: `${session.name}=${session.value}` } });
    assert.equal(replayed.status, 401, 'the old cookie is worth nothing');
    await the().auditUntil((entry) => entry.type === 'logout');
  });

  test('logging out everywhere asks for the password again, logging out here does not', async () => {
    const browser = the().browser();
    const logOut = async (fields) => {
      const form = formsOf(await browser.visit('/_repogate/logout')).find(({ method, fields: sent }) => method === 'POST' && !('everywhere' in sent));
      return browser.submit(form, fields);
    };
    await browser.login('dora', '/github/acme/site/');
    await logOut({});
    assert.equal((await browser.visit('/github/acme/site/')).url, `${the().url}/github/acme/site/`);
    const page = await logOut({ everywhere: '1' });
    assert.equal(new URL(page.url).origin, the().url, 'back from the provider');
    assert.ok(formsOf(await browser.visit('/github/acme/site/')).some(({ fields }) => 'password' in fields));
  });

  test('two logins begun in two tabs both end well', async () => {
    const browser = the().browser();
    const first = await browser.visit('/github/acme/site/echo?tab=1');
    const second = await browser.visit('/github/acme/site/echo?tab=2');
    const fill = (page) => browser.submit(formsOf(page)[0], { username: 'dora', password: 'dora-demo' });
    assert.equal((await fill(first)).url, `${the().url}/github/acme/site/echo?tab=1`);
    assert.equal((await fill(second)).url, `${the().url}/github/acme/site/echo?tab=2`);
  });
});
