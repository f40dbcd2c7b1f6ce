/* engine: evaluates one immutable revision of the rules for one thread.
 *
 * Default deny; deny overrides; an error can only take access away; the same input and revision always give the same
 * decision; nothing is remembered between decisions (POLICY, principles and 2 to 4).
 * Threads: an engine belongs to one thread at a time. */
#pragma once

#include "policy/decision.h"
#include "policy/input.h"

struct engine;

void engine_free(struct engine *e);
/* Touches *ret_decision only on GW_OK. GW_E_POLICY, GW_E_NOMEM: no answer; the caller denies. */
enum gw_err engine_eval(struct engine *e, const struct policy_input *in, struct decision *ret_decision) GW_MUST_CHECK;
const char *engine_revision(const struct engine *e); /* 12 hex digits */
size_t engine_rule_count(const struct engine *e);
