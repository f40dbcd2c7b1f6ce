/* build: one engine from the files of a set, and the parts of an engine that loading needs.
 *
 * Threads: an engine belongs to one thread at a time. */
#pragma once

#include "policy/engine.h"
#include "policy/hostapi.h"
#include "policy/ruleset.h"
#include "policy/source.h"

struct engine {
    struct sandbox *sandbox;
    struct host host;
    struct ruleset rules;
    struct rule_subject subject; /* its bits are owned */
    char revision[DECISION_REVISION_LEN + 1];
};

/* Reports what is wrong; the engine is usable only if nothing was. GW_E_NOMEM: none was made. */
enum gw_err build_engine(const struct loader_spec *spec, const struct source_set *set, struct source_findings *findings,
                         struct engine **ret_engine) GW_MUST_CHECK;

/* A state with globals and host objects in it, rules not yet. host->sandbox is owned by the caller. */
enum gw_err build_state(struct host *host, const struct loader_env *env, size_t n_env, void (*more)(lua_State *L)) GW_MUST_CHECK;

/* What one rule does with an input, for trying it out. */
enum engine_tried { ENGINE_NOT_APPLICABLE, ENGINE_NOT_MATCHED, ENGINE_MATCHED, ENGINE_ERROR };
/* ret_text: of the error, borrowed until the next call; ret_is_excused: it is about the data, or was raised on purpose. */
enum engine_tried engine_try_rule(struct engine *e, const struct rule *r, const struct policy_input *in, const char **ret_text,
                                  bool *ret_is_excused);
