/* hosttime: `q.time`, fixed for the decision (POLICY 3).
 *
 * This version knows one zone, UTC; another one is an error that smoke evaluation finds when the file is loaded.
 * Errors: raise Lua errors, so call protected. Threads: as the state. */
#pragma once

#include <lua.h>

/* Pushes the object. */
void hosttime_push(lua_State *L);
