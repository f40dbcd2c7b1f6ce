/* worker: one core at work: its loop, what belongs to that loop, and the thread that turns it.
 *
 * Threads: made and freed by main; between worker_start() and worker_join() everything in it belongs to its own thread. */
#pragma once

#include "handlers/core.h"
#include "server/listener.h"

#include <pthread.h>

struct worker {
    struct core core;
    struct listener *listeners[2]; /* public; admin on the first worker only */
    pthread_t thread;
    atomic_bool is_running; /* keys may come from the job pool */
};

/* Provider, pools and listeners of one core. fd, admin_fd: listening sockets, owned from now on; admin_fd < 0: none. */
enum gw_err worker_init(struct worker *w, struct gateway *gw, const struct provider_spec *provider, int fd, int admin_fd)
    GW_MUST_CHECK;
enum gw_err worker_start(struct worker *w) GW_MUST_CHECK;
/* The engine that the worker uses from its next request on; the one before is freed. Owned by the worker. */
enum gw_err worker_set_engine(struct worker *w, struct engine *e) GW_MUST_CHECK;
/* What makes the assertions that the worker sends from its next request on; the one before is freed. Owned by the worker. */
enum gw_err worker_set_assertions(struct worker *w, struct assertion_maker *m) GW_MUST_CHECK;
void worker_quiesce(struct worker *w); /* accepts no more */
size_t worker_active(const struct worker *w);
void worker_join(struct worker *w); /* begins no more requests, and stops the loop */
/* After worker_join(): runs what was posted to the loop since, such as the last answers of a stopped job pool. */
void worker_run_rest(struct worker *w);
/* After worker_join(): ends what waits for the provider or another back channel. What that posts is for worker_run_rest(). */
void worker_end_waits(struct worker *w);
void worker_deinit(struct worker *w);
