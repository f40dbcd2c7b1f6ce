#include "handlers/identify.h"

#include "http/cookie.h"
#include "util/epoch.h"

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

static void by_bearer(void *arg)
{
    struct identify *i = arg;
    struct view value = header_value(&i->x->request, HEADER_AUTHORIZATION);
    const char *why = "";
    if (i->n_waits++ == IDENTIFY_WAITS_MAX) {
        nobody(i, "the identity provider cannot be reached to check the token");
        return;
    }
    struct view token = view_trim(view_skip(value, sizeof("Bearer ") - 1));
    switch (provider_check_bearer(i->x->core->provider, token, &i->bearer, &why, by_bearer, i)) {
    case BEARER_VALID:
        known(i, i->bearer);
        break;
    case BEARER_REFUSED:
        nobody(i, why);
        break;
    case BEARER_PENDING:
        break;
    }
}

static void on_session(void *arg, enum gw_err err, struct session *s)
{
    struct identify *i = arg;
    i->session = s;
    if (err == GW_OK)
        known(i, session_who(s));
    else if (err == GW_E_NOTFOUND)
        nobody(i, "no such session, or it has ended");
    else
        i->done(i, IDENTIFIED_UNAVAILABLE);
}

static void by_cookie(struct identify *i, struct view cookie)
{
    struct core *core = i->x->core;
    enum gw_err err;
    switch (session_find(core->gateway->sessions, cookie, epoch_now_s(), &i->session)) {
    case SESSION_FOUND:
        known(i, session_who(i->session));
        break;
    case SESSION_NONE:
        nobody(i, "no such session, or it has ended");
        break;
    case SESSION_LOADING:
        err = session_load(core->gateway->sessions, core->loop, cookie, on_session, i);
        if (err != GW_OK)
            on_session(i, err, NULL);
        break;
    }
}

void identify_begin(struct identify *i)
{
    struct view value;
    const struct request *r = &i->x->request;
    if (header_get(r, HEADER_AUTHORIZATION, &value) != HEADER_ABSENT) {
        if (view_eq_ci(view_at(value.p, value.n < 7 ? value.n : 7), VIEW("Bearer ")))
            by_bearer(i);
        else
            nobody(i, "only Bearer tokens are accepted in Authorization");
        return;
    }
    switch (cookie_get(r, view_of(i->x->core->gateway->cookie_name), &value)) {
    case COOKIE_ONE:
        by_cookie(i, value);
        break;
    case COOKIE_REPEATED:
        nobody(i, "two session cookies: neither is believed");
        break;
    case COOKIE_ABSENT:
        nobody(i, "nobody is logged in");
        break;
    }
}

static void end_exchange(struct exchange *x)
{
    identify_end(x->state);
}

bool identify_visitor(struct exchange *x, void (*done)(struct identify *i, enum identified found))
{
    struct identify *i = arena_get(&x->arena, sizeof(*i));
    if (i == NULL)
        return false;
    *i = (struct identify){.x = x, .done = done};
    x->state = i;
    x->on_done = end_exchange;
    identify_begin(i);
    return true;
}

void identify_end(struct identify *i)
{
    session_unref(i->session);
    principal_unref(i->bearer);
    i->session = NULL;
    i->bearer = NULL;
    i->who = NULL;
}
