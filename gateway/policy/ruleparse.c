#include "policy/ruleparse.h"

#include <lauxlib.h>
#include <stdio.h>

#include "config/confvalue.h"
#include "policy/freeze.h"
#include "policy/glob.h"
#include "policy/builtins.h"
#include "policy/hostapi.h"
#include "policy/nearest.h"

enum { TEXT_MAX = DECISION_TEXT_MAX - 1, GROUP_MAX = 256, AUTH_AGE_MIN_S = 60 };

static const char functions_key = 0;

/* One rule being read: its table is at stack index `table`. */
struct parse {
    lua_State *L;
    struct ruleparse *rp;
    struct rule *rule;
    int table, line;
    bool has_condition, is_everyone;
};

static void GW_PRINTF(2, 3) complain(const struct parse *p, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    source_report(p->rp->findings, p->rp->file, p->line, "rule \"%s\": %s", p->rule->name, text);
}

static struct view keep(const struct parse *p, struct view v)
{
    struct view copy = arena_copy(&p->rp->rules->arena, v);

    if (copy.p == NULL)
        luaL_error(p->L, "not enough memory");
    return copy;
}

static bool has_control(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((uint8_t)v.p[i] < 0x20 || v.p[i] == 0x7f)
            return true;
    return false;
}

/* The string on top of the stack. */
static bool read_text(const struct parse *p, const char *field, size_t max, struct view *ret_text)
{
    if (lua_type(p->L, -1) != LUA_TSTRING) {
        complain(p, "%s must be a string, not a %s", field, luaL_typename(p->L, -1));
        return false;
    }
    ret_text->p = lua_tolstring(p->L, -1, &ret_text->n);
    if (ret_text->n == 0 || ret_text->n > max || has_control(*ret_text)) {
        complain(p, "%s must be 1 to %zu bytes of text without control characters", field, max);
        return false;
    }
    return true;
}

/* Calls one() for each string of the list on top of the stack. */
static void read_list(struct parse *p, const char *field, size_t max,
                      void (*one)(struct parse *p, const char *field, struct view text, void *arg), void *arg)
{
    struct view text;
    lua_Integer n, n_keys = 0;

    if (!lua_istable(p->L, -1)) {
        complain(p, "%s must be a list of strings, %s = {\"…\"}, not a %s", field, field, luaL_typename(p->L, -1));
        return;
    }
    n = (lua_Integer)lua_rawlen(p->L, -1);
    for (lua_pushnil(p->L); lua_next(p->L, -2) != 0; lua_pop(p->L, 1))
        n_keys++;
    if (n == 0 || n_keys != n || n > RULEPARSE_LIST_MAX) {
        complain(p, "%s %s", field,
                 n_keys == 0              ? "is empty"
                 : n > RULEPARSE_LIST_MAX ? "is too long"
                                          : "must be a list, without other keys and without holes");
        return;
    }
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(p->L, -1, i);
        if (read_text(p, field, max, &text))
            one(p, field, text, arg);
        lua_pop(p->L, 1);
    }
}

/* --- one function per field --- */

struct numbers_arg {
    struct intern *names;
    struct rule_numbers *numbers;
};

static void add_number(struct parse *p, const char *field, struct view text, void *arg)
{
    struct numbers_arg *a = arg;
    uint32_t number;

    (void)field;
    if (intern_add(a->names, text, &number) != GW_OK)
        luaL_error(p->L, "too many different names");
    a->numbers->p[a->numbers->n++] = number;
}

static void read_numbers(struct parse *p, const char *field, struct intern *names, struct rule_numbers *numbers)
{
    size_t n = lua_istable(p->L, -1) ? (size_t)lua_rawlen(p->L, -1) : 0;

    numbers->p = arena_get(&p->rp->rules->arena, (n + 1) * sizeof(*numbers->p));
    if (numbers->p == NULL)
        luaL_error(p->L, "not enough memory");
    read_list(p, field, GROUP_MAX, add_number, &(struct numbers_arg){names, numbers});
    p->has_condition = true;
}

static void read_groups(struct parse *p, const char *field)
{
    read_numbers(p, field, &p->rp->rules->groups, &p->rule->groups);
}

static void read_not_groups(struct parse *p, const char *field)
{
    read_numbers(p, field, &p->rp->rules->groups, &p->rule->not_groups);
}

static void read_entitlements(struct parse *p, const char *field)
{
    read_numbers(p, field, &p->rp->rules->entitlements, &p->rule->entitlements);
}

