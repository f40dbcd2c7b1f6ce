/* Entries lie in chunks that never move, linked by number: half the size of pointers, no copying when the map grows, and a
 * walk survives changes. A cookie's digest is chosen by its sender, who could aim a thousand at one bucket by trying; a random
 * odd factor that never leaves the process takes the aim away (multiply-shift hashing). */
#include "store/ttlmap.h"

#include "util/rnd.h"

#include <stdlib.h>

enum { CHUNK_ENTRIES = 64, BUCKETS_FIRST = 16 };

static const uint32_t NIL = UINT32_MAX;

struct entry {
    uint8_t key[DIGEST_BYTES];
    void *value;
    int64_t expires_s;
    uint32_t cost;
    uint32_t chain;        /* next in the bucket, or in the list of free entries */
    uint32_t newer, older; /* order of use; newer == self for a free entry */
};

struct ttlmap {
    struct ttlmap_spec spec;
    uint64_t factor; /* odd */
    struct entry **chunks;
    uint32_t n_slots, first_free;
    uint32_t *buckets;
    unsigned bucket_bits;
    uint32_t newest, oldest;
    size_t n, cost;
};

_Static_assert(sizeof(struct entry) + 2 * sizeof(uint32_t) == TTLMAP_ENTRY_BYTES, "an entry and its share of the buckets");

static struct entry *entry_at(const struct ttlmap *m, uint32_t slot)
{
    return &m->chunks[slot / CHUNK_ENTRIES][slot % CHUNK_ENTRIES];
}

static uint32_t *bucket_of(const struct ttlmap *m, const uint8_t *key)
{
    uint64_t k;
    memcpy(&k, key, sizeof(k));
    return &m->buckets[(k * m->factor) >> (64 - m->bucket_bits)];
}

static uint32_t *buckets_new(unsigned bits)
{
    size_t n_bytes = sizeof(uint32_t) << bits;
    uint32_t *b = malloc(n_bytes);
    if (b != NULL)
        memset(b, 0xff, n_bytes); /* all NIL */
    return b;
}

enum gw_err ttlmap_new(const struct ttlmap_spec *spec, struct ttlmap **ret_map)
{
    uint64_t factor;
    enum gw_err err = rnd_bytes(&factor, sizeof(factor));
    if (err != GW_OK)
        return err;
    struct ttlmap *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return GW_E_NOMEM;
    m->spec = *spec;
    if (m->spec.max_entries >= NIL)
        m->spec.max_entries = NIL - 1;
    m->factor = factor | 1;
    m->newest = m->oldest = m->first_free = NIL;
    while ((1u << m->bucket_bits) < BUCKETS_FIRST)
        m->bucket_bits++;
    m->buckets = buckets_new(m->bucket_bits);
    if (m->buckets == NULL) {
        free(m);
        return GW_E_NOMEM;
    }
    *ret_map = m;
    return GW_OK;
}

/* ---- order of use ---- */

static void use_unlink(struct ttlmap *m, struct entry *e)
{
    *(e->newer == NIL ? &m->newest : &entry_at(m, e->newer)->older) = e->older;
    *(e->older == NIL ? &m->oldest : &entry_at(m, e->older)->newer) = e->newer;
}

static void use_link_newest(struct ttlmap *m, struct entry *e, uint32_t slot)
{
    e->newer = NIL;
    e->older = m->newest;
    *(m->newest == NIL ? &m->oldest : &entry_at(m, m->newest)->newer) = slot;
    m->newest = slot;
}

/* ---- slots ---- */

static enum gw_err slots_grow(struct ttlmap *m)
{
    uint32_t n_chunks = m->n_slots / CHUNK_ENTRIES;
    struct entry **chunks = realloc(m->chunks, (n_chunks + 1) * sizeof(struct entry *));
    if (chunks == NULL)
        return GW_E_NOMEM;
    m->chunks = chunks;
    struct entry *chunk = calloc(CHUNK_ENTRIES, sizeof(*chunk));
    if (chunk == NULL)
        return GW_E_NOMEM;
    chunks[n_chunks] = chunk;
    for (uint32_t i = CHUNK_ENTRIES; i-- > 0;) {
        uint32_t slot = m->n_slots + i;
        chunk[i].newer = slot;
        chunk[i].chain = m->first_free;
        m->first_free = slot;
    }
    m->n_slots += CHUNK_ENTRIES;
    return GW_OK;
}

