/* config: loads repogate.yaml, applies the environment, checks once, and is immutable from then on.
 *
 * Shape: DESIGN 3. One struct per section; strings owned by the config; durations in seconds (_s), sizes in bytes.
 * Errors: config_load() reports every finding through `report` with file, line, key and what was expected, then returns GW_E_INVALID (GW_E_IO
 * for a file that cannot be read). Unknown keys, wrong types, unreadable secrets and impossible combinations all stop the start.
 * Secrets are only tried here: who uses them reads them anew when they change (util/secretfile).
 * Threads: immutable after config_load(). Source: the one key table in confkeys. */
#pragma once

#include "forge/repo.h"
#include "http/original.h"

enum { CONFIG_LIST_MAX = 32, CONFIG_ISSUERS_MAX = 8, CONFIG_BYTES_MAX = 256 * 1024, CONFIG_ADMIN_TOKEN_MIN = 16 };

enum config_mode { CONFIG_MODE_HOST, CONFIG_MODE_PATH };
enum config_audit_mode { CONFIG_AUDIT_WRITTEN };

struct config_strings {
    char **items;
    size_t n;
};

struct config_issuer { /* of oidc.bearer */
    char *issuer;
    char *audience;
    char *internal_url; /* "" = none */
};

struct config_env { /* policy.env: name to text, sorted by name */
    char *name, *value;
};

struct config {
    struct {
        char *listen_host;    /* an IP address; "" = all */
        uint16_t listen_port; /* 0 = the kernel picks one, printed at start */
        char *admin_listen_host;
        uint16_t admin_listen_port;
        char *admin_token_file; /* "" = no admin API; the token in it has at least CONFIG_ADMIN_TOKEN_MIN bytes */
        char *public_url;       /* without trailing slash */
        struct uri public_uri;  /* borrowed from public_url */
        bool is_https;
        struct ipnet trusted_proxies[IPADDR_NETS_MAX];
        size_t n_trusted_proxies;
        char *proxy_secret_file;       /* "" = none */
        unsigned dialects;             /* bits 1 << enum dialect: whose auth endpoints exist */
        unsigned threads;              /* 0 resolved to the number of cores */
        unsigned logins_per_minute;    /* from one address: 1 to 1,000,000 */
        unsigned anonymous_per_minute; /* likewise: requests of nobody known */
        char *contact;
        char *product_name; /* not empty */
        char *logo_file;
    } server;
    struct {
        char *issuer;
        char *internal_url; /* "" = none */
        char *ca_file;      /* "" = the system's authorities */
        char *client_id;
        char *client_secret_file;
        struct config_strings scopes;
        struct config_strings algorithms; /* of RS256 ES256 ES384 ES512 EdDSA HS256 */
        struct config_issuer bearer[CONFIG_ISSUERS_MAX];
        size_t n_bearer;
        bool introspection;
    } oidc;
    struct {
        bool is_postgres;
        char *path;     /* SQLite file */
        char *dsn_file; /* PostgreSQL's connection string; "" = SQLite */
        char *key_file; /* for seal_ring_load() */
        int64_t idle_s, absolute_s;
        int64_t refresh_s, grace_s;
    } session;
    struct {
        char *key_file; /* for signkey_ring_load(); "" = none */
    } assertion;
    struct {
        char *dir;
        char *state_dir;
        bool require_tests;
        struct config_env *env;
        size_t n_env;
    } policy;
    struct {
        char *path; /* "-" = standard output */
        enum config_audit_mode mode;
    } audit;
    struct {
        struct forge items[REPO_FORGES_MAX];
        size_t n;
    } forges;
    struct {
        char *url;  /* workspace.url with its placeholders, which were checked: {forge} {owner} {name} {user} are whole path
                    * segments, {id} a whole DNS label */
        char *host; /* "" = the authority of url */
        enum config_mode mode;
        bool single_trust;
    } workspace;
    struct {
        bool enabled;
    } doctor;
};

struct config_finding {
    const char *file; /* or the name of the environment variable */
    int line, column; /* 0 = none (the environment, or the file itself) */
    const char *key;  /* "server.listen", or "" */
    const char *text; /* what is wrong and what was expected */
    bool is_warning;
};
typedef void (*config_report_fn)(void *arg, const struct config_finding *f);

/* Reads the file at path, the process's environment and the secrets' files. */
enum gw_err config_load(const char *path, config_report_fn report, void *arg, struct config **ret_config) GW_MUST_CHECK;
/* The same of a text, touching no files. name: shown in findings. environment: NAME=value…, NULL at the end. */
enum gw_err config_parse(struct view text, const char *name, char *const *environment, config_report_fn report, void *arg,
                         struct config **ret_config) GW_MUST_CHECK;
/* Where a key's value comes from, for findings made later. *ret_line is 0 for the environment and for defaults. Borrowed from c. */
const char *config_source(const struct config *c, const char *key, int *ret_line);
/* "libcyaml 1.3.1", "libyaml 0.2.5" */
const char *config_library_version(void);
const char *config_parser_version(void);
void config_free(struct config *c);

static inline void config_freep(struct config **pp)
{
    config_free(*pp);
}
