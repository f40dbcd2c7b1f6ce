#include "util/b64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void b64url_encode(struct buf *out, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    size_t len = b64url_encoded_len(n);
    char *o = buf_reserve(out, len);
    if (o == NULL)
        return;
    for (size_t whole = n / 3; whole > 0; whole--, p += 3, o += 4) {
        uint32_t three = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        o[0] = alphabet[three >> 18];
        o[1] = alphabet[three >> 12 & 63];
        o[2] = alphabet[three >> 6 & 63];
        o[3] = alphabet[three & 63];
    }
    if (n % 3 > 0) {
        uint32_t last = (uint32_t)p[0] << 16 | (n % 3 == 2 ? (uint32_t)p[1] << 8 : 0);
        *o++ = alphabet[last >> 18];
        *o++ = alphabet[last >> 12 & 63];
        if (n % 3 == 2)
            *o++ = alphabet[last >> 6 & 63];
    }
    *o = '\0';
    out->n += len;
}

/* The value of each character plus one; 0 = not in the alphabet. */
static const uint8_t value_plus_1[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,  ['I'] = 9,  ['J'] = 10,
    ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20,
    ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,
    ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50,
    ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,
    ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

enum gw_err b64url_decode(struct view text, uint8_t *out, size_t cap, size_t *ret_n)
{
    if (text.n % 4 == 1)
        return GW_E_INVALID;
    if (text.n == 0) {
        *ret_n = 0;
        return GW_OK;
    }
    size_t n = text.n / 4 * 3 + (text.n % 4 == 0 ? 0 : text.n % 4 - 1);
    if (n > cap)
        return GW_E_LIMIT;
    uint32_t acc = 0;
    unsigned bits = 0;
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n / 4 * 4, *last = p + text.n;
    uint32_t seen = 0; /* past 63 if one of them was in no alphabet */
    for (; p < end; p += 4, out += 3) {
        uint32_t a = value_plus_1[p[0]] - 1u, b = value_plus_1[p[1]] - 1u, c = value_plus_1[p[2]] - 1u,
                 d = value_plus_1[p[3]] - 1u;
        uint32_t three = a << 18 | b << 12 | c << 6 | d;
        seen |= a | b | c | d;
        out[0] = (uint8_t)(three >> 16);
        out[1] = (uint8_t)(three >> 8);
        out[2] = (uint8_t)three;
    }
    if (seen > 63)
        return GW_E_INVALID;
    for (; p < last; p++) {
        uint32_t v = value_plus_1[*p];
        if (v == 0)
            return GW_E_INVALID;
        acc = acc << 6 | (v - 1);
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
