#include "handlers/again.h"

#include "handlers/core.h"
#include "handlers/rd.h"
#include "handlers/reply.h"
#include "http/cookie.h"
#include "http/form.h"
#include "util/epoch.h"

enum { LIFE_S = 60 };

static const struct view MARK = {"again", 5}, COUNT = {"count", 5};

static struct view cookie_name(struct exchange *x, struct view suffix)
{
    struct view parts[] = {view_of(x->core->gateway->login_cookie_prefix), suffix};
    return arena_join(&x->arena, parts, 2);
}

bool again_is_cookie(const struct exchange *x, struct view name)
{
    struct view prefix = view_of(x->core->gateway->login_cookie_prefix), suffix = view_skip(name, prefix.n);
    return view_starts(name, prefix) && (view_eq(suffix, MARK) || view_eq(suffix, COUNT));
}

/* ---- begun again ---- */

void again_mark(struct exchange *x)
{
    reply_set_cookie(x, cookie_name(x, MARK), VIEW("1"), LIFE_S);
}

void again_clear(struct exchange *x)
{
    reply_set_cookie(x, cookie_name(x, MARK), VIEW_NONE, 0);
}

bool again_is_marked(struct exchange *x)
{
    struct view value;
    return cookie_get(&x->request, cookie_name(x, MARK), &value) != COOKIE_ABSENT;
}

bool again_is_lost(struct exchange *x)
{
    struct view value;
    return form_get(rd_own_query(x->request.uri.query), VIEW("again"), &x->arena, &value) == FORM_ONE && !again_is_marked(x);
}

/* ---- finished in vain ---- */

struct count {
    uint64_t n, first_s;
};

/* "n.first_s"; none of what is not, or of another minute. Not sealed: whoever changes it fools only the own browser. */
static struct count read_count(struct exchange *x)
{
    struct view rest, n;
    struct count c;
    uint64_t now_s = (uint64_t)epoch_now_s();
    if (cookie_get(&x->request, cookie_name(x, COUNT), &rest) != COOKIE_ONE)
        return (struct count){0, now_s};
    n = view_split(&rest, '.');
    if (view_to_u64(n, &c.n) != GW_OK || view_to_u64(rest, &c.first_s) != GW_OK || c.n > AGAIN_LOGINS_MAX || c.first_s > now_s ||
        now_s - c.first_s >= AGAIN_WINDOW_S)
        return (struct count){0, now_s};
    return c;
}

void again_count(struct exchange *x)
{
    struct buf value = BUF(64);
    struct count c = read_count(x);
    buf_put_u64(&value, c.n < AGAIN_LOGINS_MAX ? c.n + 1 : c.n);
    buf_put_byte(&value, '.');
    buf_put_u64(&value, c.first_s);
    reply_set_cookie(x, cookie_name(x, COUNT), buf_view(&value), AGAIN_WINDOW_S);
    buf_deinit(&value);
}

bool again_is_circling(struct exchange *x)
{
    return read_count(x).n >= AGAIN_LOGINS_MAX;
}

void again_forget_count(struct exchange *x)
{
    reply_set_cookie(x, cookie_name(x, COUNT), VIEW_NONE, 0);
}
