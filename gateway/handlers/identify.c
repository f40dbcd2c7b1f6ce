#include "handlers/identify.h"

#include "http/basic.h"
#include "http/cookie.h"
#include "http/original.h"
#include "util/epoch.h"
#include "util/meter.h"
#include "util/secret.h"

static void nobody(struct identify *i, const char *why)
{
    i->why = why;
    i->done(i, IDENTIFIED_NOBODY);
}

static void known(struct identify *i, const struct principal *who)
{
    i->who = who;
    i->done(i, IDENTIFIED_KNOWN);
}

static void on_machine(void *arg, const struct machine_answer *a)
{
    struct identify *i = arg;
    i->why = a->reason;
    switch (a->found) {
    case MACHINE_KNOWN:
        i->machine = a->machine;
        i->machine_who = principal_ref(machine_who(a->machine));
        i->is_stale = a->is_stale;
        known(i, i->machine_who);
        break;
    case MACHINE_REFUSED:
        i->done(i, IDENTIFIED_NOBODY);
        break;
    case MACHINE_LIMITED:
        i->done(i, IDENTIFIED_LIMITED);
        break;
    case MACHINE_UNAVAILABLE:
        i->done(i, IDENTIFIED_UNREACHABLE);
        break;
    }
}

static void by_token(struct identify *i, struct view token)
{
    machines_check_token(i->x->core->machines, token, &i->client, on_machine, i);
}

static void by_password(struct identify *i, struct view credentials)
{
    uint8_t block[BASIC_MAX_BYTES];
    struct basic b;
    if (basic_parse(credentials, block, &b) != GW_OK)
        nobody(i, "not the user name and password of HTTP Basic");
    else if (view_eq(b.username, VIEW("goauthentik.io/token"))) /* Authentik's way to send a token where only Basic goes */
        by_token(i, b.password);
    else
        machines_check_password(i->x->core->machines, b.username, b.password, &i->client, on_machine, i);
    secret_wipe(block, sizeof(block));
}

static bool has_scheme(struct view value, struct view scheme, struct view *ret_rest)
{
    if (value.n < scheme.n || !view_eq_ci(view_at(value.p, scheme.n), scheme))
        return false;
    *ret_rest = view_trim(view_skip(value, scheme.n));
    return true;
}

static void by_authorization(struct identify *i, struct view value)
{
    struct view rest;
    if (has_scheme(value, VIEW("Bearer "), &rest))
        by_token(i, rest);
    else if (i->x->core->gateway->config->oidc.introspection && has_scheme(value, VIEW("Basic "), &rest))
        by_password(i, rest);
    else
        nobody(i, i->x->core->gateway->config->oidc.introspection ? "only Bearer and Basic are accepted in Authorization"
                                                                  : "only Bearer tokens are accepted in Authorization");
}

/* ---- sessions ---- */

static void no_session(struct identify *i, enum gw_err err)
{
    if (err == GW_E_NOTFOUND)
        nobody(i, "no such session, or it has ended");
    else if (err == GW_E_UPSTREAM || err == GW_E_TIMEOUT)
        nobody(i,
               "the identity provider has not answered for longer than session.grace: what it said of this session is too old");
    else
        i->done(i, IDENTIFIED_UNAVAILABLE);
}

static void known_by_session(struct identify *i, bool is_stale)
{
    i->is_stale = is_stale;
    if (is_stale)
        meter_inc(METER_STALE);
    known(i, session_who(i->session));
}

/* i->session holds the old claims. */
static void on_refreshed(void *arg, enum gw_err err, struct session *s)
{
    struct identify *i = arg;
    bool may_serve = err == GW_OK || (err != GW_E_NOTFOUND && session_has_grace(i->session, epoch_now_s()));
    if (s != NULL || !may_serve) {
        session_unref(i->session);
        i->session = s;
    }
    if (may_serve)
        known_by_session(i, err != GW_OK);
    else
        no_session(i, err);
}

static void refresh(struct identify *i)
{
    struct core *core = i->x->core;
    struct session_renewer renewer = provider_renewer(core->provider);
    enum gw_err err = session_refresh(core->gateway->sessions, core->loop, i->cookie, &renewer, on_refreshed, i);
    if (err != GW_OK)
        on_refreshed(i, err, NULL);
}

static void on_loaded(void *arg, enum gw_err err, struct session *s)
{
    struct identify *i = arg;
    bool is_stale = err == GW_OK && session_is_stale(s, epoch_now_s());
    i->session = s;
    if (err != GW_OK)
        no_session(i, err);
    else if (is_stale && !i->is_leaving)
        refresh(i);
    else
        known_by_session(i, is_stale);
}

static void by_cookie(struct identify *i)
{
    struct core *core = i->x->core;
    int64_t now_s = epoch_now_s();
    enum gw_err err;
    switch (session_find(core->gateway->sessions, i->cookie, now_s, &i->session)) {
    case SESSION_FOUND:
        known_by_session(i, session_is_stale(i->session, now_s));
        break;
    case SESSION_LAPSED:
        if (i->is_leaving)
            known_by_session(i, true);
        else
            refresh(i);
        break;
    case SESSION_NONE:
        no_session(i, GW_E_NOTFOUND);
        break;
    case SESSION_LOADING:
        err = session_load(core->gateway->sessions, core->loop, i->cookie, on_loaded, i);
        if (err != GW_OK)
            on_loaded(i, err, NULL);
        break;
    }
}

/* ---- */

void identify_begin(struct identify *i)
{
    struct view value;
    const struct request *r = &i->x->request;
    if (header_get(r, HEADER_AUTHORIZATION, &value) != HEADER_ABSENT) {
        by_authorization(i, value);
        return;
    }
    switch (cookie_get(r, view_of(i->x->core->gateway->cookie_name), &value)) {
    case COOKIE_ONE:
        i->cookie = value;
        by_cookie(i);
        break;
    case COOKIE_REPEATED:
        nobody(i, "two session cookies: neither is believed");
        break;
    case COOKIE_ABSENT:
        nobody(i, "nobody is logged in");
        break;
    }
}

struct ipaddr identify_client(const struct exchange *x)
{
    const struct config *c = x->core->gateway->config;
    struct ipaddr client;
    return original_find_client(&x->request, c->server.trusted_proxies, c->server.n_trusted_proxies, &client) == ORIGINAL_FINE
               ? client
               : x->request.peer;
}

static void end_exchange(struct exchange *x)
{
    identify_end(x->state);
}

static bool begin_for_page(struct exchange *x, bool is_leaving, void (*done)(struct identify *i, enum identified found))
{
    struct identify *i = arena_get(&x->arena, sizeof(*i));
    if (i == NULL)
        return false;
    *i = (struct identify){.x = x, .done = done, .client = identify_client(x), .is_leaving = is_leaving};
    x->state = i;
    x->on_done = end_exchange;
    identify_begin(i);
    return true;
}

bool identify_visitor(struct exchange *x, void (*done)(struct identify *i, enum identified found))
{
    return begin_for_page(x, false, done);
}

bool identify_leaver(struct exchange *x, void (*done)(struct identify *i, enum identified found))
{
    return begin_for_page(x, true, done);
}

void identify_end(struct identify *i)
{
    session_unref(i->session);
    principal_unref(i->machine_who);
    machine_unref(i->machine);
    i->session = NULL;
    i->machine_who = NULL;
    i->machine = NULL;
    i->who = NULL;
}
