#include "app_guard.h"

#include "cli/usage.h"
#include "config/confvalue.h"
#include "handlers/core.h"
#include "handlers/guard.h"
#include "server/listener.h"
#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { JOBS_QUEUE_MAX = 64, DRAIN_MS = 10000, DRAIN_STEP_MS = 20 };

static const char usage[] =
    "usage: repogate guard --upstream HOST:PORT --issuer URL --audience ID --owner SUB\n"
    "                      --jwks URL | --key-file FILE  [--listen HOST:PORT] [--ca-file FILE]\n"
    "\n"
    "The front inside a workspace: lets a request through to the IDE only if the gateway's signed assertion comes with it,\n"
    "made for this workspace and its owner. Everything else is refused.\n"
    "\n"
    "  --listen HOST:PORT     where the gateway comes in (default :8080)\n"
    "  --upstream HOST:PORT   the IDE's port, on a loopback address: nobody must get there another way\n"
    "  --issuer URL           the gateway's server.public_url, to the byte\n"
    "  --audience ID          this workspace's id: ws- and 20 hexadecimal digits\n"
    "  --owner SUB            the subject that the workspace was made for\n"
    "  --jwks URL             the gateway's /_repogate/jwks; read anew when a key is missing\n"
    "  --key-file FILE        the same as a file\n"
    "  --ca-file FILE         PEM bundle of the authorities trusted for --jwks; otherwise the system's\n"
    "  --help                 this text\n"
    "\n"
    "Each can come from the environment instead: REPOGATE__GUARD__LISTEN, __UPSTREAM and so on.\n"
    "Its own paths: " GUARD_LIVE " is 200 while it runs, " GUARD_READY " once it has keys and the IDE answers.\n"
    "SIGTERM and SIGINT finish the requests under way, then stop.\n"
    "\n"
    "Exit: 0 stopped as asked, 2 wrong usage, 3 something that it needs could not be had.\n";

struct options {
    const char *listen, *upstream, *issuer, *audience, *owner, *jwks, *key_file, *ca_file;
};

struct app {
    struct core core;
    struct guard guard;
    struct jobs *jobs;
    struct listener *listener;
    pthread_t thread;
    bool is_running;
};

/* ---- options ---- */

