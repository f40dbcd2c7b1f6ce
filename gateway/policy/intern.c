#include "policy/intern.h"

#include <stdlib.h>

/* Eight bytes at a time, each mixed by an odd multiplier (2^64 over the golden ratio). Nobody outside can crowd the table: it holds
 * the rules' names only. */
static size_t hash_of(struct view v)
{
    uint64_t h = v.n, word;
    size_t i = 0;

    for (; i + sizeof(word) <= v.n; i += sizeof(word)) {
        memcpy(&word, v.p + i, sizeof(word));
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    for (word = 0; i < v.n; i++)
        word = word << 8 | (uint8_t)v.p[i];
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ h >> 32);
}

static uint64_t length_bit(struct view v)
{
    return (uint64_t)1 << (v.n < 63 ? v.n : 63);
}

void intern_deinit(struct intern *in)
{
    free(in->names);
    free(in->slots);
    *in = (struct intern){.arena = in->arena};
}

bool intern_find(const struct intern *in, struct view name, uint32_t *ret_number)
{
    if ((in->lengths & length_bit(name)) == 0 || name.n == 0)
        return false;
    for (size_t at = hash_of(name) & (in->n_slots - 1); in->slots[at] != 0; at = (at + 1) & (in->n_slots - 1)) {
        if (view_eq(in->names[in->slots[at] - 1], name)) {
            *ret_number = in->slots[at] - 1;
            return true;
        }
    }
    return false;
}

static void slot_take(struct intern *in, uint32_t number)
{
    size_t at = hash_of(in->names[number]) & (in->n_slots - 1);

    while (in->slots[at] != 0)
        at = (at + 1) & (in->n_slots - 1);
    in->slots[at] = number + 1;
}

/* At most half full. */
static enum gw_err grow(struct intern *in)
{
    size_t n_slots = in->n_slots == 0 ? 64 : in->n_slots * 2, size = n_slots / 2;
    struct view *names = realloc(in->names, size * sizeof(*names));
    uint32_t *slots;

    if (names == NULL)
        return GW_E_NOMEM;
    in->names = names;
    slots = calloc(n_slots, sizeof(*slots));
    if (slots == NULL)
        return GW_E_NOMEM;
    free(in->slots);
    in->slots = slots;
    in->n_slots = n_slots;
    in->size = size;
    for (uint32_t i = 0; i < in->n; i++)
        slot_take(in, i);
    return GW_OK;
}

enum gw_err intern_add(struct intern *in, struct view name, uint32_t *ret_number)
{
    struct view copy;
    enum gw_err err;

    if (intern_find(in, name, ret_number))
        return GW_OK;
    if (in->n == INTERN_NAMES_MAX)
        return GW_E_LIMIT;
    if (in->n == in->size && (err = grow(in)) != GW_OK)
        return err;
    copy = arena_copy(in->arena, name);
    if (copy.p == NULL)
        return GW_E_NOMEM;
    in->names[in->n] = copy;
    in->lengths |= length_bit(copy);
    slot_take(in, (uint32_t)in->n);
    *ret_number = (uint32_t)in->n++;
    return GW_OK;
}
