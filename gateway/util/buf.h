/* buf: a growing byte buffer with a cap set at birth.
 *
 * Writing past the cap, or without memory, marks the buffer failed and drops the write; check once, at the end, with
 * buf_ok(). What was written is always NUL-terminated behind n (the NUL is not counted).
 * Owns: the buffer owns p until buf_deinit(). Threads: one at a time. */
#pragma once

#include <stdarg.h>

#include "util/view.h"

struct buf {
    char *p;
    size_t n;    /* bytes in use */
    size_t size; /* bytes allocated */
    size_t cap;  /* most bytes it may hold */
    bool failed;
};

#define BUF(cap_bytes) ((struct buf){.cap = (cap_bytes)})

void buf_deinit(struct buf *b);
/* Empties it and forgets a failure; keeps the memory. */
void buf_clear(struct buf *b);
/* Room for n more bytes, or NULL (and failed). The caller then adds what it wrote to b->n. */
char *buf_reserve(struct buf *b, size_t n);
void buf_put_byte(struct buf *b, char c);
void buf_put_u64(struct buf *b, uint64_t n);
void buf_put_i64(struct buf *b, int64_t n);
void buf_put_hex(struct buf *b, const uint8_t *p, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) GW_PRINTF(2, 3);
/* A JSON string with its quotes (RFC 8259 7). Bytes that are not UTF-8 become U+FFFD. */
void buf_put_json(struct buf *b, struct view v);
/* Percent-encodes all but RFC 3986's unreserved characters. */
void buf_put_percent(struct buf *b, struct view v);
/* Text for HTML, in elements and in quoted attributes. */
void buf_put_html(struct buf *b, struct view v);
/* Removes the first n bytes. */
void buf_consume(struct buf *b, size_t n);

#define buf_puts(b, literal) buf_put((b), VIEW(literal))

/* The part of buf_put() that makes room, or notes that there is none. */
void buf_put_slowly(struct buf *b, struct view v);

static inline void buf_put(struct buf *b, struct view v)
{
    /* size > n always leaves room for the NUL */
    if (b->failed || v.n >= b->size - b->n || v.n > b->cap - b->n) {
        buf_put_slowly(b, v);
        return;
    }
    if (v.n > 0)
        memcpy(b->p + b->n, v.p, v.n);
    b->n += v.n;
    b->p[b->n] = '\0';
}

static inline bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

static inline struct view buf_view(const struct buf *b)
{
    return (struct view){b->p, b->n};
}
