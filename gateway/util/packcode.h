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

static inline void packcode_put_varint(struct buf *out, size_t n)
{
    while (n >= 0x80) {
        buf_put_byte(out, (char)(n | 0x80));
        n >>= 7;
    }
    buf_put_byte(out, (char)n);
}

static inline void packcode_put_int(struct buf *out, int64_t n)
{
    bool is_small = n >= 0 && n < 128;
    buf_put_byte(out, (char)(is_small ? TAG_SMALL : PACK_INT));
    buf_put(out, view_at((const char *)&n, is_small ? 1 : sizeof(n)));
}

static inline void packcode_put_real(struct buf *out, double d)
{
    buf_put_byte(out, PACK_REAL);
    buf_put(out, view_at((const char *)&d, sizeof(d)));
}

static inline void packcode_put_string(struct buf *out, struct view v)
{
    buf_put_byte(out, PACK_STRING);
    packcode_put_varint(out, v.n);
    buf_put(out, v);
}

/* What stands before a list's or a map's payload. */
static inline void packcode_put_head(struct buf *out, enum pack_type tag, size_t count, size_t payload_bytes)
{
    buf_put_byte(out, (char)tag);
    packcode_put_varint(out, count);
    packcode_put_varint(out, payload_bytes);
}
