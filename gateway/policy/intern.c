#include "policy/intern.h"

#include <stdlib.h>

/* FNV-1a. The table holds the rules' names only, so a user's names cannot crowd it. */
static size_t hash_of(struct view v)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < v.n; i++)
        h = (h ^ (uint8_t)v.p[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

void intern_deinit(struct intern *in)
{
    free(in->names);
    free(in->slots);
    *in = (struct intern){.arena = in->arena};
}

bool intern_find(const struct intern *in, struct view name, uint32_t *ret_number)
{
    if (in->n_slots == 0)
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
    slot_take(in, (uint32_t)in->n);
    *ret_number = (uint32_t)in->n++;
    return GW_OK;
}
