#include "handlers/cut.h"

#include "http/cookie.h"
#include "util/epoch.h"

#include <stdlib.h>

struct cut {
    struct session_watch watch; /* of the cookie's session; not started if there is none */
    struct machine *machine;    /* NULL: a session opened it */
    int64_t expires_s;          /* of the session */
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
    machine_unref(c->machine);
    free(c);
}

void cut_know(struct cut *c, const struct identify *who)
{
    if (who->machine != NULL) {
        session_watch_stop(&c->watch); /* the credential counts, not a cookie beside it */
        c->machine = machine_ref(who->machine);
    } else if (who->session != NULL) {
        c->expires_s = session_expires_s(who->session);
    }
}

static bool is_over(void *arg)
{
    const struct cut *c = arg;
    if (c->machine != NULL)
        return machine_has_ended(c->machine);
    return session_watch_has_ended(&c->watch) || epoch_now_s() >= c->expires_s;
}

static void release(void *arg)
{
    cut_free(arg);
}

struct tunnel_guard cut_guard(struct cut *c)
{
    return (struct tunnel_guard){is_over, release, c};
}
