#include "util/packtext.h"

#include "util/cleanup.h"
#include "util/packcode.h"

#include <errno.h>
#include <math.h>

enum { MEMBERS_FIRST = 64 };

/* A member in the payload: where it begins and ends, and where its key is. */
struct member {
    uint32_t at, end, key;
    uint32_t n_key;
};

struct reader {
    const char *p, *end;
    struct buf *out;
    struct buf spare;       /* a payload while its head goes before it; a string while its escapes are undone */
    struct member *members; /* a stack: those of the map being read above those of the maps around it */
    size_t n_members, members_size;
};

static enum gw_err read_value(struct reader *r, unsigned depth);

static void skip_blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static bool take(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

/* --- strings --- */

/* Length of the UTF-8 sequence at p, 0 if it is none: no overlong forms, no surrogates, nothing past U+10FFFF. */
static size_t utf8_len(const char *p, const char *end)
{
    const uint8_t *u = (const uint8_t *)p;
    size_t n = u[0] < 0x80                    ? 1
               : u[0] >= 0xc2 && u[0] <= 0xdf ? 2
               : u[0] >= 0xe0 && u[0] <= 0xef ? 3
               : u[0] >= 0xf0 && u[0] <= 0xf4 ? 4
                                              : 0;
    if (n == 0 || (size_t)(end - p) < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
        (u[0] == 0xf4 && u[1] > 0x8f))
        return 0;
    return n;
}

/* Four hexadecimal digits; -1 if they are not there. */
static int32_t read_hex4(struct reader *r)
{
    int32_t n = 0;
    if (r->end - r->p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *r->p++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        n = n << 4 | digit;
    }
    return n;
}

static void put_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_put_byte(out, (char)c);
        return;
    }
    if (c < 0x800) {
        buf_put_byte(out, (char)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            buf_put_byte(out, (char)(0xe0 | c >> 12));
        } else {
            buf_put_byte(out, (char)(0xf0 | c >> 18));
            buf_put_byte(out, (char)(0x80 | (c >> 12 & 0x3f)));
        }
        buf_put_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_put_byte(out, (char)(0x80 | (c & 0x3f)));
}

/* Behind "\u": surrogates only as a pair, and no NUL, which C strings further on could not hold. */
static bool read_unicode(struct reader *r, struct buf *text)
{
    int32_t c = read_hex4(r);
    if (c <= 0 || (c >= 0xdc00 && c <= 0xdfff))
        return false;
    if (c >= 0xd800 && c <= 0xdbff) {
        if (r->end - r->p < 2 || r->p[0] != '\\' || r->p[1] != 'u')
            return false;
        r->p += 2;
        int32_t low = read_hex4(r);
        if (low < 0xdc00 || low > 0xdfff)
            return false;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(text, (uint32_t)c);
    return true;
}

static bool read_escape(struct reader *r, struct buf *text)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->p == r->end)
        return false;
    char c = *r->p++;
    if (c == 'u')
        return read_unicode(r, text);
    const char *at = c == '\0' ? NULL : strchr(from, c);
    if (at != NULL)
        buf_put_byte(text, to[at - from]);
    return at != NULL;
}

/* ASCII that stands for itself: most of any text. */
static bool is_plain_ascii(char c)
{
    return (signed char)c >= 0x20 && c != '"' && c != '\\';
}

/* The same for eight at once: in each byte the top bit tells. Subtracting borrows only past a byte that is found anyway. */
static bool are_plain_ascii(const char *p)
{
    static const uint64_t each = 0x0101010101010101;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t quote = w ^ each * 0x22, backslash = w ^ each * 0x5c;
    return ((w | (w - each * 0x20) | (quote - each) | (backslash - each)) & each * 0x80) == 0;
}

/* Moves over characters that stand for themselves, up to a quote or a backslash. */
static bool skip_plain(struct reader *r)
{
    const char *p = r->p, *end = r->end;
    for (;;) {
        while (end - p >= 8 && are_plain_ascii(p))
            p += 8;
        while (p < end && is_plain_ascii(*p))
            p++;
        if (p == end)
            return false;
        if (*p == '"' || *p == '\\')
            break;
        size_t n = (unsigned char)*p < 0x20 ? 0 : utf8_len(p, end);
        if (n == 0)
            return false;
        p += n;
    }
    r->p = p;
    return true;
}

