/* ruleset: the rules of one revision, and which of them a request can concern by their declarative fields (POLICY 1).
 *
 * Shape: declarative fields are compared here, in C, before Lua is entered; `when` and `unless` stay in the state under a number.
 * Errors: GW_E_NOMEM, GW_E_LIMIT past RULESET_RULES_MAX. Owns: all texts. Threads: immutable once loaded. */
#pragma once

#include "policy/input.h"
#include "policy/intern.h"
#include "store/stepup.h"

enum { RULESET_RULES_MAX = 10000, RULESET_BYTES_MAX = 64 * 1024 * 1024 };

enum rule_kind { RULE_ALLOW, RULE_DENY, RULE_KINDS };

struct rule_numbers {
    uint32_t *p;
    size_t n;
};
struct rule_globs {
    struct view *p;
    size_t n;
};

struct rule {
    enum rule_kind kind;
    const char *name, *file;
    int line;
    struct rule_numbers groups, not_groups,
        entitlements; /* numbers of the rule set's interned names; groups and entitlements: any of */
    struct rule_globs repos, paths;
    unsigned actions, visibilities;      /* bits by enum value; 0 = any */
    const char *reason, *message, *hint; /* NULL = none */
    struct stepup login;                 /* of an allow: what the login must be */
    int when, unless;                    /* numbers in the state's table of functions; 0 = none */
};

struct ruleset {
    struct arena arena;
    struct rule **rules[RULE_KINDS]; /* in the order of files and lines */
    size_t n_rules[RULE_KINDS], n_allocated[RULE_KINDS];
    struct intern groups, entitlements;
};

/* Who and what a decision is about, in the rule set's numbers. */
struct rule_subject {
    const struct policy_input *in;
    uint64_t *groups, *entitlements; /* bits by number */
    bool has_entitlements;           /* the claim is there */
};

enum rule_match {
    RULE_NO,
    RULE_YES,
    RULE_PENDING, /* all else matches, but the visibility is not yet known */
    RULE_ERROR,   /* a claim that it needs is absent; *ret_error says which */
};

void ruleset_init(struct ruleset *rs);
void ruleset_deinit(struct ruleset *rs);
/* An empty rule in rs. */
enum gw_err ruleset_add(struct ruleset *rs, enum rule_kind kind, struct rule **ret_rule) GW_MUST_CHECK;
const struct rule *ruleset_find(const struct ruleset *rs, struct view name);
size_t ruleset_count(const struct ruleset *rs);

/* subject's arrays have room for intern_words() of the two sets. */
void ruleset_read_subject(const struct ruleset *rs, const struct policy_input *in, struct rule_subject *subject);
enum rule_match ruleset_match(const struct rule *r, const struct rule_subject *s, const char **ret_error);
