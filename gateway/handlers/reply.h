/* reply: turns an outcome into a response, and alone picks status codes (DESIGN 4, Outcomes).
 *
 * For people a page, for programs RFC 9457 problem details; for the auth endpoints neither, only headers.
 * Threads: one loop. */
#pragma once

#include "handlers/gate.h"
#include "pages/page.h"

/* Any outcome but OUTCOME_ALLOWED. */
void reply_outcome(struct gate *g);
/* A request that request_check() refused. */
void reply_fault(struct exchange *x, enum request_fault fault);

struct reply_problem {
    int status;
    const char *reason;
    const char *title, *text;
    const char *retry_href; /* or NULL */
    struct view decision_id;
    struct view user, resource, contact; /* who was refused what, and whom to ask: in problem details, where not empty */
};
/* A page or problem details, whichever the client wants. */
void reply_problem(struct exchange *x, const struct reply_problem *p);
/* Problem details, whatever the client wants; needs no gateway. */
void reply_problem_json(struct exchange *x, const struct reply_problem *p);
/* A page of ours to whom it is not for: found is anything but IDENTIFIED_KNOWN. title, text: for nobody. */
void reply_unidentified(const struct identify *i, enum identified found, const char *title, const char *text);
/* 500. */
void reply_defect(struct exchange *x);

void reply_redirect(struct exchange *x, int status, struct view location);
/* A page of ours; out is used up. */
void reply_html(struct exchange *x, int status, struct buf *out);
void reply_json(struct exchange *x, int status, struct view media_type, struct buf *out);
void reply_text(struct exchange *x, int status, struct view text);
/* Set-Cookie, HttpOnly, SameSite=Lax, Path=/; Secure on https. max_age_s < 0: until the browser closes; 0: delete. */
void reply_set_cookie(struct exchange *x, struct view name, struct view value, int64_t max_age_s);

/* A page's frame: contact, and who is logged in. */
struct page_frame reply_frame(const struct exchange *x, const struct principal *who);
