/* page: renders the pages that people see: plain HTML, one stylesheet and the operators' logo, nothing else to load.
 *
 * Shape: each function appends a whole HTML document. Every value is escaped. Pages work without JavaScript, on a phone, by
 * keyboard, in light and dark; what they say is in pages/text; the strict Content-Security-Policy is set by handlers/reply.
 * Errors: the buffer's. Threads: any. */
#pragma once

#include "pages/logo.h"
#include "pages/text.h"
#include "util/buf.h"

enum { PAGE_MAX_BYTES = 64 * 1024 };

#define PAGE_STYLE_PATH "/_repogate/style.css"

#define PAGE_LOGO_PATH "/_repogate/logo"

struct page_frame {
    struct view product; /* server.product_name */
    bool has_logo;
    struct view contact;  /* server.contact, shown on denied and error pages; may be empty */
    struct view username; /* who is logged in; empty = nobody */
};

/* Something went wrong that is no decision about the person: login failed, workspace down, bad address. */
struct page_problem {
    int status;
    struct view title, text; /* what happened, and what to do about it */
    struct view reason;      /* code, for support */
    struct view decision_id; /* may be empty */
    struct view retry_href;  /* "Try again" link; empty = none */
};
void page_put_problem(struct buf *out, const struct page_frame *f, const struct page_problem *p);

/* Known, refused. */
struct page_denied {
    struct view what; /* "github:acme/vault", or the path */
    struct view reason;
    struct view message; /* the policy's message, or hint; may be empty */
    struct view decision_id;
    struct view login_href; /* where another login may change that; empty = nowhere */
    struct view target;     /* where somebody else, logged in instead, goes on; empty = that is not offered */
};
void page_put_denied(struct buf *out, const struct page_frame *f, const struct page_denied *d);

/* Asks before logging out; has_everywhere: offers to end the Authentik session too. */
void page_put_logout(struct buf *out, const struct page_frame *f, bool has_everywhere);
/* is_everywhere: the Authentik session has ended too, else whether it lives is not known. */
void page_put_signed_out(struct buf *out, const struct page_frame *f, bool is_everywhere);

struct page_portal {
    const char *const *forges; /* names for the form */
    size_t n_forges;
    struct view entered; /* what was typed before, if it did not parse */
    bool is_invalid;
};
void page_put_portal(struct buf *out, const struct page_frame *f, const struct page_portal *p);

/* The stylesheet. */
struct view page_style(void);
