#include "policy/testsubject.h"

#include <lauxlib.h>
#include <math.h>

#include "policy/builtins.h"
#include "policy/nearest.h"
#include "util/cleanup.h"

enum { JSON_DEPTH_MAX = 12, STACK_NEEDED = 64 };

static const char forges_key = 0, n_forges_key = 0;

static const char *const user_fields[] = {"username",     "uid",     "name", "email",   "email_verified", "groups", "attributes",
                                          "entitlements", "service", "via",  "session", "claims",         NULL};
static const char *const session_fields[] = {"auth_age", "mfa", "stale", NULL};

/* --- user {…} --- */

static const struct host_class user_class = {.kind = OBJECT_TEST_USER, .label = "user"};

static void check_fields(lua_State *L, int idx, const char *const *names, const char *label)
{
    char hint[NEAREST_NAME_MAX + 32];

    for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1)) {
        struct view key;
        bool known = false;

        if (lua_type(L, -2) == LUA_TNUMBER && lua_tonumber(L, -2) == 1 && names == user_fields)
            continue; /* the user that this one is like */
        key = builtins_check_string(L, -2, "a field's name");
        for (size_t i = 0; names[i] != NULL && !known; i++)
            known = view_eq(key, view_of(names[i]));
        if (!known)
            luaL_error(L, "%s has no field '%s'%s", label, key.p, nearest_of(key, names, hint, sizeof(hint)));
    }
}

static void copy_fields(lua_State *L, int from, int to)
{
    for (lua_pushnil(L); lua_next(L, from) != 0;) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, to);
    }
}

/* auth_age = false: the token does not say when the login was. */
static void check_session(lua_State *L, int idx)
{
    int type = lua_getfield(L, idx, "auth_age");

    if (type != LUA_TNIL && !(type == LUA_TBOOLEAN && !lua_toboolean(L, -1)) &&
        !(lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 0))
        luaL_error(L, "auth_age is a number of seconds, or false if the login's time is not known");
    for (int i = 1; session_fields[i] != NULL; i++) {
        type = lua_getfield(L, idx, session_fields[i]);
        if (type != LUA_TNIL && type != LUA_TBOOLEAN)
            luaL_error(L, "%s is true or false", session_fields[i]);
    }
}

static int make_user(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    check_fields(L, 1, user_fields, "user");
    host_object_new(L, &user_class, sizeof(struct object)); /* 2 */
    lua_newtable(L);                                        /* 3 */
    if (lua_rawgeti(L, 1, 1) != LUA_TNIL) {                 /* 4 */
        testsubject_check_user(L, 4, "what a user is based on");
        lua_getiuservalue(L, 4, 1);
        copy_fields(L, 5, 3);
    }
    copy_fields(L, 1, 3);
    lua_pushnil(L);
    lua_rawseti(L, 3, 1);
    lua_getfield(L, 3, "username");
    builtins_check_string(L, -1, "a user's username");
    if (lua_getfield(L, 3, "session") != LUA_TNIL) {
        luaL_checktype(L, -1, LUA_TTABLE);
        check_fields(L, lua_gettop(L), session_fields, "session");
        check_session(L, lua_gettop(L));
    }
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, 2, 1);
    lua_settop(L, 2);
    return 1;
}

void testsubject_check_user(lua_State *L, int idx, const char *what)
{
    if (object_find(L, idx, OBJECT_TEST_USER) == NULL)
        luaL_error(L, "%s must be a user {…}, not a %s", what, luaL_typename(L, idx));
}

const char *testsubject_user_name(lua_State *L, int idx)
{
    const char *name;

    idx = lua_absindex(L, idx);
    lua_getiuservalue(L, idx, 1);
    lua_pushstring(L, "username");
    lua_rawget(L, -2);
    name = lua_tostring(L, -1); /* a string, checked when the user was made, and kept by it */
    lua_pop(L, 2);
    return name;
}

/* --- repo "…" --- */

static int set_visibility(lua_State *L);

static const struct host_class repo_class = {.kind = OBJECT_TEST_REPO, .label = "repo"};

