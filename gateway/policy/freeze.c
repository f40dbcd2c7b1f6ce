#include "policy/freeze.h"

#include <lauxlib.h>

#include "policy/nearest.h"

static const char frozen_mark = 0; /* its address is the key under which a metatable holds the inner table */

static int on_write(lua_State *L)
{
    return luaL_error(L, "this table was frozen when the policy was loaded: nothing may be remembered between decisions");
}

static int on_length(lua_State *L)
{
    if (!freeze_push_inner(L, 1))
        return luaL_error(L, "attempt to get length of a value that has none");
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

static int on_missing(lua_State *L)
{
    const char *label = lua_tostring(L, lua_upvalueindex(1));
    char hint[NEAREST_NAME_MAX + 32] = "";
    struct nearest near;
    size_t n = 0;
    const char *key;

    if (lua_type(L, 2) != LUA_TSTRING)
        return luaL_error(L, "%s has no such entry: a %s", label, luaL_typename(L, 2));
    key = lua_tolstring(L, 2, &n);
    near = nearest_begin(view_at(key, n));
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            key = lua_tolstring(L, -2, &n);
            nearest_offer(&near, view_at(key, n));
        }
    }
    return luaL_error(L, "%s has no '%s'%s", label, lua_tostring(L, 2), nearest_format(&near, hint, sizeof(hint)));
}

bool freeze_push_inner(lua_State *L, int idx)
{
    if (lua_type(L, idx) != LUA_TTABLE || !lua_getmetatable(L, idx))
        return false;
    lua_rawgetp(L, -1, &frozen_mark);
    lua_remove(L, -2);
    if (lua_istable(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

static void table_move(lua_State *L, int from, int to)
{
    for (lua_pushnil(L); lua_next(L, from) != 0;) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, to);
    }
    for (lua_pushnil(L); lua_next(L, from) != 0;) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, from);
    }
}

void freeze_table(lua_State *L)
{
    int shell = lua_gettop(L);

    luaL_checkstack(L, 8, NULL);
    if (lua_getmetatable(L, shell)) { /* frozen before */
        lua_pop(L, 1);
        return;
    }
    lua_newtable(L);
    table_move(L, shell, shell + 1);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, shell + 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, on_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, on_length);
    lua_setfield(L, -2, "__len");
    lua_pushvalue(L, shell + 1);
    lua_rawsetp(L, -2, &frozen_mark);
    lua_setmetatable(L, shell);
    lua_settop(L, shell);
}

void freeze_table_strict(lua_State *L, const char *label)
{
    freeze_table(L);
    freeze_push_inner(L, -1);
    lua_createtable(L, 0, 1);
    lua_pushstring(L, label);
    lua_pushcclosure(L, on_missing, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

/* The walk keeps its own list instead of recursing: nesting is the policy's to choose, the C stack is ours. */
struct walk {
    int todo, seen;
    lua_Integer n_todo;
};

/* Takes the value on top. */
static void walk_add(lua_State *L, struct walk *w, const char *name)
{
    int type = lua_type(L, -1);

    if (type == LUA_TUSERDATA || type == LUA_TTHREAD || (lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1) != NULL))
        luaL_error(L, "a rule may not keep '%s': an iterator or an object of the host would remember things between decisions",
                   name);
    if (type != LUA_TTABLE && (type != LUA_TFUNCTION || lua_iscfunction(L, -1))) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, -1);
    if (lua_rawget(L, w->seen) != LUA_TNIL) {
        lua_pop(L, 2);
        return;
    }
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, w->seen);
    lua_rawseti(L, w->todo, ++w->n_todo);
}

static void walk_table(lua_State *L, struct walk *w)
{
    if (lua_getmetatable(L, -1)) {
        lua_pop(L, 1);
        return; /* frozen before, with all it holds: by us or by the host */
    }
    freeze_table(L);
    freeze_push_inner(L, -1);
    for (lua_pushnil(L); lua_next(L, -2) != 0;) {
        walk_add(L, w, "(a table's value)");
        lua_pushvalue(L, -1);
        walk_add(L, w, "(a table's key)");
    }
    lua_pop(L, 1);
}

static void walk_upvalues(lua_State *L, struct walk *w)
{
    const char *name;

    for (int i = 1; (name = lua_getupvalue(L, -1, i)) != NULL; i++)
        walk_add(L, w, name);
}

void freeze_function(lua_State *L, int idx)
{
    struct walk w = {0};
    int top = lua_gettop(L);

    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 16, NULL);
    lua_newtable(L);
    w.todo = lua_gettop(L);
    lua_newtable(L);
    w.seen = lua_gettop(L);
    lua_pushvalue(L, idx);
    walk_add(L, &w, "itself");
    while (w.n_todo > 0) {
        lua_rawgeti(L, w.todo, w.n_todo--);
        if (lua_istable(L, -1))
            walk_table(L, &w);
        else
            walk_upvalues(L, &w);
        lua_pop(L, 1);
    }
    lua_settop(L, top);
}
