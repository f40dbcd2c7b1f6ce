#include "proxy/window.h"

#include <assert.h>
#include <stdlib.h>

void window_spares_deinit(struct window_spares *s)
{
    while (s->n > 0)
        free(s->items[--s->n]);
}

static bool window_hold(struct window *w, struct window_spares *s)
{
    if (w->p != NULL)
        return true;
    w->p = s->n > 0 ? s->items[--s->n] : malloc(WINDOW_BYTES);
    if (w->p == NULL)
        return false;
    w->at = w->n = 0;
    s->n_out++;
    return true;
}

void window_release(struct window *w, struct window_spares *s)
{
    if (w->p == NULL)
        return;
    if (s->n < WINDOW_SPARES_MAX)
        s->items[s->n++] = w->p;
    else
        free(w->p);
    s->n_out--;
    *w = (struct window){0};
}

char *window_tail(struct window *w, struct window_spares *s, size_t *ret_n)
{
    if (window_room(w) == 0 || !window_hold(w, s))
        return NULL;
    size_t end = (w->at + w->n) % WINDOW_BYTES;
    *ret_n = end < w->at ? w->at - end : WINDOW_BYTES - end;
    return w->p + end;
}

void window_added(struct window *w, struct window_spares *s, size_t n)
{
    assert(n <= window_room(w));
    w->n += n;
    if (w->n == 0)
        window_release(w, s);
}

size_t window_head(const struct window *w, struct iovec pieces[WINDOW_PIECES])
{
    if (w->n == 0)
        return 0;
    size_t first = w->n < WINDOW_BYTES - w->at ? w->n : WINDOW_BYTES - w->at;
    pieces[0] = (struct iovec){w->p + w->at, first};
    if (first == w->n)
        return 1;
    pieces[1] = (struct iovec){w->p, w->n - first};
    return 2;
}

void window_taken(struct window *w, struct window_spares *s, size_t n)
{
    assert(n <= w->n);
    w->at = (w->at + n) % WINDOW_BYTES;
    w->n -= n;
    if (w->n == 0)
        window_release(w, s);
}

size_t window_put(struct window *w, struct window_spares *s, const char *p, size_t n)
{
    size_t done = 0, room;
    while (done < n) {
        char *tail = window_tail(w, s, &room);
        if (tail == NULL)
            break;
        size_t step = n - done < room ? n - done : room;
        memcpy(tail, p + done, step);
        window_added(w, s, step);
        done += step;
    }
    return done;
}

size_t window_get(struct window *w, struct window_spares *s, char *out, size_t n)
{
    struct iovec pieces[WINDOW_PIECES];
    size_t done = 0;
    size_t n_pieces = window_head(w, pieces);
    for (size_t i = 0; i < n_pieces && done < n; i++) {
        size_t step = n - done < pieces[i].iov_len ? n - done : pieces[i].iov_len;
        memcpy(out + done, pieces[i].iov_base, step);
        done += step;
    }
    window_taken(w, s, done);
    return done;
}
