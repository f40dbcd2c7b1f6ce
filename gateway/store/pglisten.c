#include "store/pglisten.h"

#include "store/pgschema.h"
#include "util/log.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PAYLOAD_LEN = 1 + DIGEST_HEX_LEN + 1 + PGLISTEN_TELLER_LEN };

struct pglisten {
    struct pgpool *pool;
    const struct store *store;
    const char *teller;
    pthread_t thread;
    int stop_fd;
    atomic_bool is_hearing;
    bool is_deaf; /* said so already; the thread's */
};

static bool read_hex(struct view hex, uint8_t out[DIGEST_BYTES])
{
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < hex.n; i++) {
        const char *digit = hex.p[i] == '\0' ? NULL : strchr(DIGITS, hex.p[i]);
        if (digit == NULL)
            return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - DIGITS));
    }
    return true;
}

/* Anyone who may connect to the database may send these, so they can say only what leads to another look at a row, or to one session's end
 * in memory. */
static void on_notice(void *arg, struct view payload)
{
    const struct pglisten *l = arg;
    uint8_t id[DIGEST_BYTES] = {0};
    if (payload.n != PAYLOAD_LEN || !read_hex(view_at(payload.p + 1, DIGEST_HEX_LEN), id) ||
        view_eq(view_skip(payload, PAYLOAD_LEN - PGLISTEN_TELLER_LEN), view_at(l->teller, PGLISTEN_TELLER_LEN)))
        return;
    switch (payload.p[0]) {
    case 'e':
        store_tell(l->store, STORE_ENDED, id);
        break;
    case 'c':
        store_tell(l->store, STORE_CHANGED, id);
        break;
    default:
        store_tell(l->store, STORE_UNKNOWN, NULL);
    }
}

/* True when asked to stop. */
static bool wait_or_stop(const struct pglisten *l, int fd, int timeout_ms, bool *ret_is_readable)
{
    struct pollfd fds[] = {{.fd = l->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int n = poll(fds, 2, timeout_ms);
    *ret_is_readable = n > 0 && fds[1].revents != 0;
    return n > 0 && fds[0].revents != 0;
}

/* Until the connection breaks; true when asked to stop. */
static bool hear(struct pglisten *l, struct pglink *link)
{
    enum gw_err err = GW_OK;
    while (err == GW_OK) {
        bool is_readable;
        if (wait_or_stop(l, pglink_fd(link), PGLISTEN_PING_MS, &is_readable))
            return true;
        if (!is_readable)
            err = pglink_exec(link, "", PGLINK_PING_MS, NULL);
        if (err == GW_OK)
            err = pglink_notices(link, on_notice, l);
    }
    return false;
}

static void note(struct pglisten *l, bool is_deaf, const char *reason)
{
    if (is_deaf && !l->is_deaf)
        log_event(LOG_WARN, "other replicas are not heard; sessions are read again every second",
                  LOG_KV("reason", view_of(reason)));
    else if (!is_deaf && l->is_deaf)
        log_write(LOG_INFO, "other replicas are heard again", NULL);
    l->is_deaf = is_deaf;
}

/* One connection's life; true when asked to stop. */
static bool hear_once(struct pglisten *l)
{
    struct pglink *link = NULL;
    char reason[PGLINK_REASON_MAX] = "";
    enum gw_err err = pgpool_open(l->pool, &link, reason);
    if (err == GW_OK)
        err = pglink_exec(link, "LISTEN " PGSCHEMA_CHANNEL, PGLINK_CALL_MS, NULL);
    if (err != GW_OK) {
        note(l, true, link == NULL ? reason : pglink_reason(link));
        pglink_close(link);
        return false;
    }
    /* Whatever is read after this is followed by what we hear. */
    store_tell(l->store, STORE_UNKNOWN, NULL);
    atomic_store(&l->is_hearing, true);
    note(l, false, "");
    bool is_over = hear(l, link);
    atomic_store(&l->is_hearing, false);
    if (!is_over)
        note(l, true, pglink_reason(link));
    pglink_close(link);
    return is_over;
}

static void *run(void *arg)
{
    struct pglisten *l = arg;
    bool ignored;
    while (!hear_once(l) && !wait_or_stop(l, -1, PGLISTEN_RETRY_MS, &ignored))
        continue;
    return NULL;
}

enum gw_err pglisten_start(struct pgpool *pool, const struct store *store, const char *teller, struct pglisten **ret)
{
    struct pglisten *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return GW_E_NOMEM;
    *l = (struct pglisten){.pool = pool, .store = store, .teller = teller, .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (l->stop_fd < 0 || pthread_create(&l->thread, NULL, run, l) != 0) {
        if (l->stop_fd >= 0)
            close(l->stop_fd);
        free(l);
        return GW_E_IO;
    }
    *ret = l;
    return GW_OK;
}

void pglisten_stop(struct pglisten *l)
{
    if (l == NULL)
        return;
    eventfd_write(l->stop_fd, 1);
    pthread_join(l->thread, NULL);
    close(l->stop_fd);
    free(l);
}

bool pglisten_is_hearing(const struct pglisten *l)
{
    return atomic_load(&l->is_hearing);
}
