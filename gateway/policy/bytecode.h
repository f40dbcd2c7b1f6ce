/* bytecode: tells which globals a compiled chunk reads and writes, and which captured variables it assigns.
 *
 * Why: what a rule assigns to a captured variable or to a global would be remembered after the decision, and no run-time
 * guard can see the first. Only our own compiler's output is read, never bytecode from outside.
 * Errors: GW_E_INVALID this Lua writes another format than we read (5.4's, lundump.h and lopcodes.h); GW_E_LIMIT, GW_E_NOMEM.
 * Threads: as the state. */
#pragma once

#include "util/view.h"

#include <lua.h>

enum bytecode_use { BYTECODE_GLOBAL_READ, BYTECODE_GLOBAL_WRITE, BYTECODE_CAPTURED_WRITE };
enum { BYTECODE_BYTES_MAX = 16 * 1024 * 1024, BYTECODE_DEPTH_MAX = 250 };

typedef void (*bytecode_fn)(void *arg, enum bytecode_use use, struct view name, int line);

/* Walks the Lua function on top of the stack with all functions inside it. */
enum gw_err bytecode_walk(lua_State *L, bytecode_fn fn, void *arg) GW_MUST_CHECK;
/* Compiles a small chunk whose uses are known and walks it; must be called protected. GW_E_INVALID if they are not found. */
enum gw_err bytecode_self_check(lua_State *L) GW_MUST_CHECK;
