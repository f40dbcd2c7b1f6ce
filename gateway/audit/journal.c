/* The write stands under the lock because the order of the file is the order of the chain; a writer whose write() stalls thus holds up
 * the others, which a ring drained by a thread of its own would not.
 *
 * Room on the disk is reserved ahead of the lines, beyond the end of the file: a short write into blocks that are there already costs a
 * third of one that has to find them (1.8 us against 5.7 for 1,400 bytes on ext4, Linux 6.18). Where that can't be done the log
 * goes on without. What is left over is given back when the file is closed; after a kill it stays until the next start uses it.
 *
 * A file takes a line whole or not at all: what a full disk cut short is truncated away, and where even that fails the next line
 * starts with a line break, so that half a line never swallows a whole one. A pipe cannot take bytes back: there the rest of a line
 * that was cut short goes out before anything else. Such a record was refused but appears in the log: never the other way round. */
#include "audit/journal.h"

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
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { FILE_MODE = 0640, RESERVE_BYTES = 16 * 1024 * 1024 };

struct journal {
    pthread_mutex_t lock;
    char *path; /* NULL: standard output */
    int fd;
    bool is_socket;
    bool is_torn; /* the file ends in half a line */
    size_t room;  /* how much is written before the next reservation */
    atomic_bool is_healthy;
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

static bool is_same_file(int a, int b)
{
    struct stat sa, sb;
    return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* held: a descriptor of ours that may already hold this very file, or -1; then *ret_fd is the same again. Two processes that write
 * one log would break each other's chain, hence the lock. */
static enum gw_err open_file(const char *path, int held, int *ret_fd, bool *ret_is_torn)
{
    struct stat st;
    char last = '\n';
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, FILE_MODE);
    if (fd < 0 || fstat(fd, &st) != 0)
        return fail_closing(fd);
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return fail_closing(fd);
    }
    if (held >= 0 && is_same_file(fd, held)) {
        close(fd);
        *ret_fd = held;
        return GW_OK;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return fail_closing(fd);
    if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
        return fail_closing(fd);
    *ret_fd = fd;
    *ret_is_torn = last != '\n';
    return GW_OK;
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
    bool is_stdout = strcmp(path, "-") == 0;
    j->fd = -1;
    j->path = is_stdout ? NULL : strdup(path);
    if ((!is_stdout && j->path == NULL) || pthread_mutex_init(&j->lock, NULL) != 0) {
        free(j->path);
        free(j);
        return GW_E_NOMEM;
    }
    err = is_stdout ? open_stdout(&j->fd, &j->is_socket) : open_file(path, -1, &j->fd, &j->is_torn);
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

static bool take_back(const struct journal *j, size_t n)
{
    struct stat st;
    return n == 0 || (fstat(j->fd, &st) == 0 && st.st_size >= (off_t)n && ftruncate(j->fd, st.st_size - (off_t)n) == 0);
}

static void reserve(struct journal *j)
{
    struct stat st;
    if (fstat(j->fd, &st) == 0)
        (void)fallocate(j->fd, FALLOC_FL_KEEP_SIZE, st.st_size, RESERVE_BYTES);
    j->room = RESERVE_BYTES;
}

static void release(const struct journal *j)
{
    struct stat st;
    if (fstat(j->fd, &st) == 0)
        (void)!ftruncate(j->fd, st.st_size);
}

static bool write_to_file(struct journal *j, struct view line)
{
    if (j->room < line.n)
        reserve(j);
    j->room -= line.n;
    if (j->is_torn && write_some(j, VIEW("\n")) != 1)
        return false;
    j->is_torn = false;
    size_t done = write_some(j, line);
    if (done == line.n)
        return true;
    j->is_torn = !take_back(j, done);
    return false;
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
    bool is_written = j->path != NULL ? write_to_file(j, buf_view(body)) : write_to_stdout(j, buf_view(body), &is_begun);
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
    return atomic_load(&j->is_healthy);
}

enum gw_err journal_reopen(struct journal *j)
{
    int fd = -1;
    bool is_torn = false;
    if (j->path == NULL)
        return GW_OK;
    pthread_mutex_lock(&j->lock);
    enum gw_err err = open_file(j->path, j->fd, &fd, &is_torn);
    if (err == GW_OK && fd != j->fd) {
        release(j);
        close(j->fd);
        j->fd = fd;
        j->is_torn = is_torn;
        j->room = 0;
    }
    pthread_mutex_unlock(&j->lock);
    return err;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->rest_n > 0)
        write_rest(j);
    if (j->fd >= 0 && j->path != NULL)
        release(j);
    if (j->fd >= 0)
        close(j->fd);
    pthread_mutex_destroy(&j->lock);
    free(j->path);
    free(j);
}