/* A forge that does not exist would make a deny match nothing, in silence. */
static bool forge_part_is_known(struct parse *p, struct view glob)
{
    struct view forge = view_at(glob.p, view_index(glob, ':'));
    struct nearest near = nearest_begin(forge);
    char hint[NEAREST_NAME_MAX + 32];

    if (!glob_is_literal(forge))
        return true;
    for (size_t i = 0; i < p->rp->n_forges; i++) {
        if (view_eq(forge, view_of(p->rp->forges[i].name)))
            return true;
        nearest_offer(&near, view_of(p->rp->forges[i].name));
    }
    complain(p, "repos: there is no forge '%.*s'%s", VIEW_FMT(forge), nearest_format(&near, hint, sizeof(hint)));
    return false;
}

static void add_repo(struct parse *p, const char *field, struct view text, void *arg)
{
    struct rule_globs *globs = arg;
    size_t colon = view_index(text, ':');

    (void)field;
    if (colon == text.n || view_index(view_skip(text, colon), '/') == text.n - colon) {
        complain(p, "repos: '%.*s' must be written forge:owner/name, with * where anything goes", VIEW_FMT(text));
        return;
    }
    if (forge_part_is_known(p, text))
        globs->p[globs->n++] = keep(p, text);
}

static void add_path(struct parse *p, const char *field, struct view text, void *arg)
{
    struct rule_globs *globs = arg;

    (void)field;
    if (text.p[0] != '/' && text.p[0] != '*')
        complain(p, "paths: '%.*s' must start with / or *", VIEW_FMT(text));
    else
        globs->p[globs->n++] = keep(p, text);
}

static void read_globs(struct parse *p, const char *field, struct rule_globs *globs,
                       void (*one)(struct parse *, const char *, struct view, void *))
{
    size_t n = lua_istable(p->L, -1) ? (size_t)lua_rawlen(p->L, -1) : 0;

    globs->p = arena_get(&p->rp->rules->arena, (n + 1) * sizeof(*globs->p));
    if (globs->p == NULL)
        luaL_error(p->L, "not enough memory");
    read_list(p, field, GLOB_PATTERN_MAX, one, globs);
    p->has_condition = true;
}

static void read_repos(struct parse *p, const char *field)
{
    read_globs(p, field, &p->rule->repos, add_repo);
}

static void read_paths(struct parse *p, const char *field)
{
    read_globs(p, field, &p->rule->paths, add_path);
}

struct choice_arg {
    const char *const *names;
    unsigned values; /* bit of names[i] is bit i */
};

static void add_choice(struct parse *p, const char *field, struct view text, void *arg)
{
    struct choice_arg *a = arg;
    char hint[NEAREST_NAME_MAX + 32];

    for (unsigned i = 0; a->names[i] != NULL; i++) {
        if (view_eq(text, view_of(a->names[i]))) {
            a->values |= 1u << i;
            return;
        }
    }
    complain(p, "%s: there is no '%.*s'%s", field, VIEW_FMT(text), nearest_of(text, a->names, hint, sizeof(hint)));
}

static void read_actions(struct parse *p, const char *field)
{
    static const char *const names[] = {[ACTION_OPEN] = "open", [ACTION_CREATE] = "create", [ACTION_CONNECT] = "connect", NULL};
    struct choice_arg a = {.names = names};

    read_list(p, field, 16, add_choice, &a);
    p->rule->actions = a.values;
    p->has_condition = true;
}

static void read_visibility(struct parse *p, const char *field)
{
    static const char *const names[] = {
        [VISIBILITY_PENDING] = "(pending)", [VISIBILITY_UNKNOWN] = "unknown", [VISIBILITY_PRIVATE] = "private",
        [VISIBILITY_INTERNAL] = "internal", [VISIBILITY_PUBLIC] = "public",   NULL};
    struct choice_arg a = {.names = names};

    read_list(p, field, 16, add_choice, &a);
    p->rule->visibilities = a.values & ~(1u << VISIBILITY_PENDING);
    p->has_condition = true;
}

static void read_everyone(struct parse *p, const char *field)
{
    if (lua_type(p->L, -1) != LUA_TBOOLEAN || !lua_toboolean(p->L, -1))
        complain(p, "%s can only be true", field);
    p->is_everyone = p->has_condition = true;
}

static int keep_function(struct parse *p, const char *field)
{
    if (lua_type(p->L, -1) != LUA_TFUNCTION || lua_iscfunction(p->L, -1)) {
        complain(p, "%s must be a function(u, r, q), not a %s", field, luaL_typename(p->L, -1));
        return 0;
    }
    ruleparse_push_functions(p->L);
    lua_pushvalue(p->L, -2);
    lua_rawseti(p->L, -2, ++p->rp->n_functions);
    lua_pop(p->L, 1);
    p->has_condition = true;
    return p->rp->n_functions;
}

static void read_when(struct parse *p, const char *field)
{
    p->rule->when = keep_function(p, field);
}

static void read_unless(struct parse *p, const char *field)
{
    p->rule->unless = keep_function(p, field);
}