void testsubject_set_forges(lua_State *L, const struct forge *forges, size_t n_forges)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)forges);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &forges_key);
    lua_pushinteger(L, (lua_Integer)n_forges);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &n_forges_key);
}

static int make_repo(lua_State *L)
{
    struct view text = builtins_check_string(L, 1, "a repository");
    struct test_repo *r;
    const struct forge *forges;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &forges_key);
    forges = lua_touserdata(L, -1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &n_forges_key);
    r = host_object_new(L, &repo_class, sizeof(*r));
    r->visibility = VISIBILITY_UNKNOWN;
    if (repo_parse_ref(forges, (size_t)lua_tointeger(L, -2), text, &r->repo) != GW_OK || r->repo.forge == NULL)
        return luaL_error(L, "'%s' is no repository of a known forge: write forge:owner/name", text.p);
    return 1;
}

static int set_visibility(lua_State *L)
{
    static const char *const names[] = {"unknown", "private", "internal", "public", NULL};
    static const char *const repo_fields[] = {"visibility", NULL};
    struct test_repo *base = testsubject_check_repo(L, 1, "this"), *r;
    char hint[NEAREST_NAME_MAX + 32];
    struct view name;

    luaL_checktype(L, 2, LUA_TTABLE);
    check_fields(L, 2, repo_fields, "repo");
    lua_getfield(L, 2, "visibility");
    name = builtins_check_string(L, -1, "visibility");
    r = host_object_new(L, &repo_class, sizeof(*r));
    *r = *base;
    for (int i = 0; names[i] != NULL; i++) {
        if (view_eq(name, view_of(names[i]))) {
            r->visibility = (enum visibility_value)(VISIBILITY_UNKNOWN + i);
            return 1;
        }
    }
    return luaL_error(L, "there is no visibility '%s'%s", name.p, nearest_of(name, names, hint, sizeof(hint)));
}

struct test_repo *testsubject_check_repo(lua_State *L, int idx, const char *what)
{
    struct test_repo *r = object_find(L, idx, OBJECT_TEST_REPO);

    if (r == NULL)
        luaL_error(L, "%s must be a repo \"forge:owner/name\", not a %s", what, luaL_typename(L, idx));
    return r;
}

/* --- from fields to a principal; nothing below may raise an error, since C memory is held: names of fields are pushed, but
 * names_keep() has seen to it that they exist already, and pushing then allocates nothing --- */

static const char *put_value(lua_State *L, struct buf *out, int depth);

static const char *put_list(lua_State *L, struct buf *out, lua_Integer n, int depth)
{
    const char *error = NULL;

    buf_put_byte(out, '[');
    for (lua_Integer i = 1; i <= n && error == NULL; i++) {
        if (i > 1)
            buf_put_byte(out, ',');
        lua_rawgeti(L, -1, i);
        error = put_value(L, out, depth + 1);
        lua_pop(L, 1);
    }
    buf_put_byte(out, ']');
    return error;
}

static const char *put_map(lua_State *L, struct buf *out, int depth)
{
    const char *error = NULL;
    bool is_first = true;

    buf_put_byte(out, '{');
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        struct view key;

        if (error != NULL)
            continue;
        if (lua_type(L, -2) != LUA_TSTRING) {
            error = "a table is either a list or has names";
            continue;
        }
        key.p = lua_tolstring(L, -2, &key.n);
        if (!is_first)
            buf_put_byte(out, ',');
        is_first = false;
        buf_put_json(out, key);
        buf_put_byte(out, ':');
        error = put_value(L, out, depth + 1);
    }
    buf_put_byte(out, '}');
    return error;
}

