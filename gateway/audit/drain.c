#include "audit/drain.h"

#include "audit/journal.h"
#include "audit/logfile.h"
#include "audit/ring.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

enum { IDLE_MS = 1000, CROWD_BYTES = 8 * 1024, LIMIT_WAIT_MS = 50, PATH_BYTES_MAX = 4096, RESERVE_BYTES = 2 * 1024 * 1024 };

struct drain {
    char *path;
    struct logfile file;
    struct ring *ring;
    pthread_t thread;
    bool is_running;
    sem_t wake;
    atomic_bool sleeps;          /* the thread wants to be woken by the next line */
    atomic_bool fails;           /* the log took no line, or there is no room for one */
    atomic_bool is_stuck;        /* somebody waited in vain for room in the ring */
    int64_t nap_ms;              /* the thread's */
    int why;                     /* it fails: errno; the thread's */
    _Atomic uint64_t file_limit; /* RLIMIT_FSIZE when room was last reserved */

    pthread_mutex_t lock;
    pthread_cond_t carried_out;
    uint64_t n_ordered, n_done; /* orders: to flush, perhaps to reopen */
    bool wants_reopen, wants_stop;
    enum gw_err order_err;
    int order_errno;
};

/* ---- the thread ---- */

static struct timespec ms_from_now(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static void nap(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void set_failing(struct drain *d, bool fails)
{
    if (fails == atomic_load(&d->fails))
        return;
    atomic_store(&d->fails, fails);
    if (fails)
        log_event(LOG_ERROR, "the audit log takes no lines: nothing is allowed until it does", LOG_KV("path", view_of(d->path)),
                  LOG_KV("reason", view_of(strerror(d->why))));
    else
        log_event(LOG_INFO, "the audit log takes lines again", LOG_KV("path", view_of(d->path)));
}

/* False if the log did not take them all. */
static bool write_waiting(struct drain *d, size_t *ret_n)
{
    struct view lines = ring_peek(d->ring);
    *ret_n = lines.n;
    if (lines.n == 0)
        return true;
    size_t n = logfile_append(&d->file, lines);
    if (n > 0) {
        ring_take(d->ring, n);
        atomic_store(&d->is_stuck, false);
    }
    if (n < lines.n)
        d->why = errno;
    return n == lines.n;
}

static uint64_t file_limit(void)
{
    struct rlimit rl;
    return getrlimit(RLIMIT_FSIZE, &rl) == 0 ? rl.rlim_cur : RLIM_INFINITY;
}

static void reserve(struct drain *d)
{
    size_t n = logfile_reserve(&d->file, RESERVE_BYTES);
    if (n < JOURNAL_LINE_MAX)
        d->why = errno;
    ring_grant(d->ring, n);
}

/* Before it is needed: while half of what was reserved is left. */
static bool make_room(struct drain *d, uint64_t limit)
{
    if (ring_granted(d->ring) < RESERVE_BYTES / 2 || atomic_load(&d->file_limit) != limit)
        reserve(d);
    return ring_granted(d->ring) >= JOURNAL_LINE_MAX;
}

static void carry_out_orders(struct drain *d)
{
    pthread_mutex_lock(&d->lock);
    if (d->n_done != d->n_ordered) {
        d->order_err = atomic_load(&d->fails) ? GW_E_IO : GW_OK;
        if (d->wants_reopen) {
            d->order_err = logfile_reopen(&d->file, d->path);
            d->order_errno = errno;
            reserve(d);
        }
        d->wants_reopen = false;
        d->n_done = d->n_ordered;
        pthread_cond_broadcast(&d->carried_out);
    }
    pthread_mutex_unlock(&d->lock);
}

static bool is_ordered(struct drain *d)
{
    pthread_mutex_lock(&d->lock);
    bool is = d->n_done != d->n_ordered || d->wants_stop;
    pthread_mutex_unlock(&d->lock);
    return is;
}

static void sleep_until_woken(struct drain *d, int64_t ms)
{
    struct timespec until = ms_from_now(ms);
    while (sem_clockwait(&d->wake, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
        ;
}

/* The first line after a silence is written at once. The more there are, the longer the pause: each wake-up costs those we make lines for. */
static void rest(struct drain *d, size_t n_found)
{
    bool fails = atomic_load(&d->fails);
    d->nap_ms = n_found <= CROWD_BYTES ? 1 : d->nap_ms < DRAIN_NAP_MS ? d->nap_ms * 2 : DRAIN_NAP_MS;
    if (n_found > 0 && !fails) {
        nap(d->nap_ms);
        return;
    }
    atomic_store(&d->sleeps, true);
    if (fails || (ring_peek(d->ring).n == 0 && !is_ordered(d)))
        sleep_until_woken(d, fails ? DRAIN_RETRY_MS : IDLE_MS);
    atomic_store(&d->sleeps, false);
}

static bool should_stop(struct drain *d)
{
    pthread_mutex_lock(&d->lock);
    bool should = d->wants_stop;
    pthread_mutex_unlock(&d->lock);
    return should && (atomic_load(&d->fails) || ring_peek(d->ring).n == 0);
}

/* Returns how many bytes waited. */
static size_t turn(struct drain *d)
{
    size_t n_found;
    uint64_t limit = file_limit();
    bool all_written = write_waiting(d, &n_found), has_room = make_room(d, limit);
    set_failing(d, !all_written || !has_room);
    atomic_store(&d->file_limit, limit); /* last: who sees it sees what became of it */
    carry_out_orders(d);
    return n_found;
}

static void *run(void *arg)
{
    struct drain *d = arg;
    while (!should_stop(d))
        rest(d, turn(d));
    return NULL;
}

/* ---- for the others ---- */

static void wake(struct drain *d)
{
    if (atomic_load(&d->sleeps) && atomic_exchange(&d->sleeps, false))
        sem_post(&d->wake);
}

/* It can be changed from outside at any time, and no reservation holds against it. */
static bool is_limit_known(const struct drain *d)
{
    return atomic_load_explicit(&d->file_limit, memory_order_relaxed) == file_limit();
}

static void await_new_limit(struct drain *d)
{
    for (int i = 0; i < LIMIT_WAIT_MS && !is_limit_known(d); i++) {
        wake(d);
        nap(1);
    }
}

/* The log is slower than what comes. */
static bool wait_for_room(struct drain *d, struct view line)
{
    for (int i = 0; i < DRAIN_WAIT_MS && !atomic_load(&d->fails) && !atomic_load(&d->is_stuck); i++) {
        nap(1);
        if (ring_put(d->ring, line))
            return true;
    }
    atomic_store(&d->is_stuck, true);
    return false;
}

bool drain_put(struct drain *d, struct view line)
{
    if (!is_limit_known(d))
        await_new_limit(d);
    if (atomic_load_explicit(&d->fails, memory_order_relaxed) || !is_limit_known(d))
        return false;
    if (!ring_put(d->ring, line) && !wait_for_room(d, line))
        return false;
    wake(d);
    return true;
}

static enum gw_err order(struct drain *d, bool reopen)
{
    struct timespec until = ms_from_now(DRAIN_FLUSH_MS);
    enum gw_err err = GW_OK;
    pthread_mutex_lock(&d->lock);
    uint64_t mine = ++d->n_ordered;
    d->wants_reopen = d->wants_reopen || reopen;
    sem_post(&d->wake);
    while (d->n_done < mine && err == GW_OK)
        if (pthread_cond_clockwait(&d->carried_out, &d->lock, CLOCK_MONOTONIC, &until) != 0)
            err = GW_E_TIMEOUT;
    if (err == GW_OK) {
        err = d->order_err;
        errno = d->order_errno;
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

enum gw_err drain_flush(struct drain *d)
{
    return order(d, false);
}

enum gw_err drain_reopen(struct drain *d)
{
    return order(d, true);
}

bool drain_is_healthy(const struct drain *d)
{
    return !atomic_load(&d->fails) && !atomic_load(&d->is_stuck);
}

/* ---- start and stop ---- */

/* errno says why; whoever is told that the log cannot be opened would look for it at the log. */
static void log_refused_ring(const char *path)
{
    int why = errno;
    log_event(
        LOG_ERROR, "the file of lines on their way to the audit log cannot be used", LOG_KV("path", view_of(path)),
        LOG_KV("reason", view_of(why == EINVAL ? "damaged, or none of ours; moved away, the lines in it are missing from the log"
                                               : strerror(why))));
    errno = why;
}

static enum gw_err open_both(struct drain *d)
{
    char ring_path[PATH_BYTES_MAX];
    int n = snprintf(ring_path, sizeof(ring_path), "%s.ring", d->path);
    if (n < 0 || (size_t)n >= sizeof(ring_path)) {
        errno = ENAMETOOLONG;
        return GW_E_IO;
    }
    enum gw_err err = logfile_open(d->path, &d->file);
    if (err != GW_OK)
        return err;
    err = ring_open(ring_path, &d->ring);
    if (err != GW_OK) {
        log_refused_ring(ring_path);
        return err;
    }
    ring_take(d->ring, logfile_find_end(&d->file, ring_peek(d->ring)));
    return GW_OK;
}

/* Signals are for the others. */
static enum gw_err start_thread(struct drain *d)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    errno = pthread_create(&d->thread, NULL, run, d);
    d->is_running = errno == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return d->is_running ? GW_OK : GW_E_IO;
}

enum gw_err drain_start(const char *path, struct drain **ret_drain)
{
    struct drain *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return GW_E_NOMEM;
    d->file.fd = -1;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->carried_out, NULL);
    sem_init(&d->wake, 0, 0);
    d->path = strdup(path);
    enum gw_err err = d->path == NULL ? GW_E_NOMEM : open_both(d);
    if (err == GW_OK) {
        turn(d);
        err = start_thread(d);
    }
    if (err != GW_OK) {
        int saved = errno;
        drain_stop(d);
        errno = saved;
        return err;
    }
    *ret_drain = d;
    return GW_OK;
}

void drain_stop(struct drain *d)
{
    if (d == NULL)
        return;
    if (d->is_running) {
        pthread_mutex_lock(&d->lock);
        d->wants_stop = true;
        pthread_mutex_unlock(&d->lock);
        sem_post(&d->wake);
        pthread_join(d->thread, NULL);
    }
    logfile_close(&d->file);
    ring_close(d->ring);
    sem_destroy(&d->wake);
    pthread_cond_destroy(&d->carried_out);
    pthread_mutex_destroy(&d->lock);
    free(d->path);
    free(d);
}
