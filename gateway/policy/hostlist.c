#include "policy/hostlist.h"

#include <lauxlib.h>

#include "policy/builtins.h"

struct bag {
    struct object object;
    enum host_bag which;
};

static const char *const bag_labels[] = {"u.attributes", "u.claims"};

/* --- does an entry name a repository? --- */

/* What an entry is compared with, measured once for a whole list. */
struct target {
    const struct repo *repo;
    struct view forge, owner, name;
};

static struct target target_of(const struct repo *r)
{
    return (struct target){.repo = r,
                           .forge = view_of(r->forge == NULL ? NULL : r->forge->name),
                           .owner = view_of(r->owner),
                           .name = view_of(r->name)};
}

/* From the end, where neighbours in a list differ. `lower` is canonical, so entries are compared without case. */
static bool tail_eq(const char *p, struct view lower)
{
    for (size_t i = lower.n; i > 0; i--)
        if (view_lower_byte(p[i - 1]) != lower.p[i - 1])
            return false;
    return true;
}

/* "owner/name" or "owner/star". */
static bool path_names(struct view path, const struct target *t)
{
    size_t n = t->owner.n;

    if (path.n == n + 1 + t->name.n && path.p[n] == '/' && tail_eq(path.p + n + 1, t->name))
        return tail_eq(path.p, t->owner);
    return path.n == n + 2 && path.p[n + 1] == '*' && path.p[n] == '/' && tail_eq(path.p, t->owner);
}

/* "https://…/owner/name", as people copy it: a slash or .git at the end does not matter. */
static bool url_names(struct view url, const struct target *t)
{
    struct view base = view_of(t->repo->forge == NULL ? NULL : t->repo->forge->url);

    if (base.n == 0 || url.n <= base.n || !view_eq_ci(view_at(url.p, base.n), base) || url.p[base.n] != '/')
        return false;
    url = view_skip(url, base.n + 1);
    if (view_ends(url, VIEW("/")))
        url.n--;
    if (view_ends(url, VIEW(".git")))
        url.n -= 4;
    return url.n > 0 && url.p[url.n - 1] != '*' && path_names(url, t);
}

static bool entry_names(struct view entry, const struct target *t)
{
    size_t n = t->forge.n;

    if (path_names(entry, t))
        return true;
    if (n > 0 && entry.n > n && entry.p[n] == ':' && view_eq(view_at(entry.p, n), t->forge))
        return path_names(view_skip(entry, n + 1), t);
    return entry.n > 8 && entry.p[5] == ':' && view_eq_ci(view_at(entry.p, 8), VIEW("https://")) && url_names(entry, t);
}

bool hostlist_entry_names_repo(struct view entry, const struct repo *r)
{
    struct target t = target_of(r);

    return entry_names(entry, &t);
}

/* --- lists --- */

/* Walks a list, or the one string that stands for a list of one. */
struct walk {
    struct pack_iter it;
    struct view single;
    bool has_single;
};

static void walk_begin(struct walk *w, struct pack_val v)
{
    *w = (struct walk){0};
    if (pack_type(v) == PACK_STRING) {
        w->single = pack_string(v);
        w->has_single = true;
    } else if (pack_type(v) == PACK_LIST) {
        pack_iter_init(&w->it, v);
    }
}

static bool walk_next(struct walk *w, struct view *ret_text)
{
    if (w->has_single) {
        w->has_single = false;
        *ret_text = w->single;
        return true;
    }
    if (w->it.next == NULL || !pack_iter_next(&w->it))
        return false;
    *ret_text = pack_string(w->it.val);
    return true;
}

static struct host_list *list_self(lua_State *L, const char *method)
{
    struct host_list *l = host_self(L, OBJECT_LIST, "list", method);

    host_input(L);
    sandbox_debit(L, pack_size(l->val));
    return l;
}

