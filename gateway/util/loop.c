/* Removing a descriptor inside a callback must keep the rest of the batch from touching it: its places in the batch are
 * blanked. Timers are a binary heap; slot 0 is unused so that 0 can mean "not running". */
#include "util/loop.h"

#include "util/epoch.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH_MAX = 256, HEAP_FIRST = 64 };

struct task {
    loop_task_fn fn;
    void *arg;
};

struct tasks {
    struct task *items;
    size_t n, size;
};

struct loop {
    int epfd, wake_fd;
    struct loop_fd wake;
    atomic_bool stopping;
    _Atomic pthread_t thread;
    atomic_bool has_thread;

    struct epoll_event batch[BATCH_MAX];
    int n_batch;

    struct loop_timer **heap;
    size_t n_timers, heap_size;

    pthread_mutex_t lock; /* guards waiting */
    struct tasks waiting, running;

    loop_task_fn after;
    void *after_arg;
};

static void on_wake(struct loop_fd *lf, uint32_t events)
{
    uint64_t n;
    (void)events;
    ssize_t ignored = read(lf->fd, &n, sizeof(n));
    (void)ignored;
}

static void wake(struct loop *l)
{
    uint64_t one = 1;
    ssize_t ignored = write(l->wake_fd, &one, sizeof(one));
    (void)ignored;
}

enum gw_err loop_new(struct loop **ret_loop)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return GW_E_NOMEM;
    pthread_mutex_init(&l->lock, NULL);
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->wake = (struct loop_fd){.fd = l->wake_fd, .events = EPOLLIN, .fn = on_wake};
    if (l->epfd < 0 || l->wake_fd < 0 || loop_fd_add(l, &l->wake) != GW_OK) {
        loop_free(l);
        return GW_E_IO;
    }
    *ret_loop = l;
    return GW_OK;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    if (l->epfd >= 0)
        close(l->epfd);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->waiting.items);
    free(l->running.items);
    free(l->heap);
    free(l);
}

/* ---- descriptors ---- */

enum gw_err loop_fd_add(struct loop *l, struct loop_fd *lf)
{
    struct epoll_event ev = {.events = lf->events, .data.ptr = lf};
    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, lf->fd, &ev) != 0)
        return GW_E_IO;
    lf->is_added = true;
    return GW_OK;
}

enum gw_err loop_fd_change(struct loop *l, struct loop_fd *lf, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = lf};
    if (lf->is_added && lf->events == events)
        return GW_OK;
    if (epoll_ctl(l->epfd, EPOLL_CTL_MOD, lf->fd, &ev) != 0)
        return GW_E_IO;
    lf->events = events;
    return GW_OK;
}

void loop_fd_remove(struct loop *l, struct loop_fd *lf)
{
    if (!lf->is_added)
        return;
    epoll_ctl(l->epfd, EPOLL_CTL_DEL, lf->fd, NULL);
    lf->is_added = false;
    for (int i = 0; i < l->n_batch; i++)
        if (l->batch[i].data.ptr == lf)
            l->batch[i].data.ptr = NULL;
}

/* ---- timers ---- */

static void heap_set(struct loop *l, size_t slot, struct loop_timer *t)
{
    l->heap[slot] = t;
    t->slot = slot;
}

static void heap_up(struct loop *l, size_t slot, struct loop_timer *t)
{
    while (slot > 1 && l->heap[slot / 2]->due_us > t->due_us) {
        heap_set(l, slot, l->heap[slot / 2]);
        slot /= 2;
    }
    heap_set(l, slot, t);
}

static void heap_down(struct loop *l, size_t slot, struct loop_timer *t)
{
    for (;;) {
        size_t child = slot * 2;
        if (child > l->n_timers)
            break;
        if (child < l->n_timers && l->heap[child + 1]->due_us < l->heap[child]->due_us)
            child++;
        if (l->heap[child]->due_us >= t->due_us)
            break;
        heap_set(l, slot, l->heap[child]);
        slot = child;
    }
    heap_set(l, slot, t);
}

