#include "policy/hostapi.h"

#include <lauxlib.h>

#include "policy/builtins.h"
#include "policy/glob.h"
#include "policy/hostlist.h"
#include "policy/hosttime.h"
#include "policy/nearest.h"

static const char objects_key = 0;

/* --- classes of objects --- */

const struct policy_input *host_input(lua_State *L)
{
    const struct policy_input *in = host_of(L)->in;

    if (in == NULL)
        luaL_error(L, "there is no request to look at while files are loaded");
    return in;
}

void *host_self(lua_State *L, enum object_kind kind, const char *label, const char *method)
{
    void *self = object_find(L, 1, kind);

    if (self == NULL)
        luaL_error(L, "call it with a colon: %s:%s(…)", label, method);
    return self;
}

static int on_index(lua_State *L)
{
    const struct host_class *c = lua_touserdata(L, lua_upvalueindex(2));
    char hint[NEAREST_NAME_MAX + 32];
    struct nearest near;
    struct view key, name;

    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNUMBER)
        return c->get(L, host_input(L), (int)lua_tointeger(L, -1));
    if (lua_type(L, 2) != LUA_TSTRING)
        return luaL_error(L, "%s has no such entry: a %s%s", c->label, luaL_typename(L, 2),
                          c->kind == OBJECT_LIST ? " (use :has, :each or :count)" : "");
    key.p = lua_tolstring(L, 2, &key.n);
    near = nearest_begin(key);
    for (size_t i = 0; c->fields != NULL && c->fields[i] != NULL; i++)
        nearest_offer(&near, view_of(c->fields[i]));
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        name.p = lua_tolstring(L, -2, &name.n);
        nearest_offer(&near, name);
    }
    return luaL_error(L, "%s has no '%s'%s", c->label, key.p, nearest_format(&near, hint, sizeof(hint)));
}

static int on_write(lua_State *L)
{
    return luaL_error(L, "this object cannot be written");
}

static int on_compare(lua_State *L)
{
    return luaL_error(L, "objects cannot be compared: compare their fields");
}

static int on_length(lua_State *L)
{
    return luaL_error(L, "'#' does not work here: lists have :count()");
}

void host_class_open(lua_State *L, const struct host_class *c)
{
    int methods;

    lua_newtable(L);
    methods = lua_gettop(L);
    for (size_t i = 0; c->methods != NULL && c->methods[i].name != NULL; i++) {
        lua_pushcfunction(L, c->methods[i].fn);
        lua_setfield(L, methods, c->methods[i].name);
    }
    lua_newtable(L); /* metatable of the methods: fields, and what is not there */
    lua_newtable(L);
    for (int i = 0; c->fields != NULL && c->fields[i] != NULL; i++) {
        lua_pushinteger(L, i);
        lua_setfield(L, -2, c->fields[i]);
    }
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_pushcclosure(L, on_index, 2);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, methods);

    lua_newtable(L); /* metatable of the objects */
    lua_pushvalue(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, on_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, on_compare);
    lua_setfield(L, -2, "__eq");
    lua_pushcfunction(L, on_length);
    lua_setfield(L, -2, "__len");
    lua_pushstring(L, c->label);
    lua_setfield(L, -2, "__name");
    lua_rawsetp(L, LUA_REGISTRYINDEX, c);
}

void *host_object_new(lua_State *L, const struct host_class *c, size_t size)
{
    struct object *o = lua_newuserdatauv(L, size, 1);

    memset(o, 0, size);
    o->kind = c->kind;
    lua_rawgetp(L, LUA_REGISTRYINDEX, c);
    lua_setmetatable(L, -2);
    return o;
}

static int push_text(lua_State *L, struct view v)
{
    lua_pushlstring(L, v.p, v.n);
    return 1;
}

static int push_present(lua_State *L, struct view v, const char *what)
{
    if (v.n == 0)
        return luaL_error(L, "%s is absent", what);
    return push_text(L, v);
}

/* --- u --- */

enum { U_USERNAME, U_UID, U_NAME, U_EMAIL, U_EMAIL_VERIFIED, U_VIA, U_IS_SERVICE };
static const char *const user_fields[] = {"username", "uid", "name", "email", "email_verified", "via", "is_service", NULL};

static int user_get(lua_State *L, const struct policy_input *in, int field)
{
    switch (field) {
    case U_USERNAME:
        return push_present(L, principal_username(in->user), "u.username");
    case U_UID:
        return push_present(L, principal_sub(in->user), "u.uid");
    case U_NAME:
        return push_present(L, principal_name(in->user), "u.name");
    case U_EMAIL:
        return push_present(L, principal_email(in->user), "u.email");
    case U_EMAIL_VERIFIED:
        lua_pushboolean(L, principal_email_verified(in->user));
        return 1;
    case U_VIA:
        lua_pushstring(L, principal_via_name(principal_via(in->user)));
        return 1;
    default:
        lua_pushboolean(L, principal_is_service(in->user));
        return 1;
    }
}

