/* strlib: the `str` table: plain work on strings, linear in their length, ASCII where case matters, no patterns.
 *
 * Errors: raise Lua errors, so call protected. Threads: as the state. */
#pragma once

#include <lua.h>

/* Pushes the frozen table. */
void strlib_push(lua_State *L);
/* Pushes the text of the string, number, boolean or nil at idx; anything else is an error, since its text would differ from run
 * to run. */
void strlib_push_text(lua_State *L, int idx);
