#include "policy/ruleset.h"

#include <stdlib.h>

#include "policy/glob.h"

void ruleset_init(struct ruleset *rs)
{
    *rs = (struct ruleset){.arena = ARENA(RULESET_BYTES_MAX)};
    rs->groups.arena = rs->entitlements.arena = &rs->arena;
}

void ruleset_deinit(struct ruleset *rs)
{
    for (int kind = 0; kind < RULE_KINDS; kind++)
        free(rs->rules[kind]);
    intern_deinit(&rs->groups);
    intern_deinit(&rs->entitlements);
    arena_deinit(&rs->arena);
}

size_t ruleset_count(const struct ruleset *rs)
{
    return rs->n_rules[RULE_ALLOW] + rs->n_rules[RULE_DENY];
}

enum gw_err ruleset_add(struct ruleset *rs, enum rule_kind kind, struct rule **ret_rule)
{
    struct rule *r;

    if (ruleset_count(rs) == RULESET_RULES_MAX)
        return GW_E_LIMIT;
    if (rs->n_rules[kind] == rs->n_allocated[kind]) {
        size_t n = rs->n_allocated[kind] == 0 ? 64 : rs->n_allocated[kind] * 2;
        struct rule **rules = realloc(rs->rules[kind], n * sizeof(struct rule *));

        if (rules == NULL)
            return GW_E_NOMEM;
        rs->rules[kind] = rules;
        rs->n_allocated[kind] = n;
    }
    r = arena_get(&rs->arena, sizeof(*r));
    if (r == NULL)
        return GW_E_NOMEM;
    *r = (struct rule){.kind = kind};
    rs->rules[kind][rs->n_rules[kind]++] = r;
    *ret_rule = r;
    return GW_OK;
}

const struct rule *ruleset_find(const struct ruleset *rs, struct view name)
{
    for (int kind = 0; kind < RULE_KINDS; kind++)
        for (size_t i = 0; i < rs->n_rules[kind]; i++)
            if (view_eq(view_of(rs->rules[kind][i]->name), name))
                return rs->rules[kind][i];
    return NULL;
}

static void read_names(const struct intern *names, struct pack_val list, uint64_t *bits)
{
    struct pack_iter it;
    uint32_t number;

    memset(bits, 0, intern_words(names) * sizeof(*bits));
    if (names->n == 0)
        return;
    for (pack_iter_init(&it, list); pack_iter_next(&it);)
        if (intern_find(names, pack_string(it.val), &number))
            bits[number / 64] |= (uint64_t)1 << (number % 64);
}

void ruleset_read_subject(const struct ruleset *rs, const struct policy_input *in, struct rule_subject *subject)
{
    struct pack_val entitlements = principal_entitlements(in->user);

    subject->in = in;
    subject->has_entitlements = entitlements.p != NULL;
    read_names(&rs->groups, principal_groups(in->user), subject->groups);
    read_names(&rs->entitlements, entitlements, subject->entitlements);
}

static bool any_bit(const struct rule_numbers *numbers, const uint64_t *bits)
{
    for (size_t i = 0; i < numbers->n; i++)
        if (intern_bit(bits, numbers->p[i]))
            return true;
    return false;
}

static bool any_glob(const struct rule_globs *globs, struct view text, bool fold)
{
    for (size_t i = 0; i < globs->n; i++)
        if (glob_matches(globs->p[i], text, fold))
            return true;
    return false;
}

/* What is unknown counts as private (POLICY 3), so a rule about private repositories is about those too. */
static bool visibility_fits(unsigned wanted, enum visibility_value v)
{
    if ((wanted >> v & 1) != 0)
        return true;
    return v == VISIBILITY_UNKNOWN && (wanted >> VISIBILITY_PRIVATE & 1) != 0;
}

static bool place_fits(const struct rule *r, const struct policy_input *in)
{
    if (r->paths.n > 0 && (in->repo != NULL || !any_glob(&r->paths, in->path, false)))
        return false;
    if (in->repo == NULL)
        return r->repos.n == 0 && r->visibilities == 0;
    return r->repos.n == 0 || any_glob(&r->repos, view_of(in->repo->full), true);
}

enum rule_match ruleset_match(const struct rule *r, const struct rule_subject *s, const char **ret_error)
{
    if (r->groups.n > 0 && !any_bit(&r->groups, s->groups))
        return RULE_NO;
    if (r->actions != 0 && (r->actions >> s->in->action & 1) == 0)
        return RULE_NO;
    if (r->not_groups.n > 0 && any_bit(&r->not_groups, s->groups))
        return RULE_NO;
    if (!place_fits(r, s->in))
        return RULE_NO;
    if (r->entitlements.n > 0 && s->has_entitlements && !any_bit(&r->entitlements, s->entitlements))
        return RULE_NO;
    if (r->visibilities != 0 && s->in->visibility != VISIBILITY_PENDING && !visibility_fits(r->visibilities, s->in->visibility))
        return RULE_NO;
    if (r->entitlements.n > 0 && !s->has_entitlements) {
        *ret_error = "the token has no claim 'entitlements'";
        return RULE_ERROR;
    }
    return r->visibilities != 0 && s->in->visibility == VISIBILITY_PENDING ? RULE_PENDING : RULE_YES;
}
