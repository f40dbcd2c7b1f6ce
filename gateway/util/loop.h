/* loop: the event loop of one core (epoll).
 *
 * Shape: a loop runs on one thread; descriptors, timers and tasks call back on that thread. Descriptors are level-triggered.
 * A callback may add, change or remove any descriptor or timer, its own included: a removed one is not called again.
 * Errors: GW_E_NOMEM, GW_E_IO (the kernel refused), GW_E_LIMIT (LOOP_TASKS_MAX waiting).
 * Owns: embedders own their structs; loop_fd and loop_timer must be removed before their memory goes.
 * Threads: everything on the loop's own thread but loop_post() and loop_stop(), which any thread may call. */
#pragma once

#include <sys/epoll.h>

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOOP_TASKS_MAX = 65536 };

struct loop;
struct loop_fd;
struct loop_timer;

typedef void (*loop_fd_fn)(struct loop_fd *lf, uint32_t events);
typedef void (*loop_timer_fn)(struct loop_timer *t);
typedef void (*loop_task_fn)(void *arg);

/* Embed it; find the owner again with container_of (GW_OWNER) or arg. Zero it before use. */
struct loop_fd {
    int fd;
    uint32_t events; /* EPOLLIN | EPOLLOUT | EPOLLRDHUP; 0 = registered but silent */
    loop_fd_fn fn;
    void *arg;
    bool is_added;
};

struct loop_timer {
    int64_t due_us; /* on epoch_mono_us() */
    loop_timer_fn fn;
    void *arg;
    size_t slot; /* place in the heap, 0 = not running */
};

#define GW_OWNER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

enum gw_err loop_new(struct loop **ret_loop) GW_MUST_CHECK;
void loop_free(struct loop *l);

/* Runs until loop_stop(). `after`, if set, is called after each batch of events, tasks and timers. */
void loop_run(struct loop *l);
void loop_set_after(struct loop *l, loop_task_fn fn, void *arg);
void loop_stop(struct loop *l); /* any thread; async-signal-safe */

enum gw_err loop_fd_add(struct loop *l, struct loop_fd *lf) GW_MUST_CHECK;
enum gw_err loop_fd_change(struct loop *l, struct loop_fd *lf, uint32_t events) GW_MUST_CHECK;
void loop_fd_remove(struct loop *l, struct loop_fd *lf); /* does not close; not added is fine */

/* Starts or restarts; delay in milliseconds from now. */
enum gw_err loop_timer_start(struct loop *l, struct loop_timer *t, int64_t delay_ms) GW_MUST_CHECK;
void loop_timer_stop(struct loop *l, struct loop_timer *t); /* not running is fine */

/* Calls fn(arg) on the loop's thread, in the order posted. */
enum gw_err loop_post(struct loop *l, loop_task_fn fn, void *arg) GW_MUST_CHECK;
/* True on the loop's own thread. */
bool loop_is_current(const struct loop *l);