static bool claim_has(lua_State *L, struct pack_val list, int idx, const char *what)
{
    struct view wanted = builtins_check_string(L, idx, what);

    sandbox_debit(L, pack_size(list));
    return pack_list_has(list, wanted);
}

static int user_in_group(lua_State *L)
{
    host_self(L, OBJECT_USER, "u", "in_group");
    lua_pushboolean(L, claim_has(L, principal_groups(host_input(L)->user), 2, "the group"));
    return 1;
}

/* How many of the names in the table at 2 are groups of the user; an empty table would make in_all true for everyone. */
static lua_Integer groups_counted(lua_State *L, const char *method, lua_Integer *ret_asked)
{
    struct pack_val groups = principal_groups(host_input(L)->user);
    lua_Integer asked = 0, found = 0;

    host_self(L, OBJECT_USER, "u", method);
    if (lua_type(L, 2) != LUA_TTABLE)
        luaL_error(L, "u:%s takes a list of groups: u:%s{\"a\", \"b\"}", method, method);
    while (lua_geti(L, 2, asked + 1) != LUA_TNIL) {
        found += claim_has(L, groups, -1, "a group");
        asked++;
        lua_pop(L, 1);
    }
    if (asked == 0)
        luaL_error(L, "u:%s: the list is empty", method);
    *ret_asked = asked;
    return found;
}

static int user_in_any(lua_State *L)
{
    lua_Integer asked;

    lua_pushboolean(L, groups_counted(L, "in_any", &asked) > 0);
    return 1;
}

static int user_in_all(lua_State *L)
{
    lua_Integer asked = 0, found = groups_counted(L, "in_all", &asked);

    lua_pushboolean(L, found == asked);
    return 1;
}

static int user_entitled(lua_State *L)
{
    struct pack_val entitlements;

    host_self(L, OBJECT_USER, "u", "entitled");
    entitlements = principal_entitlements(host_input(L)->user);
    if (entitlements.p == NULL)
        return luaL_error(L, "the token has no claim 'entitlements'");
    lua_pushboolean(L, claim_has(L, entitlements, 2, "the entitlement"));
    return 1;
}

static const struct host_class user_class = {
    .kind = OBJECT_USER,
    .label = "u",
    .fields = user_fields,
    .get = user_get,
    .methods = (const struct host_method[]){{"in_group", user_in_group},
                                            {"in_any", user_in_any},
                                            {"in_all", user_in_all},
                                            {"entitled", user_entitled},
                                            {NULL, NULL}},
};

/* --- u.session --- */

static const char *const session_fields[] = {"auth_age", "mfa", "stale", NULL};

static int session_get(lua_State *L, const struct policy_input *in, int field)
{
    int64_t auth_time_s = principal_auth_time_s(in->user);

    switch (field) {
    case 0:
        if (auth_time_s <= 0)
            return luaL_error(L, "u.session.auth_age is absent: the token does not say when the login was");
        lua_pushinteger(L, in->now_ms / 1000 < auth_time_s ? 0 : in->now_ms / 1000 - auth_time_s);
        return 1;
    case 1:
        lua_pushboolean(L, principal_has_mfa(in->user));
        return 1;
    default:
        lua_pushboolean(L, in->session_stale);
        return 1;
    }
}

static const struct host_class session_class = {
    .kind = OBJECT_SESSION, .label = "u.session", .fields = session_fields, .get = session_get};

/* --- r --- */

enum { R_FORGE, R_OWNER, R_NAME, R_FULL, R_DISPLAY, R_PATH, R_VISIBILITY };
static const char *const repo_fields[] = {"forge", "owner", "name", "full", "display", "path", "visibility", NULL};

static const struct repo *repo_of(lua_State *L, const struct policy_input *in)
{
    if (in->repo == NULL)
        luaL_error(L, "this request names no repository: ask has(r) first");
    return in->repo;
}

/* Evaluation ends here if the value is not known yet; it runs afresh once it is. */
static enum visibility_value visibility_of(lua_State *L, const struct policy_input *in)
{
    repo_of(L, in);
    if (in->visibility == VISIBILITY_PENDING) {
        host_of(L)->needs_visibility = true;
        lua_pushnil(L);
        lua_error(L);
    }
    return in->visibility;
}

