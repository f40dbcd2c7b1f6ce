/* window: a bounded ring of bytes between two sockets.
 *
 * Why: back-pressure is a full window. Memory is taken from `spares` when the first byte comes and given back when the last one
 * has gone, so that thousands of silent connections cost nothing here.
 * Errors: false or a short count without memory or room. Owns: a window its memory until window_release(); spares what lies idle.
 * Threads: one loop. */
#pragma once

#include <sys/uio.h>

#include "util/view.h"

enum { WINDOW_BYTES = 64 * 1024, WINDOW_SPARES_MAX = 32, WINDOW_PIECES = 2 };

struct window {
    char *p; /* NULL while empty */
    size_t at, n;
};

struct window_spares {
    char *items[WINDOW_SPARES_MAX];
    size_t n;
    size_t n_out; /* windows that hold memory now */
};

void window_spares_deinit(struct window_spares *s);

static inline size_t window_room(const struct window *w)
{
    return WINDOW_BYTES - w->n;
}

/* Forgets the bytes and gives the memory back. */
void window_release(struct window *w, struct window_spares *s);
/* Free space in one piece, to receive into; NULL when full or without memory. window_added() says how much came. */
char *window_tail(struct window *w, struct window_spares *s, size_t *ret_n);
void window_added(struct window *w, struct window_spares *s, size_t n);
/* The waiting bytes in at most WINDOW_PIECES pieces; returns how many. window_taken() says how much went. */
size_t window_head(const struct window *w, struct iovec pieces[WINDOW_PIECES]);
void window_taken(struct window *w, struct window_spares *s, size_t n);
/* Copies in and out; return what fitted or was there. */
size_t window_put(struct window *w, struct window_spares *s, const char *p, size_t n);
size_t window_get(struct window *w, struct window_spares *s, char *out, size_t n);
