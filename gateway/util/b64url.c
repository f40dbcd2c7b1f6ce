#include "util/b64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void b64url_encode(struct buf *out, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    size_t len = b64url_encoded_len(n);
    char *o = buf_reserve(out, len);
    if (o == NULL)
        return;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < n; i++) {
        acc = acc << 8 | p[i];
        bits += 8;
        while (bits >= 6) {
            bits -= 6;
            *o++ = alphabet[acc >> bits & 63];
        }
    }
    if (bits > 0)
        *o++ = alphabet[acc << (6 - bits) & 63];
    *o = '\0';
    out->n += len;
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

enum gw_err b64url_decode(struct view text, uint8_t *out, size_t cap, size_t *ret_n)
{
    if (text.n % 4 == 1)
        return GW_E_INVALID;
    size_t n = text.n / 4 * 3 + (text.n % 4 == 0 ? 0 : text.n % 4 - 1);
    if (n > cap)
        return GW_E_LIMIT;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.n; i++) {
        int v = value_of(text.p[i]);
        if (v < 0)
            return GW_E_INVALID;
        acc = acc << 6 | (uint32_t)v;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *out++ = (uint8_t)(acc >> bits);
        }
    }
    if ((acc & ((1u << bits) - 1)) != 0)
        return GW_E_INVALID;
    *ret_n = n;
    return GW_OK;
}
