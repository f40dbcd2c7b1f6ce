/* confkeys: the one table of configuration keys: name, type, default, what is built, and a sentence of documentation.
 *
 * From it come the defaults, the names in the environment, the suggestions for misspelt keys and the README's reference.
 * Keys that the contract names but whose work is not built yet are listed with `unbuilt`, so that a file which relies on
 * them is refused with that reason and never silently accepted.
 * Threads: constants only. */
#pragma once

#include "util/buf.h"

enum confkey_type {
    CONFKEY_TEXT,
    CONFKEY_ADDRESS,
    CONFKEY_URL,
    CONFKEY_INTEGER,
    CONFKEY_BOOL,
    CONFKEY_DURATION,
    CONFKEY_CHOICE,
    CONFKEY_LIST,
    CONFKEY_MAP,
    CONFKEY_PATH,
    CONFKEY_SECRET_FILE,
    CONFKEY_MAPS, /* a list of maps of texts; the accepted values are the names of their members */
};

/* Columns: identifier, dotted name, type, default (NULL = required; a list's with commas), accepted values of a choice or a
 * list ("" = by type), values not built yet ("*" = any but the default), documentation. */
#define CONFKEYS_TABLE(X)                                                                                                       \
    X(SERVER_LISTEN, "server.listen", ADDRESS, "127.0.0.1:8080", "", "",                                                        \
      "Public listener: auth endpoints, login, portal, router. `host:port`, `:port` or `[::1]:port`; port 0 picks a free one.") \
    X(SERVER_ADMIN_LISTEN, "server.admin_listen", ADDRESS, "127.0.0.1:9090", "", "",                                            \
      "Health, metrics and the admin API, never on the public port.")                                                           \
    X(SERVER_ADMIN_TOKEN_FILE, "server.admin_token_file", SECRET_FILE, "", "", "",                                              \
      "Bearer token of the admin API, at least 16 characters; without it only health and metrics answer.")                      \
    X(SERVER_PUBLIC_URL, "server.public_url", URL, NULL, "", "",                                                                \
      "The address in people's browsers: an http or https origin without a path.")                                              \
    X(SERVER_TRUSTED_PROXIES, "server.trusted_proxies", LIST, "127.0.0.1/32,::1/128", "", "",                                   \
      "Networks (CIDR) whose forwarded headers are believed.")                                                                  \
    X(SERVER_PROXY_SECRET_FILE, "server.proxy_secret_file", SECRET_FILE, "", "", "",                                            \
      "If set, auth endpoints demand the file's text in `X-Repogate-Proxy-Secret`.")                                            \
    X(SERVER_DIALECTS, "server.dialects", LIST, "nginx", "nginx,traefik,caddy,envoy,haproxy", "",                               \
      "Which auth endpoints exist; the others answer 404.")                                                                     \
    X(SERVER_THREADS, "server.threads", INTEGER, "0", "", "", "Event loops; 0 = one per core.")                                 \
    X(SERVER_LOGINS_PER_MINUTE, "server.logins_per_minute", INTEGER, "600", "", "",                                             \
      "Logins that one client address (IPv6: one /64) may begin in a minute, at once or one by one; more are answered 429. "    \
      "Raise it if a large office comes from one address.")                                                                     \
    X(SERVER_ANONYMOUS_PER_MINUTE, "server.anonymous_per_minute", INTEGER, "6000", "", "",                                      \
      "Requests that one client address (IPv6: one /64) may make in a minute without being known, for what needs a login; "     \
      "more are refused (`rate_limited`). Bad tokens count, whoever is logged in does not.")                                    \
    X(SERVER_CONTACT, "server.contact", TEXT, "", "", "", "Whom to ask, shown on pages that refuse.")                           \
    X(SERVER_PRODUCT_NAME, "server.product_name", TEXT, "Repogate", "", "", "What this service is called on its pages.")        \
    X(SERVER_LOGO_FILE, "server.logo_file", PATH, "", "", "",                                                                   \
      "PNG, JPEG, WebP or SVG of at most 128 KiB, shown beside the name.")                                                      \
    X(OIDC_ISSUER, "oidc.issuer", URL, NULL, "", "",                                                                            \
      "Authentik's issuer, to the byte as it stands in its tokens, trailing slash included.")                                   \
    X(OIDC_INTERNAL_URL, "oidc.internal_url", URL, "", "", "",                                                                  \
      "Base URL for back-channel calls, if another; the Host header stays the issuer's.")                                       \
    X(OIDC_CA_FILE, "oidc.ca_file", PATH, "", "", "",                                                                           \
      "PEM bundle of the authorities trusted on back channels; empty = the system's.")                                          \
    X(OIDC_CLIENT_ID, "oidc.client_id", TEXT, "repogate", "", "", "Client id of the application in Authentik.")                 \
    X(OIDC_CLIENT_SECRET_FILE, "oidc.client_secret_file", SECRET_FILE, NULL, "", "", "File with the client secret.")            \
    X(OIDC_SCOPES, "oidc.scopes", LIST, "openid,profile,email,entitlements,offline_access,repogate", "", "",                    \
      "Scopes asked for at login; `openid` must be among them.")                                                                \
    X(OIDC_ALGORITHMS, "oidc.algorithms", LIST, "RS256,ES256", "RS256,ES256,ES384,ES512,EdDSA,HS256", "",                       \
      "Signature algorithms accepted in tokens; HS256 only if listed here.")                                                    \
    X(OIDC_BEARER, "oidc.bearer", MAPS, "", "issuer,audience,internal_url", "",                                                 \
      "Further issuers of bearer tokens, each with keys of its own: `iss`, `aud` and `azp` must match one entry exactly.")      \
    X(OIDC_INTROSPECTION, "oidc.introspection", BOOL, "false", "", "",                                                          \
      "Accept opaque tokens, and app passwords over HTTP Basic: both are checked by asking the provider.")                      \
    X(SESSION_STORE, "session.store", CHOICE, "sqlite", "sqlite,postgres", "",                                                  \
      "Where sessions are kept: in a file, for one gateway, or in a database, for several.")                                    \
    X(SESSION_PATH, "session.path", PATH, "/var/lib/repogate/sessions.db", "", "",                                              \
      "The file of `sqlite`. One gateway uses it at a time; a second is refused.")                                              \
    X(SESSION_DSN_FILE, "session.dsn_file", SECRET_FILE, "", "", "",                                                            \
      "File with the connection string of `postgres`. TLS as its `sslmode` says, `verify-full` if it says nothing.")            \
    X(SESSION_KEY_FILE, "session.key_file", PATH, "/var/lib/repogate/session.key", "", "",                                      \
      "Key ring that seals sessions, as `repogate keygen session` writes it: the first key seals, all open.")                   \
    X(SESSION_IDLE, "session.idle", DURATION, "8h", "", "", "A session unused for so long ends.")                               \
    X(SESSION_ABSOLUTE, "session.absolute", DURATION, "24h", "", "", "A session ends so long after its login, used or not.")    \
    X(SESSION_REFRESH, "session.refresh", DURATION, "5m", "", "",                                                               \
      "How stale groups and attributes may be: a session in use asks Authentik anew this often. Shorter than `session.idle`.")  \
    X(SESSION_GRACE, "session.grace", DURATION, "15m", "", "",                                                                  \
      "How long after that the claims known serve while Authentik, or the session store, cannot be reached.")                   \
    X(ASSERTION_KEY_FILE, "assertion.key_file", SECRET_FILE, "", "", "",                                                        \
      "P-256 keys in PEM, as `repogate keygen assertion` writes them: the first signs `X-Repogate-Assertion`, "                 \
      "all are published. Empty = nothing is asserted.")                                                                        \
    X(POLICY_DIR, "policy.dir", PATH, "policies", "", "", "Directory of the policies and their tests.")                         \
    X(POLICY_STATE_DIR, "policy.state_dir", PATH, "/var/lib/repogate/policy", "", "", "Where the last good revision is kept.")  \
    X(POLICY_SHADOW_DIR, "policy.shadow_dir", PATH, "", "", "*", "Policies evaluated beside, without effect.")                  \
    X(POLICY_REQUIRE_TESTS, "policy.require_tests", BOOL, "true", "", "",                                                       \
      "Refuse a policy set that has no tests or fails them.")                                                                   \
    X(POLICY_ENV, "policy.env", MAP, "", "", "", "Settings that policies may read, name to text; part of the revision.")        \
    X(AUDIT_PATH, "audit.path", PATH, "/var/log/repogate/audit.jsonl", "", "", "The audit log, or `-` for standard output.")    \
    X(AUDIT_MODE, "audit.mode", CHOICE, "written", "written", "durable,async",                                                  \
      "`written`: an allow is answered after its line is safe from the end of the process.")                                    \
    X(AUDIT_CHECKPOINT_KEY_FILE, "audit.checkpoint_key_file", SECRET_FILE, "", "", "*", "Key that signs checkpoints.")          \
    X(FORGES, "forges", MAP, "github: {kind: github, url: https://github.com}", "", "",                                         \
      "First path segment to forge: `name: {kind: github\\|gitlab\\|bitbucket\\|gitea, url: base URL}`.")                       \
    X(WORKSPACE_DRIVER, "workspace.driver", CHOICE, "static", "static", "knative,deployment", "Who makes workspaces.")          \
    X(WORKSPACE_URL, "workspace.url", URL, NULL, "", "",                                                                        \
      "Where workspaces answer. `{forge}` `{owner}` `{name}` `{user}` as whole path segments, `{id}` as one whole DNS label. "  \
      "`DEVCONTAINER_SERVICE_URL` sets it too.")                                                                                \
    X(WORKSPACE_HOST, "workspace.host", TEXT, "", "", "",                                                                       \
      "Host header to send, such as a Knative service's; empty = that of the URL.")                                             \
    X(WORKSPACE_MODE, "workspace.mode", CHOICE, NULL, "path", "host",                                                           \
      "`path`: workspaces share the portal's origin; needs `single_trust: true`.")                                              \
    X(WORKSPACE_HOST_SUFFIX, "workspace.host_suffix", TEXT, "", "", "*", "Domain below which each workspace has its own host.") \
    X(WORKSPACE_SINGLE_TRUST, "workspace.single_trust", BOOL, "false", "", "",                                                  \
      "States that everyone who may open any workspace trusts the others: pages of one can act in another.")                    \
    X(DOCTOR_ENABLED, "doctor.enabled", BOOL, "false", "", "",                                                                  \
      "The echo that `repogate doctor` asks exists below `/_repogate/echo/`, for those whom a policy lets there.")

