/* decision: what a policy answered. Zero is the safe value: deny, no_rule. Threads: values. */
#pragma once

#include "store/stepup.h"

enum verdict {
    VERDICT_DENY,
    VERDICT_ALLOW,
    VERDICT_STEP_UP, /* an allow matches but for the login that it demands: `need` */
};

enum {
    DECISION_ERRORS_MAX = 8,
    DECISION_MATCHED_MAX = 8,
    DECISION_TEXT_MAX = 512,
    DECISION_REASON_MAX = 64,
    DECISION_REVISION_LEN = 12
};

struct decision_error {
    const char *rule; /* borrowed from the rule set */
    char text[192];   /* file:line: what went wrong */
};

struct decision {
    enum verdict verdict;
    bool needs_visibility; /* a rule read a visibility that is not yet known: probe it and evaluate again; nothing else is set */
    bool is_error;         /* outcome error: rules erred and nothing else allowed */
    char reason[DECISION_REASON_MAX +
                1]; /* "no_rule", "claims_missing", "error", "no_policy", a deny rule's reason; "step_up"; "allowed" */
    /* Borrowed from the rule set, valid as long as the engine that gave them; NULL = none. */
    const char *
        rule; /* the deny that matched, else the first allow (of a step-up: that matches but for the login) by name order of files and rules */
    const char *file;
    int line;
    const char *message; /* of the deny that matched */
    const char *hint;    /* of an allow whose declarative part matched but whose `when` did not */
    const char *matched[DECISION_MATCHED_MAX];
    size_t n_matched;
    struct stepup need; /* VERDICT_STEP_UP: the strictest of all those allows; none otherwise */
    struct decision_error errors[DECISION_ERRORS_MAX];
    size_t n_errors;
    int64_t instructions, host_bytes;
    char revision[DECISION_REVISION_LEN + 1];
};

/* Deny for a reason that is not a rule's. */
void decision_deny(struct decision *d, const char *reason);
