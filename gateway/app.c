#include "app.h"

#include "app_assertion.h"
#include "app_policy.h"
#include "handlers/echo.h"
#include "pages/logo.h"
#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/secret.h"
#include "workspace/fixed.h"
#include "worker.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

enum {
    JOB_THREADS = 4,
    JOB_QUEUE_MAX = 4096,
    WORKERS_MAX = GATEWAY_CORES_MAX,
    BAD_TOKENS_PER_MINUTE = 60,
    DRAIN_MS = 10000,
    DRAIN_STEP_MS = 20
};

enum { EXIT_CONFIG = 2, EXIT_UNABLE = 3 };

struct app {
    struct config *config;
    struct gateway gateway;
    struct seal_ring *ring;
    struct secretfiles *secrets;
    struct secretfile *client_secret;
    struct driver *driver;
    char *redirect_uri;
    struct logo logo;
    struct worker workers[WORKERS_MAX];
    size_t n_workers;
    struct app_assertion assertion;
    uint16_t port, admin_port;
};

/* ---- configuration ---- */

static void print_finding(void *arg, const struct config_finding *f)
{
    (void)arg;
    char line[16] = "";
    if (f->line > 0)
        snprintf(line, sizeof(line), ":%d", f->line);
    fprintf(stderr, "%s%s: %s%s%s%s\n", f->file, line, f->is_warning ? "warning: " : "", f->key, f->key[0] == '\0' ? "" : ": ",
            f->text);
}

/* ---- what all cores share ---- */

static bool wants_repogate(const struct config *c)
{
    for (size_t i = 0; i < c->oidc.scopes.n; i++)
        if (strcmp(c->oidc.scopes.items[i], "repogate") == 0)
            return true;
    return false;
}

static enum gw_err decode_claims(void *cls, struct view claims_json, void **ret_who, size_t *ret_bytes)
{
    const struct config *c = cls;
    struct buf pack = BUF(PACK_BYTES_MAX);
    struct principal *who = NULL;
    enum gw_err err = pack_parse(claims_json, &pack);
    if (err == GW_OK)
        err = principal_new(pack_root(pack.p), PRINCIPAL_SESSION, wants_repogate(c), &who);
    buf_deinit(&pack);
    if (err != GW_OK)
        return err;
    *ret_who = who;
    *ret_bytes = principal_bytes(who);
    return GW_OK;
}

static void *ref_principal(void *who)
{
    return principal_ref(who);
}

static void unref_principal(void *who)
{
    principal_unref(who);
}

static int unable(const char *what, const char *which, enum gw_err err)
{
    log_printf(LOG_ERROR, "%s: %s (%s)", what, which, gw_err_name(err));
    return EXIT_UNABLE;
}

static enum gw_err take_session_keys(void *arg, struct view text)
{
    return seal_ring_replace(arg, text);
}

/* Who reaches the admin listener may try; so nothing that can be guessed. */
static enum gw_err take_admin_token(void *arg, struct view text)
{
    (void)arg;
    return text.n < CONFIG_ADMIN_TOKEN_MIN ? GW_E_INVALID : GW_OK;
}

/* Secrets that change while we run; all were readable a moment ago, when the configuration was. */
static int make_secrets(struct app *a)
{
    const struct config *c = a->config;
    const char *proxy = c->server.proxy_secret_file;
    enum gw_err err = secretfiles_new(&a->secrets);
    if (err == GW_OK)
        err = secretfiles_add(a->secrets, "session.key_file", c->session.key_file, take_session_keys, a->ring, NULL);
    if (err == GW_OK)
        err = secretfiles_add(a->secrets, "oidc.client_secret_file", c->oidc.client_secret_file, NULL, NULL, &a->client_secret);
    if (err == GW_OK && proxy[0] != '\0')
        err = secretfiles_add(a->secrets, "server.proxy_secret_file", proxy, NULL, NULL, &a->gateway.proxy_secret);
    if (err == GW_OK && c->server.admin_token_file[0] != '\0')
        err = secretfiles_add(a->secrets, "server.admin_token_file", c->server.admin_token_file, take_admin_token, NULL,
                              &a->gateway.admin_token);
    return err == GW_OK ? 0 : unable("a secret cannot be read", "see the files that the configuration names", err);
}

