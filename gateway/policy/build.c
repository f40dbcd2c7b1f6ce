#include "policy/build.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "policy/builtins.h"
#include "policy/chunk.h"
#include "policy/freeze.h"
#include "policy/ruleparse.h"
#include "util/cleanup.h"

struct opening {
    struct host *host;
    const struct loader_env *env;
    size_t n_env;
    void (*more)(lua_State *L);
};

static int open_state(lua_State *L)
{
    struct opening *o = lua_touserdata(L, 1);

    builtins_open(L, o->env, o->n_env);
    host_open(L, o->host);
    o->more(L);
    return 0;
}

enum gw_err build_state(struct host *host, const struct loader_env *env, size_t n_env, void (*more)(lua_State *L))
{
    GW_CLEANUP(sandbox_freep) struct sandbox *sb = NULL;
    struct opening o = {host, env, n_env, more};
    enum gw_err err = sandbox_new(&sb);

    if (err != GW_OK)
        return err;
    sb->owner = host;
    sandbox_arm(sb, &SANDBOX_LOADING);
    lua_pushcfunction(sb->L, open_state);
    lua_pushlightuserdata(sb->L, &o);
    if (sandbox_call(sb, 1, 0) != GW_OK)
        return GW_E_NOMEM;
    host->sandbox = GW_TAKE(sb);
    return GW_OK;
}

static int freeze_rule(lua_State *L)
{
    ruleparse_push_functions(L);
    lua_rawgeti(L, -1, lua_tointeger(L, 1));
    freeze_function(L, -1);
    return 0;
}

static void freeze_rules(struct engine *e, struct source_findings *findings)
{
    for (int kind = 0; kind < RULE_KINDS; kind++) {
        for (size_t i = 0; i < e->rules.n_rules[kind]; i++) {
            const struct rule *r = e->rules.rules[kind][i];
            const int functions[] = {r->when, r->unless};

            for (int k = 0; k < 2; k++) {
                if (functions[k] == 0)
                    continue;
                sandbox_arm(e->sandbox, &SANDBOX_LOADING);
                lua_pushcfunction(e->sandbox->L, freeze_rule);
                lua_pushinteger(e->sandbox->L, functions[k]);
                if (sandbox_call(e->sandbox, 1, 0) != GW_OK)
                    source_report(findings, r->file, r->line, "rule \"%s\": %s", r->name, e->sandbox->error);
            }
        }
    }
}

static enum gw_err run_files(struct engine *e, const struct loader_spec *spec, const struct source_set *set,
                             struct source_findings *findings)
{
    struct ruleparse rp = {.rules = &e->rules, .findings = findings, .forges = spec->forges, .n_forges = spec->n_forges};

    e->host.registrar = &rp;
    for (size_t i = 0; i < set->n_files; i++) {
        const struct source_file *file = &set->files[i];

        if (file->is_test || file->is_refused)
            continue;
        rp.file = arena_copy(&e->rules.arena, view_of(file->name)).p;
        if (rp.file == NULL)
            return GW_E_NOMEM;
        chunk_run(e->sandbox, file, BUILTINS_RULE_NAMES, findings);
        ruleparse_finish_file(&rp);
    }
    e->host.registrar = NULL;
    return GW_OK;
}

/* What evaluation finds below its own: the rules' functions, u, r, q. */
static int settle_stack(lua_State *L)
{
    ruleparse_push_functions(L);
    host_push_objects(L);
    return 4;
}

enum gw_err build_engine(const struct loader_spec *spec, const struct source_set *set, struct source_findings *findings,
                         struct engine **ret_engine)
{
    struct engine *e = calloc(1, sizeof(*e));
    enum gw_err err;

    if (e == NULL)
        return GW_E_NOMEM;
    ruleset_init(&e->rules);
    err = build_state(&e->host, spec->env, spec->n_env, ruleparse_open);
    e->sandbox = e->host.sandbox;
    if (err == GW_OK)
        err = run_files(e, spec, set, findings);
    if (err == GW_OK)
        freeze_rules(e, findings);
    if (err == GW_OK) {
        e->subject.groups = calloc(intern_words(&e->rules.groups) + 1, sizeof(uint64_t));
        e->subject.entitlements = calloc(intern_words(&e->rules.entitlements) + 1, sizeof(uint64_t));
        sandbox_arm(e->sandbox, &SANDBOX_LOADING);
        lua_pushcfunction(e->sandbox->L, settle_stack);
        if (e->subject.groups == NULL || e->subject.entitlements == NULL || sandbox_call(e->sandbox, 0, 4) != GW_OK)
            err = GW_E_NOMEM;
    }
    if (err == GW_OK)
        err = source_set_revision(set, spec->env, spec->n_env, e->revision);
    if (err != GW_OK) {
        engine_free(e);
        return err;
    }
    sandbox_settle(e->sandbox);
    *ret_engine = e;
    return GW_OK;
}
