/* A pipe cannot take bytes back: the rest of a line that was cut short goes out before anything else. Such a record was refused but appears
 * in the log: never the other way round. */
#include "audit/journal.h"

#include "audit/drain.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/epoch.h"
#include "util/meter.h"
#include "util/rnd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct journal {
    pthread_mutex_t lock;
    struct drain *drain; /* NULL: standard output */
    int fd;              /* standard output */
    bool is_socket;
    atomic_bool is_healthy; /* standard output took the last line */
    uint64_t next_seq;
    char prev[DIGEST_HEX_LEN + 1];
    char boot_field[RND_UUID_LEN + 32]; /* ,"boot":"…","seq": */
    size_t rest_n;
    char rest[JOURNAL_LINE_MAX + 1]; /* of a line that the pipe took in part */
};

/* ---- opening ---- */

static enum gw_err fail_closing(int fd)
{
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    return GW_E_IO;
}

/* Opened anew where that is possible, since O_NONBLOCK belongs to the open file, which we may share with a shell or a terminal. */
static enum gw_err open_stdout(int *ret_fd, bool *ret_is_socket)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) != 0)
        return GW_E_IO;
    int fd = open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
        if (flags < 0 || (!S_ISSOCK(st.st_mode) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0))
            return fail_closing(fd);
    }
    *ret_fd = fd;
    *ret_is_socket = S_ISSOCK(st.st_mode);
    return GW_OK;
}

enum gw_err journal_open(const char *path, struct journal **ret_journal)
{
    char boot[RND_UUID_LEN + 1];
    enum gw_err err = rnd_uuid7(epoch_now_ms(), boot);
    if (err != GW_OK)
        return err;
    struct journal *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return GW_E_NOMEM;
    j->fd = -1;
    if (pthread_mutex_init(&j->lock, NULL) != 0) {
        free(j);
        return GW_E_NOMEM;
    }
    err = strcmp(path, "-") == 0 ? open_stdout(&j->fd, &j->is_socket) : drain_start(path, &j->drain);
    if (err != GW_OK) {
        int saved = errno;
        journal_close(j);
        errno = saved;
        return err;
    }
    atomic_init(&j->is_healthy, true);
    j->next_seq = 1;
    memset(j->prev, '0', DIGEST_HEX_LEN);
    snprintf(j->boot_field, sizeof(j->boot_field), ",\"boot\":\"%s\",\"seq\":", boot);
    *ret_journal = j;
    return GW_OK;
}

/* ---- writing; the lock is held ---- */

/* Bytes of v that were taken; all of them unless errno says why not. */
static size_t write_some(const struct journal *j, struct view v)
{
    size_t done = 0;
    while (done < v.n) {
        ssize_t n = j->is_socket ? send(j->fd, v.p + done, v.n - done, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : write(j->fd, v.p + done, v.n - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    return done;
}

static bool write_rest(struct journal *j)
{
    size_t done = write_some(j, view_at(j->rest, j->rest_n));
    j->rest_n -= done;
    memmove(j->rest, j->rest + done, j->rest_n);
    return j->rest_n == 0;
}

/* *ret_is_begun: part of the line is out and the rest will follow, so the chain goes on from it although it was refused. */
static bool write_to_stdout(struct journal *j, struct view line, bool *ret_is_begun)
{
    if (!write_rest(j))
        return false;
    size_t done = write_some(j, line);
    if (done > 0 && done < line.n) {
        j->rest_n = line.n - done;
        memcpy(j->rest, line.p + done, j->rest_n);
        *ret_is_begun = true;
    }
    return done == line.n;
}

static bool put_tail(const struct journal *j, struct buf *body)
{
    buf_put(body, view_of(j->boot_field));
    buf_put_u64(body, j->next_seq);
    buf_puts(body, ",\"prev\":\"");
    buf_put(body, view_at(j->prev, DIGEST_HEX_LEN));
    buf_puts(body, "\"}");
    return buf_ok(body) && body->n < JOURNAL_LINE_MAX;
}

static enum gw_err append(struct journal *j, struct buf *body)
{
    uint8_t digest[DIGEST_BYTES];
    bool is_begun = false;
    if (!put_tail(j, body) || digest_sha256(buf_view(body), digest) != GW_OK)
        return GW_E_IO;
    buf_puts(body, "\n");
    if (!buf_ok(body))
        return GW_E_IO;
    bool is_written = j->drain != NULL ? drain_put(j->drain, buf_view(body)) : write_to_stdout(j, buf_view(body), &is_begun);
    if (is_written || is_begun) {
        digest_hex(digest, j->prev);
        j->next_seq++;
    }
    return is_written ? GW_OK : GW_E_IO;
}

enum gw_err journal_append(struct journal *j, struct buf *body)
{
    enum gw_err err = GW_E_IO;
    bool is_one_line = body->n > 0 && body->n <= JOURNAL_LINE_MAX && memchr(body->p, '\n', body->n) == NULL;
    pthread_mutex_lock(&j->lock);
    if (is_one_line)
        err = append(j, body);
    atomic_store(&j->is_healthy, err == GW_OK);
    pthread_mutex_unlock(&j->lock);
    meter_inc(err == GW_OK ? METER_AUDIT_LINES : METER_AUDIT_FAILED);
    return err;
}

/* ---- */

bool journal_is_healthy(const struct journal *j)
{
    return j->drain != NULL ? drain_is_healthy(j->drain) : atomic_load(&j->is_healthy);
}

enum gw_err journal_reopen(struct journal *j)
{
    return j->drain == NULL ? GW_OK : drain_reopen(j->drain);
}

enum gw_err journal_flush(struct journal *j)
{
    return j->drain == NULL ? GW_OK : drain_flush(j->drain);
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    drain_stop(j->drain);
    if (j->rest_n > 0)
        write_rest(j);
    if (j->fd >= 0)
        close(j->fd);
    pthread_mutex_destroy(&j->lock);
    free(j);
}