static bool fits_kind(const struct parse *p, const char *field, enum rule_kind kind)
{
    if (p->rule->kind == kind)
        return true;
    complain(p, "%s belongs to %s rules", field, kind == RULE_ALLOW ? "allow" : "deny");
    return false;
}

static const char *keep_text(struct parse *p, const char *field, size_t max)
{
    struct view text;

    return read_text(p, field, max, &text) ? keep(p, text).p : NULL;
}

/* Reasons that the gateway gives itself: a rule that used one would make the record ambiguous. */
static const char *const taken_reasons[] = {
    "no_rule",           "claims_missing",     "error",    "no_policy",      "allowed",      "login_required",
    "step_up",           "step_up_failed",     "own_path", "untrusted_peer", "rate_limited", "audit_unavailable",
    "store_unavailable", "identity_too_large", NULL};

static void read_reason(struct parse *p, const char *field)
{
    struct view text;

    if (!fits_kind(p, field, RULE_DENY) || !read_text(p, field, DECISION_REASON_MAX, &text))
        return;
    for (size_t i = 0; i < text.n; i++) {
        if ((text.p[i] < 'a' || text.p[i] > 'z') && (i == 0 || ((text.p[i] < '0' || text.p[i] > '9') && text.p[i] != '_'))) {
            complain(p, "reason is a code of a-z, 0-9 and _, not '%.*s'; text for people goes into message", VIEW_FMT(text));
            return;
        }
    }
    for (size_t i = 0; taken_reasons[i] != NULL; i++)
        if (view_eq(text, view_of(taken_reasons[i])))
            complain(p, "reason '%s' is one of the gateway's own", taken_reasons[i]);
    p->rule->reason = keep(p, text).p;
}

static void read_message(struct parse *p, const char *field)
{
    if (fits_kind(p, field, RULE_DENY))
        p->rule->message = keep_text(p, field, TEXT_MAX);
}

static void read_hint(struct parse *p, const char *field)
{
    if (fits_kind(p, field, RULE_ALLOW))
        p->rule->hint = keep_text(p, field, TEXT_MAX);
}

/* Shorter than a login takes, it would ask for one after the other. */
static void read_max_auth_age(struct parse *p, const char *field)
{
    int64_t age_s = 0;
    struct view text;

    if (!fits_kind(p, field, RULE_ALLOW) || !read_text(p, field, 16, &text))
        return;
    if (confvalue_parse_duration(text, &age_s) != GW_OK || age_s < AUTH_AGE_MIN_S || age_s > STEPUP_MAX_AGE_S)
        complain(p, "%s: '%.*s' is no duration from 1m to 365d, such as \"15m\" or \"8h\"", field, VIEW_FMT(text));
    else
        p->rule->login.max_age_s = age_s;
}

static void read_mfa(struct parse *p, const char *field)
{
    if (!fits_kind(p, field, RULE_ALLOW))
        return;
    if (lua_type(p->L, -1) != LUA_TBOOLEAN || !lua_toboolean(p->L, -1))
        complain(p, "%s can only be true", field);
    else
        p->rule->login.mfa = true;
}

/* For people who read the file. */
static void read_note(struct parse *p, const char *field)
{
    struct view text;

    (void)read_text(p, field, TEXT_MAX, &text);
}

static void refuse_field(struct parse *p, const char *field)
{
    complain(p, "%s is not supported by this version", field);
}

static const struct {
    const char *name;
    void (*read)(struct parse *p, const char *field);
} fields[] = {
    {"groups", read_groups},
    {"not_groups", read_not_groups},
    {"entitlements", read_entitlements},
    {"repos", read_repos},
    {"paths", read_paths},
    {"actions", read_actions},
    {"visibility", read_visibility},
    {"everyone", read_everyone},
    {"when", read_when},
    {"unless", read_unless},
    {"reason", read_reason},
    {"message", read_message},
    {"hint", read_hint},
    {"max_auth_age", read_max_auth_age},
    {"mfa", read_mfa},
    {"owner", read_note},
    {"ticket", read_note},
    {"grants", refuse_field},
    {"expires", refuse_field},
};
enum { N_FIELDS = sizeof(fields) / sizeof(fields[0]) };

static void check_keys(const struct parse *p)
{
    for (lua_pushnil(p->L); lua_next(p->L, p->table) != 0; lua_pop(p->L, 1)) {
        struct view key;
        struct nearest near;
        char hint[NEAREST_NAME_MAX + 32];
        bool known = false;

        if (lua_type(p->L, -2) != LUA_TSTRING) {
            complain(p, "an entry without a name");
            continue;
        }
        key.p = lua_tolstring(p->L, -2, &key.n);
        near = nearest_begin(key);
        for (size_t i = 0; i < N_FIELDS && !known; i++) {
            known = view_eq(key, view_of(fields[i].name));
            nearest_offer(&near, view_of(fields[i].name));
        }
        if (!known)
            complain(p, "there is no field '%.*s'%s", (int)(key.n < 64 ? key.n : 64), key.p,
                     nearest_format(&near, hint, sizeof(hint)));
    }
}

