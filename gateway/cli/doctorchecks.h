/* doctorchecks: what `repogate doctor` sends, as tables: checks, and the requests of each.
 *
 * Texts hold placeholders: {host} host[:port] of the URL, {origin} scheme and host, {echo} a path below the echo that no other run uses,
 * without its final slash, {name} its last segment, {session} the name of the session's cookie.
 * Threads: constants only. Source: THREATS A, B, C, E, H, L, R. */
#pragma once

#include "cli/doctorjudge.h"

enum { DOCTORCHECKS_TEXT_MAX = 4096 };

enum {
    PROBE_ANONYMOUS = 1, /* without the token */
    PROBE_NO_HOST = 2,   /* the lines hold one, or none */
    PROBE_NO_CLOSE = 4,  /* the lines hold a Connection */
};

struct doctor_probe {
    enum judge judge;
    unsigned flags;
    const char *method; /* NULL = GET */
    struct view target; /* p == NULL = {echo}/page */
    struct view lines;  /* further header lines, each with its line end */
    struct view body;
};

enum doctor_kind { DOCTOR_EACH, DOCTOR_QUESTION, DOCTOR_CACHE, DOCTOR_SECRETS };

struct doctor_check {
    const char *id;
    const char *threats; /* of THREATS, separated by blanks */
    const char *title;   /* what is true when it is safe */
    enum doctor_kind kind;
    const struct doctor_probe *probes;
    size_t n_probes;
};

extern const struct doctor_check doctorchecks[];
extern const size_t doctorchecks_count;

struct doctor_place {
    struct view host, origin, name;
};
/* The text with its placeholders filled. */
void doctorchecks_put(struct buf *out, struct view text, const struct doctor_place *place);
/* The probe as bytes. token: put in place of the visitor's, or empty. */
void doctorchecks_put_request(struct buf *out, const struct doctor_probe *p, const struct doctor_place *place, struct view token);
