#include "policy/builtins.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "policy/freeze.h"
#include "policy/object.h"
#include "policy/sandbox.h"
#include "policy/strlib.h"

const char *const BUILTINS_RULE_NAMES[] = {"allow",  "deny", "limit",    "require",  "data",   "ipairs", "pairs",
                                           "select", "type", "tonumber", "tostring", "assert", "error",  "str",
                                           "math",   "has",  "log",      "env",      NULL};
const char *const BUILTINS_TEST_NAMES[] = {"user",     "repo",   "test",  "grid", "ipairs", "pairs", "select", "type", "tonumber",
                                           "tostring", "assert", "error", "str",  "math",   "log",   "env",    NULL};

static const char globals_key = 0;

struct view builtins_check_string(lua_State *L, int idx, const char *what)
{
    struct view v;

    if (lua_type(L, idx) != LUA_TSTRING)
        luaL_error(L, "%s must be a string, not a %s", what, luaL_typename(L, idx));
    v.p = lua_tolstring(L, idx, &v.n);
    return v;
}

/* --- pairs, in the order of the keys: numbers, then strings by bytes, then false and true --- */

struct key {
    int type;
    bool is_int;
    lua_Integer i; /* an integer, or a boolean */
    lua_Number x;
    struct view s;
    lua_Integer place; /* in the table of keys */
};

struct walk {
    struct object object;
    size_t n, at;
    struct key keys[];
};

static int key_rank(const struct key *k)
{
    return k->type == LUA_TNUMBER ? 0 : k->type == LUA_TSTRING ? 1 : 2;
}

static int key_cmp(const void *pa, const void *pb)
{
    const struct key *a = pa, *b = pb;

    if (key_rank(a) != key_rank(b))
        return key_rank(a) - key_rank(b);
    if (a->type == LUA_TSTRING)
        return view_cmp(a->s, b->s);
    if (a->is_int && b->is_int)
        return a->i < b->i ? -1 : a->i > b->i;
    return a->x < b->x ? -1 : a->x > b->x;
}

/* The key on top of the stack, which is also keys[place]. */
static void key_read(lua_State *L, lua_Integer place, struct key *k)
{
    *k = (struct key){.type = lua_type(L, -1), .place = place};
    switch (k->type) {
    case LUA_TNUMBER:
        k->is_int = lua_isinteger(L, -1);
        k->i = k->is_int ? lua_tointeger(L, -1) : 0;
        k->x = lua_tonumber(L, -1);
        break;
    case LUA_TSTRING:
        k->s.p = lua_tolstring(L, -1, &k->s.n);
        sandbox_debit(L, k->s.n);
        break;
    case LUA_TBOOLEAN:
        k->is_int = true;
        k->i = lua_toboolean(L, -1);
        break;
    default:
        luaL_error(L, "pairs: keys of type %s have no order", luaL_typename(L, -1));
    }
}

static int pairs_next(lua_State *L)
{
    struct walk *w = object_find(L, 1, OBJECT_PAIRS);

    if (w == NULL)
        return luaL_error(L, "pairs: use it in a for loop");
    lua_getiuservalue(L, 1, 1);
    lua_getiuservalue(L, 1, 2);
    while (w->at < w->n) {
        lua_rawgeti(L, -2, w->keys[w->at++].place);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) != LUA_TNIL)
            return 2;
        lua_pop(L, 2);
    }
    lua_pushnil(L);
    return 1;
}

static int fn_pairs(lua_State *L)
{
    struct walk *w;
    lua_Integer n = 0;

    if (lua_type(L, 1) != LUA_TTABLE)
        return luaL_error(L, "pairs needs a table, not a %s%s", luaL_typename(L, 1),
                          lua_isuserdata(L, 1) ? ": lists have :each()" : "");
    lua_settop(L, 1);
    if (freeze_push_inner(L, 1))
        lua_replace(L, 1);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_rawseti(L, 2, ++n);
    }
    sandbox_debit(L, (size_t)n * 16);
    lua_pushcfunction(L, pairs_next);
    w = lua_newuserdatauv(L, sizeof(*w) + (size_t)n * sizeof(w->keys[0]), 2);
    w->object.kind = OBJECT_PAIRS;
    w->at = 0;
    w->n = (size_t)n;
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        key_read(L, i, &w->keys[i - 1]);
        lua_pop(L, 1);
    }
    qsort(w->keys, w->n, sizeof(w->keys[0]), key_cmp);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 2);
    return 2;
}

static int ipairs_next(lua_State *L)
{
    lua_Integer i = luaL_checkinteger(L, 2) + 1;

    lua_settop(L, 1);
    lua_pushinteger(L, i);
    return lua_geti(L, 1, i) == LUA_TNIL ? 1 : 2;
}

static int fn_ipairs(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TTABLE)
        return luaL_error(L, "ipairs needs a table, not a %s%s", luaL_typename(L, 1),
                          lua_isuserdata(L, 1) ? ": lists have :each()" : "");
    lua_pushcfunction(L, ipairs_next);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    return 3;
}

