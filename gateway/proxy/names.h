/* names: turns host names into addresses on the job pool, one job per name at a time, and remembers them.
 *
 * Errors: names_find() GW_E_LIMIT when NAMES_MAX names are under way or the job pool is full; names_fn gets GW_E_UPSTREAM for a name that
 * does not resolve. A failure is not remembered. Owns: waiters are embedded by the caller and must be dropped before their memory goes.
 * Threads: one loop; getaddrinfo runs on the pool's threads. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "util/jobs.h"
#include "util/view.h"

enum { NAMES_MAX = 256, NAMES_TEXT_MAX = 253, NAMES_ADDRESSES_MAX = 8 };

struct names;

union names_sockaddr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct names_list {
    union names_sockaddr items[NAMES_ADDRESSES_MAX]; /* port not set */
    size_t n;
};

struct names_waiter {
    void (*fn)(struct names_waiter *w, enum gw_err err, const struct names_list *list);
    struct names_waiter *next, **link; /* link == NULL: not waiting */
};

enum gw_err names_new(struct loop *l, struct jobs *resolver, struct names **ret_names) GW_MUST_CHECK;
/* No waiter may be left; jobs under way end later and free what is theirs. */
void names_free(struct names *s);
/* Remembered: *ret_list is set, borrowed until the next call, and w is not used. Otherwise it is NULL and w->fn is called later. */
enum gw_err names_find(struct names *s, struct view host, int64_t ttl_ms, struct names_waiter *w,
                       const struct names_list **ret_list) GW_MUST_CHECK;
void names_drop(struct names_waiter *w);
