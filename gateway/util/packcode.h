/* packcode: how pack and packtext lay values out; for these two alone.
 *
 * One tag byte, then
 *   INT    8 bytes little-endian          REAL   8 bytes
 *   STRING varint length, bytes
 *   LIST   varint count, varint payload bytes, elements
 *   MAP    varint count, varint payload bytes, (varint key length, key, value) sorted by key
 * so that walking past a value never looks inside it. Integers from 0 to 127 are common and take two bytes (TAG_SMALL). */
#pragma once

#include "util/pack.h"

enum { TAG_SMALL = 64 };

enum { PACKCODE_VARINT_MAX = 10 };

/* Writes n at p, which has room for PACKCODE_VARINT_MAX bytes; returns how many it took. */
static inline size_t packcode_write_varint(char *p, size_t n)
{
    size_t len = 0;
    while (n >= 0x80) {
        p[len++] = (char)(n | 0x80);
        n >>= 7;
    }
    p[len++] = (char)n;
    return len;
}

/* buf_reserve() with its usual case inline: a token's values are many and small. */
static inline char *packcode_room(struct buf *out, size_t n)
{
    if (!out->failed && out->n + n < out->size && out->n + n <= out->cap)
        return out->p + out->n;
    return buf_reserve(out, n);
}

static inline void packcode_put_tag(struct buf *out, int tag)
{
    char *p = packcode_room(out, 1);
    if (p == NULL)
        return;
    p[0] = (char)tag;
    p[1] = '\0';
    out->n++;
}

static inline void packcode_put_varint(struct buf *out, size_t n)
{
    char *p = packcode_room(out, PACKCODE_VARINT_MAX);
    if (p == NULL)
        return;
    size_t len = packcode_write_varint(p, n);
    p[len] = '\0';
    out->n += len;
}

/* A length and its bytes. */
static inline void packcode_put_counted(struct buf *out, struct view v)
{
    char *p = packcode_room(out, PACKCODE_VARINT_MAX + v.n);
    if (p == NULL)
        return;
    size_t len = packcode_write_varint(p, v.n);
    if (v.n > 0)
        memcpy(p + len, v.p, v.n);
    p[len + v.n] = '\0';
    out->n += len + v.n;
}

static inline void packcode_put_int(struct buf *out, int64_t n)
{
    bool is_small = n >= 0 && n < 128;
    packcode_put_tag(out, is_small ? TAG_SMALL : PACK_INT);
    buf_put(out, view_at((const char *)&n, is_small ? 1 : sizeof(n)));
}

static inline void packcode_put_real(struct buf *out, double d)
{
    packcode_put_tag(out, PACK_REAL);
    buf_put(out, view_at((const char *)&d, sizeof(d)));
}

static inline void packcode_put_string(struct buf *out, struct view v)
{
    packcode_put_tag(out, PACK_STRING);
    packcode_put_counted(out, v);
}

/* What stands before a list's or a map's payload. */
static inline void packcode_put_head(struct buf *out, enum pack_type tag, size_t count, size_t payload_bytes)
{
    packcode_put_tag(out, tag);
    packcode_put_varint(out, count);
    packcode_put_varint(out, payload_bytes);
}
