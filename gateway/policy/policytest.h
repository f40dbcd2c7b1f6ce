/* policytest: runs `*_test.lua` against an engine (POLICY 7 and 8).
 *
 * Shape: a state of its own, so that tests and rules cannot reach each other. `test "name" {…}` is one result, `grid "name" {…}` one
 * for each cell. A rule or a reason that does not exist fails the test that names it. The clock stands still.
 * Errors: GW_E_NOMEM. What keeps a file from running is a finding.
 * Threads: as the engine. */
#pragma once

#include "policy/build.h"

/* Noon of 2026-01-01 UTC, unless a test says otherwise. */
#define POLICYTEST_NOW_MS INT64_C(1767268800000)

struct policytest_counts {
    size_t n_passed, n_failed;
};

enum gw_err policytest_run(struct engine *e, const struct loader_spec *spec, const struct source_set *set,
                           struct source_findings *findings, loader_test_fn on_result, void *arg,
                           struct policytest_counts *ret_counts) GW_MUST_CHECK;
