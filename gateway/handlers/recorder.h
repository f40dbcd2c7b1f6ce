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
    const char *type;    /* login, logout */
    const char *outcome; /* ok, failed */
    const char *reason;
    struct view reason_text;
    const struct principal *who; /* or NULL */
};
bool recorder_event(struct exchange *x, const struct recorder_event *e);
/* The client's address as the proxy in front reports it; "" if it does not say so clearly. */
void recorder_format_client(const struct exchange *x, char out[IPADDR_TEXT_MAX + 1]);
