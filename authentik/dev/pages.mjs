// The provider's few pages: plain forms that work without JavaScript.
const STYLE = `
:root { color-scheme: light dark; --line: #8886; --accent: #c2410c; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 22rem; margin: 12vh auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
label { display: block; margin: 1rem 0 .25rem; }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; border: 1px solid var(--line); border-radius: .4rem; }
button { font: inherit; margin-top: 1.25rem; padding: .5rem 1.25rem; border: 0; border-radius: .4rem; background: var(--accent); color: #fff; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
p.error { border-left: 3px solid var(--accent); padding-left: .75rem; }
small { opacity: .7; }`;

export function escapeHtml(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function page(title, body) {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><style>${STYLE}</style></head>
<body><h1>${escapeHtml(title)}</h1>
${body}
<p><small>Local stand-in for Authentik, for demo and tests only.</small></p></body>
</html>
`;
}

export function loginPage({ action, username = '', error = '' }) {
  return page('Log in', `${error ? `<p class="error" role="alert">${escapeHtml(error)}</p>` : ''}
<form method="post" action="${escapeHtml(action)}">
<label for="username">Username</label>
<input id="username" name="username" value="${escapeHtml(username)}" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button type="submit">Log in</button>
</form>`);
}

export function messagePage(title, text, link) {
  return page(title, `<p>${escapeHtml(text)}</p>${link ? `<p><a href="${escapeHtml(link)}">Go back</a></p>` : ''}`);
}
