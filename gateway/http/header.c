#include "http/header.h"

enum { FOLD_MAX = 32 }; /* longer than every name below: what is cut there equals none of them */

/* What a byte of a name is. Letters and digits stand for themselves, in lower case. */
enum { NO_TOKEN = 0, SIGN = 1, HYPHEN = 2 }; /* RFC 9110 5.6.2 */

/* clang-format off */
static const char name_byte[256] = {
    /* 0x00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 0x10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /*  !"#$%&'()*+,-./ */ 0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 2, 1, 0,
    /* 0123456789:;<=>? */ '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 0, 0, 0, 0, 0, 0,
    /* @ABCDEFGHIJKLMNO */ 0, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    /* PQRSTUVWXYZ[\]^_ */ 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, 0, 0, 1, 1,
    /* `abcdefghijklmno */ 1, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    /* pqrstuvwxyz{|}~  */ 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, 1, 0, 1, 0,
};
/* clang-format on */

static char byte_of(struct view name, size_t i)
{
    return name_byte[(uint8_t)name.p[i]];
}

struct folded {
    char text[FOLD_MAX]; /* letters and digits in lower case */
    size_t n;
    char least; /* NO_TOKEN if there is such a byte or none at all, else SIGN if there is one, else HYPHEN */
};

static void fold(struct view name, struct folded *ret_folded)
{
    size_t i = 0, n = 0;
    char least = name.n == 0 ? NO_TOKEN : HYPHEN;
    for (size_t end = name.n < FOLD_MAX ? name.n : FOLD_MAX; i < end; i++) {
        char c = byte_of(name, i);
        ret_folded->text[n] = c;
        n += c > HYPHEN;
        least = c < least ? c : least;
    }
    for (; i < name.n; i++) {
        char c = byte_of(name, i);
        if (c > HYPHEN && n < FOLD_MAX)
            ret_folded->text[n++] = c;
        least = c < least ? c : least;
    }
    ret_folded->n = n;
    ret_folded->least = least;
}

bool header_is_token(struct view name)
{
    for (size_t i = 0; i < name.n; i++)
        if (byte_of(name, i) == NO_TOKEN)
            return false;
    return name.n > 0;
}

static bool byte_is_clean(char c)
{
    return ((uint8_t)c >= 0x20 && c != 0x7f) || c == '\t';
}

static uint64_t word_at(struct view v, size_t i)
{
    uint64_t w;
    memcpy(&w, v.p + i, sizeof(w));
    return w;
}

/* Eight bytes at once: the top bits of those that may be below 0x20 or 0x7f. Tabs and some of the 8-bit bytes show too. */
static uint64_t suspects_at(struct view v, size_t i)
{
    const uint64_t ones = UINT64_MAX / 0xff, tops = ones << 7;
    uint64_t low = word_at(v, i) & ~tops;
    return (~(low + ones * 0x60) | (low + ones)) & tops;
}

bool header_value_is_clean(struct view value)
{
    const size_t step = sizeof(uint64_t);
    uint64_t suspects = 0;
    for (size_t i = 0; i + step <= value.n; i += step)
        suspects |= suspects_at(value, i);
    if (value.n >= step && (suspects | suspects_at(value, value.n - step)) == 0)
        return true;
    for (size_t i = 0; i < value.n; i++)
        if (!byte_is_clean(value.p[i]))
            return false;
    return true;
}

static size_t skip_to_alnum(struct view v, size_t i)
{
    while (i < v.n && byte_of(v, i) <= HYPHEN)
        i++;
    return i;
}

bool header_is_alias(struct view a, struct view b)
{
    size_t i = skip_to_alnum(a, 0), j = skip_to_alnum(b, 0);
    while (i < a.n && j < b.n && byte_of(a, i) == byte_of(b, j)) {
        i = skip_to_alnum(a, i + 1);
        j = skip_to_alnum(b, j + 1);
    }
    return i == a.n && j == b.n;
}

bool header_list_has(struct view list, struct view token)
{
    while (list.p != NULL) {
        struct view item = view_split(&list, ',');
        if (view_eq_ci(view_trim(view_split(&item, ';')), token))
            return true;
    }
    return false;
}

#define IS(literal, id)                                       \
    if (memcmp(f->text, (literal), sizeof(literal) - 1) == 0) \
    return (id)

