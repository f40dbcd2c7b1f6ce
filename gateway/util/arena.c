#include "util/arena.h"

#include <stdlib.h>

enum { ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size, used;
    _Alignas(ARENA_ALIGN) char bytes[];
};

static void free_blocks(struct arena_block *b)
{
    while (b != NULL) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_deinit(struct arena *a)
{
    free_blocks(a->first);
    *a = (struct arena){.cap_bytes = a->cap_bytes};
}

void arena_reset(struct arena *a)
{
    if (a->first == NULL)
        return;
    free_blocks(a->first->next);
    a->first->next = NULL;
    a->first->used = 0;
    a->last = a->first;
    a->used_bytes = 0;
}

static struct arena_block *add_block(struct arena *a, size_t need)
{
    size_t size = need > ARENA_BLOCK_BYTES ? need : ARENA_BLOCK_BYTES;
    struct arena_block *b = malloc(sizeof(*b) + size);
    if (b == NULL)
        return NULL;
    *b = (struct arena_block){.size = size};
    if (a->last == NULL)
        a->first = b;
    else
        a->last->next = b;
    a->last = b;
    return b;
}

void *arena_get(struct arena *a, size_t n)
{
    if (n > a->cap_bytes)
        return NULL;
    n = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (a->used_bytes + n > a->cap_bytes)
        return NULL;
    struct arena_block *b = a->last;
    if (b == NULL || b->size - b->used < n)
        b = add_block(a, n);
    if (b == NULL)
        return NULL;
    void *p = b->bytes + b->used;
    b->used += n;
    a->used_bytes += n;
    return p;
}

struct view arena_join(struct arena *a, const struct view *parts, size_t n_parts)
{
    size_t n = 0;
    for (size_t i = 0; i < n_parts; i++)
        n += parts[i].n;
    char *p = arena_get(a, n + 1);
    if (p == NULL)
        return VIEW_NONE;
    size_t at = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].n > 0)
            memcpy(p + at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    p[n] = '\0';
    return (struct view){p, n};
}

struct view arena_copy(struct arena *a, struct view v)
{
    return arena_join(a, &v, 1);
}