static int list_has_text(lua_State *L, const char *method, bool fold)
{
    struct host_list *l = list_self(L, method);
    struct view wanted = builtins_check_string(L, 2, "the value"), text;
    struct walk w;
    bool found = false;

    for (walk_begin(&w, l->val); !found && walk_next(&w, &text);)
        found = fold ? view_eq_ci(text, wanted) : view_eq(text, wanted);
    lua_pushboolean(L, found);
    return 1;
}

static int list_has(lua_State *L)
{
    return list_has_text(L, "has", false);
}

static int list_has_ci(lua_State *L)
{
    return list_has_text(L, "has_ci", true);
}

static int list_has_repo(lua_State *L)
{
    struct host_list *l = list_self(L, "has_repo");
    const struct repo *r = host_input(L)->repo;
    struct view text;
    struct target t;
    struct walk w;
    bool found = false;

    if (object_find(L, 2, OBJECT_REPO) == NULL)
        return luaL_error(L, "has_repo takes the repository: list:has_repo(r)");
    if (r == NULL)
        return luaL_error(L, "this request names no repository: ask has(r) first");
    t = target_of(r);
    for (walk_begin(&w, l->val); !found && walk_next(&w, &text);)
        found = entry_names(text, &t);
    lua_pushboolean(L, found);
    return 1;
}

static int list_count(lua_State *L)
{
    struct host_list *l = list_self(L, "count");

    lua_pushinteger(L, pack_type(l->val) == PACK_STRING ? 1 : (lua_Integer)pack_count(l->val));
    return 1;
}

struct each {
    struct object object;
    struct walk walk;
};

static int each_next(lua_State *L)
{
    struct each *e = object_find(L, 1, OBJECT_EACH);
    struct view text;

    if (e == NULL)
        return luaL_error(L, "each: use it in a for loop: for v in list:each() do");
    host_input(L);
    if (walk_next(&e->walk, &text))
        lua_pushlstring(L, text.p, text.n);
    else
        lua_pushnil(L);
    return 1;
}

static int list_each(lua_State *L)
{
    struct host_list *l = list_self(L, "each");
    struct each *e;

    lua_pushcfunction(L, each_next);
    e = lua_newuserdatauv(L, sizeof(*e), 0);
    e->object.kind = OBJECT_EACH;
    walk_begin(&e->walk, l->val);
    return 2;
}

static const struct host_class list_class = {
    .kind = OBJECT_LIST,
    .label = "list",
    .methods = (const struct host_method[]){{"has", list_has},
                                            {"has_ci", list_has_ci},
                                            {"has_repo", list_has_repo},
                                            {"count", list_count},
                                            {"each", list_each},
                                            {NULL, NULL}},
};

struct host_list *hostlist_push_list(lua_State *L)
{
    struct host_list *l = host_object_new(L, &list_class, sizeof(*l));

    l->val = (struct pack_val){NULL};
    return l;
}

static void push_list_of(lua_State *L, struct pack_val v)
{
    struct host *h = host_of(L);

    if (h->n_lists == HOST_LISTS) {
        hostlist_push_list(L)->val = v;
        return;
    }
    h->lists[h->n_lists]->val = v;
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->list_refs[h->n_lists++]);
}

/* --- bags --- */

static struct pack_val bag_find(lua_State *L, const struct bag *b, struct view key)
{
    const struct policy_input *in = host_input(L);
    struct host *h = host_of(L);
    struct pack_val map;

    switch (h->smoke) {
    case HOST_SMOKE_ABSENT:
        return (struct pack_val){NULL};
    case HOST_SMOKE_STRING:
        return h->smoke_string;
    case HOST_SMOKE_LIST:
        return h->smoke_list;
    case HOST_REAL:
        break;
    }
    map = b->which == HOST_BAG_CLAIMS ? principal_claims(in->user) : principal_attributes(in->user);
    sandbox_debit(L, key.n + 8 * pack_count(map));
    return pack_find(map, key);
}

struct reading {
    struct view key;
    struct pack_val val;
    const struct bag *bag;
};

static struct reading bag_read(lua_State *L, const char *method)
{
    struct reading g = {.bag = host_self(L, OBJECT_BAG, "bag", method)};

