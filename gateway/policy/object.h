/* object: the head that every userdata in a policy's state starts with, so that none can be taken for another.
 *
 * Errors: raise Lua errors, so call protected. Threads: as the state. */
#pragma once

#include <stddef.h>

#include <lua.h>

enum object_kind {
    OBJECT_NONE,
    OBJECT_PAIRS,
    OBJECT_USER,
    OBJECT_SESSION,
    OBJECT_REPO,
    OBJECT_REQUEST,
    OBJECT_IP,
    OBJECT_TIME,
    OBJECT_BAG,
    OBJECT_LIST,
    OBJECT_EACH,
    OBJECT_TEST_USER,
    OBJECT_TEST_REPO,
};

struct object {
    enum object_kind kind;
};

/* The userdata at idx if it is of that kind, else NULL. */
static inline void *object_find(lua_State *L, int idx, enum object_kind kind)
{
    struct object *o = lua_type(L, idx) == LUA_TUSERDATA ? lua_touserdata(L, idx) : NULL;

    return o != NULL && o->kind == kind ? o : NULL;
}