static int repo_get(lua_State *L, const struct policy_input *in, int field)
{
    const struct repo *r = repo_of(L, in);

    switch (field) {
    case R_FORGE:
        lua_pushstring(L, r->forge->name);
        return 1;
    case R_OWNER:
        lua_pushstring(L, r->owner);
        return 1;
    case R_NAME:
        lua_pushstring(L, r->name);
        return 1;
    case R_FULL:
        lua_pushstring(L, r->full);
        return 1;
    case R_DISPLAY:
        if (r->display_name.n > 0) {
            push_text(L, r->display_owner);
            lua_pushliteral(L, "/");
            push_text(L, r->display_name);
            lua_concat(L, 3);
            return 1;
        }
        /* fall through */
    case R_PATH:
        lua_pushfstring(L, "%s/%s", r->owner, r->name);
        return 1;
    default:
        lua_pushstring(L, visibility_name(visibility_of(L, in)));
        return 1;
    }
}

static int repo_is_public(lua_State *L)
{
    host_self(L, OBJECT_REPO, "r", "is_public");
    lua_pushboolean(L, visibility_of(L, host_input(L)) == VISIBILITY_PUBLIC);
    return 1;
}

static int repo_is_private(lua_State *L)
{
    host_self(L, OBJECT_REPO, "r", "is_private");
    lua_pushboolean(L, visibility_of(L, host_input(L)) != VISIBILITY_PUBLIC);
    return 1;
}

/* The glob against owner/name, or, if it names a forge, against all of it. */
static bool repo_matches_glob(lua_State *L, const struct repo *r, struct view glob)
{
    struct view full = view_of(r->full);

    if (glob.n > GLOB_PATTERN_MAX)
        luaL_error(L, "a pattern may have %d bytes", GLOB_PATTERN_MAX);
    if (view_index(glob, '/') == glob.n)
        luaL_error(L, "'%s' names no repository: write owner/name", glob.p);
    if (view_index(glob, ':') == glob.n)
        full = view_skip(full, view_index(full, ':') + 1);
    sandbox_debit(L, glob.n + full.n);
    return glob_matches(glob, full, true);
}

static int repo_is(lua_State *L)
{
    const struct repo *r = repo_of(L, host_input(L));
    struct view name;

    host_self(L, OBJECT_REPO, "r", "is");
    name = builtins_check_string(L, 2, "the repository");
    if (!glob_is_literal(name))
        return luaL_error(L, "r:is takes one repository: patterns are for r:matches");
    lua_pushboolean(L, repo_matches_glob(L, r, name));
    return 1;
}

static int repo_matches(lua_State *L)
{
    const struct repo *r = repo_of(L, host_input(L));

    host_self(L, OBJECT_REPO, "r", "matches");
    lua_pushboolean(L, repo_matches_glob(L, r, builtins_check_string(L, 2, "the pattern")));
    return 1;
}

static const struct host_class repo_class = {
    .kind = OBJECT_REPO,
    .label = "r",
    .fields = repo_fields,
    .get = repo_get,
    .methods = (const struct host_method[]){{"is_public", repo_is_public},
                                            {"is_private", repo_is_private},
                                            {"is", repo_is},
                                            {"matches", repo_matches},
                                            {NULL, NULL}},
};

static int fn_has(lua_State *L)
{
    if (object_find(L, 1, OBJECT_REPO) == NULL)
        return luaL_error(L, "has takes the repository: has(r)");
    lua_pushboolean(L, host_input(L)->repo != NULL);
    return 1;
}

/* --- q and q.ip --- */

enum { Q_ACTION, Q_METHOD, Q_HOST, Q_PATH, Q_IP, Q_ID };
static const char *const request_fields[] = {"action", "method", "host", "path", "ip", "id", NULL};
static const char ip_key = 0;

static int request_get(lua_State *L, const struct policy_input *in, int field)
{
    switch (field) {
    case Q_ACTION:
        lua_pushstring(L, action_name(in->action));
        return 1;
    case Q_METHOD:
        return push_present(L, in->method, "q.method");
    case Q_HOST:
        return push_present(L, in->host, "q.host");
    case Q_PATH:
        return push_text(L, in->path);
    case Q_IP:
        if (in->ip.family == 0)
            return luaL_error(L, "q.ip is absent");
        lua_rawgetp(L, LUA_REGISTRYINDEX, &ip_key);
        return 1;
    default:
        return push_present(L, in->request_id, "q.id");
    }
}

