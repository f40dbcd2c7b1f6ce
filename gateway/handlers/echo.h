/* echo: shows what reached the far side of a proxy, and what was judged about it, for `repogate doctor`.
 *
 * How: a path /_repogate/echo/{name}/{rest} (http/original) is routed as a repository's is, and the "workspace" is this gateway. Where the
 * gateway routes, the request comes here at once: it is judged like any other, then told what a workspace would have been sent. Where the proxy
 * routes, the auth endpoint judges it, keeps a note of what it was asked, and names this gateway as the upstream, at the address at which the
 * proxy reached it and, like a workspace's, without the prefix; the request then arrives, at whatever path, with the decision's id in X-Repogate-Decision-Id, as a
 * workspace's would, and is told what arrived beside the note. So every mistake that makes the judged request another than the routed one shows as a difference within one answer.
 * Who may see it: whom the policy allows the path (no repository: has(r) is false; `paths` fits it). A request that brings the id of a decision that
 * allowed an echo less than ECHO_KEEP_MS ago, from a trusted peer, is not judged again: the proxy has asked already, and one that lets somebody
 * pass on another's answer is what the doctor is looking for. The id is as hard to guess as a key, and the echo tells only what its sender sent.
 * Never told: values of Cookie and Authorization, of the assertion and the proxy's secret, in any spelling; their length is.
 * Caps: ECHO_NOTES_MAX notes, the oldest makes room; what is longer than a note's fields is not noted.
 * Owns: the notes. Threads: any; they are behind a lock that is held for a copy. Source: DESIGN 2 (doctor), 4; THREATS A, B, H. */
#pragma once

#include "handlers/gate.h"

enum { ECHO_NOTES_MAX = 128, ECHO_KEEP_MS = 60000, ECHO_TARGET_MAX = 2048, ECHO_NAME_MAX = 255, ECHO_BODY_MAX = 128 * 1024 };

struct echo;

enum gw_err echo_new(struct echo **ret_echo) GW_MUST_CHECK;
void echo_free(struct echo *e);
/* An auth endpoint has allowed an echo: a note of it, and, for a proxy that asks where to route, the upstream. */
void echo_note(struct gate *g, bool names_upstream);
/* The request is one that another decision has let through to a "workspace": handle_echo() answers it, whatever its path. */
bool echo_expects(struct exchange *x);
/* An auth endpoint could not understand what it was asked about. Echoes tell how often: where the proxy falls back on the gateway's own route,
 * nothing else would show that it asks in vain. */
void echo_count_refused(const struct gate *g);