    g.key = builtins_check_string(L, 2, "the key");
    g.val = bag_find(L, g.bag, g.key);
    return g;
}

static int wrong_type(lua_State *L, const struct reading *g, const char *wanted)
{
    sandbox_of(L)->is_excused = true;
    return luaL_error(L, "%s '%s' is a %s, not %s", bag_labels[g->bag->which], g->key.p, pack_type_name(pack_type(g->val)),
                      wanted);
}

/* JSON's null says that there is no value. */
static bool is_absent(const struct reading *g)
{
    return pack_type(g->val) == PACK_ABSENT || pack_type(g->val) == PACK_NULL;
}

static int absent_or_default(lua_State *L, const struct reading *g, const char *method, int default_type)
{
    if (lua_isnoneornil(L, 3))
        return luaL_error(L, "%s '%s' is absent: give a default, :%s(\"%s\", …), or ask :has(\"%s\") first",
                          bag_labels[g->bag->which], g->key.p, method, g->key.p, g->key.p);
    if (lua_type(L, 3) != default_type)
        return luaL_error(L, ":%s: the default is a %s", method, luaL_typename(L, 3));
    lua_pushvalue(L, 3);
    return 1;
}

static int bag_list(lua_State *L)
{
    struct reading g = bag_read(L, "list");

    if (is_absent(&g)) {
        push_list_of(L, (struct pack_val){NULL});
        return 1;
    }
    if (pack_type(g.val) == PACK_LIST)
        sandbox_debit(L, pack_size(g.val));
    if (pack_type(g.val) != PACK_STRING && !pack_is_string_list(g.val))
        return wrong_type(L, &g, "a list of strings");
    push_list_of(L, g.val);
    return 1;
}

static int bag_string(lua_State *L)
{
    struct reading g = bag_read(L, "string");
    struct view v = pack_string(g.val);

    if (is_absent(&g))
        return absent_or_default(L, &g, "string", LUA_TSTRING);
    if (pack_type(g.val) != PACK_STRING)
        return wrong_type(L, &g, "a string");
    sandbox_debit(L, v.n);
    lua_pushlstring(L, v.p, v.n);
    return 1;
}

static int bag_int(lua_State *L)
{
    struct reading g = bag_read(L, "int");

    if (is_absent(&g))
        return absent_or_default(L, &g, "int", LUA_TNUMBER);
    if (pack_type(g.val) != PACK_INT)
        return wrong_type(L, &g, "a whole number");
    lua_pushinteger(L, pack_int(g.val));
    return 1;
}

static int bag_flag(lua_State *L)
{
    struct reading g = bag_read(L, "flag");

    if (is_absent(&g))
        return absent_or_default(L, &g, "flag", LUA_TBOOLEAN);
    if (pack_type(g.val) != PACK_TRUE && pack_type(g.val) != PACK_FALSE)
        return wrong_type(L, &g, "true or false");
    lua_pushboolean(L, pack_is_true(g.val));
    return 1;
}

static int bag_has(lua_State *L)
{
    struct reading g = bag_read(L, "has");

    lua_pushboolean(L, !is_absent(&g));
    return 1;
}

static const struct host_class bag_class = {
    .kind = OBJECT_BAG,
    .label = "bag",
    .methods =
        (const struct host_method[]){
            {"list", bag_list}, {"string", bag_string}, {"int", bag_int}, {"flag", bag_flag}, {"has", bag_has}, {NULL, NULL}},
};

void hostlist_push_bag(lua_State *L, enum host_bag which)
{
    struct bag *b = host_object_new(L, &bag_class, sizeof(*b));

    b->which = which;
}

void hostlist_open(lua_State *L, struct host *h)
{
    host_class_open(L, &list_class);
    host_class_open(L, &bag_class);
    lua_pop(L, 2);
    for (int i = 0; i < HOST_LISTS; i++) {
        h->lists[i] = hostlist_push_list(L);
        h->list_refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
}
