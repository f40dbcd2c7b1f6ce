/* freeze: makes tables read-only for good, and with them everything that a function can reach.
 *
 * Why: a rule lives for many decisions; what it could write to would be remembered from one to the next (POLICY 4, Isolation).
 * How: a frozen table's contents move into an inner table that only its metatable knows. Without setmetatable and rawset, which
 * policies do not have, nothing can write there again. Deep: a frozen table holds frozen tables only.
 * Errors: raises Lua errors, so call it protected. Threads: as the state. */
#pragma once

#include <stdbool.h>

#include <lua.h>

/* Freezes the table on top of the stack, in place, but not what it holds. */
void freeze_table(lua_State *L);
/* The same, and reading a key that is not there is an error: "label has no 'x' (did you mean 'y'?)". */
void freeze_table_strict(lua_State *L, const char *label);
/* Freezes all that the function at idx reaches. Raises an error that says what it reaches that cannot be frozen. */
void freeze_function(lua_State *L, int idx);
/* Pushes the inner table if the value at idx is a frozen one; else pushes nothing and is false. */
bool freeze_push_inner(lua_State *L, int idx);
