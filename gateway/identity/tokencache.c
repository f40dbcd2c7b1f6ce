/* A ring in order of arrival, with hash chains through it: what must go is always at the tail. */
#include "identity/tokencache.h"

#include <assert.h>
#include <stdlib.h>

enum { BUCKETS = 16384 };

struct entry {
    uint8_t digest[DIGEST_BYTES];
    struct principal *who;
    uint32_t next; /* in the chain: slot + 1, 0 = end */
};

struct tokencache {
    size_t tail, n, bytes;
    uint32_t buckets[BUCKETS]; /* slot + 1, 0 = empty */
    struct entry entries[TOKENCACHE_ENTRIES_MAX];
};

enum gw_err tokencache_new(struct tokencache **ret_cache)
{
    struct tokencache *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return GW_E_NOMEM;
    *ret_cache = c;
    return GW_OK;
}

/* The digest of a token that someone else signed is as good as random. */
static size_t bucket_of(const uint8_t digest[DIGEST_BYTES])
{
    return (digest[0] | (size_t)digest[1] << 8) % BUCKETS;
}

static void drop_oldest(struct tokencache *c)
{
    struct entry *e = &c->entries[c->tail];
    uint32_t *link = &c->buckets[bucket_of(e->digest)];
    while (*link != c->tail + 1)
        link = &c->entries[*link - 1].next;
    *link = e->next;
    c->bytes -= principal_bytes(e->who);
    principal_unref(e->who);
    c->tail = (c->tail + 1) % TOKENCACHE_ENTRIES_MAX;
    c->n--;
}

void tokencache_clear(struct tokencache *c)
{
    while (c->n > 0)
        drop_oldest(c);
}

void tokencache_free(struct tokencache *c)
{
    if (c != NULL)
        tokencache_clear(c);
    free(c);
}

struct principal *tokencache_find(const struct tokencache *c, const uint8_t digest[DIGEST_BYTES], int64_t now_s)
{
    for (uint32_t at = c->buckets[bucket_of(digest)]; at != 0; at = c->entries[at - 1].next) {
        const struct entry *e = &c->entries[at - 1];
        if (memcmp(e->digest, digest, DIGEST_BYTES) == 0)
            return now_s < principal_exp_s(e->who) ? e->who : NULL;
    }
    return NULL;
}

void tokencache_put(struct tokencache *c, const uint8_t digest[DIGEST_BYTES], struct principal *who)
{
    assert(tokencache_find(c, digest, 0) == NULL);
    size_t bytes = principal_bytes(who);
    while (c->n > 0 && (c->n == TOKENCACHE_ENTRIES_MAX || c->bytes + bytes > TOKENCACHE_BYTES_MAX))
        drop_oldest(c);
    size_t slot = (c->tail + c->n) % TOKENCACHE_ENTRIES_MAX;
    uint32_t *bucket = &c->buckets[bucket_of(digest)];
    struct entry *e = &c->entries[slot];
    memcpy(e->digest, digest, DIGEST_BYTES);
    e->who = principal_ref(who);
    e->next = *bucket;
    *bucket = (uint32_t)slot + 1;
    c->bytes += bytes;
    c->n++;
}

size_t tokencache_count(const struct tokencache *c)
{
    return c->n;
}
