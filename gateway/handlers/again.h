/* again: the mark of a browser whose login was begun a second time, so that there is no third: a short-lived cookie, and `again=1` in the
 * query of the login, which tells a browser that keeps no cookies from one that comes for the first time.
 * Threads: the exchange's loop. */
#pragma once

#include "http/exchange.h"

#define AGAIN_LOGIN_TARGET "/_repogate/login?again=1&rd=%2F"

void again_mark(struct exchange *x);
void again_clear(struct exchange *x);
bool again_is_marked(struct exchange *x);
/* It shares the prefix of the attempts' cookies. */
bool again_is_cookie(const struct exchange *x, struct view name);
/* Sent here with a mark that did not stick. */
bool again_is_lost(struct exchange *x);
