/* ruleparse: `allow "name" {…}` and `deny "name" {…}`: from a Lua table to a checked rule.
 *
 * All that is wrong with a rule is reported, not only the first; a rule with findings makes the whole set unusable.
 * Errors: raises Lua errors only without memory, or where a call makes no sense at all; call protected.
 * Owns: borrows all in struct ruleparse while files are loaded. Threads: as the state. */
#pragma once

#include "policy/ruleset.h"
#include "policy/source.h"

#include <lua.h>

enum { RULEPARSE_FILE_RULES_MAX = 500, RULEPARSE_NAME_MAX = 128, RULEPARSE_LIST_MAX = 1024 };

struct ruleparse {
    struct ruleset *rules;
    struct source_findings *findings;
    const struct forge *forges;
    size_t n_forges;
    const char *file; /* being run; owned by the rule set */
    size_t n_file_rules;
    int n_functions;
    int n_begun; /* named, but without their table yet */
    char begun[RULEPARSE_NAME_MAX + 1];
    int begun_line;
};

/* Makes `allow` and `deny` globals; they register with host->registrar, a struct ruleparse. */
void ruleparse_open(lua_State *L);
/* After a file was run: reports a name that got no table. */
void ruleparse_finish_file(struct ruleparse *rp);
/* Pushes the table of functions that rules' when and unless are numbers of. */
void ruleparse_push_functions(lua_State *L);
