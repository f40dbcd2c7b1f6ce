// What the shipped configurations must say, read from their texts; for those proxies that no test starts it is all that can be proven.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';

const textOf = (name) => readFile(new URL(`../../deploy/${name}`, import.meta.url), 'utf8');

const IDENTITY = ['X-authentik-username', 'X-authentik-groups', 'X-authentik-entitlements', 'X-authentik-email', 'X-authentik-name', 'X-authentik-uid', 'X-Authentik-User', 'X-Request-Path', 'X-GitHub-Repo', 'X-Repogate-Repo',
  'X-Repogate-Decision-Id', 'X-Repogate-Assertion', 'traceparent'];
// Files that copy who is asking from an answer of ours: what is left out there keeps what the client sent.
const COPIERS = ['nginx/repogate-workspace.conf', 'haproxy/repogate.lua', 'caddy/repogate.caddy', 'traefik/repogate.yml', 'envoy/envoy.yaml', 'ingress-nginx/wiki.yaml'];
// What would make a proxy believe its clients, remember an answer, or let people in when we do not answer.
const NEVER = [/failure_mode_allow:\s*true/, /trustForwardHeader:\s*true/, /forwardedHeaders/, /auth-cache-key/, /proxy_cache/, /use-forwarded-headers/, /underscores_in_headers\s+on/, /option\s+forwardfor/, /trusted_proxies/];
// Files with which a browser could reach the auth endpoints, were they not closed.
const DOORS = ['nginx/repogate-gateway.conf', 'nginx/repogate-auth-request.conf', 'haproxy/repogate-gateway.cfg', 'haproxy/repogate-auth-request.cfg', 'caddy/repogate.caddy', 'traefik/repogate.yml', 'envoy/envoy.yaml', 'ingress-nginx/repogate.yaml'];

describe('texts of the shipped configurations', () => {
  for (const name of COPIERS) {
    test(`H5: ${name} copies every identity header of an answer`, async () => {
      const text = (await textOf(name)).toLowerCase();
      for (const header of IDENTITY) assert.match(text, new RegExp(`\\b${header.toLowerCase()}\\b(?![-\\w])`), header);
    });
  }

  for (const name of new Set([...COPIERS, ...DOORS])) {
    test(`A, C, E: ${name} neither believes its clients, nor remembers answers, nor opens when there is none`, async () => {
      const text = (await textOf(name)).replace(/^\s*(#|--).*$/gm, '');
      for (const pattern of NEVER) assert.doesNotMatch(text, pattern);
    });
  }

  for (const name of DOORS) {
    test(`A2: ${name} closes the auth endpoints`, async () => {
      const text = (await textOf(name)).replace(/^\s*#.*$/gm, '').replaceAll('\\', '');
      assert.match(text, /_repogate.*auth/);
      assert.match(text, /outpost\.goauthentik\.io.*auth/);
    });
  }
});