static void from_environment(struct options *o)
{
    const struct {
        const char **value, *name;
    } all[] = {
        {&o->listen, "REPOGATE__GUARD__LISTEN"},     {&o->upstream, "REPOGATE__GUARD__UPSTREAM"},
        {&o->issuer, "REPOGATE__GUARD__ISSUER"},     {&o->audience, "REPOGATE__GUARD__AUDIENCE"},
        {&o->owner, "REPOGATE__GUARD__OWNER"},       {&o->jwks, "REPOGATE__GUARD__JWKS"},
        {&o->key_file, "REPOGATE__GUARD__KEY_FILE"}, {&o->ca_file, "REPOGATE__GUARD__CA_FILE"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const char *value = getenv(all[i].name);
        if (*all[i].value == NULL && value != NULL && value[0] != '\0')
            *all[i].value = value;
    }
}

static int check_options(const struct options *o)
{
    struct uri uri;
    const struct {
        const char *value, *name;
    } required[] = {
        {o->upstream, "--upstream"},
        {o->issuer, "--issuer"},
        {o->audience, "--audience"},
        {o->owner, "--owner"},
    };
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
        if (required[i].value == NULL)
            return cli_usage_error("guard", "%s is missing", required[i].name);
    if ((o->jwks == NULL) == (o->key_file == NULL))
        return cli_usage_error("guard", "expected --jwks or --key-file, one of them");
    if (o->jwks != NULL && uri_parse(view_of(o->jwks), &uri) != GW_OK)
        return cli_usage_error("guard", "--jwks: expected an http or https URL");
    return CLI_OK;
}

/* Whatever else can reach the IDE would pass the guard by. */
static bool parse_upstream(const char *text, char out[UPSTREAM_ADDRESS_MAX + 1])
{
    static const struct ipnet loopback[] = {{{{127}, 4}, 8}, {{{[15] = 1}, 6}, 128}};
    char host[IPADDR_TEXT_MAX + 1];
    uint16_t port;
    struct ipaddr ip;
    if (confvalue_parse_address(view_of(text), host, &port) != GW_OK || port == 0 || ipaddr_parse(view_of(host), &ip) != GW_OK ||
        !ipnet_any_has(loopback, 2, &ip))
        return false;
    snprintf(out, UPSTREAM_ADDRESS_MAX + 1, ip.family == 4 ? "%s:%u" : "[%s]:%u", host, port);
    return true;
}

/* ---- birth ---- */

static int unable(const char *what, enum gw_err err)
{
    log_printf(LOG_ERROR, "%s (%s)", what, gw_err_name(err));
    return CLI_FAILED;
}

static enum listener_body every_body(const struct request *r)
{
    (void)r;
    return LISTENER_BODY_STREAMED;
}

static enum gw_err make_verifier(struct app *a, const struct options *o)
{
    struct verifier_spec spec = {
        .issuer = view_of(o->issuer),
        .client_id = view_of(o->audience),
        .is_alg_allowed = {[SIGALG_ES256] = true},
    };
    return verifier_new(&spec, &a->guard.verifier);
}

static enum gw_err make_parts(struct app *a, const struct options *o)
{
    struct core *c = &a->core;
    enum gw_err err = loop_new(&c->loop);
    if (err == GW_OK)
        err = jobs_new(1, JOBS_QUEUE_MAX, &a->jobs);
    if (err == GW_OK)
        err = fetcher_new(c->loop, o->ca_file, &c->fetcher);
    if (err == GW_OK)
        err = relay_pool_new(c->loop, a->jobs, &c->relays);
    if (err == GW_OK)
        err = tunnel_pool_new(c->loop, &c->tunnels);
    if (err == GW_OK)
        err = upstream_pool_new(c->loop, a->jobs, &a->guard.probes);
    if (err != GW_OK)
        return err;
    upstream_pool_set_limits(a->guard.probes, &(struct upstream_limits){.connect_ms = GUARD_PROBE_MS});
    struct keyfeed_spec keys = {c->loop, c->fetcher, a->jobs, o->jwks, o->key_file, 0};
    err = keyfeed_new(&keys, &a->guard.keys);
    return err == GW_OK ? make_verifier(a, o) : err;
}

static int listen_on(struct app *a, const char *text)
{
    char host[IPADDR_TEXT_MAX + 1], shown[IPADDR_TEXT_MAX + 8];
    uint16_t port;
    struct listener_spec spec = {
        .core = &a->core, .loop = a->core.loop, .body = every_body, .handle = guard_handle, .refuse = guard_refuse};
    if (confvalue_parse_address(view_of(text), host, &port) != GW_OK)
        return cli_usage_error("guard", "--listen: expected host:port, :port or [ipv6]:port, the host an IP address");
    enum gw_err err = listener_bind(host, &port, &spec.fd);
    if (err == GW_OK)
        err = listener_new(&spec, &a->listener);
    if (err != GW_OK)
        return unable("--listen cannot be bound", err);
    snprintf(shown, sizeof(shown), "%s:%u", host, port);
    log_event(LOG_INFO, "listening", LOG_KV("public", view_of(shown)), LOG_KV("upstream", a->guard.upstream));
    return CLI_OK;
}

/* ---- running and stopping ---- */

static void *run(void *arg)
{
    struct app *a = arg;
    keyfeed_start(a->guard.keys);
    loop_run(a->core.loop);
    return NULL;
}

static void wait_for_signal(const sigset_t *signals)
{
    int sig = 0;
    while (sigwait(signals, &sig) != 0 || sig == SIGHUP)
        ;
}

static void quiesce(void *arg)
{
    struct app *a = arg;
    listener_quiesce(a->listener);
}

static void drain(struct app *a)
{
    atomic_store(&a->guard.is_draining, true);
    if (loop_post(a->core.loop, quiesce, a) != GW_OK)
        log_printf(LOG_WARN, "the listener goes on accepting while it drains: its loop is full");
    int64_t until_us = epoch_mono_us() + (int64_t)DRAIN_MS * 1000;
    while (epoch_mono_us() < until_us && listener_active(a->listener) > 0)
        nanosleep(&(struct timespec){.tv_nsec = DRAIN_STEP_MS * 1000000L}, NULL);
}

/* What was posted to a loop that has stopped. */
static void run_rest(struct app *a)
{
    loop_stop(a->core.loop);
    loop_run(a->core.loop);
}

static void tear_down(struct app *a)
{
    struct core *c = &a->core;
    if (a->listener != NULL)
        listener_stop(a->listener);
    if (a->is_running) {
        loop_stop(c->loop);
        pthread_join(a->thread, NULL);
    }
    if (a->jobs != NULL) {
        jobs_stop(a->jobs);
        run_rest(a);
    }
    keyfeed_close(a->guard.keys);
    fetcher_free(c->fetcher);
    if (c->loop != NULL)
        run_rest(a);
    listener_free(a->listener);
    tunnel_pool_free(c->tunnels);
    relay_pool_free(c->relays);
    upstream_pool_free(a->guard.probes);
    keyfeed_free(a->guard.keys);
    verifier_free(a->guard.verifier);
    jobs_free(a->jobs);
    loop_free(c->loop);
}

static int start_and_wait(struct app *a, const sigset_t *signals)
{
    if (pthread_create(&a->thread, NULL, run, a) != 0)
        return unable("the thread cannot be started", GW_E_NOMEM);
    a->is_running = true;
    wait_for_signal(signals);
    log_printf(LOG_INFO, "stopping: requests under way are finished first");
    drain(a);
    return CLI_OK;
}

static int serve(const struct options *o, const sigset_t *signals)
{
    char upstream[UPSTREAM_ADDRESS_MAX + 1];
    if (!parse_upstream(o->upstream, upstream))
        return cli_usage_error("guard", "--upstream: expected a loopback address and a port such as 127.0.0.1:5800");
    GW_CLEANUP(gw_freep) struct app *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return unable("no memory", GW_E_NOMEM);
    a->core.guard = &a->guard;
    a->guard.upstream = view_of(upstream);
    a->guard.owner = view_of(o->owner);
    enum gw_err err = make_parts(a, o);
    int code = err == GW_OK ? listen_on(a, o->listen == NULL ? ":8080" : o->listen) : unable("it cannot be made", err);
    if (code == CLI_OK)
        code = start_and_wait(a, signals);
    tear_down(a);
    return code;
}

int app_guard(int argc, char **argv)
{
    struct options o = {NULL};
    const struct cli_option options[] = {
        {"--listen", &o.listen, NULL},     {"--upstream", &o.upstream, NULL}, {"--issuer", &o.issuer, NULL},
        {"--audience", &o.audience, NULL}, {"--owner", &o.owner, NULL},       {"--jwks", &o.jwks, NULL},
        {"--key-file", &o.key_file, NULL}, {"--ca-file", &o.ca_file, NULL},
    };
    const struct cli_spec spec = {.usage = usage, .options = options, .n_options = sizeof(options) / sizeof(options[0])};
    sigset_t signals;
    size_t n_args;
    int code;
    if (!cli_options_parse(&spec, argc, argv, &n_args, &code))
        return code;
    from_environment(&o);
    if ((code = check_options(&o)) != CLI_OK)
        return code;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return serve(&o, &signals);
}