static const char *put_value(lua_State *L, struct buf *out, int depth)
{
    struct view text;
    lua_Integer n;

    if (depth > JSON_DEPTH_MAX)
        return "tables are nested too deeply";
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        text.p = lua_tolstring(L, -1, &text.n);
        buf_put_json(out, text);
        return NULL;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            buf_put_i64(out, lua_tointeger(L, -1));
        else if (isfinite(lua_tonumber(L, -1)))
            buf_printf(out, "%.17g", lua_tonumber(L, -1));
        else
            return "a number that is not finite";
        return NULL;
    case LUA_TBOOLEAN:
        buf_put(out, lua_toboolean(L, -1) ? VIEW("true") : VIEW("false"));
        return NULL;
    case LUA_TTABLE:
        n = (lua_Integer)lua_rawlen(L, -1);
        if (n > 0)
            return put_list(L, out, n, depth);
        lua_pushnil(L);
        if (lua_next(L, -2) == 0)
            return put_list(L, out, 0, depth);
        lua_pop(L, 2);
        return put_map(L, out, depth);
    default:
        return "only strings, numbers, booleans and tables are data";
    }
}

/* The field of the table on top, under the claim's name; if it is absent, what stands in for it. */
static const char *put_field(lua_State *L, struct buf *out, const char *claim, const char *field, const char *fallback)
{
    const char *error = NULL;

    lua_pushstring(L, field);
    if (lua_rawget(L, -2) != LUA_TNIL || fallback != NULL) {
        buf_printf(out, "\"%s\":", claim);
        if (lua_isnil(L, -1))
            buf_put(out, view_of(fallback));
        else
            error = put_value(L, out, 0);
        buf_put_byte(out, ',');
    }
    lua_pop(L, 1);
    return error;
}

static bool take_flag(lua_State *L, const char *field)
{
    bool is_set;

    lua_pushstring(L, field);
    lua_rawget(L, -2);
    is_set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is_set;
}

static void put_session(lua_State *L, struct buf *out, int64_t now_ms, bool *ret_is_stale)
{
    int64_t auth_time_s = now_ms / 1000;
    bool has_mfa = false, has_auth_time = true;

    lua_pushstring(L, "session");
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        *ret_is_stale = take_flag(L, "stale");
        has_mfa = take_flag(L, "mfa");
        lua_pushstring(L, "auth_age");
        lua_rawget(L, -2);
        if (lua_isinteger(L, -1))
            auth_time_s -= lua_tointeger(L, -1);
        has_auth_time = !lua_isboolean(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    if (has_auth_time)
        buf_printf(out, "\"auth_time\":%lld,", (long long)auth_time_s);
    if (has_mfa)
        buf_puts(out, "\"amr\":[\"mfa\"],");
}

/* An empty table is an empty list everywhere else, but attributes are a map. */
static const char *put_attributes(lua_State *L, struct buf *out)
{
    const char *error = NULL;

    buf_puts(out, "\"attributes\":");
    lua_pushstring(L, "attributes");
    if (lua_rawget(L, -2) == LUA_TTABLE)
        error = put_map(L, out, 0);
    else if (lua_isnil(L, -1))
        buf_puts(out, "{}");
    else
        error = "attributes must be a table";
    lua_pop(L, 1);
    return error;
}

/* The table of fields on top. */
static const char *put_claims(lua_State *L, struct buf *out, int64_t now_ms, bool *ret_is_stale)
{
    static const char *const plain[][2] = {
        {"name", "name"}, {"email", "email"}, {"email_verified", "email_verified"}, {"preferred_username", "username"}};
    bool is_service = take_flag(L, "service");
    const char *error = NULL;

    buf_puts(out, "{\"iss\":\"https://test.invalid/\",");
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]) && error == NULL; i++)
        error = put_field(L, out, plain[i][0], plain[i][1], NULL);
    lua_pushstring(L, "uid");
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pushstring(L, "username");
        lua_rawget(L, -3);
        lua_replace(L, -2);
    }
    buf_puts(out, "\"sub\":");
    if (error == NULL)
        error = put_value(L, out, 0);
    lua_pop(L, 1);
    buf_put_byte(out, ',');
    if (!is_service)
        buf_puts(out, "\"sid\":\"test\",");
    put_session(L, out, now_ms, ret_is_stale);
    if (error == NULL)
        error = put_field(L, out, "entitlements", "entitlements", "[]");
    buf_puts(out, "\"repogate\":{");
    if (error == NULL)
        error = put_field(L, out, "groups", "groups", "[]");
    if (error == NULL)
        error = put_attributes(L, out);
    buf_printf(out, ",\"service\":%s,\"v\":1}}", is_service ? "true" : "false");
    return error;
}

