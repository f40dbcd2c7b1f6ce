/* builtins: the globals that a policy has, and nothing else (POLICY 3 and 4).
 *
 * Shape: one frozen table of globals per state. Reading another name is an error with the nearest one; writing is an error.
 * None of them keeps anything between calls.
 * Errors: raise Lua errors, so call protected. Threads: as the state. */
#pragma once

#include "policy/loader.h"

#include <lua.h>

/* NULL-terminated: every name that a rule file may use, and those that only test files may. */
extern const char *const BUILTINS_RULE_NAMES[];
extern const char *const BUILTINS_TEST_NAMES[];

void builtins_open(lua_State *L, const struct loader_env *env, size_t n_env);
/* Takes the value on top and makes it a global. */
void builtins_add(lua_State *L, const char *name);
/* Pushes the table of globals, to be a chunk's _ENV. */
void builtins_push(lua_State *L);
/* The string argument at idx, or an error that names it. */
struct view builtins_check_string(lua_State *L, int idx, const char *what);