/* By length first, since this runs for each header of each request. */
static enum header_id folded_id(const struct folded *f)
{
    switch (f->n) {
    case 4:
        IS("host", HEADER_HOST);
        break;
    case 6:
        IS("accept", HEADER_ACCEPT);
        IS("cookie", HEADER_COOKIE);
        IS("origin", HEADER_ORIGIN);
        IS("expect", HEADER_EXPECT);
        break;
    case 7:
        IS("xrealip", HEADER_X_REAL_IP);
        IS("upgrade", HEADER_UPGRADE);
        break;
    case 9:
        IS("useragent", HEADER_USER_AGENT);
        break;
    case 10:
        IS("connection", HEADER_CONNECTION);
        break;
    case 11:
        IS("contenttype", HEADER_CONTENT_TYPE);
        IS("traceparent", HEADER_TRACEPARENT);
        break;
    case 12:
        IS("xoriginalurl", HEADER_X_ORIGINAL_URL);
        IS("secfetchsite", HEADER_SEC_FETCH_SITE);
        IS("secfetchmode", HEADER_SEC_FETCH_MODE);
        IS("secfetchdest", HEADER_SEC_FETCH_DEST);
        IS("xoriginaluri", HEADER_X_ORIGINAL_URI);
        break;
    case 13:
        IS("authorization", HEADER_AUTHORIZATION);
        IS("contentlength", HEADER_CONTENT_LENGTH);
        IS("xforwardedfor", HEADER_X_FORWARDED_FOR);
        IS("xforwardeduri", HEADER_X_FORWARDED_URI);
        break;
    case 14:
        IS("xforwardedhost", HEADER_X_FORWARDED_HOST);
        IS("xrequestedwith", HEADER_X_REQUESTED_WITH);
        break;
    case 15:
        IS("xoriginalmethod", HEADER_X_ORIGINAL_METHOD);
        IS("xforwardedproto", HEADER_X_FORWARDED_PROTO);
        break;
    case 16:
        IS("transferencoding", HEADER_TRANSFER_ENCODING);
        IS("xforwardedmethod", HEADER_X_FORWARDED_METHOD);
        break;
    case 18:
        IS("xrepogateassertion", HEADER_ASSERTION);
        break;
    case 20:
        IS("xrepogateproxysecret", HEADER_PROXY_SECRET);
        break;
    default:
        break;
    }
    return HEADER_OTHER;
}

static const struct view known_names[HEADER_ID_COUNT] = {
#define X(id, name) [id] = {name, sizeof(name) - 1},
    HEADER_TABLE(X)
#undef X
};

/* Eight bytes at a time, of at least eight, equal but for the bit that differs between cases. Both hold letters, digits and
 * hyphens only, for which that means equal but for case. */
static bool words_eq_ci(struct view a, struct view b)
{
    const uint64_t case_bits = UINT64_MAX / 0xff * 0x20;
    for (size_t i = 0; i + sizeof(uint64_t) <= a.n; i += sizeof(uint64_t))
        if (((word_at(a, i) ^ word_at(b, i)) & ~case_bits) != 0)
            return false;
    size_t last = a.n - sizeof(uint64_t);
    return ((word_at(a, last) ^ word_at(b, last)) & ~case_bits) == 0;
}

/* The folded forms are equal, so only signs can differ, and where they stand. */
static bool is_exact_spelling(struct view name, struct view known, const struct folded *f)
{
    if (name.n != known.n || f->least != HYPHEN)
        return false;
    return f->n == name.n || (name.n >= sizeof(uint64_t) ? words_eq_ci(name, known) : view_eq_ci(name, known));
}

enum header_id header_id_of(struct view name, bool *ret_is_exact, bool *ret_is_token)
{
    struct folded f;
    fold(name, &f);
    enum header_id id = folded_id(&f);
    *ret_is_token = f.least != NO_TOKEN;
    *ret_is_exact = id != HEADER_OTHER && is_exact_spelling(name, known_names[id], &f);
    return id;
}

enum header_found header_get(const struct request *r, enum header_id id, struct view *ret_value)
{
    *ret_value = VIEW_NONE;
    if (r->seen[id] == 0)
        return HEADER_ABSENT;
    if (r->seen[id] > 1 || r->slot[id] == 0)
        return HEADER_AMBIGUOUS;
    *ret_value = r->headers[r->slot[id] - 1].value;
    return HEADER_ONE;
}

