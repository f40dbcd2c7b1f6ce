#include "policy/policytest.h"

#include <lauxlib.h>
#include <stdio.h>

#include "policy/builtins.h"
#include "policy/chunk.h"
#include "policy/nearest.h"
#include "policy/testsubject.h"
#include "util/cleanup.h"

enum { RESULT_NAME_MAX = 300, RESULT_TEXT_MAX = 600 };

struct runner {
    struct engine *engine;
    loader_test_fn on_result;
    void *arg;
    struct policytest_counts counts;
    const char *file;
    struct source_findings *findings;
    int n_begun, begun_line;
    char begun[RESULT_NAME_MAX];
};

/* One expectation; texts are borrowed from the state's stack. */
struct expectation {
    const char *name;
    int line;
    int user; /* stack index */
    const struct test_repo *repo;
    struct policy_input in;
    struct view expect, rule, reason;
};

static struct runner *runner_of(lua_State *L)
{
    return host_of(L)->registrar;
}

static void GW_PRINTF(2, 3) add_text(char *out, const char *fmt, ...)
{
    size_t n = strlen(out);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(out + n, RESULT_TEXT_MAX - n, fmt, ap);
    va_end(ap);
}

/* --- what a test may name --- */

static bool rule_is_known(const struct ruleset *rules, struct view name, char *text)
{
    struct nearest near = nearest_begin(name);
    char hint[NEAREST_NAME_MAX + 32];

    if (ruleset_find(rules, name) != NULL)
        return true;
    for (int kind = 0; kind < RULE_KINDS; kind++)
        for (size_t i = 0; i < rules->n_rules[kind]; i++)
            nearest_offer(&near, view_of(rules->rules[kind][i]->name));
    add_text(text, "there is no rule \"%.*s\"%s", VIEW_FMT(name), nearest_format(&near, hint, sizeof(hint)));
    return false;
}

static bool reason_is_known(const struct ruleset *rules, struct view reason, char *text)
{
    static const char *const own[] = {"allowed", "no_rule", "claims_missing", "error", "denied", "step_up", NULL};
    struct nearest near = nearest_begin(reason);
    char hint[NEAREST_NAME_MAX + 32];

    for (size_t i = 0; own[i] != NULL; i++) {
        if (view_eq(reason, view_of(own[i])))
            return true;
        nearest_offer(&near, view_of(own[i]));
    }
    for (size_t i = 0; i < rules->n_rules[RULE_DENY]; i++) {
        const char *known = rules->rules[RULE_DENY][i]->reason;

        if (known == NULL)
            continue;
        if (view_eq(reason, view_of(known)))
            return true;
        nearest_offer(&near, view_of(known));
    }
    add_text(text, "there is no reason '%.*s'%s", VIEW_FMT(reason), nearest_format(&near, hint, sizeof(hint)));
    return false;
}

static bool decision_matches_rule(const struct decision *d, struct view name)
{
    for (size_t i = 0; i < d->n_matched; i++)
        if (view_eq(view_of(d->matched[i]), name))
            return true;
    return false;
}

/* --- judging --- */

static const char *const answers[] = {[VERDICT_DENY] = "deny", [VERDICT_ALLOW] = "allow", [VERDICT_STEP_UP] = "step_up", NULL};

static bool is_answer(struct view text)
{
    for (size_t i = 0; answers[i] != NULL; i++)
        if (view_eq(text, view_of(answers[i])))
            return true;
    return false;
}

static bool judge(const struct runner *t, const struct expectation *x, const struct decision *d, char *text)
{
    const char *verdict = answers[d->verdict];
    bool passed = view_eq(x->expect, view_of(verdict));

    if (!passed)
        add_text(text, "expected %.*s, got %s (%s%s%s%s)", VIEW_FMT(x->expect), verdict, d->reason,
                 d->rule == NULL ? "" : ", rule \"", d->rule == NULL ? "" : d->rule, d->rule == NULL ? "" : "\"");
    if (x->rule.p != NULL && passed && rule_is_known(&t->engine->rules, x->rule, text) && !decision_matches_rule(d, x->rule))
        add_text(text, "%s, but not by rule \"%.*s\"", verdict, VIEW_FMT(x->rule));
    if (x->reason.p != NULL && text[0] == '\0' && reason_is_known(&t->engine->rules, x->reason, text) &&
        !view_eq(x->reason, view_of(d->reason)))
        add_text(text, "expected reason %.*s, got %s", VIEW_FMT(x->reason), d->reason);
    if (text[0] == '\0')
        return true;
    for (size_t i = 0; i < d->n_errors; i++)
        add_text(text, "; rule \"%s\" erred: %s", d->errors[i].rule, d->errors[i].text);
    return false;
}

