/* arena: memory for one request, given back all at once.
 *
 * arena_reset() keeps the first block, so a connection that sends request after request allocates once.
 * Errors: NULL past the cap or without memory. Threads: one at a time. */
#pragma once

#include "util/view.h"

enum { ARENA_BLOCK_BYTES = 16 * 1024 };

struct arena_block;

struct arena {
    struct arena_block *first, *last;
    size_t used_bytes; /* over all blocks */
    size_t cap_bytes;
};

#define ARENA(cap) ((struct arena){.cap_bytes = (cap)})

void arena_deinit(struct arena *a);
void arena_reset(struct arena *a);
/* Aligned to 16 bytes, not zeroed. */
void *arena_get(struct arena *a, size_t n);
/* A NUL-terminated copy; p == NULL on failure. */
struct view arena_copy(struct arena *a, struct view v);
/* The parts joined, NUL-terminated; p == NULL on failure. */
struct view arena_join(struct arena *a, const struct view *parts, size_t n_parts);
