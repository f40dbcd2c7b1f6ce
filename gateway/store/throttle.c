#include "store/throttle.h"

#include "store/ttlmap.h"
#include "util/cleanup.h"

#include <pthread.h>
#include <stdlib.h>

enum { US_PER_S = 1000 * 1000, PREFIX_V6_BYTES = 8 };

/* full_us: when the bucket will be full if nothing more is taken; each token moves it on by one step. */
struct bucket {
    int64_t full_us;
    bool is_refusing;
};

struct throttle {
    pthread_mutex_t lock;
    struct ttlmap *buckets;
    int64_t step_us, depth_us; /* per token; of an empty bucket */
};

enum gw_err throttle_new(unsigned per_minute, struct throttle **ret_throttle)
{
    if (per_minute == 0 || per_minute > THROTTLE_PER_MINUTE_MAX)
        return GW_E_INVALID;
    struct throttle *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return GW_E_NOMEM;
    enum gw_err err = ttlmap_new(&(struct ttlmap_spec){.max_entries = THROTTLE_BUCKETS_MAX, .drop = free}, &t->buckets);
    if (err != GW_OK) {
        free(t);
        return err;
    }
    pthread_mutex_init(&t->lock, NULL);
    t->step_us = INT64_C(60) * US_PER_S / per_minute;
    t->depth_us = t->step_us * per_minute;
    *ret_throttle = t;
    return GW_OK;
}

void throttle_free(struct throttle *t)
{
    if (t == NULL)
        return;
    ttlmap_free(t->buckets);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

enum { BY_NAME = 0xff }; /* in the place of an address's family */

static enum gw_err key_of_address(uint8_t thing, const struct ipaddr *client, uint8_t ret_key[DIGEST_BYTES])
{
    char name[2 + sizeof(client->bytes)] = {(char)thing, (char)client->family};
    memcpy(name + 2, client->bytes, client->family == 6 ? PREFIX_V6_BYTES : sizeof(client->bytes));
    return digest_sha256(view_at(name, sizeof(name)), ret_key);
}

static enum gw_err key_of_name(uint8_t thing, struct view name, uint8_t ret_key[DIGEST_BYTES])
{
    const char kind[2] = {(char)thing, (char)BY_NAME};
    const struct view parts[] = {view_at(kind, sizeof(kind)), name};
    return digest_sha256_parts(parts, 2, ret_key);
}

/* With the lock held. NULL without memory. */
static struct bucket *find_bucket(struct throttle *t, const uint8_t key[DIGEST_BYTES])
{
    struct bucket *b = ttlmap_find(t->buckets, key, 0);
    if (b != NULL)
        return b;
    b = calloc(1, sizeof(*b));
    return b != NULL && ttlmap_put(t->buckets, key, b, 0, INT64_MAX) == GW_OK ? b : NULL;
}

static bool take(const struct throttle *t, struct bucket *b, int64_t now_us, struct throttle_refusal *ret_refusal)
{
    int64_t full_us = (b->full_us > now_us ? b->full_us : now_us) + t->step_us;
    int64_t wait_us = full_us - now_us - t->depth_us;
    if (wait_us > 0) {
        *ret_refusal = (struct throttle_refusal){(wait_us + US_PER_S - 1) / US_PER_S, !b->is_refusing};
        b->is_refusing = true;
        return false;
    }
    b->full_us = full_us;
    b->is_refusing = false;
    return true;
}

static bool take_by_key(struct throttle *t, const uint8_t key[DIGEST_BYTES], int64_t now_us, struct throttle_refusal *ret_refusal)
{
    pthread_mutex_lock(&t->lock);
    struct bucket *b = find_bucket(t, key);
    bool may = b == NULL || take(t, b, now_us, ret_refusal);
    pthread_mutex_unlock(&t->lock);
    return may;
}

static void give_back_by_key(struct throttle *t, const uint8_t key[DIGEST_BYTES])
{
    pthread_mutex_lock(&t->lock);
    struct bucket *b = ttlmap_find(t->buckets, key, 0);
    if (b != NULL)
        b->full_us -= t->step_us;
    pthread_mutex_unlock(&t->lock);
}

bool throttle_take(struct throttle *t, uint8_t thing, const struct ipaddr *client, int64_t now_us,
                   struct throttle_refusal *ret_refusal)
{
    uint8_t key[DIGEST_BYTES];
    return key_of_address(thing, client, key) != GW_OK || take_by_key(t, key, now_us, ret_refusal);
}

void throttle_give_back(struct throttle *t, uint8_t thing, const struct ipaddr *client)
{
    uint8_t key[DIGEST_BYTES];
    if (key_of_address(thing, client, key) == GW_OK)
        give_back_by_key(t, key);
}

bool throttle_take_name(struct throttle *t, uint8_t thing, struct view name, int64_t now_us, struct throttle_refusal *ret_refusal)
{
    uint8_t key[DIGEST_BYTES];
    return key_of_name(thing, name, key) != GW_OK || take_by_key(t, key, now_us, ret_refusal);
}

void throttle_give_back_name(struct throttle *t, uint8_t thing, struct view name)
{
    uint8_t key[DIGEST_BYTES];
    if (key_of_name(thing, name, key) == GW_OK)
        give_back_by_key(t, key);
}
