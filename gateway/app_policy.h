/* app_policy: puts a policy in force at start and on SIGHUP, all or nothing.
 *
 * A directory with findings changes nothing: what is in force stays; at start the last good set on disk is taken; without one everything
 * is denied with no_policy. Each outcome is logged and recorded. Threads: main only; engines are handed to the workers' loops. */
#pragma once

#include "worker.h"

void app_policy_load(struct gateway *gw, struct worker *workers, size_t n_workers, bool at_start);
