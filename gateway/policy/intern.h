/* intern: numbers the names that rules speak of, so that a decision looks each of the user's names up once and rules then compare
 * bits.
 *
 * Errors: GW_E_NOMEM; GW_E_LIMIT past INTERN_NAMES_MAX. Owns: copies of the names.
 * Threads: immutable once the rules are loaded. */
#pragma once

#include "util/arena.h"

enum { INTERN_NAMES_MAX = 8192 };

struct intern {
    struct arena *arena; /* borrowed */
    struct view *names;  /* by number */
    size_t n, size;
    uint32_t *slots;  /* hash table of number + 1; 0 = free */
    size_t n_slots;   /* a power of two */
    uint64_t lengths; /* bit n: a name of n bytes is there; most strange names end here */
};

void intern_deinit(struct intern *in);
enum gw_err intern_add(struct intern *in, struct view name, uint32_t *ret_number) GW_MUST_CHECK;
bool intern_find(const struct intern *in, struct view name, uint32_t *ret_number);

static inline size_t intern_words(const struct intern *in)
{
    return (in->n + 63) / 64;
}

static inline bool intern_bit(const uint64_t *bits, uint32_t number)
{
    return (bits[number / 64] >> (number % 64) & 1) != 0;
}