/* Raises nothing: the principal is held. */
static void run_expectation(lua_State *L, struct expectation *x)
{
    struct runner *t = runner_of(L);
    char text[RESULT_TEXT_MAX] = "";
    const char *error = NULL;
    bool passed = false;
    struct decision d;
    struct principal *user = testsubject_principal(L, x->user, x->in.now_ms, &x->in.session_stale, &error);

    x->in.user = user;
    x->in.repo = x->repo == NULL ? NULL : &x->repo->repo;
    x->in.visibility = x->repo == NULL ? VISIBILITY_UNKNOWN : x->repo->visibility;
    if (user == NULL)
        add_text(text, "%s", error == NULL ? "not enough memory" : error);
    else if (engine_eval(t->engine, &x->in, &d) != GW_OK)
        add_text(text, "no decision");
    else
        passed = judge(t, x, &d, text);
    if (passed)
        t->counts.n_passed++;
    else
        t->counts.n_failed++;
    if (t->on_result != NULL)
        t->on_result(t->arg, &(struct loader_test_result){
                                 .file = t->file, .line = x->line, .name = x->name, .passed = passed, .text = text});
    principal_unref(user);
}

static struct expectation expectation_new(const char *name, int line)
{
    return (struct expectation){
        .name = name,
        .line = line,
        .in = {.now_ms = POLICYTEST_NOW_MS, .method = VIEW("GET"), .host = VIEW("test.invalid"), .request_id = VIEW("test")},
    };
}

/* --- test "name" {…} --- */

static const char *const test_fields[] = {"user",   "repo", "action", "time", "expect", "rule",
                                          "reason", "ip",   "method", "path", "host",   NULL};

static bool take_number(const char **p, size_t n_digits, int64_t *ret_n)
{
    *ret_n = 0;
    for (size_t i = 0; i < n_digits; i++, ++*p) {
        if (**p < '0' || **p > '9')
            return false;
        *ret_n = *ret_n * 10 + (**p - '0');
    }
    return true;
}

/* "2026-03-02T10:00:00Z", proleptic Gregorian. */
static bool parse_time(struct view text, int64_t *ret_ms)
{
    int64_t year, month, day, hour, minute, second, days;
    const char *p = text.p;

    if (text.n != sizeof("2026-03-02T10:00:00Z") - 1)
        return false;
    if (!take_number(&p, 4, &year) || *p++ != '-' || !take_number(&p, 2, &month) || *p++ != '-' || !take_number(&p, 2, &day) ||
        *p++ != 'T')
        return false;
    if (!take_number(&p, 2, &hour) || *p++ != ':' || !take_number(&p, 2, &minute) || *p++ != ':' ||
        !take_number(&p, 2, &second) || *p != 'Z')
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59)
        return false;
    /* Years counted from March, so that the leap day comes last. */
    year -= month <= 2;
    days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
    *ret_ms = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000;
    return true;
}

/* The field's value stays on the stack, so that views of it stay good. */
static struct view field_text(lua_State *L, const char *field)
{
    if (lua_getfield(L, 1, field) == LUA_TNIL)
        return VIEW_NONE;
    return builtins_check_string(L, -1, field);
}

static void read_action(lua_State *L, struct expectation *x)
{
    static const char *const names[] = {"open", "create", "connect", NULL};
    struct view text = field_text(L, "action");
    char hint[NEAREST_NAME_MAX + 32];

    if (text.p == NULL)
        return;
    for (int i = 0; names[i] != NULL; i++) {
        if (view_eq(text, view_of(names[i]))) {
            x->in.action = (enum action)i;
            return;
        }
    }
    luaL_error(L, "there is no action '%s'%s", text.p, nearest_of(text, names, hint, sizeof(hint)));
}

