#include "audit/logfile.h"

#include "audit/journal.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MODE = 0640, RESERVE_LEAST_BYTES = 64 * 1024 };

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

/* held: a descriptor of ours that may already hold this very file, or -1; then ret_file->fd is the same again. Two processes that write
 * one log would break each other's chain, hence the lock. */
static enum gw_err open_file(const char *path, int held, struct logfile *ret_file)
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
        ret_file->fd = held;
        return GW_OK;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return fail_closing(fd);
    if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
        return fail_closing(fd);
    *ret_file = (struct logfile){fd, last != '\n'};
    return GW_OK;
}

enum gw_err logfile_open(const char *path, struct logfile *ret_file)
{
    return open_file(path, -1, ret_file);
}

void logfile_close(struct logfile *f)
{
    struct stat st;
    if (f->fd < 0)
        return;
    /* What was reserved. */
    if (fstat(f->fd, &st) == 0 && ftruncate(f->fd, st.st_size) != 0)
        log_printf(LOG_WARN, "the audit log's file keeps room that it does not need");
    close(f->fd);
    f->fd = -1;
}

enum gw_err logfile_reopen(struct logfile *f, const char *path)
{
    struct logfile now = {f->fd, f->is_torn};
    enum gw_err err = open_file(path, f->fd, &now);
    if (err != GW_OK || now.fd == f->fd)
        return err;
    logfile_close(f);
    *f = now;
    return GW_OK;
}

/* ---- room ---- */

/* A limit of this process would only be noticed by the write. */
static size_t below_file_limit(off_t size, size_t n)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_FSIZE, &rl) != 0 || rl.rlim_cur == RLIM_INFINITY)
        return n;
    uint64_t left = rl.rlim_cur > (uint64_t)size ? rl.rlim_cur - (uint64_t)size : 0;
    return left < n ? (size_t)left : n;
}

/* Beside room on the disk, blocks that are there already make a write cheaper. */
size_t logfile_reserve(struct logfile *f, size_t n)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return 0;
    errno = EFBIG;
    for (n = below_file_limit(st.st_size, n); n > 0; n = n / 2 < RESERVE_LEAST_BYTES ? 0 : n / 2) {
        if (fallocate(f->fd, FALLOC_FL_KEEP_SIZE, st.st_size, (off_t)n) == 0)
            return n;
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            return SIZE_MAX;
    }
    return 0;
}

/* ---- writing ---- */

/* Bytes of v that were taken; all of them unless errno says why not. */
static size_t write_some(int fd, struct view v)
{
    size_t done = 0;
    while (done < v.n) {
        ssize_t n = write(fd, v.p + done, v.n - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    return done;
}

static bool take_back(int fd, size_t n)
{
    struct stat st;
    return n == 0 || (fstat(fd, &st) == 0 && st.st_size >= (off_t)n && ftruncate(fd, st.st_size - (off_t)n) == 0);
}

static size_t whole_lines(struct view v)
{
    const char *last = v.n == 0 ? NULL : memrchr(v.p, '\n', v.n);
    return last == NULL ? 0 : (size_t)(last + 1 - v.p);
}

size_t logfile_append(struct logfile *f, struct view lines)
{
    if (f->is_torn && write_some(f->fd, VIEW("\n")) != 1)
        return 0;
    f->is_torn = false;
    size_t done = write_some(f->fd, lines);
    if (done == lines.n)
        return done;
    int why = errno;
    size_t whole = whole_lines(view_at(lines.p, done));
    f->is_torn = !take_back(f->fd, done - whole);
    errno = why;
    return whole;
}

/* ---- after a kill ---- */

/* Lines are unique, each names the one before, so the log's last whole line says where it stands. */
size_t logfile_find_end(struct logfile *f, struct view lines)
{
    struct stat st;
    GW_CLEANUP(gw_freep) char *tail = malloc(2 * JOURNAL_LINE_MAX);
    if (tail == NULL || lines.n == 0 || fstat(f->fd, &st) != 0 || st.st_size == 0)
        return 0;
    off_t from = st.st_size > 2 * JOURNAL_LINE_MAX ? st.st_size - 2 * JOURNAL_LINE_MAX : 0;
    ssize_t n = pread(f->fd, tail, (size_t)(st.st_size - from), from);
    if (n != st.st_size - from)
        return 0;
    size_t whole = whole_lines(view_at(tail, (size_t)n)), start = whole == 0 ? 0 : whole_lines(view_at(tail, whole - 1));
    struct view half = view_at(tail + whole, (size_t)n - whole), last = view_at(tail + start, whole - start);
    const char *found = last.n == 0 ? NULL : memmem(lines.p, lines.n, last.p, last.n);
    size_t done = found == NULL ? 0 : (size_t)(found - lines.p) + last.n;
    if (half.n > 0 && view_starts(view_skip(lines, done), half) && take_back(f->fd, half.n))
        f->is_torn = false;
    return done;
}
