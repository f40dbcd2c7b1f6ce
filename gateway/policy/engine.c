/* Order of work: deny rules, then allow rules, each in the order of files and lines; declarative fields first, Lua only for what
 * they leave. One protected call takes all rules that need Lua, and starts anew behind a rule that erred, so that a decision
 * without errors pays for one.
 *
 * Memory is the one budget that could depend on what an earlier decision left lying about, uncollected. So a decision that runs out
 * of it is made once more after a full collection, and only that one counts: what fits beside garbage fits without it too. */
#include "policy/engine.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/build.h"
#include "util/cleanup.h"

/* Rules of one kind on their way through. */
struct pass {
    struct engine *e;
    struct rule *const *rules;
    size_t n, at;
    struct decision *d;
    bool is_pending, is_matched, has_erred;
    const struct rule *wanting[DECISION_MATCHED_MAX]; /* that match but for the login */
    size_t n_wanting;
    struct stepup need; /* of all those */
};

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    sandbox_free(e->sandbox);
    host_deinit(&e->host);
    ruleset_deinit(&e->rules);
    free(e->subject.groups);
    free(e->subject.entitlements);
    free(e);
}

const char *engine_revision(const struct engine *e)
{
    return e->revision;
}

size_t engine_rule_count(const struct engine *e)
{
    return ruleset_count(&e->rules);
}

static void note_error(struct pass *p, const char *text)
{
    struct decision *d = p->d;
    const struct rule *r = p->rules[p->at];

    p->has_erred = true;
    if (d->n_errors == DECISION_ERRORS_MAX)
        return;
    d->errors[d->n_errors].rule = r->name;
    snprintf(d->errors[d->n_errors].text, sizeof(d->errors[0].text), "%s", text);
    d->n_errors++;
}

static void note_match(struct pass *p)
{
    struct decision *d = p->d;
    const struct rule *r = p->rules[p->at];

    if (!p->is_matched) {
        d->rule = r->name;
        d->file = r->file;
        d->line = r->line;
        d->message = r->message;
        if (r->kind == RULE_DENY)
            snprintf(d->reason, sizeof(d->reason), "%s", r->reason == NULL ? "denied" : r->reason);
    }
    p->is_matched = true;
    if (d->n_matched < DECISION_MATCHED_MAX)
        d->matched[d->n_matched++] = r->name;
}

static bool login_suffices(const struct pass *p, const struct rule *r)
{
    const struct policy_input *in = p->e->subject.in;
    struct stepup_login login = {principal_auth_time_s(in->user), principal_has_mfa(in->user)};

    return stepup_is_met(&r->login, &login, in->now_ms / 1000);
}

static void note_wanting(struct pass *p)
{
    const struct rule *r = p->rules[p->at];

    stepup_add(&p->need, &r->login);
    if (p->n_wanting < DECISION_MATCHED_MAX)
        p->wanting[p->n_wanting++] = r;
}

/* Stack: 1 the functions, 2 to 4 u, r, q. */
static bool condition_holds(lua_State *L, const struct rule *r, int function, const char *field)
{
    bool holds;

    lua_rawgeti(L, 1, function);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 4);
    lua_call(L, 3, 1);
    if (lua_type(L, -1) != LUA_TBOOLEAN)
        luaL_error(L, "%s:%d: %s gave a %s, not true or false%s", r->file, r->line, field, luaL_typename(L, -1),
                   lua_isnil(L, -1) ? " (is a return missing?)" : "");
    holds = lua_toboolean(L, -1);
    lua_settop(L, 4);
    return holds;
}

static bool conditions_hold(struct pass *p, lua_State *L, const struct rule *r)
{
    if (r->when != 0 && !condition_holds(L, r, r->when, "when")) {
        if (p->d->hint == NULL)
            p->d->hint = r->hint;
        return false;
    }
    return r->unless == 0 || !condition_holds(L, r, r->unless, "unless");
}

/* Goes on with the rules from p->at. False: that rule needs Lua, and L is NULL. */
static bool pass_run(struct pass *p, lua_State *L)
{
    for (; p->at < p->n; p->at++) {
        const struct rule *r = p->rules[p->at];
        const char *error = NULL;

        switch (ruleset_match(r, &p->e->subject, &error)) {
        case RULE_NO:
            continue;
        case RULE_PENDING:
            p->is_pending = true;
            continue;
        case RULE_ERROR:
            note_error(p, error);
            continue;
        case RULE_YES:
            break;
        }
        if (r->when != 0 || r->unless != 0) {
            if (L == NULL)
                return false;
            if (!conditions_hold(p, L, r))
                continue;
        }
        if (!stepup_is_none(&r->login) && !login_suffices(p, r)) {
            note_wanting(p);
            continue;
        }
        note_match(p);
        if (r->kind == RULE_DENY)
            return true;
    }
    return true;
}

static int pass_in_lua(lua_State *L)
{
    struct pass *p = lua_touserdata(L, 5);

    lua_settop(L, 4);
    pass_run(p, L);
    return 0;
}