static void read_time(lua_State *L, struct expectation *x)
{
    int type = lua_getfield(L, 1, "time");
    struct view text;

    if (type == LUA_TNIL)
        return;
    if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 0 && lua_tointeger(L, -1) < INT64_C(1) << 40) {
        x->in.now_ms = lua_tointeger(L, -1) * 1000;
        return;
    }
    text = builtins_check_string(L, -1, "time");
    if (!parse_time(text, &x->in.now_ms))
        luaL_error(L, "'%s' is no time: write \"2026-03-02T10:00:00Z\", or seconds since 1970", text.p);
}

static void read_request(lua_State *L, struct expectation *x)
{
    struct view text = field_text(L, "ip");

    if (text.p != NULL && ipaddr_parse(text, &x->in.ip) != GW_OK)
        luaL_error(L, "'%s' is no IP address", text.p);
    text = field_text(L, "method");
    if (text.p != NULL)
        x->in.method = text;
    text = field_text(L, "host");
    if (text.p != NULL)
        x->in.host = text;
    x->in.path = field_text(L, "path");
}

static void check_test_fields(lua_State *L)
{
    char hint[NEAREST_NAME_MAX + 32];

    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        struct view key = builtins_check_string(L, -2, "a field's name");
        bool known = false;

        for (size_t i = 0; test_fields[i] != NULL && !known; i++)
            known = view_eq(key, view_of(test_fields[i]));
        if (!known)
            luaL_error(L, "a test has no field '%s'%s", key.p, nearest_of(key, test_fields, hint, sizeof(hint)));
    }
}

/* Upvalues: name, line. */
static int take_test(lua_State *L)
{
    struct expectation x = expectation_new(lua_tostring(L, lua_upvalueindex(1)), (int)lua_tointeger(L, lua_upvalueindex(2)));

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_checkstack(L, 40, NULL);
    runner_of(L)->n_begun--;
    check_test_fields(L);
    lua_getfield(L, 1, "user"); /* 2 */
    testsubject_check_user(L, 2, "user");
    x.user = 2;
    if (lua_getfield(L, 1, "repo") != LUA_TNIL)
        x.repo = testsubject_check_repo(L, -1, "repo");
    read_action(L, &x);
    read_time(L, &x);
    read_request(L, &x);
    x.rule = field_text(L, "rule");
    x.reason = field_text(L, "reason");
    x.expect = field_text(L, "expect");
    if (!is_answer(x.expect))
        return luaL_error(L, "test \"%s\": expect must be \"allow\", \"deny\" or \"step_up\"", x.name);
    run_expectation(L, &x);
    return 0;
}

/* --- grid "name" {…} --- */

/* Row 1 holds the repositories, at table index 2 and up. */
static void run_cell(lua_State *L, const char *name, int line, lua_Integer row, lua_Integer column)
{
    struct expectation x = expectation_new(name, line);
    char label[RESULT_NAME_MAX];
    int top = lua_gettop(L);

    lua_rawgeti(L, 1, row);
    lua_rawgeti(L, top + 1, 1);
    testsubject_check_user(L, top + 2, "the first entry of a grid's row");
    x.user = top + 2;
    lua_rawgeti(L, 1, 1);
    lua_rawgeti(L, top + 3, column);
    x.repo = testsubject_check_repo(L, top + 4, "an entry of a grid's first row");
    lua_rawgeti(L, top + 1, column);
    x.expect = builtins_check_string(L, top + 5, "a cell");
    if (!is_answer(x.expect))
        luaL_error(L, "grid \"%s\", row %d, column %d: a cell is \"allow\", \"deny\" or \"step_up\"", name, (int)row,
                   (int)column);
    snprintf(label, sizeof(label), "%.150s: %.60s, %.60s (%s)", name, testsubject_user_name(L, x.user), x.repo->repo.full,
             visibility_name(x.repo->visibility));
    x.name = label;
    run_expectation(L, &x);
    lua_settop(L, top);
}

