/* online: what `repogate check --online` asks of the world around the gateway: the identity providers and the session store.
 *
 * Shape: in: a configuration that is sound in itself. Out: findings, each about one key, with what to do about it. What could
 * not be asked is UNKNOWN, which is neither right nor wrong. Nothing is changed anywhere: no login, no code redeemed, no token
 * issued, no row written.
 * Errors: GW_E_NOMEM, GW_E_IO before anything could be asked.
 * Owns: the configuration and all texts are borrowed for the call. Threads: one; blocks, at most FETCH_TIMEOUT_MS per question.
 * The process ignores SIGPIPE from then on (see net/fetch). */
#pragma once

#include "config/config.h"

enum online_severity { ONLINE_WRONG, ONLINE_UNKNOWN, ONLINE_WARNING };

typedef void (*online_report_fn)(void *arg, enum online_severity severity, const char *key, const char *text);

enum gw_err online_check(const struct config *c, online_report_fn report, void *arg) GW_MUST_CHECK;