static enum gw_err take_dsn(void *arg, struct view text)
{
    return store_use_dsn(arg, text);
}

/* The connection string may change while we run; connections made from then on take the new one. */
static int open_database(struct app *a)
{
    const char *path = a->config->session.dsn_file;
    GW_CLEANUP(secret_freep) char *dsn = NULL;
    char reason[STORE_REASON_MAX];
    enum gw_err err = secret_load(path, &dsn);
    if (err != GW_OK)
        return unable("session.dsn_file cannot be read", path, err);
    if (store_check_dsn(dsn, reason) != GW_OK) {
        log_printf(LOG_ERROR, "session.dsn_file: %s: %s", path, reason);
        return EXIT_CONFIG;
    }
    if ((err = store_open_postgres(dsn, &a->gateway.store)) != GW_OK)
        return unable("the session store cannot be opened", path, err);
    err = secretfiles_add(a->secrets, "session.dsn_file", path, take_dsn, a->gateway.store, NULL);
    return err == GW_OK ? 0 : unable("a secret cannot be read", path, err);
}

static int make_store(struct app *a)
{
    const struct config *c = a->config;
    if (c->session.is_postgres)
        return open_database(a);
    enum gw_err err = store_open(c->session.path, &a->gateway.store);
    return err == GW_OK ? 0 : unable("the session store cannot be opened", c->session.path, err);
}

static int make_shared(struct app *a)
{
    const struct config *c = a->config;
    struct gateway *gw = &a->gateway;
    char why[256] = "";
    enum gw_err err;
    gw->config = c;
    gw->cookie_name = c->server.is_https ? "__Host-repogate" : "repogate";
    gw->login_cookie_prefix = c->server.is_https ? "__Host-repogate-login-" : "repogate-login-";
    if ((err = seal_ring_load(c->session.key_file, &a->ring)) != GW_OK)
        return unable("the session keys cannot be read; make them with: repogate keygen session --out FILE", c->session.key_file,
                      err);
    gw->ring = a->ring;
    int code = make_secrets(a);
    if (code != 0)
        return code;
    if ((err = seal_mac(a->ring, 0, VIEW("repogate query digest"), VIEW_NONE, gw->query_key)) != GW_OK)
        return unable("the session keys cannot be used", c->session.key_file, err);
    if ((err = fixed_new(c->workspace.url, c->workspace.host, &a->driver, why, sizeof(why))) != GW_OK) {
        log_printf(LOG_ERROR, "workspace.url: %s", why);
        return EXIT_CONFIG;
    }
    gw->driver = a->driver;
    if ((err = jobs_new(JOB_THREADS, JOB_QUEUE_MAX, &gw->jobs)) != GW_OK)
        return unable("threads cannot be started", "job pool", err);
    if ((code = make_store(a)) != 0)
        return code;
    if ((err = journal_open(c->audit.path, &gw->journal)) != GW_OK)
        return unable("the audit log cannot be opened (another gateway may hold it)", c->audit.path, err);
    if ((err = visibility_new(&gw->visibility)) != GW_OK)
        return unable("no memory", "visibility", err);
    if ((err = throttle_new(c->server.logins_per_minute, &gw->login_throttle)) != GW_OK)
        return unable("no memory", "logins", err);
    if ((err = throttle_new(MACHINE_ATTEMPTS_PER_MINUTE, &gw->machine_throttle)) != GW_OK)
        return unable("no memory", "attempts", err);
    if ((err = throttle_new(MACHINE_GUESSES_PER_MINUTE, &gw->name_throttle)) != GW_OK)
        return unable("no memory", "guesses", err);
    if ((err = throttle_new(MACHINE_BAD_TOKENS_PER_MINUTE, &gw->token_throttle)) != GW_OK)
        return unable("no memory", "tokens", err);
    if ((err = throttle_new(c->server.anonymous_per_minute, &gw->nobody_throttle)) != GW_OK)
        return unable("no memory", "requests", err);
    if ((err = throttle_new(BAD_TOKENS_PER_MINUTE, &gw->bad_tokens)) != GW_OK)
        return unable("no memory", "logouts", err);
    if (c->doctor.enabled && (err = echo_new(&gw->echo)) != GW_OK)
        return unable("no memory", "echo", err);
    if (c->server.logo_file[0] != '\0') {
        if ((err = logo_load(c->server.logo_file, &a->logo)) != GW_OK)
            return unable("server.logo_file is no PNG, JPEG, WebP or SVG of at most 128 KiB", c->server.logo_file, err);
        gw->logo = &a->logo;
    }
    struct sessions_spec spec = {
        .store = gw->store,
        .jobs = gw->jobs,
        .ring = a->ring,
        .idle_s = c->session.idle_s,
        .absolute_s = c->session.absolute_s,
        .refresh_s = c->session.refresh_s,
        .grace_s = c->session.grace_s,
        .codec = {decode_claims, ref_principal, unref_principal, (void *)(uintptr_t)c},
    };
    if ((err = sessions_new(&spec, &gw->sessions)) != GW_OK)
        return unable("no memory", "sessions", err);
    return 0;
}