/* Behind the opening quote. *ret_text is in the JSON text, or in r->spare if there were escapes. */
static bool read_text(struct reader *r, struct view *ret_text)
{
    const char *begin = r->p;
    if (!skip_plain(r))
        return false;
    if (*r->p == '"') {
        *ret_text = view_at(begin, (size_t)(r->p++ - begin));
        return true;
    }
    buf_clear(&r->spare);
    for (;;) {
        buf_put(&r->spare, view_at(begin, (size_t)(r->p - begin)));
        if (*r->p++ == '"')
            break;
        if (!read_escape(r, &r->spare))
            return false;
        begin = r->p;
        if (!skip_plain(r))
            return false;
    }
    *ret_text = buf_view(&r->spare);
    return buf_ok(&r->spare);
}

static enum gw_err read_string(struct reader *r)
{
    struct view text;
    if (!read_text(r, &text))
        return GW_E_INVALID;
    packcode_put_string(r->out, text);
    return GW_OK;
}

/* --- numbers --- */

static size_t count_digits(const char *p, const char *end)
{
    size_t n = 0;
    while (p + n < end && p[n] >= '0' && p[n] <= '9')
        n++;
    return n;
}

/* Length of the number at p by the grammar, 0 if there is none. */
static size_t number_len(const char *p, const char *end, bool *ret_is_real)
{
    const char *q = p;
    size_t n;
    *ret_is_real = false;
    if (q < end && *q == '-')
        q++;
    n = count_digits(q, end);
    if (n == 0 || (n > 1 && *q == '0'))
        return 0;
    q += n;
    if (q < end && *q == '.') {
        n = count_digits(q + 1, end);
        if (n == 0)
            return 0;
        q += 1 + n;
        *ret_is_real = true;
    }
    if (q < end && (*q == 'e' || *q == 'E')) {
        q++;
        if (q < end && (*q == '+' || *q == '-'))
            q++;
        n = count_digits(q, end);
        if (n == 0)
            return 0;
        q += n;
        *ret_is_real = true;
    }
    return (size_t)(q - p);
}

static enum gw_err put_real(struct buf *out, const char *text)
{
    double d = strtod(text, NULL);
    if (!isfinite(d))
        return GW_E_INVALID;
    packcode_put_real(out, d);
    return GW_OK;
}

static enum gw_err put_int(struct buf *out, const char *text)
{
    errno = 0;
    int64_t n = strtoll(text, NULL, 10);
    if (errno == ERANGE)
        return GW_E_INVALID;
    packcode_put_int(out, n);
    return GW_OK;
}

static enum gw_err read_number(struct reader *r)
{
    char text[PACKTEXT_NUMBER_MAX + 1];
    bool is_real;
    size_t n = number_len(r->p, r->end, &is_real);
    if (n == 0 || n > PACKTEXT_NUMBER_MAX)
        return n == 0 ? GW_E_INVALID : GW_E_LIMIT;
    memcpy(text, r->p, n);
    text[n] = '\0';
    r->p += n;
    return is_real ? put_real(r->out, text) : put_int(r->out, text);
}

/* --- lists and maps: their payload is written first, then moved behind its head --- */

static void take_payload(struct reader *r, size_t begin)
{
    buf_clear(&r->spare);
    if (r->out->n > begin)
        buf_put(&r->spare, view_at(r->out->p + begin, r->out->n - begin));
    r->out->n = begin;
}

static enum gw_err read_list(struct reader *r, unsigned depth)
{
    size_t begin = r->out->n, count = 0;
    if (!take(r, ']')) {
        do {
            enum gw_err err = read_value(r, depth + 1);
            if (err != GW_OK)
                return err;
            count++;
        } while (take(r, ','));
        if (!take(r, ']'))
            return GW_E_INVALID;
    }
    if (!buf_ok(r->out))
        return GW_E_LIMIT;
    take_payload(r, begin);
    packcode_put_head(r->out, PACK_LIST, count, r->spare.n);
    buf_put(r->out, buf_view(&r->spare));
    return buf_ok(&r->spare) ? GW_OK : GW_E_LIMIT;
}

static struct view key_of(const char *payload, const struct member *m)
{
    return view_at(payload + m->key, m->n_key);
}

static int compare_members(const void *a, const void *b, void *payload)
{
    return view_cmp(key_of(payload, a), key_of(payload, b));
}

