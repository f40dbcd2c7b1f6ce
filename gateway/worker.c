#include "worker.h"

#include "handlers/reply.h"
#include "handlers/router.h"
#include "util/log.h"

#include <stdlib.h>

static enum listener_body listener_body(enum router_body body)
{
    switch (body) {
    case ROUTER_BODY_FORM:
        return LISTENER_BODY_FORM;
    case ROUTER_BODY_STREAMED:
        return LISTENER_BODY_STREAMED;
    case ROUTER_BODY_IGNORED:
        break;
    }
    return LISTENER_BODY_IGNORED;
}

static enum listener_body public_body(const struct request *r)
{
    return listener_body(router_public_body(r));
}

static enum listener_body admin_body(const struct request *r)
{
    return listener_body(router_admin_body(r));
}

static enum gw_err listen_on(struct worker *w, int fd, bool is_admin)
{
    const struct config *c = w->core.gateway->config;
    struct listener_spec spec = {
        .core = &w->core,
        .loop = w->core.loop,
        .fd = fd,
        .trusted = c->server.trusted_proxies,
        .n_trusted = c->server.n_trusted_proxies,
        .body = is_admin ? admin_body : public_body,
        .handle = is_admin ? router_admin : router_public,
        .refuse = reply_fault,
    };
    return listener_new(&spec, &w->listeners[is_admin ? 1 : 0]);
}

/* HS256 is for those who share our secret. */
static size_t public_algorithms(const struct config *c, const char *ret_names[CONFIG_LIST_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < c->oidc.algorithms.n; i++)
        if (strcmp(c->oidc.algorithms.items[i], "HS256") != 0)
            ret_names[n++] = c->oidc.algorithms.items[i];
    return n;
}

static enum gw_err make_machines(struct core *core)
{
    const struct config *c = core->gateway->config;
    struct provider_spec further[CONFIG_ISSUERS_MAX];
    const char *algorithms[CONFIG_LIST_MAX];
    size_t n_algorithms = public_algorithms(c, algorithms);
    for (size_t i = 0; i < c->oidc.n_bearer; i++)
        further[i] = (struct provider_spec){
            .issuer = c->oidc.bearer[i].issuer,
            .internal_url = c->oidc.bearer[i].internal_url,
            .client_id = c->oidc.bearer[i].audience,
            .client_secret = "",
            .scopes = (const char *const *)c->oidc.scopes.items,
            .n_scopes = c->oidc.scopes.n,
            .algorithms = algorithms,
            .n_algorithms = n_algorithms,
            .redirect_uri = "",
        };
    const struct machines_spec spec = {
        .provider = core->provider,
        .further = further,
        .n_further = c->oidc.n_bearer,
        .loop = core->loop,
        .fetcher = core->fetcher,
        .introspection = c->oidc.introspection,
        .throttle = core->gateway->machine_throttle,
        .name_throttle = core->gateway->name_throttle,
        .token_throttle = core->gateway->token_throttle,
        .refresh_s = c->session.refresh_s,
        .grace_s = c->session.grace_s,
    };
    return machines_new(&spec, &core->machines);
}

enum gw_err worker_init(struct worker *w, struct gateway *gw, const struct provider_spec *provider, int fd, int admin_fd)
{
    struct core *c = &w->core;
    const char *ca_file = gw->config->oidc.ca_file;
    *w = (struct worker){.core = {.gateway = gw, .record = BUF(CORE_RECORD_MAX)}};
    enum gw_err err = loop_new(&c->loop);
    if (err == GW_OK)
        err = fetcher_new(c->loop, ca_file[0] == '\0' ? NULL : ca_file, &c->fetcher);
    if (err == GW_OK)
        err = provider_new(provider, c->loop, c->fetcher, &c->provider);
    if (err == GW_OK)
        err = make_machines(c);
    if (err == GW_OK)
        err = relay_pool_new(c->loop, gw->jobs, &c->relays);
    if (err == GW_OK)
        err = tunnel_pool_new(c->loop, &c->tunnels);
    if (err == GW_OK)
        err = listen_on(w, fd, false);
    if (err == GW_OK && admin_fd >= 0)
        err = listen_on(w, admin_fd, true);
    return err;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    provider_start(w->core.provider);
    machines_start(w->core.machines);
    loop_run(w->core.loop);
    return NULL;
}

enum gw_err worker_start(struct worker *w)
{
    if (pthread_create(&w->thread, NULL, run, w) != 0)
        return GW_E_IO;
    w->is_running = true;
    return GW_OK;
}

/* Something of a core's that is exchanged while it works. */
struct swap {
    struct core *core;
    void *new;
};

static void swap_engine(void *arg)
{
    struct swap *s = arg;
    engine_free(s->core->engine);
    s->core->engine = s->new;
    free(s);
}

static void swap_assertions(void *arg)
{
    struct swap *s = arg;
    assertion_maker_free(s->core->assertions);
    s->core->assertions = s->new;
    free(s);
}

static enum gw_err swap(struct worker *w, loop_task_fn fn, void *new)
{
    struct swap *s = malloc(sizeof(*s));
    if (s == NULL)
        return GW_E_NOMEM;
    *s = (struct swap){&w->core, new};
    enum gw_err err = w->is_running ? loop_post(w->core.loop, fn, s) : GW_OK;
    if (err != GW_OK)
        free(s);
    else if (!w->is_running)
        fn(s);
    return err;
}

enum gw_err worker_set_engine(struct worker *w, struct engine *e)
{
    return swap(w, swap_engine, e);
}

enum gw_err worker_set_assertions(struct worker *w, struct assertion_maker *m)
{
    return swap(w, swap_assertions, m);
}

static void quiesce(void *arg)
{
    struct worker *w = arg;
    for (size_t i = 0; i < 2; i++)
        if (w->listeners[i] != NULL)
            listener_quiesce(w->listeners[i]);
}

void worker_quiesce(struct worker *w)
{
    if (loop_post(w->core.loop, quiesce, w) != GW_OK)
        log_printf(LOG_WARN, "a listener goes on accepting while it drains: its loop is full");
}

size_t worker_active(const struct worker *w)
{
    return listener_active(w->listeners[0]);
}

void worker_join(struct worker *w)
{
    for (size_t i = 0; i < 2; i++)
        if (w->listeners[i] != NULL)
            listener_stop(w->listeners[i]);
    if (!w->is_running)
        return;
    loop_stop(w->core.loop);
    pthread_join(w->thread, NULL);
    w->is_running = false;
}

void worker_end_waits(struct worker *w)
{
    provider_free(w->core.provider);
    w->core.provider = NULL;
    machines_free(w->core.machines);
    w->core.machines = NULL;
    fetcher_free(w->core.fetcher);
    w->core.fetcher = NULL;
}

void worker_run_rest(struct worker *w)
{
    if (w->core.loop == NULL)
        return;
    loop_stop(w->core.loop);
    loop_run(w->core.loop);
}

void worker_deinit(struct worker *w)
{
    listener_free(w->listeners[1]);
    listener_free(w->listeners[0]);
    tunnel_pool_free(w->core.tunnels);
    relay_pool_free(w->core.relays);
    engine_free(w->core.engine);
    assertion_maker_free(w->core.assertions);
    loop_free(w->core.loop);
    buf_deinit(&w->core.record);
}
