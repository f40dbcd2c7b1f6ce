/* throttle: how often one client address, or one name, may do something: a token bucket per address and thing.
 *
 * Shape: a bucket holds as many tokens as a minute brings, so a whole office behind one address may come at once; IPv6 clients
 * share the bucket of their /64, which is what one customer gets. An absent address is an address like any other.
 * Names (of people) have buckets of their own, which no address shares.
 * Memory: THROTTLE_BUCKETS_MAX buckets; those used longest ago go first, and one that is gone counts as full. Whoever wants to
 * gain by that needs more addresses, or names, than that.
 * Errors: GW_E_NOMEM, GW_E_IO no random seed. Without memory for a bucket the answer is yes, since nobody could log in otherwise.
 * Threads: any; a short lock. Source: ATM Forum's generic cell rate algorithm (one number per bucket). */
#pragma once

#include "util/err.h"
#include "util/ipaddr.h"

enum { THROTTLE_BUCKETS_MAX = 32768, THROTTLE_PER_MINUTE_MAX = 1000 * 1000 };

struct throttle;

/* per_minute: 1 to THROTTLE_PER_MINUTE_MAX. */
enum gw_err throttle_new(unsigned per_minute, struct throttle **ret_throttle) GW_MUST_CHECK;
void throttle_free(struct throttle *t);

struct throttle_refusal {
    int64_t retry_after_s; /* at least 1 */
    bool is_first;         /* the time before, the answer was yes: worth a line in a log */
};
/* thing: tells apart what is counted apart. now_us: monotonic. False: too often; *ret_refusal is set. */
bool throttle_take(struct throttle *t, uint8_t thing, const struct ipaddr *client, int64_t now_us,
                   struct throttle_refusal *ret_refusal);
/* What was taken turned out to cost nothing. */
void throttle_give_back(struct throttle *t, uint8_t thing, const struct ipaddr *client);
/* Likewise for a name: any bytes, kept as a digest. */
bool throttle_take_name(struct throttle *t, uint8_t thing, struct view name, int64_t now_us,
                        struct throttle_refusal *ret_refusal);
void throttle_give_back_name(struct throttle *t, uint8_t thing, struct view name);