/* ---- cores ---- */

static int make_worker(struct app *a, const struct provider_spec *provider)
{
    const struct config *c = a->config;
    bool is_first = a->n_workers == 0;
    int fd = -1, admin_fd = -1;
    enum gw_err err = listener_bind(c->server.listen_host, &a->port, &fd);
    if (err != GW_OK)
        return unable("server.listen cannot be bound", c->server.listen_host, err);
    if (is_first && (err = listener_bind(c->server.admin_listen_host, &a->admin_port, &admin_fd)) != GW_OK)
        return unable("server.admin_listen cannot be bound", c->server.admin_listen_host, err);
    a->gateway.cores[a->gateway.n_cores++] = &a->workers[a->n_workers].core;
    err = worker_init(&a->workers[a->n_workers++], &a->gateway, provider, fd, admin_fd);
    return err == GW_OK ? 0 : unable("a worker cannot be started", "worker", err);
}

static int make_workers(struct app *a)
{
    const struct config *c = a->config;
    struct provider_spec provider = {
        .issuer = c->oidc.issuer,
        .internal_url = c->oidc.internal_url,
        .client_id = c->oidc.client_id,
        .client_secret_file = a->client_secret,
        .scopes = (const char *const *)c->oidc.scopes.items,
        .n_scopes = c->oidc.scopes.n,
        .algorithms = (const char *const *)c->oidc.algorithms.items,
        .n_algorithms = c->oidc.algorithms.n,
    };
    if (asprintf(&a->redirect_uri, "%s/_repogate/callback", c->server.public_url) < 0)
        return unable("no memory", "redirect_uri", GW_E_NOMEM);
    provider.redirect_uri = a->redirect_uri;
    a->port = c->server.listen_port;
    a->admin_port = c->server.admin_listen_port;
    int code = 0;
    size_t n = c->server.threads < WORKERS_MAX ? c->server.threads : WORKERS_MAX;
    while (code == 0 && a->n_workers < n)
        code = make_worker(a, &provider);
    return code;
}

static int make_assertions(struct app *a)
{
    a->assertion = (struct app_assertion){a->config, a->workers, a->n_workers};
    enum gw_err err = app_assertion_start(&a->assertion, a->secrets);
    return err == GW_OK ? 0
                        : unable("the assertion keys cannot be read; make one with: repogate keygen assertion --out FILE",
                                 a->config->assertion.key_file, err);
}

static int start_workers(struct app *a)
{
    for (size_t i = 0; i < a->n_workers; i++) {
        enum gw_err err = worker_start(&a->workers[i]);
        if (err != GW_OK)
            return unable("a worker's thread cannot be started", "worker", err);
    }
    enum gw_err err = session_sweep_start(a->gateway.sessions, a->workers[0].core.loop);
    if (err == GW_OK)
        err = secretfiles_watch(a->secrets, a->workers[0].core.loop, a->gateway.jobs);
    return err == GW_OK ? 0 : unable("no memory", "timers", err);
}

static void report_start(const struct app *a)
{
    char public[80], admin[80];
    snprintf(public, sizeof(public), "%s:%u", a->config->server.listen_host, a->port);
    snprintf(admin, sizeof(admin), "%s:%u", a->config->server.admin_listen_host, a->admin_port);
    log_event(LOG_INFO, "listening", LOG_KV("public", view_of(public)), LOG_KV("admin", view_of(admin)),
              LOG_KV("url", view_of(a->config->server.public_url)));
}

