/* testsubject: `user {…}` and `repo "…"` of test files: made-up people and repositories (POLICY 8).
 *
 * Errors: the Lua side raises errors, so call protected; testsubject_principal never does.
 * Threads: as the state. */
#pragma once

#include "policy/hostapi.h"

struct test_repo {
    struct object object;
    enum visibility_value visibility; /* unknown unless the test says otherwise */
    struct repo repo;
};

/* Makes `user` and `repo` globals. forges: for the state's life. */
void testsubject_open(lua_State *L);
/* What `repo` understands; kept in the registry of the state. */
void testsubject_set_forges(lua_State *L, const struct forge *forges, size_t n_forges);

struct test_repo *testsubject_check_repo(lua_State *L, int idx, const char *what);
void testsubject_check_user(lua_State *L, int idx, const char *what);
/* The name of the user at idx, borrowed from the state. */
const char *testsubject_user_name(lua_State *L, int idx);

/* The principal that the user at idx stands for, as its claims would have made it. NULL: *ret_error says why. */
struct principal *testsubject_principal(lua_State *L, int idx, int64_t now_ms, bool *ret_is_stale, const char **ret_error);
