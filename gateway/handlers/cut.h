/* cut: tells when the sockets of a WebSocket must go: when the session has ended, wherever that was, or its time is over; or when
 * that is so of the credential that a program came with.
 *
 * Shape: cut_begin() before it is asked who comes, so that no end is missed; cut_know() once that is known; then the guard goes to whoever
 * carries the sockets. Owns: cut_guard()'s release frees it; until then cut_free(). Threads: one loop. */
#pragma once

#include "handlers/identify.h"

struct cut;

/* NULL without memory. */
struct cut *cut_begin(const struct exchange *x);
void cut_free(struct cut *c); /* NULL is fine */
void cut_know(struct cut *c, const struct identify *who);
struct tunnel_guard cut_guard(struct cut *c);
