#include "identity/headervalue.h"

#include "util/swar.h"

static bool is_plain(struct view v, size_t i)
{
    unsigned char c = (unsigned char)v.p[i];
    bool is_outer = i == 0 || i + 1 == v.n;
    return c > 0x20 ? c != '%' && c != '|' && c != 0x7f : c == ' ' && !is_outer;
}

/* Most values are, and need no second look. */
static bool all_are_plain(struct view v)
{
    if (v.n > 0 && (v.p[0] == ' ' || v.p[v.n - 1] == ' '))
        return false;
    size_t i = 0;
    for (; v.n - i >= SWAR_BYTES; i += SWAR_BYTES) {
        uint64_t w = swar_load(v.p + i);
        if ((swar_below(w, 0x20) | swar_equal(w, '%') | swar_equal(w, '|') | swar_equal(w, 0x7f)) != 0)
            return false;
    }
    while (i < v.n && is_plain(v, i))
        i++;
    return i == v.n;
}

size_t headervalue_length(struct view v)
{
    size_t n = v.n;
    if (all_are_plain(v))
        return n;
    for (size_t i = 0; i < v.n; i++)
        n += is_plain(v, i) ? 0 : 2;
    return n;
}

char *headervalue_put(char *out, struct view v)
{
    static const char hex[] = "0123456789ABCDEF";
    if (all_are_plain(v)) {
        if (v.n > 0)
            memcpy(out, v.p, v.n);
        return out + v.n;
    }
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (is_plain(v, i)) {
            *out++ = (char)c;
            continue;
        }
        *out++ = '%';
        *out++ = hex[c >> 4];
        *out++ = hex[c & 15];
    }
    return out;
}

size_t headervalue_list_length(struct pack_val list, size_t max)
{
    struct pack_iter it;
    size_t n = 0;
    for (pack_iter_init(&it, list); pack_iter_next(&it) && n <= max;)
        n += headervalue_length(pack_string(it.val)) + 1;
    return n == 0 ? 0 : n - 1;
}

void headervalue_put_list(char *out, struct pack_val list)
{
    struct pack_iter it;
    bool is_first = true;
    for (pack_iter_init(&it, list); pack_iter_next(&it); is_first = false) {
        if (!is_first)
            *out++ = '|';
        out = headervalue_put(out, pack_string(it.val));
    }
}
