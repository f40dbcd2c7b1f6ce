/* smoke: tries every rule that has Lua in it on made-up subjects that pass its declarative part (POLICY 5).
 *
 * Why: a rule with a misspelt field looks fine until the first person comes by whom it concerns.
 * Shape: every attribute absent, then a string, then a list; each visibility. What a rule raises on purpose, or because an
 * attribute has another type than it wants, is no finding; all else is.
 * Threads: as the engine. */
#pragma once

#include "policy/build.h"

/* GW_E_NOMEM: not all was tried. */
enum gw_err smoke_rules(struct engine *e, const struct loader_spec *spec, struct source_findings *findings) GW_MUST_CHECK;
