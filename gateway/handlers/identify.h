/* identify: who is asking, by session cookie or bearer token.
 *
 * An Authorization header beats the cookie and never falls back to it; two session cookies are nobody.
 * Shape: embed a struct identify; `done` is called on the same loop, possibly before identify_begin() returns.
 * Owns: identify_end() lets go of the references; `who` is valid until then. Threads: one loop. Source: DESIGN 4, 5. */
#pragma once

#include "handlers/core.h"

enum { IDENTIFY_WAITS_MAX = 4 };

enum identified {
    IDENTIFIED_UNAVAILABLE, /* the store cannot tell */
    IDENTIFIED_NOBODY,      /* `why` says why */
    IDENTIFIED_KNOWN,
};

struct identify {
    struct exchange *x;
    void (*done)(struct identify *i, enum identified found);
    const struct principal *who;
    const char *why;
    struct session *session;
    struct principal *bearer;
    unsigned n_waits;
};

/* Zero it before; x and done set. */
void identify_begin(struct identify *i);
void identify_end(struct identify *i);
/* For pages: a struct identify of its own in the exchange's arena, let go of when the exchange is over. False without memory: nothing
 * will be called. */
bool identify_visitor(struct exchange *x, void (*done)(struct identify *i, enum identified found));