/* Without memory the chains only get longer. */
static void buckets_grow(struct ttlmap *m)
{
    uint32_t *grown = buckets_new(m->bucket_bits + 1);
    if (grown == NULL)
        return;
    free(m->buckets);
    m->buckets = grown;
    m->bucket_bits++;
    for (uint32_t slot = m->newest; slot != NIL; slot = entry_at(m, slot)->older) {
        struct entry *e = entry_at(m, slot);
        uint32_t *b = bucket_of(m, e->key);
        e->chain = *b;
        *b = slot;
    }
}

/* The link that names the key's slot, or the one where it would be. */
static uint32_t *find_link(const struct ttlmap *m, const uint8_t *key)
{
    uint32_t *link = bucket_of(m, key);
    while (*link != NIL && memcmp(entry_at(m, *link)->key, key, DIGEST_BYTES) != 0)
        link = &entry_at(m, *link)->chain;
    return link;
}

static void remove_at(struct ttlmap *m, uint32_t *link)
{
    uint32_t slot = *link;
    struct entry *e = entry_at(m, slot);
    void *value = e->value;
    *link = e->chain;
    use_unlink(m, e);
    m->n--;
    m->cost -= e->cost;
    *e = (struct entry){.newer = slot, .chain = m->first_free};
    m->first_free = slot;
    if (m->spec.drop != NULL)
        m->spec.drop(value);
}

void ttlmap_free(struct ttlmap *m)
{
    if (m == NULL)
        return;
    while (m->oldest != NIL)
        remove_at(m, find_link(m, entry_at(m, m->oldest)->key));
    for (uint32_t i = 0; i < m->n_slots / CHUNK_ENTRIES; i++)
        free(m->chunks[i]);
    free(m->chunks);
    free(m->buckets);
    free(m);
}

/* ---- the map ---- */

void *ttlmap_find(struct ttlmap *m, const uint8_t key[DIGEST_BYTES], int64_t now_s)
{
    uint32_t *link = find_link(m, key);
    if (*link == NIL)
        return NULL;
    uint32_t slot = *link;
    struct entry *e = entry_at(m, slot);
    if (now_s >= e->expires_s) {
        remove_at(m, link);
        return NULL;
    }
    if (m->newest != slot) {
        use_unlink(m, e);
        use_link_newest(m, e, slot);
    }
    return e->value;
}

static enum gw_err make_room(struct ttlmap *m, size_t cost)
{
    if (cost > UINT32_MAX || (m->spec.max_cost > 0 && cost > m->spec.max_cost))
        return GW_E_LIMIT;
    while (m->n > 0 && (m->n >= m->spec.max_entries || (m->spec.max_cost > 0 && m->cost + cost > m->spec.max_cost)))
        remove_at(m, find_link(m, entry_at(m, m->oldest)->key));
    if (m->first_free == NIL)
        return slots_grow(m);
    return GW_OK;
}

enum gw_err ttlmap_put(struct ttlmap *m, const uint8_t key[DIGEST_BYTES], void *value, size_t cost, int64_t expires_s)
{
    ttlmap_remove(m, key);
    enum gw_err err = make_room(m, cost);
    if (err != GW_OK) {
        if (m->spec.drop != NULL)
            m->spec.drop(value);
        return err;
    }
    if (m->n >= (size_t)1 << m->bucket_bits)
        buckets_grow(m);
    uint32_t slot = m->first_free;
    struct entry *e = entry_at(m, slot);
    m->first_free = e->chain;
    uint32_t *bucket = bucket_of(m, key);
    *e = (struct entry){.value = value, .expires_s = expires_s, .cost = (uint32_t)cost, .chain = *bucket};
    memcpy(e->key, key, DIGEST_BYTES);
    *bucket = slot;
    use_link_newest(m, e, slot);
    m->n++;
    m->cost += cost;
    return GW_OK;
}

bool ttlmap_remove(struct ttlmap *m, const uint8_t key[DIGEST_BYTES])
{
    uint32_t *link = find_link(m, key);
    if (*link == NIL)
        return false;
    remove_at(m, link);
    return true;
}

bool ttlmap_next(struct ttlmap *m, size_t *pos, const uint8_t **ret_key, void **ret_value)
{
    while (*pos < m->n_slots) {
        uint32_t slot = (uint32_t)(*pos)++;
        struct entry *e = entry_at(m, slot);
        if (e->newer == slot)
            continue;
        *ret_key = e->key;
        *ret_value = e->value;
        return true;
    }
    return false;
}

size_t ttlmap_count(const struct ttlmap *m)
{
    return m->n;
}

size_t ttlmap_cost(const struct ttlmap *m)
{
    return m->cost;
}