struct view header_value(const struct request *r, enum header_id id)
{
    struct view value;
    return header_get(r, id, &value) == HEADER_ONE ? value : VIEW_NONE;
}

bool header_next(const struct request *r, enum header_id id, size_t *pos, struct view *ret_value)
{
    size_t first = r->slot[id], i = *pos;
    if (first == 0 || (i > 0 && r->seen[id] == 1))
        return false;
    for (i = i == 0 ? first - 1 : i; i < r->n_headers; i++) {
        if (!view_eq_ci(r->headers[i].name, known_names[id]))
            continue;
        *pos = i + 1;
        *ret_value = r->headers[i].value;
        return true;
    }
    return false;
}

struct view header_find(const struct request *r, struct view name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (view_eq_ci(r->headers[i].name, name))
            return r->headers[i].value;
    return VIEW_NONE;
}

#define EXACT(literal, class)        \
    if (f->n == sizeof(literal) - 1) \
    IS(literal, class)
#define FAMILY(literal, class)       \
    if (f->n >= sizeof(literal) - 1) \
    IS(literal, class)

/* A FAMILY is everything that begins so: whoever adds a header to one of ours must not have to remember this list. Hop-by-hop:
 * RFC 9110 7.6.1 and 11.7, and what older agents take for it. K-*: knative/networking pkg/http/header. X-Envoy-*: CVE-2024-45806.
 */
static enum header_class folded_class(const struct folded *f)
{
    switch (f->n == 0 ? '\0' : f->text[0]) {
    case 'a':
        EXACT("authorization", HEADER_SECRET);
        break;
    case 'c':
        EXACT("connection", HEADER_HOP);
        EXACT("cookie", HEADER_SECRET);
        break;
    case 'f':
        EXACT("forwarded", HEADER_IDENTITY);
        break;
    case 'h':
        EXACT("http2settings", HEADER_HOP);
        break;
    case 'k':
        EXACT("keepalive", HEADER_HOP);
        FAMILY("knativeserving", HEADER_CONTROL);
        EXACT("knetworkprobe", HEADER_CONTROL);
        EXACT("knetworkhash", HEADER_CONTROL);
        EXACT("kproxyrequest", HEADER_CONTROL);
        EXACT("koriginalhost", HEADER_CONTROL);
        EXACT("kpassthroughlb", HEADER_CONTROL);
        EXACT("kkubeletprobe", HEADER_CONTROL);
        break;
    case 'p':
        EXACT("proxyconnection", HEADER_HOP);
        EXACT("proxyauthenticate", HEADER_HOP);
        EXACT("proxyauthorization", HEADER_HOP);
        break;
    case 't':
        EXACT("te", HEADER_HOP);
        EXACT("trailer", HEADER_HOP);
        EXACT("trailers", HEADER_HOP);
        EXACT("transferencoding", HEADER_HOP);
        EXACT("traceparent", HEADER_IDENTITY);
        EXACT("tracestate", HEADER_IDENTITY);
        break;
    case 'u':
        EXACT("upgrade", HEADER_HOP);
        break;
    case 'x':
        FAMILY("xauthentik", HEADER_IDENTITY);
        FAMILY("xforwarded", HEADER_IDENTITY);
        FAMILY("xoriginal", HEADER_IDENTITY);
        FAMILY("xpolicy", HEADER_IDENTITY);
        FAMILY("xrepogate", HEADER_IDENTITY);
        EXACT("xgithubrepo", HEADER_IDENTITY);
        EXACT("xrealip", HEADER_IDENTITY);
        EXACT("xrequestpath", HEADER_IDENTITY);
        EXACT("xrewriteurl", HEADER_IDENTITY);
        FAMILY("xenvoy", HEADER_CONTROL);
        break;
    default:
        break;
    }
    return HEADER_PASS;
}

#undef FAMILY
#undef EXACT
#undef IS

/* "K-" and its aliases. The folded form alone can't tell it from Keep-Alive or Key. */
static bool is_k_family(struct view name)
{
    size_t i = skip_to_alnum(name, 0);
    return i + 1 < name.n && byte_of(name, i) == 'k' && byte_of(name, i + 1) <= HYPHEN;
}

enum header_class header_classify(struct view name)
{
    struct folded f;
    fold(name, &f);
    enum header_class class = folded_class(&f);
    return class == HEADER_PASS && is_k_family(name) ? HEADER_CONTROL : class;
}
