/* cookie: parses Cookie and formats Set-Cookie (RFC 6265 4.1, 4.2; 6265bis for prefixes).
 *
 * Strict on reading: pairs name=value; a value may be quoted; whatever is not a pair is skipped. Threads: any. */
#pragma once

#include "http/request.h"
#include "util/buf.h"

enum cookie_found { COOKIE_ABSENT, COOKIE_ONE, COOKIE_REPEATED };

/* Over all Cookie headers. COOKIE_REPEATED if the name occurs twice, whatever the values: then the browser is anonymous. */
enum cookie_found cookie_get(const struct request *r, struct view name, struct view *ret_value);

/* Walks all cookies: size_t pos = 0; while (cookie_next(header, &pos, &name, &value)) … over one header's value. */
bool cookie_next(struct view header, size_t *pos, struct view *ret_name, struct view *ret_value);

/* Appends the header without those cookies for which drop(name, arg) is true; nothing if none is left. */
void cookie_filter(struct buf *out, struct view header, bool (*drop)(struct view name, void *arg), void *arg);

struct cookie_spec {
    struct view name, value, path; /* path "/" if empty */
    int64_t max_age_s;             /* < 0: session cookie; 0: delete */
    bool secure;                   /* HttpOnly and SameSite=Lax always */
};
/* Appends the value of a Set-Cookie header. */
void cookie_format(struct buf *out, const struct cookie_spec *c);