static int take_grid(lua_State *L)
{
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    int line = (int)lua_tointeger(L, lua_upvalueindex(2));
    lua_Integer n_rows, n_columns = 0;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_checkstack(L, 40, NULL);
    runner_of(L)->n_begun--;
    n_rows = (lua_Integer)lua_rawlen(L, 1);
    for (lua_Integer row = 1; row <= n_rows; row++) {
        lua_rawgeti(L, 1, row);
        if (!lua_istable(L, -1))
            return luaL_error(L, "grid \"%s\": row %d is no table", name, (int)row);
        if (row == 1)
            n_columns = (lua_Integer)lua_rawlen(L, -1);
        else if ((lua_Integer)lua_rawlen(L, -1) != n_columns)
            return luaL_error(L, "grid \"%s\": row %d has %d entries instead of %d: every cell is required", name, (int)row,
                              (int)lua_rawlen(L, -1), (int)n_columns);
        lua_pop(L, 1);
    }
    if (n_rows < 2 || n_columns < 2)
        return luaL_error(L, "grid \"%s\" needs a row of repositories and a row for each user", name);
    for (lua_Integer row = 2; row <= n_rows; row++) {
        for (lua_Integer column = 2; column <= n_columns; column++)
            run_cell(L, name, line, row, column);
    }
    return 0;
}

/* Upvalue: what takes the table. */
static int begin_test(lua_State *L)
{
    struct runner *t = runner_of(L);
    struct view name = builtins_check_string(L, 1, "the name");
    lua_Debug at;

    if (name.n == 0 || name.n >= sizeof(t->begun))
        return luaL_error(L, "a name has 1 to %d bytes", (int)sizeof(t->begun) - 1);
    t->n_begun++;
    t->begun_line = lua_getstack(L, 1, &at) && lua_getinfo(L, "l", &at) && at.currentline > 0 ? at.currentline : 0;
    snprintf(t->begun, sizeof(t->begun), "%s", name.p);
    lua_settop(L, 1);
    lua_pushinteger(L, t->begun_line);
    lua_pushcclosure(L, lua_tocfunction(L, lua_upvalueindex(1)), 2);
    return 1;
}

static void open_tests(lua_State *L)
{
    testsubject_open(L);
    lua_pushcfunction(L, take_test);
    lua_pushcclosure(L, begin_test, 1);
    builtins_add(L, "test");
    lua_pushcfunction(L, take_grid);
    lua_pushcclosure(L, begin_test, 1);
    builtins_add(L, "grid");
}

static int give_forges(lua_State *L)
{
    const struct loader_spec *spec = lua_touserdata(L, 1);

    testsubject_set_forges(L, spec->forges, spec->n_forges);
    return 0;
}

static void run_file(struct host *host, struct runner *t, const struct source_file *file)
{
    t->file = file->name;
    t->n_begun = 0;
    chunk_run(host->sandbox, file, BUILTINS_TEST_NAMES, t->findings);
    if (t->n_begun > 0)
        source_report(t->findings, file->name, t->begun_line, "\"%s\" has a name but no fields: write test \"name\" {…}",
                      t->begun);
}

enum gw_err policytest_run(struct engine *e, const struct loader_spec *spec, const struct source_set *set,
                           struct source_findings *findings, loader_test_fn on_result, void *arg,
                           struct policytest_counts *ret_counts)
{
    struct runner t = {.engine = e, .on_result = on_result, .arg = arg, .findings = findings};
    enum gw_err err = GW_OK;

    for (size_t i = 0; i < set->n_files && err == GW_OK; i++) {
        struct host host = {.registrar = &t};

        if (!set->files[i].is_test || set->files[i].is_refused)
            continue;
        err = build_state(&host, spec->env, spec->n_env, open_tests);
        if (err == GW_OK) {
            lua_pushcfunction(host.sandbox->L, give_forges);
            lua_pushlightuserdata(host.sandbox->L, (void *)(uintptr_t)spec);
            err = sandbox_call(host.sandbox, 1, 0) == GW_OK ? GW_OK : GW_E_NOMEM;
        }
        if (err == GW_OK)
            run_file(&host, &t, &set->files[i]);
        sandbox_free(host.sandbox);
        host_deinit(&host);
    }
    if (err == GW_OK)
        *ret_counts = t.counts;
    return err;
}
