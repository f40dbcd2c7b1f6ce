#include "handlers/again.h"

#include "handlers/core.h"
#include "handlers/reply.h"
#include "http/cookie.h"
#include "http/form.h"

enum { LIFE_S = 60 };

static const struct view SUFFIX = {"again", 5};

static struct view cookie_name(struct exchange *x)
{
    struct view parts[] = {view_of(x->core->gateway->login_cookie_prefix), SUFFIX};
    return arena_join(&x->arena, parts, 2);
}

void again_mark(struct exchange *x)
{
    reply_set_cookie(x, cookie_name(x), VIEW("1"), LIFE_S);
}

void again_clear(struct exchange *x)
{
    reply_set_cookie(x, cookie_name(x), VIEW_NONE, 0);
}

bool again_is_marked(struct exchange *x)
{
    struct view value;
    return cookie_get(&x->request, cookie_name(x), &value) != COOKIE_ABSENT;
}

bool again_is_cookie(const struct exchange *x, struct view name)
{
    struct view prefix = view_of(x->core->gateway->login_cookie_prefix);
    return view_starts(name, prefix) && view_eq(view_skip(name, prefix.n), SUFFIX);
}

bool again_is_lost(struct exchange *x)
{
    struct view value;
    return form_get(x->request.uri.query, VIEW("again"), &x->arena, &value) == FORM_ONE && !again_is_marked(x);
}
