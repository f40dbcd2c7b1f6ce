// A browser without a window: cookie jar, redirects followed one by one, plain HTML forms. Headers as a real one sends them for navigations.
import http from 'node:http';

const HOPS_MAX = 20;
const NAVIGATION = {
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
  'sec-fetch-user': '?1',
  'upgrade-insecure-requests': '1',
};

/* One exchange. Everything of the answer: { status, headers, rawHeaders, body, text, json() }. The path goes out byte for byte. */
export function request(url, { method = 'GET', headers = {}, body, path, timeoutMs = 15000, agent = false } = {}) {
  const { hostname, port, host, pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    const req = http.request({
      // localhost may mean ::1 first, and nobody listens there
      host: hostname === 'localhost' ? '127.0.0.1' : hostname,
      port: port || 80,
      method,
      path: path ?? pathname + search,
      headers: { host, ...headers },
      agent,
    });
    req.setTimeout(timeoutMs, () => req.destroy(new Error(`no answer from ${url} within ${timeoutMs} ms`)));
    req.once('error', reject);
    req.once('response', (res) => {
      const chunks = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.once('error', reject);
      res.once('end', () => {
        const whole = Buffer.concat(chunks);
        resolve({
          url,
          status: res.statusCode,
          headers: res.headers,
          rawHeaders: res.rawHeaders,
          body: whole,
          text: whole.toString(),
          json: () => JSON.parse(whole.toString()),
        });
      });
    });
    req.end(body);
  });
}

// RFC 6265 with host-only cookies, the prefixes of 6265bis, and, as in browsers, no regard for ports.
export class CookieJar {
  #cookies = [];

  store(url, line) {
    const { hostname, pathname, protocol } = new URL(url);
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    const equals = pair.indexOf('=');
    if (equals < 1) return;
    const attribute = (name) => {
      const found = attributes.filter((part) => part.split('=')[0].toLowerCase() === name).at(-1);
      return found === undefined ? undefined : found.split('=').slice(1).join('=');
    };
    const cookie = { hostname, name: pair.slice(0, equals), value: pair.slice(equals + 1), line };
    const isSecure = attribute('secure') !== undefined;
    const path = attribute('path');
    cookie.path = path?.startsWith('/') ? path : pathname.replace(/\/[^/]*$/, '') || '/';
    if (isSecure && protocol !== 'https:' && !['localhost', '127.0.0.1'].includes(hostname)) return;
    if (cookie.name.startsWith('__Host-') && (!isSecure || path !== '/' || attribute('domain') !== undefined)) return;
    const maxAge = attribute('max-age');
    const expires = attribute('expires');
    if (maxAge !== undefined) cookie.expires = Date.now() + Number(maxAge) * 1000;
    else if (expires !== undefined) cookie.expires = Date.parse(expires);
    const isSame = (other) => other.hostname === hostname && other.name === cookie.name && other.path === cookie.path;
    this.#cookies = this.#cookies.filter((other) => !isSame(other));
    if (!(cookie.expires <= Date.now())) this.#cookies.push(cookie);
  }