/* --- the small ones --- */

static int fn_select(lua_State *L)
{
    int n = lua_gettop(L);
    lua_Integer i;

    if (lua_type(L, 1) == LUA_TSTRING && strcmp(lua_tostring(L, 1), "#") == 0) {
        lua_pushinteger(L, n - 1);
        return 1;
    }
    i = luaL_checkinteger(L, 1);
    if (i < 0)
        i = n + i;
    else if (i > n)
        i = n;
    luaL_argcheck(L, i >= 1, 1, "index out of range");
    return n - (int)i;
}

static int fn_type(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushstring(L, luaL_typename(L, 1));
    return 1;
}

static int fn_tonumber(lua_State *L)
{
    struct view v;

    if (lua_gettop(L) != 1)
        return luaL_error(L, "tonumber takes one argument");
    if (lua_type(L, 1) == LUA_TNUMBER)
        return 1;
    if (lua_type(L, 1) == LUA_TSTRING) {
        v.p = lua_tolstring(L, 1, &v.n);
        sandbox_debit(L, v.n);
        if (lua_stringtonumber(L, v.p) == v.n + 1)
            return 1;
    }
    lua_pushnil(L);
    return 1;
}

static int fn_tostring(lua_State *L)
{
    strlib_push_text(L, 1);
    return 1;
}

/* Deliberate: smoke evaluation does not take it for a mistake. */
static int raise_deliberately(lua_State *L, struct view message)
{
    sandbox_of(L)->is_excused = true;
    luaL_where(L, 1);
    lua_pushliteral(L, "error: ");
    lua_pushlstring(L, message.p, message.n < 150 ? message.n : 150);
    lua_concat(L, 3);
    return lua_error(L);
}

static int fn_error(lua_State *L)
{
    return raise_deliberately(L, builtins_check_string(L, 1, "error: the message"));
}

static int fn_assert(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_toboolean(L, 1))
        return lua_gettop(L);
    return raise_deliberately(L,
                              lua_gettop(L) >= 2 ? builtins_check_string(L, 2, "assert: the message") : VIEW("assertion failed"));
}

static int fn_log(lua_State *L)
{
    struct sandbox *sb = sandbox_of(L);
    struct view v = builtins_check_string(L, 1, "log: the message");

    sandbox_debit(L, v.n);
    sb->log_bytes += (int64_t)v.n;
    if (++sb->n_log > SANDBOX_LOG_ENTRIES_MAX || sb->log_bytes > sb->limits.log_bytes)
        sandbox_exhaust(L, SANDBOX_LOG);
    return 0;
}

static int fn_not_built(lua_State *L)
{
    return luaL_error(L, "'%s' is not supported by this version", lua_tostring(L, lua_upvalueindex(1)));
}

static int string_index(lua_State *L)
{
    if (lua_type(L, 2) == LUA_TSTRING)
        return luaL_error(L, "strings have no methods and no fields: use str.%s(s) if there is one", lua_tostring(L, 2));
    return luaL_error(L, "strings have no methods and no fields");
}

/* --- putting them in place --- */

static void string_metatable(lua_State *L)
{
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, string_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

static void math_table(lua_State *L)
{
    lua_pushcfunction(L, luaopen_math);
    lua_call(L, 0, 1);
    lua_pushnil(L);
    lua_setfield(L, -2, "random");
    lua_pushnil(L);
    lua_setfield(L, -2, "randomseed");
    freeze_table_strict(L, "math");
}

static void env_table(lua_State *L, const struct loader_env *env, size_t n_env)
{
    lua_createtable(L, 0, (int)n_env);
    for (size_t i = 0; i < n_env; i++) {
        lua_pushstring(L, env[i].value);
        lua_setfield(L, -2, env[i].name);
    }
    freeze_table_strict(L, "env");
}

void builtins_push(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &globals_key);
}

void builtins_add(lua_State *L, const char *name)
{
    builtins_push(L);
    freeze_push_inner(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, name);
    lua_pop(L, 3);
}

void builtins_open(lua_State *L, const struct loader_env *env, size_t n_env)
{
    static const luaL_Reg functions[] = {
        {"ipairs", fn_ipairs},     {"pairs", fn_pairs},   {"select", fn_select}, {"type", fn_type}, {"tonumber", fn_tonumber},
        {"tostring", fn_tostring}, {"assert", fn_assert}, {"error", fn_error},   {"log", fn_log},
    };
    static const char *const later[] = {"limit", "require", "data"};

    string_metatable(L);
    lua_newtable(L);
    freeze_table_strict(L, "the policy's environment");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &globals_key);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        lua_pushcfunction(L, functions[i].func);
        builtins_add(L, functions[i].name);
    }
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        lua_pushstring(L, later[i]);
        lua_pushcclosure(L, fn_not_built, 1);
        builtins_add(L, later[i]);
    }
    strlib_push(L);
    builtins_add(L, "str");
    math_table(L);
    builtins_add(L, "math");
    env_table(L, env, n_env);
    builtins_add(L, "env");
}
