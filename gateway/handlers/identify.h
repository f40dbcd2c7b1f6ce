/* identify: who is asking, by session cookie or by the credential of a program (bearer token, user and app password).
 *
 * An Authorization header beats the cookie and never falls back to it; two session cookies are nobody.
 * Claims that have lapsed are asked for anew before anything is judged by them, for at most SESSION_REFRESH_WAIT_MS: far less than
 * the 60 s that NGINX waits. If that fails they serve for session.grace and `is_stale` says so; after that the person is nobody
 * (a login, which needs the provider too, is what helps), or the store cannot tell.
 * Shape: embed a struct identify; `done` is called on the same loop, possibly before identify_begin() returns.
 * Owns: identify_end() lets go of the references; `who` is valid until then. Threads: one loop. Source: DESIGN 4, 5. */
#pragma once

#include "handlers/core.h"

enum identified {
    IDENTIFIED_UNAVAILABLE, /* the store cannot tell */
    IDENTIFIED_UNREACHABLE, /* the provider would have to be asked, and cannot be; `why` */
    IDENTIFIED_LIMITED,     /* too many attempts from this address; `why` */
    IDENTIFIED_NOBODY,      /* `why` says why */
    IDENTIFIED_KNOWN,
};

struct identify {
    struct exchange *x;
    void (*done)(struct identify *i, enum identified found);
    const struct principal *who;
    const char *why;
    struct session *session;
    struct ipaddr client; /* whose budget of attempts counts; absent is an address like any other */
    struct machine *machine;
    struct principal *machine_who; /* of the machine, as it was when it was judged */
    struct view cookie;            /* borrowed from the request */
    bool is_stale;                 /* claims are older than session.refresh: they could not be renewed in time */
    bool is_leaving;               /* set before: claims may be as old as they like, since nothing is judged by them */
};

/* Where a request of our own routes comes from. Who does not say so clearly is whoever sent it to us: all of those share a budget. */
struct ipaddr identify_client(const struct exchange *x);
/* Zero it before; x, done and client set. */
void identify_begin(struct identify *i);
void identify_end(struct identify *i);
/* For pages: a struct identify of its own in the exchange's arena, let go of when the exchange is over. False without memory: nothing
 * will be called. */
bool identify_visitor(struct exchange *x, void (*done)(struct identify *i, enum identified found));
/* The same for logging out, which must not depend on a provider that answers. */
bool identify_leaver(struct exchange *x, void (*done)(struct identify *i, enum identified found));
