#include "handlers/rd.h"

#include "http/form.h"
#include "http/original.h"

static bool is_raw_target(struct view v)
{
    return view_starts(v, VIEW("/")) || view_starts(v, VIEW("http://")) || view_starts(v, VIEW("https://"));
}

static bool is_raw_tail(struct view query)
{
    return view_starts(query, VIEW("rd=")) && is_raw_target(view_skip(query, 3));
}

struct view rd_own_query(struct view query)
{
    return is_raw_tail(query) ? VIEW_NONE : query;
}

static struct view find(struct view query, struct arena *a)
{
    struct view value;
    if (is_raw_tail(query))
        return view_skip(query, 3);
    return form_get(query, VIEW("rd"), a, &value) == FORM_ONE ? value : VIEW_NONE;
}

/* What follows the origin; "/" if there is nothing. */
static struct view without_origin(struct view text, const struct uri *u)
{
    struct view rest = view_skip(text, (size_t)(u->authority.p + u->authority.n - text.p));
    return view_starts(rest, VIEW("/")) ? rest : VIEW("/");
}

struct view rd_pick(struct view query, const struct uri *public_uri, struct arena *a)
{
    struct view home = VIEW("/"), text = find(query, a);
    struct uri u;
    if (text.n == 0 || text.n > RD_MAX_BYTES)
        return home;
    if (text.p[0] != '/') {
        if (uri_parse(text, &u) != GW_OK || !uri_same_origin(&u, public_uri))
            return home;
        text = without_origin(text, &u);
    }
    if (view_starts(text, VIEW("//")) || uri_parse_target(text, &u) != GW_OK || original_is_own_path(u.path))
        return home;
    return text;
}
