/* recorder: what handlers write to the audit log.
 *
 * Threads: the core's loop. */
#pragma once

#include "audit/record.h"
#include "handlers/core.h"

/* groups: room for the groups as JSON; the subject borrows from it and from who. who == NULL: nobody known. */
struct record_subject recorder_subject(const struct principal *who, struct buf *groups);
/* Appends core->record, which a record_put_…() that returned err has filled. False, and a line in the operators' log, if it is not written. */
bool recorder_append(struct core *core, enum gw_err err);

struct recorder_event {
    const char *type;    /* login, logout, session, admin.action */
    const char *outcome; /* ok, failed */
    const char *reason;
    struct view reason_text;
    const struct principal *who;            /* or NULL */
    struct view iss, uid;                   /* of a person of whom no more is known, without who */
    const struct record_sessions *sessions; /* or NULL */
    struct view admin_token;                /* of one who may use the admin API: the start of its digest */
    bool is_direct;                         /* no proxy stands in front: the peer is the client */
};
bool recorder_event(struct exchange *x, const struct recorder_event *e);
/* The client's address as the proxy in front reports it; "" if it does not say so clearly. */
void recorder_format_client(const struct exchange *x, char out[IPADDR_TEXT_MAX + 1]);
