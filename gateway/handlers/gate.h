/* gate: the way of a request that is to be judged: identify > decide > record.
 *
 * Shape: gate_begin() starts it; `done` is called on the same loop when there is an outcome and its audit line is written.
 * It may be called before gate_begin() returns. The gate lives in the exchange's arena; gate_end() lets go of what it holds and belongs
 * into the exchange's on_done.
 * Fail closed: the outcome starts as OUTCOME_DEFECT and becomes OUTCOME_ALLOWED at one place only, after a policy said so, the
 * attribution fitted and the line was written.
 * Threads: one loop each. Source: DESIGN 4 (outcomes), 5, 6. */
#pragma once

#include "handlers/identify.h"
#include "http/original.h"
#include "policy/decision.h"
#include "policy/input.h"
#include "proxy/attribution.h"
#include "util/rnd.h"

enum outcome {
    OUTCOME_DEFECT, /* a defect in us */
    OUTCOME_ALLOWED,
    OUTCOME_LOGIN,       /* nobody known: a login would change the answer */
    OUTCOME_STEP_UP,     /* known, and a stronger login would change it */
    OUTCOME_DENIED,      /* known, refused */
    OUTCOME_MALFORMED,   /* the request does not say clearly what it is about */
    OUTCOME_LIMITED,     /* too many attempts */
    OUTCOME_UNAVAILABLE, /* we cannot decide or record now */
};

enum { GATE_TRACEPARENT_LEN = 55, GATE_LIMITED_RETRY_S = 60 };

struct gate {
    struct exchange *x;
    enum dialect dialect;
    void (*done)(struct gate *g);
    void *owner; /* the handler that waits */

    struct original original;
    struct repo repo;
    bool has_repo;
    bool is_echo; /* names no repository, and goes where a workspace would (handlers/echo.h) */
    enum action action;

    struct identify identify; /* identify.who == NULL: nobody known */

    enum visibility_value visibility;
    struct policy_input input;
    struct decision decision;

    enum outcome outcome;
    const char *reason; /* code of DESIGN 4, or the rule's */
    struct view reason_text;
    char id[RND_UUID_LEN + 1]; /* of the decision */
    char traceparent[GATE_TRACEPARENT_LEN + 1];
    int64_t now_ms, eval_us;
    int64_t retry_s; /* OUTCOME_LIMITED: when again */
    /* Filled when allowed: for an auth endpoint what it answers with, for our own routes what the workspace is sent. Last, and not cleared at the start. */
    struct attribution_list attribution;
};

/* NULL without memory: answer 500. */
struct gate *gate_begin(struct exchange *x, enum dialect dialect, void (*done)(struct gate *g), void *owner);
void gate_end(struct gate *g);
/* Cookies that are never a workspace's business. */
bool gate_is_our_cookie(const struct gateway *gw, struct view name);
/* The line for a request that never got as far as a handler. False = not written. */
bool gate_record_refused(struct exchange *x, enum dialect dialect, const char *reason, const char *text);