static int request_header(lua_State *L)
{
    const struct policy_input *in = host_input(L);
    struct view name, value = VIEW_NONE;

    host_self(L, OBJECT_REQUEST, "q", "header");
    name = builtins_check_string(L, 2, "the header's name");
    sandbox_debit(L, name.n);
    if (in->header != NULL)
        value = in->header(in->header_arg, name);
    if (value.p == NULL && lua_isnoneornil(L, 3))
        return luaL_error(L, "header '%s' is absent, or not allow-listed: give a default, q:header(\"%s\", \"\")", name.p,
                          name.p);
    if (value.p == NULL)
        value = builtins_check_string(L, 3, "the default");
    sandbox_debit(L, value.n);
    return push_text(L, value);
}

static const struct host_class request_class = {
    .kind = OBJECT_REQUEST,
    .label = "q",
    .fields = request_fields,
    .get = request_get,
    .methods = (const struct host_method[]){{"header", request_header}, {NULL, NULL}},
};

static int ip_in_cidr(lua_State *L)
{
    const struct policy_input *in = host_input(L);
    struct view text;
    struct ipnet net;

    host_self(L, OBJECT_IP, "q.ip", "in_cidr");
    text = builtins_check_string(L, 2, "the network");
    if (in->ip.family == 0)
        return luaL_error(L, "q.ip is absent");
    if (ipnet_parse(text, &net) != GW_OK)
        return luaL_error(L, "'%s' is no network: write address/bits with the host bits zero", text.p);
    lua_pushboolean(L, ipnet_has(&net, &in->ip));
    return 1;
}

static const struct host_class ip_class = {
    .kind = OBJECT_IP,
    .label = "q.ip",
    .methods = (const struct host_method[]){{"in_cidr", ip_in_cidr}, {NULL, NULL}},
};

/* --- putting them in place --- */

/* Puts the value on top under name into the table of methods below it, as a constant. */
static void add_constant(lua_State *L, const char *name)
{
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
}

static void user_open(lua_State *L, struct host *h)
{
    host_class_open(L, &session_class);
    lua_pop(L, 1);
    host_class_open(L, &user_class);
    h->groups = hostlist_push_list(L);
    add_constant(L, "groups");
    hostlist_push_bag(L, HOST_BAG_ATTRIBUTES);
    add_constant(L, "attributes");
    hostlist_push_bag(L, HOST_BAG_CLAIMS);
    add_constant(L, "claims");
    host_object_new(L, &session_class, sizeof(struct object));
    add_constant(L, "session");
    lua_pop(L, 1);
}

static void request_open(lua_State *L)
{
    host_class_open(L, &ip_class);
    lua_pop(L, 1);
    host_object_new(L, &ip_class, sizeof(struct object));
    lua_rawsetp(L, LUA_REGISTRYINDEX, &ip_key);
    host_class_open(L, &request_class);
    hosttime_push(L);
    add_constant(L, "time");
    lua_pop(L, 1);
}

static void smoke_open(struct host *h)
{
    h->smoke_values = BUF(64);
    if (pack_parse(VIEW("\"x\""), &h->smoke_values) != GW_OK)
        return;
    size_t at = h->smoke_values.n;
    if (pack_parse(VIEW("[\"x\",\"y\"]"), &h->smoke_values) != GW_OK)
        return;
    h->smoke_string = pack_root(h->smoke_values.p);
    h->smoke_list = pack_root(h->smoke_values.p + at);
}

void host_open(lua_State *L, struct host *h)
{
    static const struct host_class *const classes[] = {&user_class, &repo_class, &request_class};

    smoke_open(h);
    if (h->smoke_list.p == NULL)
        luaL_error(L, "not enough memory");
    hostlist_open(L, h);
    user_open(L, h);
    host_class_open(L, &repo_class);
    lua_pop(L, 1);
    request_open(L);
    lua_createtable(L, 3, 0);
    for (int i = 0; i < 3; i++) {
        host_object_new(L, classes[i], sizeof(struct object));
        lua_rawseti(L, -2, i + 1);
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, &objects_key);
    lua_pushcfunction(L, fn_has);
    builtins_add(L, "has");
}

void host_deinit(struct host *h)
{
    buf_deinit(&h->smoke_values);
}

void host_push_objects(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &objects_key);
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    lua_rawgeti(L, -3, 3);
    lua_remove(L, -4);
}

void host_begin(struct host *h, const struct policy_input *in)
{
    h->in = in;
    h->needs_visibility = false;
    h->n_lists = 0;
    h->groups->val = principal_groups(in->user);
}

void host_end(struct host *h)
{
    h->in = NULL;
    h->groups->val = (struct pack_val){NULL};
    for (int i = 0; i < h->n_lists; i++)
        h->lists[i]->val = (struct pack_val){NULL};
    h->n_lists = 0;
}
