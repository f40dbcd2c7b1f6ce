#include "policy/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "util/cleanup.h"

const struct sandbox_limits SANDBOX_DECISION = {
    .instructions = 100000,
    .host_bytes = 1024 * 1024,
    .cpu_us = 50 * 1000,
    .log_bytes = 64 * 1024,
    .memory_bytes = 1024 * 1024,
};
const struct sandbox_limits SANDBOX_LOADING = {
    .instructions = 10 * 1000 * 1000,
    .host_bytes = 64 * 1024 * 1024,
    .cpu_us = 2 * 1000 * 1000,
    .log_bytes = 1024 * 1024,
    .memory_bytes = 64 * 1024 * 1024,
};

static int64_t thread_cpu_us(void)
{
    struct timespec ts;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) != 0)
        return 0;
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The watch starts when it is first looked at: short decisions then never pay for reading the clock, and what can run before
 * the first look is bounded by the other budgets. */
static bool watchdog_is_up(struct sandbox *sb)
{
    int64_t now_us = thread_cpu_us();

    if (sb->cpu_start_us == 0)
        sb->cpu_start_us = now_us;
    return now_us - sb->cpu_start_us > sb->limits.cpu_us;
}

/* A refused allocation makes Lua collect everything and ask again. A rule that lives at the edge of its memory could buy a
 * full collection with each instruction, so the watchdog is asked here as well. */
static void *memory_change(void *ud, void *p, size_t old_size, size_t new_size)
{
    struct sandbox *sb = ud;
    size_t held = p == NULL ? 0 : old_size;
    void *q;

    if (new_size == 0) {
        sb->bytes -= held;
        free(p);
        return NULL;
    }
    if (new_size > held) {
        if (sb->spent == SANDBOX_CPU)
            return NULL;
        if (new_size - held > sb->bytes_max || sb->bytes > sb->bytes_max - (new_size - held)) {
            if (watchdog_is_up(sb))
                sb->spent = SANDBOX_CPU;
            return NULL;
        }
    }
    q = realloc(p, new_size);
    if (q == NULL)
        return NULL;
    sb->bytes = sb->bytes - held + new_size;
    return q;
}

void sandbox_exhaust(lua_State *L, enum sandbox_budget budget)
{
    struct sandbox *sb = sandbox_of(L);
    lua_Debug at;
    int level = 0;

    sb->spent = budget;
    sb->where[0] = '\0';
    while (lua_getstack(L, level++, &at) && lua_getinfo(L, "Sl", &at)) {
        if (at.currentline > 0) {
            snprintf(sb->where, sizeof(sb->where), "%s:%d: ", at.short_src, at.currentline);
            break;
        }
    }
    lua_pushnil(L); /* no text: making one could itself run out of memory */
    lua_error(L);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    struct sandbox *sb = sandbox_of(L);

    (void)ar;
    sb->instructions += SANDBOX_HOOK_STEP;
    if (sb->spent != SANDBOX_WITHIN)
        sandbox_exhaust(L, sb->spent);
    if (sb->instructions > sb->limits.instructions)
        sandbox_exhaust(L, SANDBOX_INSTRUCTIONS);
    if (watchdog_is_up(sb))
        sandbox_exhaust(L, SANDBOX_CPU);
}

void sandbox_debit(lua_State *L, size_t n)
{
    struct sandbox *sb = sandbox_of(L);

    sb->host_bytes += (int64_t)n;
    if (sb->host_bytes > sb->limits.host_bytes)
        sandbox_exhaust(L, SANDBOX_HOST_WORK);
}

enum gw_err sandbox_new(struct sandbox **ret_sandbox)
{
    GW_CLEANUP(sandbox_freep) struct sandbox *sb = calloc(1, sizeof(*sb));

    if (sb == NULL)
        return GW_E_NOMEM;
    sb->bytes_max = SANDBOX_LOADING.memory_bytes;
    sb->limits = SANDBOX_LOADING;
    sb->L = lua_newstate(memory_change, sb);
    if (sb->L == NULL)
        return GW_E_NOMEM;
    *(struct sandbox **)lua_getextraspace(sb->L) = sb;
    *ret_sandbox = GW_TAKE(sb);
    return GW_OK;
}

void sandbox_free(struct sandbox *sb)
{
    if (sb == NULL)
        return;
    if (sb->L != NULL) {
        lua_sethook(sb->L, NULL, 0, 0);
        lua_close(sb->L);
    }
    free(sb);
}

void sandbox_collect(struct sandbox *sb)
{
    lua_gc(sb->L, LUA_GCCOLLECT);
}

void sandbox_settle(struct sandbox *sb)
{
    sandbox_collect(sb);
    sandbox_collect(sb); /* what the first freed may have held strings */
    sb->settled_bytes = sb->bytes;
}

void sandbox_arm(struct sandbox *sb, const struct sandbox_limits *limits)
{
    sb->limits = *limits;
    sb->instructions = sb->host_bytes = sb->log_bytes = sb->n_log = 0;
    sb->cpu_start_us = 0;
    sb->spent = SANDBOX_WITHIN;
    sb->where[0] = '\0';
    sb->bytes_max = sb->settled_bytes + limits->memory_bytes;
    lua_sethook(sb->L, on_count, LUA_MASKCOUNT, SANDBOX_HOOK_STEP);
}

static void error_keep(struct sandbox *sb, int status)
{
    if (sb->spent == SANDBOX_WITHIN && status == LUA_ERRMEM)
        sb->spent = SANDBOX_MEMORY;
    if (sb->spent != SANDBOX_WITHIN)
        snprintf(sb->error, sizeof(sb->error), "%s%s: the rule was stopped", sb->where, sandbox_budget_name(sb->spent));
    else if (lua_type(sb->L, -1) == LUA_TSTRING) /* converting anything else could allocate outside the protected call */
        snprintf(sb->error, sizeof(sb->error), "%s", lua_tostring(sb->L, -1));
    else
        snprintf(sb->error, sizeof(sb->error), "an error without a text");
}

enum gw_err sandbox_call(struct sandbox *sb, int n_args, int n_results)
{
    int status;

    sb->error[0] = '\0';
    sb->is_excused = false;
    if (sb->spent != SANDBOX_WITHIN) {
        lua_settop(sb->L, -n_args - 2);
        error_keep(sb, LUA_OK);
        return GW_E_POLICY;
    }
    status = lua_pcall(sb->L, n_args, n_results, 0);
    if (status == LUA_OK)
        return GW_OK;
    error_keep(sb, status);
    lua_settop(sb->L, -2);
    return GW_E_POLICY;
}

const char *sandbox_version(void)
{
    return "lua " LUA_VERSION_MAJOR "." LUA_VERSION_MINOR "." LUA_VERSION_RELEASE;
}

const char *sandbox_budget_name(enum sandbox_budget b)
{
    switch (b) {
    case SANDBOX_WITHIN:
        return "within budget";
    case SANDBOX_INSTRUCTIONS:
        return "budget_instructions";
    case SANDBOX_HOST_WORK:
        return "budget_host_work";
    case SANDBOX_MEMORY:
        return "budget_memory";
    case SANDBOX_CPU:
        return "budget_cpu";
    case SANDBOX_LOG:
        return "budget_log";
    }
    return "budget";
}
