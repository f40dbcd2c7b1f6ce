#include "handlers/cut.h"

#include "http/cookie.h"
#include "util/epoch.h"

#include <stdlib.h>

struct cut {
    struct cut *next, **link;   /* of the core's; only if a token opened it */
    struct session_watch watch; /* of the cookie's session; not started if there is none */
    struct principal *bearer;
    bool is_forgotten;
    int64_t expires_s;
};

struct cut *cut_begin(const struct exchange *x)
{
    const struct gateway *gw = x->core->gateway;
    struct view cookie;
    struct cut *c = calloc(1, sizeof(*c));
    if (c == NULL || cookie_get(&x->request, view_of(gw->cookie_name), &cookie) != COOKIE_ONE)
        return c;
    enum gw_err err = session_watch_start(gw->sessions, cookie, &c->watch);
    if (err == GW_OK || err == GW_E_NOTFOUND) /* what is no cookie of ours is nobody's */
        return c;
    free(c);
    return NULL;
}

void cut_free(struct cut *c)
{
    if (c == NULL)
        return;
    session_watch_stop(&c->watch);
    if (c->bearer != NULL) {
        *c->link = c->next;
        if (c->next != NULL)
            c->next->link = c->link;
        principal_unref(c->bearer);
    }
    free(c);
}

void cut_know(struct cut *c, const struct identify *who)
{
    struct core *core = who->x->core;
    if (who->session != NULL) {
        c->expires_s = session_expires_s(who->session);
        return;
    }
    session_watch_stop(&c->watch); /* a token came with it, and counts instead */
    c->bearer = principal_ref(who->bearer);
    c->expires_s = principal_exp_s(c->bearer);
    c->next = core->cuts;
    c->link = &core->cuts;
    if (c->next != NULL)
        c->next->link = &c->next;
    core->cuts = c;
}

void cut_forget(struct core *core, bool by_sub, struct view iss, struct view name)
{
    for (struct cut *c = core->cuts; c != NULL; c = c->next) {
        struct view theirs = by_sub ? principal_sub(c->bearer) : principal_sid(c->bearer);
        c->is_forgotten |= view_eq(theirs, name) && view_eq(principal_iss(c->bearer), iss);
    }
}

static bool is_over(void *arg)
{
    const struct cut *c = arg;
    return session_watch_has_ended(&c->watch) || c->is_forgotten || epoch_now_s() >= c->expires_s;
}

static void release(void *arg)
{
    cut_free(arg);
}

struct tunnel_guard cut_guard(struct cut *c)
{
    return (struct tunnel_guard){is_over, release, c};
}
