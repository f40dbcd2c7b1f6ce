/* doctorrun: sends the checks' requests, one at a time, each over a connection of its own, and has the answers judged.
 *
 * Harmless by construction: GET, OPTIONS and empty POST to echo addresses, the login page and the auth endpoints, to the URL's host and port only;
 * no redirect is followed; at most DOCTORRUN_REQUESTS_MAX requests, each at most DOCTORRUN_TIMEOUT_MS; after DOCTORRUN_DEAD_MAX
 * without an answer in a row nothing more is sent, and what is left cannot be told.
 * Owns: texts are borrowed for the run. Threads: one; blocks. */
#pragma once

#include "cli/doctorchecks.h"

enum { DOCTORRUN_REQUESTS_MAX = 400, DOCTORRUN_TIMEOUT_MS = 8000, DOCTORRUN_DEAD_MAX = 5, DOCTORRUN_NAME_MAX = 32 };

struct doctor {
    const char *url;     /* an origin */
    const char *ca_file; /* NULL for the system's */
    struct view token;
    struct doctor_place place;
    char name[DOCTORRUN_NAME_MAX + 1];
    struct seen *baseline; /* an ordinary request's answer */
    size_t n_sent, n_dead;
};

struct doctor_result {
    enum verdict verdict;
    char why[DOCTORJUDGE_WHY_MAX];
    struct buf request; /* of a finding: as it was sent, without the token and with bytes that don't print as escapes */
};

/* Asks for the baseline. d: url, ca_file, token, place.host and place.origin are set. GW_E_UPSTREAM, GW_E_TIMEOUT: nothing answers there,
 * see d->baseline->detail; GW_E_NOMEM, GW_E_IO. */
enum gw_err doctorrun_begin(struct doctor *d) GW_MUST_CHECK;
void doctorrun_end(struct doctor *d);
/* r: to be given to doctorrun_result_deinit(). */
enum gw_err doctorrun_check(struct doctor *d, const struct doctor_check *check, struct doctor_result *r) GW_MUST_CHECK;
void doctorrun_result_deinit(struct doctor_result *r);
