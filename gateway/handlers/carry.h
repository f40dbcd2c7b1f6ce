/* carry: takes one exchange to a workspace and brings the answer back, streaming both ways; after an upgrade the sockets too.
 *
 * Shape: x->state points to a struct whose first member is a zeroed struct carry. carry_start(), once, when it is settled where to go and
 * with which headers: it answers the exchange, or calls `failed` once.
 * Errors (carry_start): as relay_start(); nothing was answered then, and `failed` is not called.
 * Owns: carry_end() lets go of the workspace's side and belongs into the exchange's on_done. The spec is copied; what it points to
 * is borrowed until then. Threads: one loop. Not here: who may, and what is said of them (gate, guard). */
#pragma once

#include "handlers/core.h"

struct carry_spec {
    struct view address; /* host:port */
    struct view target, host;
    const struct relay_header *headers; /* as they are to be sent */
    size_t n_headers;
    bool is_upgrade;
    struct tunnel_guard guard; /* of the sockets after an upgrade; released once, with or without one */
    /* May this header of the workspace's answer pass? */
    bool (*passes)(const struct exchange *x, struct view name, struct view value);
    /* Logs it, and answers the exchange unless that was done. */
    void (*failed)(struct exchange *x, enum gw_err err, const char *detail, bool is_answered);
};

struct carry {
    struct carry_spec spec;
    struct exchange *x;
    struct relay *relay;
    bool is_answered, has_failed;
};

enum gw_err carry_start(struct carry *c, struct exchange *x, const struct carry_spec *spec) GW_MUST_CHECK;
void carry_end(struct carry *c);
