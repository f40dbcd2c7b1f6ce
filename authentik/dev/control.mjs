// The provider's ears over HTTP, for whoever does not run in its process.
const BODY_MAX = 64 * 1024;

export async function readBody(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > BODY_MAX) throw new Error('request body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

const SETTINGS = {
  access_token_seconds: 'accessTokenSeconds',
  refresh_token_seconds: 'refreshTokenSeconds',
  clock_skew_seconds: 'clockSkewSeconds',
  rotates_refresh_tokens: 'rotatesRefreshTokens',
  reuse_ends_family: 'reuseEndsFamily',
  logout_uri: 'logoutUri',
};

/* In the order of this table, however the JSON is ordered. A value that is returned goes into the answer. */
const ORDERS = {
  rotate: (provider, { alg, keep } = {}) => void provider.rotateKey(alg, { keep }),
  user: (provider, { username, patch }) => void provider.updateUser(username, patch),
  faults: (provider, faults) => provider.setFaults(faults),
  hold: (provider, { endpoint, answered }) => provider.hold(endpoint, { answered }),
  await_held: (provider, { endpoint, count }) => provider.whenHeld(endpoint, count),
  release: (provider, { endpoint, count } = {}) => provider.release(endpoint, count),
  end_sessions: (provider, username) => provider.endSessionsOf(username),
  deactivate: (provider, username) => provider.deactivate(username),
  send_logout: async (provider, { url, ...options }) => ({ logout: await provider.sendLogout(url, options) }),
  mint: (provider, options) => ({ token: provider.mint(options) }),
};

// JSON only, so that no web page can send it without a preflight that nobody answers.
export async function control(provider, req, res) {
  const reply = (status, value) => {
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(`${JSON.stringify(value)}\n`);
  };
  if (req.method !== 'POST' || !/^application\/json\b/.test(req.headers['content-type'] ?? '')) return reply(405, { error: 'POST application/json' });
  try {
    const order = JSON.parse(await readBody(req));
    for (const name of Object.keys(order)) if (!ORDERS[name] && !SETTINGS[name]) throw new Error(`no such order: ${name}`);
    for (const [name, field] of Object.entries(SETTINGS)) if (name in order) provider[field] = order[name];
    const results = {};
    for (const [name, run] of Object.entries(ORDERS)) if (name in order) Object.assign(results, await run(provider, order[name]));
    return reply(200, { kid: provider.keys.kid, faults: provider.faults, counts: provider.counts, ...results });
  } catch (error) {
    return reply(400, { error: error.message });
  }
}