  for(url) {
    const { hostname, pathname } = new URL(url);
    const fits = (path) => pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`);
    return this.#cookies
      .filter((cookie) => cookie.hostname === hostname && fits(cookie.path) && !(cookie.expires <= Date.now()))
      .sort((a, b) => b.path.length - a.path.length);
  }

  header(url) {
    return this.for(url).map(({ name, value }) => `${name}=${value}`).join('; ');
  }

  /* The first cookie whose name begins so, on any host. */
  find(prefix) {
    return this.#cookies.find(({ name }) => name.startsWith(prefix));
  }

  set(url, name, value) {
    this.store(url, `${name}=${value}; Path=/`);
  }

  clear() {
    this.#cookies = [];
  }
}

function unescapeHtml(text) {
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(amp|lt|gt|quot|apos));/gi, (_, decimal, hex, name) => {
    if (name) return { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[name.toLowerCase()];
    return String.fromCodePoint(decimal ? Number(decimal) : parseInt(hex, 16));
  });
}

function attributesOf(tag) {
  const found = {};
  for (const [, name, , quoted, single, bare] of tag.matchAll(/([\w-]+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] = unescapeHtml(quoted ?? single ?? bare ?? '');
  }
  return found;
}

/* The forms of a page: { action, method, fields }; fields as a browser would send them if nothing were touched. */
export function formsOf(page) {
  return [...page.text.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gis)].map(([, head, inner]) => {
    const { action = '', method = 'get' } = attributesOf(head);
    const fields = {};
    for (const [, tag] of inner.matchAll(/<input\b([^>]*)>/gis)) {
      const { name, value, type, checked } = attributesOf(tag);
      const isTick = type === 'checkbox' || type === 'radio';
      if (name && (!isTick || checked !== undefined)) fields[name] = value ?? (isTick ? 'on' : '');
    }
    return { action: new URL(action, page.url).href, method: method.toUpperCase(), fields };
  });
}

export class Browser {
  jar = new CookieJar();
  history = []; // every exchange: { method, url, status, location }

  constructor(base) {
    this.base = base;
  }

  /* One request with our cookies; redirects are not followed. For programs: no navigation headers. */
  async get(url, { headers = {}, ...options } = {}) {
    const target = new URL(url, this.base).href;
    const cookie = this.jar.header(target);
    const answer = await request(target, { ...options, headers: { ...(cookie && { cookie }), ...headers } });
    for (const line of answer.headers['set-cookie'] ?? []) this.jar.store(target, line);
    this.history.push({ method: options.method ?? 'GET', url: target, status: answer.status, location: answer.headers.location });
    return answer;
  }

  post(url, fields, { headers = {}, ...options } = {}) {
    const target = new URL(url, this.base);
    return this.get(url, {
      ...options,
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: target.origin, ...headers },
      body: new URLSearchParams(fields).toString(),
    });
  }

  /* A navigation, redirects followed. `hops` lists the URLs on the way. */
  async visit(url, { site = 'none', headers = {} } = {}) {
    return this.#follow(await this.get(url, { headers: { ...NAVIGATION, 'sec-fetch-site': site, ...headers } }), site);
  }

  async submit(form, fields = {}) {
    const headers = { ...NAVIGATION, 'sec-fetch-site': 'same-origin' };
    return this.#follow(await this.post(form.action, { ...form.fields, ...fields }, { headers }), 'same-origin');
  }

  /* Opens a URL that asks for a login, fills in the provider's form, and comes back with where that led. */
  async login(username, url = '/', password = `${username}-demo`) {
    const page = await this.visit(url);
    const form = formsOf(page).find(({ fields }) => 'password' in fields);
    if (!form) throw new Error(`no login form at ${page.url} (status ${page.status}) after ${page.hops.join(' > ')}`);
    return this.submit(form, { username, password });
  }

  async #follow(first, firstSite) {
    let answer = first;
    let site = firstSite;
    const initiator = new URL(first.url);
    const hops = [answer.url];
    while ([301, 302, 303, 307, 308].includes(answer.status) && answer.headers.location) {
      if (hops.length > HOPS_MAX) throw new Error(`redirect loop: ${hops.join(' > ')}`);
      const next = new URL(answer.headers.location, answer.url).href;
      // Typed addresses stay "none"; otherwise the farthest step from where the click was counts.
      const { hostname, origin } = new URL(next);
      if (site !== 'none' && hostname !== initiator.hostname) site = 'cross-site';
      else if (site === 'same-origin' && origin !== initiator.origin) site = 'same-site';
      answer = await this.get(next, { headers: { ...NAVIGATION, 'sec-fetch-site': site } });
      hops.push(next);
    }
    return Object.assign(answer, { hops });
  }
}