static void pass_all(struct pass *p)
{
    lua_State *L = p->e->sandbox->L;

    while (!pass_run(p, NULL)) {
        lua_pushcfunction(L, pass_in_lua);
        for (int i = 1; i <= 4; i++)
            lua_pushvalue(L, i);
        lua_pushlightuserdata(L, p);
        if (sandbox_call(p->e->sandbox, 5, 0) == GW_OK)
            return;
        if (p->e->host.needs_visibility)
            p->is_pending = true;
        else
            note_error(p, p->e->sandbox->error);
        p->e->host.needs_visibility = false;
        p->at++;
    }
}

static struct pass pass_of(struct engine *e, enum rule_kind kind, struct decision *d)
{
    return (struct pass){.e = e, .rules = e->rules.rules[kind], .n = e->rules.n_rules[kind], .d = d};
}

static void conclude(struct decision *d, enum verdict verdict, const char *reason)
{
    d->verdict = verdict;
    d->is_error = strcmp(reason, "error") == 0;
    size_t n = strlen(reason);
    if (n > DECISION_REASON_MAX)
        n = DECISION_REASON_MAX;
    memcpy(d->reason, reason, n);
    d->reason[n] = '\0';
}

static void conclude_step_up(struct decision *d, const struct pass *allow)
{
    d->hint = NULL;
    d->need = allow->need;
    d->rule = allow->wanting[0]->name;
    d->file = allow->wanting[0]->file;
    d->line = allow->wanting[0]->line;
    for (size_t i = 0; i < allow->n_wanting; i++)
        d->matched[d->n_matched++] = allow->wanting[i]->name;
    conclude(d, VERDICT_STEP_UP, "step_up");
}

/* POLICY 2. A deny that matched decides; without one, a value that a rule asked for is worth waiting for; a deny that erred denies;
 * where no allow matches, one that matches but for the login is worth a stronger login, whatever else erred. */
static void combine(struct engine *e, struct decision *d)
{
    struct pass deny = pass_of(e, RULE_DENY, d), allow = pass_of(e, RULE_ALLOW, d);

    pass_all(&deny);
    if (deny.is_matched) {
        d->hint = NULL;
        return;
    }
    if (!deny.is_pending && deny.has_erred) {
        conclude(d, VERDICT_DENY, "error");
        return;
    }
    if (!deny.is_pending)
        pass_all(&allow);
    if (deny.is_pending || allow.is_pending) {
        *d = (struct decision){.needs_visibility = true};
        return;
    }
    if (allow.is_matched) {
        d->hint = NULL;
        conclude(d, VERDICT_ALLOW, "allowed");
        return;
    }
    if (allow.n_wanting > 0)
        conclude_step_up(d, &allow);
    else
        conclude(d, VERDICT_DENY, allow.has_erred ? "error" : "no_rule");
}

static void eval_once(struct engine *e, const struct policy_input *in, struct decision *d)
{
    *d = (struct decision){.verdict = VERDICT_DENY};
    sandbox_arm(e->sandbox, &SANDBOX_DECISION);
    ruleset_read_subject(&e->rules, in, &e->subject);
    host_begin(&e->host, in);
    combine(e, d);
    host_end(&e->host);
    d->instructions = e->sandbox->instructions;
    d->host_bytes = e->sandbox->host_bytes;
}

enum gw_err engine_eval(struct engine *e, const struct policy_input *in, struct decision *ret_decision)
{
    assert(in->user != NULL);
    if (principal_missing(in->user) != PRINCIPAL_COMPLETE) {
        decision_deny(ret_decision, "claims_missing");
    } else {
        eval_once(e, in, ret_decision);
        if (e->sandbox->spent == SANDBOX_MEMORY) {
            sandbox_collect(e->sandbox);
            eval_once(e, in, ret_decision);
        }
    }
    memcpy(ret_decision->revision, e->revision, sizeof(e->revision));
    return GW_OK;
}

enum engine_tried engine_try_rule(struct engine *e, const struct rule *r, const struct policy_input *in, const char **ret_text,
                                  bool *ret_is_excused)
{
    struct rule *rules[] = {(struct rule *)(uintptr_t)r};
    struct decision d = {.verdict = VERDICT_DENY};
    struct pass p = {.e = e, .rules = rules, .n = 1, .d = &d};
    const char *error = NULL;

    ruleset_read_subject(&e->rules, in, &e->subject);
    if (ruleset_match(r, &e->subject, &error) != RULE_YES)
        return ENGINE_NOT_APPLICABLE;
    sandbox_arm(e->sandbox, &SANDBOX_DECISION);
    host_begin(&e->host, in);
    pass_all(&p);
    host_end(&e->host);
    if (p.has_erred) {
        *ret_text = e->sandbox->error;
        *ret_is_excused = e->sandbox->is_excused;
        return ENGINE_ERROR;
    }
    return p.is_matched || p.n_wanting > 0 ? ENGINE_MATCHED : ENGINE_NOT_MATCHED;
}