/* ---- running and stopping ---- */

static void reload(struct app *a)
{
    enum gw_err err = journal_reopen(a->gateway.journal);
    if (err != GW_OK)
        log_printf(LOG_ERROR, "the audit log cannot be reopened (%s); the old file stays in use", gw_err_name(err));
    secretfiles_check(a->secrets);
    app_policy_load(&a->gateway, a->workers, a->n_workers, false);
}

static void run_until_told(struct app *a, const sigset_t *signals)
{
    for (;;) {
        int sig = 0;
        if (sigwait(signals, &sig) != 0)
            continue;
        if (sig == SIGTERM || sig == SIGINT)
            return;
        if (sig == SIGHUP)
            reload(a);
    }
}

static void drain(struct app *a)
{
    atomic_store(&a->gateway.is_draining, true);
    for (size_t i = 0; i < a->n_workers; i++)
        worker_quiesce(&a->workers[i]);
    int64_t until_us = epoch_mono_us() + (int64_t)DRAIN_MS * 1000;
    while (epoch_mono_us() < until_us) {
        size_t active = 0;
        for (size_t i = 0; i < a->n_workers; i++)
            active += worker_active(&a->workers[i]);
        if (active == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = DRAIN_STEP_MS * 1000000L}, NULL);
    }
}

static void run_rests(struct app *a)
{
    for (size_t i = 0; i < a->n_workers; i++)
        worker_run_rest(&a->workers[i]);
}

static void tear_down(struct app *a)
{
    struct gateway *gw = &a->gateway;
    for (size_t i = 0; i < a->n_workers; i++)
        worker_join(&a->workers[i]);
    if (gw->jobs != NULL)
        jobs_stop(gw->jobs);
    /* The jobs' last answers, and whoever waits for a refresh, may ask the provider or a forge, so these go after them, and what they
     * leave runs last. */
    run_rests(a);
    if (gw->sessions != NULL)
        session_stop_refreshing(gw->sessions);
    run_rests(a);
    for (size_t i = 0; i < a->n_workers; i++)
        worker_end_waits(&a->workers[i]);
    run_rests(a);
    if (gw->sessions != NULL)
        sessions_free(gw->sessions); /* which the store tells of changes until then */
    store_close(gw->store);
    /* The providers are gone, and nothing can ask for a secret any more. */
    secretfiles_free(a->secrets);
    for (size_t i = 0; i < a->n_workers; i++)
        worker_deinit(&a->workers[i]);
    throttle_free(gw->bad_tokens);
    visibility_free(gw->visibility);
    echo_free(gw->echo);
    throttle_free(gw->login_throttle);
    throttle_free(gw->machine_throttle);
    throttle_free(gw->name_throttle);
    throttle_free(gw->token_throttle);
    throttle_free(gw->nobody_throttle);
    journal_close(gw->journal);
    jobs_free(gw->jobs);
    driver_free(a->driver);
    seal_ring_free(a->ring);
    config_free(a->config);
    logo_deinit(&a->logo);
    free(a->redirect_uri);
}

static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write(), not our end */
}

/* Systems start programs with 1024 descriptors, for the sake of select(), and let those that don't use it ask for more. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_printf(LOG_WARN, "the limit of open files could not be raised");
}

int app_serve(const char *config_path)
{
    sigset_t signals;
    GW_CLEANUP(gw_freep) struct app *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return unable("no memory", "start", GW_E_NOMEM);
    enum gw_err err = config_load(config_path, print_finding, NULL, &a->config);
    if (err != GW_OK)
        return err == GW_E_INVALID ? EXIT_CONFIG : EXIT_UNABLE;
    block_signals(&signals);
    raise_descriptors();
    int code = make_shared(a);
    if (code == 0)
        code = make_workers(a);
    if (code == 0)
        code = make_assertions(a);
    if (code == 0)
        app_policy_load(&a->gateway, a->workers, a->n_workers, true);
    if (code == 0)
        code = start_workers(a);
    if (code == 0) {
        report_start(a);
        run_until_told(a, &signals);
        log_printf(LOG_INFO, "stopping: requests under way are finished first");
        drain(a);
    }
    tear_down(a);
    return code;
}