static struct member *push_member(struct reader *r)
{
    if (r->n_members == r->members_size) {
        size_t size = r->members_size == 0 ? MEMBERS_FIRST : r->members_size * 2;
        struct member *m = realloc(r->members, size * sizeof(*m));
        if (m == NULL)
            return NULL;
        r->members = m;
        r->members_size = size;
    }
    return &r->members[r->n_members++];
}

static enum gw_err read_member(struct reader *r, unsigned depth, size_t begin)
{
    struct view key;
    size_t at = r->out->n;
    if (!take(r, '"') || !read_text(r, &key))
        return GW_E_INVALID;
    size_t n_key = key.n;
    packcode_put_counted(r->out, key);
    size_t key_at = r->out->n - n_key;
    if (!take(r, ':'))
        return GW_E_INVALID;
    enum gw_err err = read_value(r, depth + 1);
    if (err != GW_OK)
        return err;
    if (!buf_ok(r->out))
        return GW_E_LIMIT;
    struct member *m = push_member(r);
    if (m == NULL)
        return GW_E_NOMEM;
    *m = (struct member){(uint32_t)(at - begin), (uint32_t)(r->out->n - begin), (uint32_t)(key_at - begin), (uint32_t)n_key};
    return GW_OK;
}

static enum gw_err put_sorted(struct reader *r, struct member *m, size_t n)
{
    bool is_sorted = true;
    for (size_t i = 1; i < n && is_sorted; i++)
        is_sorted = compare_members(&m[i - 1], &m[i], r->spare.p) < 0;
    if (!is_sorted)
        qsort_r(m, n, sizeof(*m), compare_members, r->spare.p);
    packcode_put_head(r->out, PACK_MAP, n, r->spare.n);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && compare_members(&m[i - 1], &m[i], r->spare.p) == 0)
            return GW_E_INVALID;
        buf_put(r->out, view_at(r->spare.p + m[i].at, m[i].end - m[i].at));
    }
    return GW_OK;
}

static enum gw_err read_map(struct reader *r, unsigned depth)
{
    size_t begin = r->out->n, first = r->n_members;
    if (!take(r, '}')) {
        do {
            enum gw_err err = read_member(r, depth, begin);
            if (err != GW_OK)
                return err;
        } while (take(r, ','));
        if (!take(r, '}'))
            return GW_E_INVALID;
    }
    take_payload(r, begin);
    if (!buf_ok(&r->spare))
        return GW_E_LIMIT;
    size_t n = r->n_members - first;
    enum gw_err err = put_sorted(r, n == 0 ? NULL : r->members + first, n);
    r->n_members = first;
    return err;
}

static enum gw_err read_word(struct reader *r, struct view word, enum pack_type tag)
{
    if (!view_starts(view_at(r->p, (size_t)(r->end - r->p)), word))
        return GW_E_INVALID;
    r->p += word.n;
    packcode_put_tag(r->out, tag);
    return GW_OK;
}

static enum gw_err read_value(struct reader *r, unsigned depth)
{
    if (depth > PACK_DEPTH_MAX)
        return GW_E_LIMIT;
    skip_blanks(r);
    if (r->p == r->end)
        return GW_E_INVALID;
    switch (*r->p) {
    case '{':
        r->p++;
        return read_map(r, depth);
    case '[':
        r->p++;
        return read_list(r, depth);
    case '"':
        r->p++;
        return read_string(r);
    case 't':
        return read_word(r, VIEW("true"), PACK_TRUE);
    case 'f':
        return read_word(r, VIEW("false"), PACK_FALSE);
    case 'n':
        return read_word(r, VIEW("null"), PACK_NULL);
    default:
        return read_number(r);
    }
}

enum gw_err packtext_parse(struct view json, struct buf *out)
{
    if (json.n == 0 || json.n > PACK_BYTES_MAX)
        return json.n == 0 ? GW_E_INVALID : GW_E_LIMIT;
    struct reader r = {.p = json.p, .end = json.p + json.n, .out = out, .spare = BUF(PACK_BYTES_MAX)};
    size_t before = out->n;
    enum gw_err err = read_value(&r, 0);
    skip_blanks(&r);
    if (err == GW_OK && r.p != r.end)
        err = GW_E_INVALID;
    if (err == GW_OK && !buf_ok(out))
        err = GW_E_LIMIT;
    if (err != GW_OK && out->n > before)
        out->n = before;
    free(r.members);
    buf_deinit(&r.spare);
    return err;
}
