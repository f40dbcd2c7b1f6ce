/* ttlmap: a bounded map from a digest to a pointer, whose entries expire.
 *
 * Eviction: when an entry or its cost no longer fits, the entries whose last use lies furthest back go first. Finding and
 * putting are uses; walking is not. An expired entry goes when it is found, or as any other.
 * Shape: keys are digests (SHA-256 or HMAC), so their first eight bytes are taken as spread. `cost` counts what the caller
 * likes, bytes as a rule; TTLMAP_ENTRY_BYTES is what the map itself needs for one entry, growth paid as it comes.
 * Errors: GW_E_NOMEM; GW_E_LIMIT an entry that costs more than the whole map may hold. GW_E_IO no random seed.
 * Owns: a value put is the map's, which calls drop() once when the entry ends in any way; what is found is borrowed until then.
 * Threads: one at a time (the caller locks); drop() runs inside the call and must not come back to the map. */
#pragma once

#include "util/digest.h"

enum { TTLMAP_ENTRY_BYTES = 72 };

struct ttlmap;

struct ttlmap_spec {
    size_t max_entries;        /* at least 1 */
    size_t max_cost;           /* 0 = only entries are counted */
    void (*drop)(void *value); /* NULL = nothing to do */
};

enum gw_err ttlmap_new(const struct ttlmap_spec *spec, struct ttlmap **ret_map) GW_MUST_CHECK;
void ttlmap_free(struct ttlmap *m);

/* NULL if there is none, or none that lives at now_s. */
void *ttlmap_find(struct ttlmap *m, const uint8_t key[DIGEST_BYTES], int64_t now_s);
/* Lives while now_s < expires_s. Consumes the value, also on failure; replaces what was there, also on failure. */
enum gw_err ttlmap_put(struct ttlmap *m, const uint8_t key[DIGEST_BYTES], void *value, size_t cost, int64_t expires_s)
    GW_MUST_CHECK;
/* False if there was none. */
bool ttlmap_remove(struct ttlmap *m, const uint8_t key[DIGEST_BYTES]);
/* Walks in no order: size_t pos = 0; while (ttlmap_next(m, &pos, &key, &value)) …, expired entries too. The map may change
 * between calls: an entry that was there all the time is met once. */
bool ttlmap_next(struct ttlmap *m, size_t *pos, const uint8_t **ret_key, void **ret_value);

size_t ttlmap_count(const struct ttlmap *m);
size_t ttlmap_cost(const struct ttlmap *m);