static enum principal_via read_via(lua_State *L, const char **ret_error)
{
    enum principal_via via = PRINCIPAL_SESSION;
    bool known = false;

    lua_pushstring(L, "via");
    if (lua_rawget(L, -2) == LUA_TNIL)
        known = true;
    for (int i = PRINCIPAL_SESSION; i <= PRINCIPAL_BASIC && !known && lua_type(L, -1) == LUA_TSTRING; i++) {
        known = strcmp(lua_tostring(L, -1), principal_via_name((enum principal_via)i)) == 0;
        if (known)
            via = (enum principal_via)i;
    }
    lua_pop(L, 1);
    if (!known)
        *ret_error = "via is session, bearer or basic";
    return via;
}

/* Other claims, for u.claims, laid over those made above. */
static enum gw_err merge_extra(lua_State *L, struct buf *claims, const char **ret_error)
{
    GW_CLEANUP(buf_deinit) struct buf json = BUF(PACK_BYTES_MAX), extra = BUF(PACK_BYTES_MAX), merged = BUF(PACK_BYTES_MAX);
    enum gw_err err;

    lua_pushstring(L, "claims");
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_pop(L, 1);
        return GW_OK;
    }
    *ret_error = put_map(L, &json, 0);
    lua_pop(L, 1);
    if (*ret_error != NULL)
        return GW_E_INVALID;
    err = pack_parse(buf_view(&json), &extra);
    if (err == GW_OK)
        err = pack_merge(pack_root(claims->p), pack_root(extra.p), &merged);
    if (err != GW_OK)
        return err;
    buf_clear(claims);
    buf_put(claims, buf_view(&merged));
    return buf_ok(claims) ? GW_OK : GW_E_LIMIT;
}

struct principal *testsubject_principal(lua_State *L, int idx, int64_t now_ms, bool *ret_is_stale, const char **ret_error)
{
    GW_CLEANUP(buf_deinit) struct buf json = BUF(PACK_BYTES_MAX), claims = BUF(PACK_BYTES_MAX);
    struct principal *user = NULL;
    enum principal_via via;
    enum gw_err err = GW_E_INVALID;
    int top = lua_gettop(L);

    *ret_error = NULL;
    idx = lua_absindex(L, idx);
    if (!lua_checkstack(L, STACK_NEEDED))
        return NULL;
    lua_getiuservalue(L, idx, 1);
    via = read_via(L, ret_error);
    if (*ret_error == NULL)
        *ret_error = put_claims(L, &json, now_ms, ret_is_stale);
    if (*ret_error == NULL)
        err = buf_ok(&json) ? pack_parse(buf_view(&json), &claims) : GW_E_LIMIT;
    if (err == GW_OK)
        err = merge_extra(L, &claims, ret_error);
    if (err == GW_OK)
        err = principal_new(pack_root(claims.p), via, true, &user);
    lua_settop(L, top);
    if (err == GW_OK)
        return user;
    if (*ret_error == NULL)
        *ret_error = err == GW_E_LIMIT ? "the user's claims are larger than a token may be" : "the user's claims are not valid";
    return NULL;
}

static void names_keep(lua_State *L, const char *const *names)
{
    lua_newtable(L);
    for (size_t i = 0; names[i] != NULL; i++) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, names[i]);
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, names);
}

void testsubject_open(lua_State *L)
{
    names_keep(L, user_fields);
    names_keep(L, session_fields);
    host_class_open(L, &user_class);
    lua_pop(L, 1);
    host_class_open(L, &repo_class);
    lua_pop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &repo_class);
    lua_pushcfunction(L, set_visibility);
    lua_setfield(L, -2, "__call");
    lua_pop(L, 1);
    lua_pushcfunction(L, make_user);
    builtins_add(L, "user");
    lua_pushcfunction(L, make_repo);
    builtins_add(L, "repo");
}
