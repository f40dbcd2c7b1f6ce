#include "audit/ring.h"

#include "util/cleanup.h"
#include "util/digest.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { HEAD_BYTES = 4096, FILE_MODE = 0600, SHARE_OF_DISK = 8, ZEROES_BYTES = 64 * 1024 };

static const char MAGIC[8] = "rgring1";

/* The first page of the file. */
struct head {
    char magic[8];
    uint64_t size;          /* of the lines' part */
    _Atomic uint64_t put;   /* lines end here */
    _Atomic uint64_t taken; /* and begin here */
};

struct ring {
    int fd;
    struct head *head;
    char *lines;            /* mapped twice in a row, so that every stretch is in one piece */
    _Atomic uint64_t limit; /* the log has room up to this position */
    size_t size;
};

/* ---- making and opening the file ---- */

static size_t size_for_disk(int fd)
{
    struct statvfs fs;
    size_t size = RING_BYTES;
    if (fstatvfs(fd, &fs) != 0)
        return RING_LEAST_BYTES;
    while (size > RING_LEAST_BYTES && size > fs.f_bavail * fs.f_frsize / SHARE_OF_DISK)
        size /= 2;
    return size;
}

/* Written, not only reserved: not every file system can reserve, and one that can may still fail when a reserved page is first used. */
static enum gw_err fill(int fd, size_t n)
{
    static const char zeroes[ZEROES_BYTES];
    for (size_t done = 0; done < n;) {
        ssize_t wrote = pwrite(fd, zeroes, n - done < sizeof(zeroes) ? n - done : sizeof(zeroes), (off_t)done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return GW_E_IO;
        done += (size_t)wrote;
    }
    return GW_OK;
}

/* A file that was not filled to its end has no head yet: it is made anew. */
static enum gw_err make_file(int fd, size_t *ret_size)
{
    struct head head = {.size = size_for_disk(fd)};
    memcpy(head.magic, MAGIC, sizeof(MAGIC));
    if (ftruncate(fd, 0) != 0 || fill(fd, HEAD_BYTES + head.size) != GW_OK ||
        pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
        return GW_E_IO;
    *ret_size = head.size;
    return GW_OK;
}

static bool is_sound(const struct head *h, off_t file_size)
{
    uint64_t put = atomic_load(&h->put), taken = atomic_load(&h->taken);
    return h->size >= RING_LEAST_BYTES && h->size <= RING_BYTES && (h->size & (h->size - 1)) == 0 &&
           file_size == (off_t)(HEAD_BYTES + h->size) && taken <= put && put - taken <= h->size;
}

static enum gw_err check_file(int fd, size_t *ret_size)
{
    struct head head;
    struct stat st;
    static const char nothing[sizeof(MAGIC)];
    if (fstat(fd, &st) != 0)
        return GW_E_IO;
    ssize_t n = pread(fd, &head, sizeof(head), 0);
    if (n == 0 || (n == (ssize_t)sizeof(head) && memcmp(head.magic, nothing, sizeof(nothing)) == 0))
        return make_file(fd, ret_size);
    if (n != (ssize_t)sizeof(head) || memcmp(head.magic, MAGIC, sizeof(MAGIC)) != 0 || !is_sound(&head, st.st_size)) {
        errno = EINVAL;
        return GW_E_IO;
    }
    *ret_size = head.size;
    return GW_OK;
}

static enum gw_err map_file(struct ring *r)
{
    const int rw = PROT_READ | PROT_WRITE;
    void *head = mmap(NULL, HEAD_BYTES, rw, MAP_SHARED, r->fd, 0);
    if (head == MAP_FAILED)
        return GW_E_IO;
    r->head = head;
    char *room = mmap(NULL, 2 * r->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return GW_E_IO;
    r->lines = room;
    for (size_t i = 0; i < 2; i++)
        if (mmap(room + i * r->size, r->size, rw, MAP_SHARED | MAP_FIXED | MAP_POPULATE, r->fd, HEAD_BYTES) == MAP_FAILED)
            return GW_E_IO;
    return GW_OK;
}

/* ---- what a process before us left ---- */

static char *at(const struct ring *r, uint64_t position)
{
    return r->lines + position % r->size;
}

/* The digest that the line says the one before had, or empty. */
static struct view prev_of(struct view line)
{
    static const char end[] = "\"}";
    size_t tail = DIGEST_HEX_LEN + sizeof(end) - 1;
    if (line.n < tail + 1 || line.p[0] != '{' || memcmp(line.p + line.n - 2, end, 2) != 0)
        return VIEW_NONE;
    return view_at(line.p + line.n - tail, DIGEST_HEX_LEN);
}

/* Length of the lines that follow from each other. */
static size_t sound_length(struct view lines)
{
    char digest_before[DIGEST_HEX_LEN + 1] = "";
    size_t n = 0;
    while (n < lines.n) {
        struct view rest = view_skip(lines, n), line = view_at(rest.p, view_index(rest, '\n'));
        uint8_t digest[DIGEST_BYTES];
        struct view prev = prev_of(line);
        bool is_start = view_eq(prev, VIEW("0000000000000000000000000000000000000000000000000000000000000000"));
        if (line.n == rest.n || prev.n == 0 || memchr(line.p, '\0', line.n) != NULL ||
            (n > 0 && !is_start && !view_eq(prev, view_of(digest_before))) || digest_sha256(line, digest) != GW_OK)
            break;
        digest_hex(digest, digest_before);
        n += line.n + 1;
    }
    return n;
}

static void drop_unsound(struct ring *r)
{
    struct view waiting = ring_peek(r);
    size_t n = sound_length(waiting);
    if (n == waiting.n)
        return;
    log_printf(LOG_ERROR, "%zu bytes on their way to the audit log did not survive the machine's stop and are dropped",
               waiting.n - n);
    atomic_store(&r->head->put, atomic_load(&r->head->taken) + n);
}

enum gw_err ring_open(const char *path, struct ring **ret_ring)
{
    struct ring *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        errno = ENOMEM;
        return GW_E_NOMEM;
    }
    r->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, FILE_MODE);
    enum gw_err err = r->fd < 0 || flock(r->fd, LOCK_EX | LOCK_NB) != 0 ? GW_E_IO : check_file(r->fd, &r->size);
    if (err == GW_OK)
        err = map_file(r);
    if (err != GW_OK) {
        int saved = errno;
        ring_close(r);
        errno = saved;
        return err;
    }
    drop_unsound(r);
    *ret_ring = r;
    return GW_OK;
}

void ring_close(struct ring *r)
{
    if (r == NULL)
        return;
    if (r->lines != NULL)
        munmap(r->lines, 2 * r->size);
    if (r->head != NULL)
        munmap(r->head, HEAD_BYTES);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

/* ---- putting and taking ---- */

bool ring_put(struct ring *r, struct view line)
{
    uint64_t put = atomic_load_explicit(&r->head->put, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(&r->head->taken, memory_order_acquire);
    if (put + line.n - taken > r->size || put + line.n > atomic_load_explicit(&r->limit, memory_order_acquire))
        return false;
    memcpy(at(r, put), line.p, line.n);
    atomic_store_explicit(&r->head->put, put + line.n, memory_order_release);
    return true;
}

struct view ring_peek(const struct ring *r)
{
    uint64_t taken = atomic_load_explicit(&r->head->taken, memory_order_relaxed);
    uint64_t put = atomic_load_explicit(&r->head->put, memory_order_acquire);
    return view_at(at(r, taken), put - taken);
}

void ring_take(struct ring *r, size_t n)
{
    atomic_fetch_add_explicit(&r->head->taken, n, memory_order_release);
}

void ring_grant(struct ring *r, size_t n)
{
    uint64_t taken = atomic_load_explicit(&r->head->taken, memory_order_relaxed);
    atomic_store_explicit(&r->limit, n > UINT64_MAX - taken ? UINT64_MAX : taken + n, memory_order_release);
}

size_t ring_granted(const struct ring *r)
{
    uint64_t put = atomic_load_explicit(&r->head->put, memory_order_relaxed);
    uint64_t limit = atomic_load_explicit(&r->limit, memory_order_relaxed);
    return limit > put ? limit - put : 0;
}