enum confkey_id {
#define X(id, name, type, fallback, choices, unbuilt, doc) CONFKEY_##id,
    CONFKEYS_TABLE(X)
#undef X
        CONFKEYS_COUNT
};

enum { CONFKEYS_ENV_MAX = 64, CONFKEYS_NAME_MAX = 64 };

struct confkey {
    const char *name;
    enum confkey_type type;
    const char *fallback;
    const char *choices, *unbuilt;
    const char *doc;
};

extern const struct confkey confkeys[CONFKEYS_COUNT];

/* By dotted name; NULL if there is none. */
const struct confkey *confkeys_find(struct view name);
/* True for "server" and so on: the part before the dot. */
bool confkeys_has_section(struct view name);
/* The key or section that was probably meant; empty if none is near. */
struct view confkeys_nearest(struct view name);
/* True if value is among the comma-separated ones of list. */
bool confkeys_list_has(const char *list, struct view value);
/* Wholly unbuilt: any value but the default is refused. */
bool confkeys_is_unbuilt(const struct confkey *k);
/* REPOGATE__SERVER__LISTEN, with NUL. */
void confkeys_env_name(const struct confkey *k, char out[CONFKEYS_ENV_MAX]);
/* What is expected there, for findings: "a duration such as 30s, 5m, 8h or 1d". */
const char *confkeys_expected(enum confkey_type type);
/* The README's reference. */
void confkeys_format_markdown(struct buf *out);
