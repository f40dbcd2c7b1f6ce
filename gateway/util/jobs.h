/* jobs: a bounded pool of threads for work that blocks (SQLite).
 *
 * Shape: run(arg) on a pool thread, then done(arg) on the loop's thread, always both, in that order.
 * Errors: GW_E_LIMIT when `queue_max` jobs wait: nothing will be called.
 * Owns: arg is the caller's until done(). Threads: any may submit. */
#pragma once

#include "util/loop.h"

struct jobs;

enum gw_err jobs_new(size_t n_threads, size_t queue_max, struct jobs **ret_jobs) GW_MUST_CHECK;
/* Finishes what is queued and joins the threads; from then on nothing is taken. The answers are posted: loops must still run to
 * see done(). */
void jobs_stop(struct jobs *j);
/* Stops it if it was not, and frees. */
void jobs_free(struct jobs *j);
enum gw_err jobs_submit(struct jobs *j, struct loop *l, loop_task_fn run, loop_task_fn done, void *arg) GW_MUST_CHECK;
