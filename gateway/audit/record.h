/* record: one event as one line of JSON (DESIGN 6), without the chain's fields, which the journal adds.
 *
 * Secrets and tokens never appear; of a query only its length and keyed digest. Every byte value survives (JSON escapes); lines
 * stay under JOURNAL_LINE_MAX: what would not fit is left out and named in "truncated".
 * Threads: any. Shape: see the functions; schema version 1. */
#pragma once

#include "util/buf.h"

struct record_subject { /* iss.n == 0: nobody known */
    struct view iss, uid, username, via;
    struct view groups_json; /* a JSON list, or empty */
    bool is_stale;           /* claims older than session.refresh */
};

struct record_decision {
    struct view id; /* UUIDv7 of the decision */
    int64_t now_ms;
    struct view decision; /* allow, deny, login */
    struct view outcome;  /* allowed, denied, login_required, step_up, error, refused */
    struct view reason, reason_text;
    struct record_subject subject;
    struct view forge, owner, name, visibility;                      /* forge.n == 0: no repository */
    struct view request_id, method, host, path, ip, action, dialect; /* method, ip: p == NULL = absent */
    struct view query;                                               /* raw; p == NULL: none; logged as length and digest only */
    struct view query_key;                                           /* HMAC key for the digest */
    struct view revision, rule, file;
    int line;
    const char *const *matched;
    size_t n_matched;
    const struct view *errors;
    size_t n_errors;
    struct view input_json;       /* the `input` object, or empty */
    struct view obligations_json; /* or empty */
    int64_t eval_us, instr, eval_bytes;
    struct view trace_id;
};

/* Whose sessions were ended or listed, and how that came. */
struct record_sessions {
    struct view how;  /* local, provider, backchannel, admin */
    struct view by;   /* cookie, sid, sub, username, id, all */
    struct view name; /* the sid, sub, username or id; p == NULL: none */
    int64_t count;    /* ended or listed; negative: not known */
};

struct record_event { /* login, logout, session, policy.activated, policy.rejected, admin.action */
    struct view type, id;
    int64_t now_ms;
    struct view outcome; /* ok, failed */
    struct view reason, reason_text;
    struct record_subject subject;
    struct view ip, revision;
    const struct record_sessions *sessions; /* or NULL */
    struct view admin_token;                /* which one, not what it is: the start of its digest; p == NULL: none */
};

/* Appends the object without its closing brace. GW_E_LIMIT if even the least does not fit. */
enum gw_err record_put_decision(struct buf *out, const struct record_decision *d) GW_MUST_CHECK;
enum gw_err record_put_event(struct buf *out, const struct record_event *e) GW_MUST_CHECK;