enum gw_err loop_timer_start(struct loop *l, struct loop_timer *t, int64_t delay_ms)
{
    loop_timer_stop(l, t);
    if (l->n_timers + 2 > l->heap_size) {
        size_t size = l->heap_size == 0 ? HEAP_FIRST : l->heap_size * 2;
        struct loop_timer **heap = realloc(l->heap, size * sizeof(*heap));
        if (heap == NULL)
            return GW_E_NOMEM;
        l->heap = heap;
        l->heap_size = size;
    }
    t->due_us = epoch_mono_us() + delay_ms * 1000;
    heap_up(l, ++l->n_timers, t);
    return GW_OK;
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    size_t slot = t->slot;
    if (slot == 0)
        return;
    t->slot = 0;
    struct loop_timer *last = l->heap[l->n_timers--];
    if (last == t)
        return;
    if (slot > 1 && l->heap[slot / 2]->due_us > last->due_us)
        heap_up(l, slot, last);
    else
        heap_down(l, slot, last);
}

static void run_timers(struct loop *l)
{
    if (l->n_timers == 0)
        return;
    int64_t now_us = epoch_mono_us();
    while (l->n_timers > 0 && l->heap[1]->due_us <= now_us) {
        struct loop_timer *t = l->heap[1];
        loop_timer_stop(l, t);
        t->fn(t);
    }
}

/* ---- tasks ---- */

enum gw_err loop_post(struct loop *l, loop_task_fn fn, void *arg)
{
    enum gw_err err = GW_OK;
    pthread_mutex_lock(&l->lock);
    struct tasks *w = &l->waiting;
    if (w->n == LOOP_TASKS_MAX) {
        err = GW_E_LIMIT;
    } else if (w->n == w->size) {
        size_t size = w->size == 0 ? 64 : w->size * 2;
        struct task *items = realloc(w->items, size * sizeof(*items));
        if (items == NULL) {
            err = GW_E_NOMEM;
        } else {
            w->items = items;
            w->size = size;
        }
    }
    if (err == GW_OK)
        w->items[w->n++] = (struct task){fn, arg};
    pthread_mutex_unlock(&l->lock);
    if (err == GW_OK)
        wake(l);
    return err;
}

static bool run_tasks(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct tasks now = l->waiting;
    l->waiting = l->running;
    l->running = now;
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < now.n; i++)
        now.items[i].fn(now.items[i].arg);
    l->running.n = 0;
    return now.n > 0;
}

bool loop_is_current(const struct loop *l)
{
    return atomic_load(&l->has_thread) && pthread_equal(atomic_load(&l->thread), pthread_self());
}

/* ---- running ---- */

static int wait_ms(const struct loop *l)
{
    if (l->n_timers == 0)
        return -1;
    int64_t left_us = l->heap[1]->due_us - epoch_mono_us();
    if (left_us <= 0)
        return 0;
    return left_us > 60000000 ? 60000 : (int)((left_us + 999) / 1000);
}

void loop_set_after(struct loop *l, loop_task_fn fn, void *arg)
{
    l->after = fn;
    l->after_arg = arg;
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stopping, true);
    wake(l);
}

void loop_run(struct loop *l)
{
    atomic_store(&l->thread, pthread_self());
    atomic_store(&l->has_thread, true);
    while (!atomic_load(&l->stopping)) {
        int n = epoll_wait(l->epfd, l->batch, BATCH_MAX, wait_ms(l));
        if (n < 0 && errno != EINTR)
            abort(); /* the descriptor is ours: this is a defect, and a gateway that cannot wait must not spin */
        l->n_batch = n < 0 ? 0 : n;
        for (int i = 0; i < l->n_batch; i++) {
            struct loop_fd *lf = l->batch[i].data.ptr;
            if (lf != NULL)
                lf->fn(lf, l->batch[i].events);
        }
        l->n_batch = 0;
        run_tasks(l);
        run_timers(l);
        if (l->after != NULL)
            l->after(l->after_arg);
    }
    while (run_tasks(l))
        ;
    atomic_store(&l->has_thread, false);
    atomic_store(&l->stopping, false);
}
