/* again: breaks the two circles that a browser can be sent around in, with cookies of its own, so that any replica can.
 *
 * A login that cannot be finished is begun a second time, and no third: a short-lived cookie marks it, and `again=1` in the query of the
 * login tells a browser that keeps no cookies from one that comes for the first time.
 * A login that can be finished, and does not help: logins finished are counted in a cookie, and whoever is back for another after
 * AGAIN_LOGINS_MAX in a minute is stopped. Each takes four redirects, and browsers give up after 20 without a word about why.
 * Threads: the exchange's loop. */
#pragma once

#include "http/exchange.h"

#define AGAIN_LOGIN_TARGET "/_repogate/login?again=1&rd=%2F"

enum { AGAIN_LOGINS_MAX = 4, AGAIN_WINDOW_S = 60 };

void again_mark(struct exchange *x);
void again_clear(struct exchange *x);
bool again_is_marked(struct exchange *x);
/* One of ours; they share the prefix of the attempts' cookies. */
bool again_is_cookie(const struct exchange *x, struct view name);
/* Sent here with a mark that did not stick. */
bool again_is_lost(struct exchange *x);

/* A login was finished. */
void again_count(struct exchange *x);
/* Finished as often as it can be, and here for another. */
bool again_is_circling(struct exchange *x);
void again_forget_count(struct exchange *x);
