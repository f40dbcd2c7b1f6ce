/* stronger: a login that a rule wants fresher or with a second factor: what is remembered about it, and what people are told.
 *
 * The way of it: a decision is step_up > the session remembers what is needed > /login asks the provider for it, once > the session that
 * comes of that remembers what it was asked for > what is then still unmet is refused, instead of asked for again.
 * Threads: values; sessions as session.h. Source: DESIGN 5, Step-up. */
#pragma once

#include "identity/principal.h"
#include "store/session.h"
#include "store/stepup.h"
#include "util/arena.h"

#define STRONGER_FIELD "stronger" /* =1 in the query of the login: ask once more, though it was asked for already */

/* What a session remembers, as it stands in its need. */
struct stronger {
    struct stepup what;
    bool is_asked; /* the login that made the session was asked for it */
};
int64_t stronger_pack(const struct stronger *s); /* 0 if there is nothing */
struct stronger stronger_unpack(int64_t need);

enum stronger_answer {
    STRONGER_HOPELESS, /* asked for, and it did not come */
    STRONGER_REMEMBER, /* ask, once the session remembers *ret_need */
    STRONGER_ASK,      /* it does already */
};
/* who does not meet what; s is his session. */
enum stronger_answer stronger_judge(const struct stepup *what, const struct principal *who, const struct session *s,
                                    int64_t now_s, int64_t *ret_need);

/* "This needs a login that is at most 15 minutes old, with a second factor." p == NULL without memory. */
struct view stronger_explain(const struct stepup *what, struct arena *a);
/* The same, and what came instead. */
struct view stronger_explain_failure(const struct stepup *what, const struct principal *who, int64_t now_s, struct arena *a);
