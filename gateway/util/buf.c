#include "util/buf.h"

#include "util/swar.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_deinit(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.cap = b->cap};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->p != NULL)
        b->p[0] = '\0';
}

static bool grow(struct buf *b, size_t need)
{
    size_t size = b->size == 0 ? BUF_FIRST_BYTES : b->size;
    while (size < need)
        size *= 2;
    char *p = realloc(b->p, size);
    if (p == NULL)
        return false;
    b->p = p;
    b->size = size;
    return true;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->failed || n > b->cap || b->n > b->cap - n) {
        b->failed = true;
        return NULL;
    }
    /* one more for the NUL */
    if (b->n + n + 1 > b->size && !grow(b, b->n + n + 1)) {
        b->failed = true;
        return NULL;
    }
    return b->p + b->n;
}

void buf_put_slowly(struct buf *b, struct view v)
{
    char *p = buf_reserve(b, v.n);
    if (p == NULL)
        return;
    if (v.n > 0)
        memcpy(p, v.p, v.n);
    p[v.n] = '\0';
    b->n += v.n;
}

void buf_put_byte(struct buf *b, char c)
{
    buf_put(b, (struct view){&c, 1});
}

void buf_put_u64(struct buf *b, uint64_t n)
{
    char digits[20];
    size_t i = sizeof(digits);
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    buf_put(b, (struct view){digits + i, sizeof(digits) - i});
}

void buf_put_i64(struct buf *b, int64_t n)
{
    if (n < 0)
        buf_put_byte(b, '-');
    buf_put_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void buf_put_hex(struct buf *b, const uint8_t *bytes, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    char *p = buf_reserve(b, n * 2);
    if (p == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        *p++ = hex[bytes[i] >> 4];
        *p++ = hex[bytes[i] & 15];
    }
    *p = '\0';
    b->n += n * 2;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : buf_reserve(b, (size_t)n);
    if (n < 0)
        b->failed = true;
    if (p != NULL) {
        vsnprintf(p, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629 4), 0 if there is none. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

static void put_json_escape(struct buf *b, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"':
        buf_puts(b, "\\\"");
        return;
    case '\\':
        buf_puts(b, "\\\\");
        return;
    case '\n':
        buf_puts(b, "\\n");
        return;
    case '\r':
        buf_puts(b, "\\r");
        return;
    case '\t':
        buf_puts(b, "\\t");
        return;
    default:
        buf_put(b, (struct view){(char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6});
    }
}

static bool is_plain_json(uint64_t w)
{
    return (swar_below(w, 0x20) | swar_equal(w, '"') | swar_equal(w, '\\') | swar_equal(w, 0x7f) | swar_high(w)) == 0;
}

void buf_put_json(struct buf *b, struct view v)
{
    const uint8_t *p = (const uint8_t *)v.p;
    size_t from = 0, i = 0;
    buf_put_byte(b, '"');
    while (i < v.n) {
        if (v.n - i >= SWAR_BYTES && is_plain_json(swar_load(v.p + i))) {
            i += SWAR_BYTES;
            continue;
        }
        if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\') {
            i++;
            continue;
        }
        size_t len = p[i] < 0x80 ? 0 : utf8_len(p + i, v.n - i);
        if (len > 1) {
            i += len;
            continue;
        }
        buf_put(b, (struct view){v.p + from, i - from});
        if (p[i] < 0x80)
            put_json_escape(b, p[i]);
        else
            buf_puts(b, "\xef\xbf\xbd");
        from = ++i;
    }
    buf_put(b, (struct view){v.p + from, v.n - from});
    buf_put_byte(b, '"');
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

void buf_put_percent(struct buf *b, struct view v)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = (uint8_t)v.p[i];
        if (is_unreserved(v.p[i]))
            buf_put_byte(b, v.p[i]);
        else
            buf_put(b, (struct view){(char[]){'%', hex[c >> 4], hex[c & 15]}, 3});
    }
}

void buf_put_html(struct buf *b, struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        switch (v.p[i]) {
        case '&':
            buf_puts(b, "&amp;");
            break;
        case '<':
            buf_puts(b, "&lt;");
            break;
        case '>':
            buf_puts(b, "&gt;");
            break;
        case '"':
            buf_puts(b, "&quot;");
            break;
        case '\'':
            buf_puts(b, "&#39;");
            break;
        default:
            buf_put_byte(b, v.p[i]);
        }
    }
}

void buf_consume(struct buf *b, size_t n)
{
    if (n == 0)
        return;
    b->n -= n;
    memmove(b->p, b->p + n, b->n + 1);
}
