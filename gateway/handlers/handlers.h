/* handlers: one function per thing a client can ask; each answers its exchange exactly once, at once or later.
 *
 * The story of a request is told in auth.c and forward.c. Threads: the exchange's loop. */
#pragma once

#include "http/exchange.h"
#include "http/original.h"

void handle_auth(struct exchange *x, enum dialect d); /* auth.c: a proxy in front asks: may this request pass? */
void handle_forward(struct exchange *x);              /* forward.c: decide, then route to the workspace */
void handle_unreachable(struct exchange *x);          /* forward.c: the page for a workspace that NGINX could not reach */
void handle_nothing(struct exchange *x);              /* router.c: 404 */
void handle_login(struct exchange *x);                /* login.c: 302 to Authentik */
void handle_callback(struct exchange *x);             /* callback.c: the browser comes back with a code */
void handle_logout(struct exchange *x);               /* logout.c: page, and the end of the session */
void handle_jwks(struct exchange *x);                 /* jwks.c: the keys of our assertions */
void handle_backchannel_logout(struct exchange *x);   /* backchannel.c: the provider says that a session has ended */
void handle_whoami(struct exchange *x);               /* whoami.c: JSON about the person */
void handle_echo(struct exchange *x);                 /* echo.c: what reached the far side, for `repogate doctor` */
void handle_portal(struct exchange *x);               /* portal.c: open a repository */
void handle_open(struct exchange *x);                 /* portal.c: where its form leads */
void handle_style(struct exchange *x);                /* health.c and below: what needs no person */
void handle_logo(struct exchange *x);
void handle_health(struct exchange *x);
void handle_ping(struct exchange *x);
void handle_ready(struct exchange *x);
void handle_metrics(struct exchange *x);
void handle_admin_sessions(struct exchange *x); /* admin.c: whose sessions there are; admin listener only, with the token */
void handle_admin_revoke(struct exchange *x);   /* admin.c: ends some of them */
