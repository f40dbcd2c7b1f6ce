/* header: looks up and validates fields; knows which names are one name.
 *
 * Proxies and frameworks take `-`, `_`, `.` and letter case for the same (CGI variables, Traefik CVE-2026-88011), so names
 * are compared with everything but letters and digits left out and case folded: a look-alike of a believed name counts as a
 * repetition of it, and a look-alike of a name that we set is removed before we set ours.
 * Source: RFC 9110 5.1, 5.5, 5.6.2. Threads: any. */
#pragma once

#include "http/request.h"

enum header_found { HEADER_ABSENT, HEADER_ONE, HEADER_AMBIGUOUS };

/* The known name that this is, or (ret_is_exact false) only looks like; HEADER_OTHER if neither. And whether it is a token at all. */
enum header_id header_id_of(struct view name, bool *ret_is_exact, bool *ret_is_token);

/* HEADER_ONE only if there is exactly one and no look-alike. ret_value is empty otherwise. */
enum header_found header_get(const struct request *r, enum header_id id, struct view *ret_value);
/* The single value, or an empty view for absent or ambiguous ones. */
struct view header_value(const struct request *r, enum header_id id);
/* Walks all values of a name, without its look-alikes: size_t pos = 0; while (header_next(r, id, &pos, &value)) … */
bool header_next(const struct request *r, enum header_id id, size_t *pos, struct view *ret_value);
/* By any name; exact but for case; first one. */
struct view header_find(const struct request *r, struct view name);

bool header_is_token(struct view name);        /* RFC 9110 5.6.2 */
bool header_value_is_clean(struct view value); /* no byte below 0x20 but HTAB, no 0x7f */
/* Equal but for case and for characters that are neither letters nor digits. */
bool header_is_alias(struct view a, struct view b);
/* Does a comma-separated list (Connection, Accept) hold the token, case folded, parameters ignored? */
bool header_list_has(struct view list, struct view token);

/* Why a request header must not reach a workspace. */
enum header_class {
    HEADER_PASS,     /* pass it on */
    HEADER_HOP,      /* hop-by-hop: RFC 9110 7.6.1 */
    HEADER_IDENTITY, /* could pass for one of ours: X-authentik-*, X-Repogate-*, X-Policy-*, X-GitHub-Repo, X-Request-Path, X-Forwarded-*, X-Real-IP, Forwarded, X-Original-*, traceparent … */
    HEADER_CONTROL,  /* Knative and proxy control headers (PLATFORM 1.5) */
    HEADER_SECRET,   /* Cookie and Authorization: the caller decides what is left of them */
};
enum header_class header_classify(struct view name);
