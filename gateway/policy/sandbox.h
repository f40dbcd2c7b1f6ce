/* sandbox: a Lua 5.4 state with budgets, in which nothing of Lua's own libraries is reachable.
 *
 * Budgets (POLICY 4): instructions (count hook), host work (bytes that host functions look at), memory (own allocator), log
 * entries; and a watchdog on the thread's CPU time. A spent budget raises an error that no policy can catch, since there is
 * no pcall; until the next sandbox_arm() every further call fails at once.
 * Instructions and host work are counted in a way that depends on the input alone; the watchdog is only a second line.
 * Errors: GW_E_NOMEM the state could not be made. sandbox_call: GW_E_POLICY, and the sandbox holds the text.
 * Owns: a full state; `owner` is borrowed. Threads: one at a time.
 * Source: Lua 5.4 manual 4.2 (lua_newstate), 4.7 (hooks); POLICY 4 for what was measured. */
#pragma once

#include "util/view.h"

#include <lua.h>

enum { SANDBOX_ERROR_MAX = 400, SANDBOX_WHERE_MAX = 96, SANDBOX_LOG_ENTRIES_MAX = 256, SANDBOX_HOOK_STEP = 100 };

enum sandbox_budget {
    SANDBOX_WITHIN,
    SANDBOX_INSTRUCTIONS,
    SANDBOX_HOST_WORK,
    SANDBOX_MEMORY,
    SANDBOX_CPU,
    SANDBOX_LOG,
};

struct sandbox_limits {
    int64_t instructions;
    int64_t host_bytes;
    int64_t cpu_us;
    int64_t log_bytes;
    size_t memory_bytes; /* beyond what was in use at sandbox_settle() */
};

extern const struct sandbox_limits SANDBOX_DECISION, SANDBOX_LOADING;

struct sandbox {
    lua_State *L;
    void *owner; /* the host API's context */
    struct sandbox_limits limits;
    int64_t instructions, host_bytes, log_bytes, n_log;
    int64_t cpu_start_us; /* thread CPU time when the first hook fired; 0 = not yet */
    size_t bytes, bytes_max, settled_bytes;
    enum sandbox_budget spent;
    bool is_excused;               /* the error was raised on purpose, or is about what the data were, not about the rule */
    char error[SANDBOX_ERROR_MAX]; /* of the last call that failed */
    char where[SANDBOX_WHERE_MAX]; /* file:line where a budget was spent */
};

enum gw_err sandbox_new(struct sandbox **ret_sandbox) GW_MUST_CHECK;
void sandbox_free(struct sandbox *sb);

void sandbox_collect(struct sandbox *sb);
/* Collects garbage and takes what is left as the floor on which memory limits stand. */
void sandbox_settle(struct sandbox *sb);
/* All budgets afresh. */
void sandbox_arm(struct sandbox *sb, const struct sandbox_limits *limits);
/* Calls the function below its n_args on top of the stack, protected; leaves n_results there, or nothing on failure. */
enum gw_err sandbox_call(struct sandbox *sb, int n_args, int n_results) GW_MUST_CHECK;

/* For host functions: takes n bytes of work from the budget, or does not return. */
void sandbox_debit(lua_State *L, size_t n);
/* Does not return. */
void sandbox_exhaust(lua_State *L, enum sandbox_budget budget);
const char *sandbox_version(void);                      /* "lua 5.4.4" */
const char *sandbox_budget_name(enum sandbox_budget b); /* "budget_instructions", … */

static inline struct sandbox *sandbox_of(lua_State *L)
{
    return *(struct sandbox **)lua_getextraspace(L);
}

static inline void sandbox_freep(struct sandbox **pp)
{
    sandbox_free(*pp);
}