static void read_rule(struct parse *p)
{
    check_keys(p);
    for (size_t i = 0; i < N_FIELDS; i++) {
        lua_pushstring(p->L, fields[i].name);
        if (lua_rawget(p->L, p->table) != LUA_TNIL)
            fields[i].read(p, fields[i].name);
        lua_settop(p->L, p->table);
    }
    if (!p->has_condition)
        complain(p, "it has no condition: write everyone = true if it is meant for everyone");
    if (p->is_everyone && (p->rule->groups.n > 0 || p->rule->not_groups.n > 0 || p->rule->entitlements.n > 0))
        complain(p, "everyone = true contradicts groups");
    if (p->rule->paths.n > 0 && (p->rule->repos.n > 0 || p->rule->visibilities != 0))
        complain(p, "paths are for requests that name no repository: it can never match together with repos or visibility");
}

/* --- allow "name" {…} --- */

static struct ruleparse *registrar(lua_State *L)
{
    struct host *h = host_of(L);

    if (h->registrar == NULL || h->in != NULL)
        luaL_error(L, "rules are made while the file is loaded, not in a decision");
    return h->registrar;
}

/* Upvalues: kind, name, line. */
static int take_table(lua_State *L)
{
    struct ruleparse *rp = registrar(L);
    struct parse p = {.L = L, .rp = rp, .table = 1, .line = (int)lua_tointeger(L, lua_upvalueindex(3))};
    struct view name;
    const struct rule *other;

    name.p = lua_tolstring(L, lua_upvalueindex(2), &name.n);
    if (lua_type(L, 1) != LUA_TTABLE)
        return luaL_error(L, "rule \"%s\": its fields must be a table, not a %s", name.p, luaL_typename(L, 1));
    lua_settop(L, 1);
    luaL_checkstack(L, 16, NULL);
    rp->n_begun--;
    other = ruleset_find(rp->rules, name);
    if (other != NULL)
        source_report(rp->findings, rp->file, p.line, "rule \"%s\": this name is used at %s:%d already", name.p, other->file,
                      other->line);
    if (++rp->n_file_rules == RULEPARSE_FILE_RULES_MAX + 1)
        return luaL_error(L, "more than %d rules in one file", RULEPARSE_FILE_RULES_MAX);
    if (ruleset_add(rp->rules, (enum rule_kind)lua_tointeger(L, lua_upvalueindex(1)), &p.rule) != GW_OK)
        return luaL_error(L, "too many rules");
    p.rule->file = rp->file;
    p.rule->line = p.line;
    p.rule->name = ""; /* complete at any time: keep() may not return */
    p.rule->name = keep(&p, name).p;
    read_rule(&p);
    return 0;
}

static int caller_line(lua_State *L)
{
    lua_Debug at;

    return lua_getstack(L, 1, &at) && lua_getinfo(L, "l", &at) && at.currentline > 0 ? at.currentline : 0;
}

static int begin_rule(lua_State *L)
{
    struct ruleparse *rp = registrar(L);
    struct view name = builtins_check_string(L, 1, "a rule's name");

    if (name.n == 0 || name.n > RULEPARSE_NAME_MAX || has_control(name))
        return luaL_error(L, "a rule's name has 1 to %d bytes without control characters", RULEPARSE_NAME_MAX);
    lua_settop(L, 1);
    rp->n_begun++;
    rp->begun_line = caller_line(L);
    snprintf(rp->begun, sizeof(rp->begun), "%s", name.p);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushinteger(L, rp->begun_line);
    lua_pushcclosure(L, take_table, 3);
    return 1;
}

void ruleparse_finish_file(struct ruleparse *rp)
{
    if (rp->n_begun > 0)
        source_report(rp->findings, rp->file, rp->begun_line, "rule \"%s\" has a name but no fields: write allow \"name\" {…}",
                      rp->begun);
    rp->n_begun = 0;
    rp->n_file_rules = 0;
}

void ruleparse_push_functions(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &functions_key);
}

void ruleparse_open(lua_State *L)
{
    static const char *const names[RULE_KINDS] = {[RULE_ALLOW] = "allow", [RULE_DENY] = "deny"};

    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &functions_key);
    for (int kind = 0; kind < RULE_KINDS; kind++) {
        lua_pushinteger(L, kind);
        lua_pushcclosure(L, begin_rule, 1);
        builtins_add(L, names[kind]);
    }
}
