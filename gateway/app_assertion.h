/* app_assertion: gives each worker what makes its assertions, at start and whenever the key file changes.
 *
 * A file with anything but keys changes nothing: what is in force stays. Errors: those of secretfiles_add().
 * Owns: the struct is the caller's and outlives the set of secrets; it borrows the workers. Threads: as secretfile.h says of `take`. */
#pragma once

#include "util/secretfile.h"
#include "worker.h"

struct app_assertion {
    const struct config *config;
    struct worker *workers;
    size_t n_workers;
};

/* When the workers are made, before the set is watched. */
enum gw_err app_assertion_start(struct app_assertion *a, struct secretfiles *secrets) GW_MUST_CHECK;
