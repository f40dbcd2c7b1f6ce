/* swar: looks at eight bytes at once.
 *
 * Each function answers "is there any such byte among the eight?", exactly; it does not say which. Threads: values. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { SWAR_BYTES = 8 };

#define SWAR_ONES (UINT64_MAX / 0xff)
#define SWAR_TOPS (SWAR_ONES << 7)

static inline uint64_t swar_load(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

/* below: 1 to 128. Not zero if a byte is below it. */
static inline uint64_t swar_below(uint64_t w, uint8_t below)
{
    return (w - SWAR_ONES * below) & ~w & SWAR_TOPS;
}

/* Not zero if a byte is c. */
static inline uint64_t swar_equal(uint64_t w, uint8_t c)
{
    return swar_below(w ^ (SWAR_ONES * c), 1);
}

/* Not zero if a byte is 128 or more. */
static inline uint64_t swar_high(uint64_t w)
{
    return w & SWAR_TOPS;
}
