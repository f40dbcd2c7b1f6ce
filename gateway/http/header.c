#include "http/header.h"

enum { FOLD_MAX = 32 }; /* longer than every name below: what is cut there equals none of them */

/* What a byte of a name is: 0 no token (RFC 9110 5.6.2), 1 a token but neither letter nor digit, else itself in lower case. */
/* clang-format off */
static const char name_byte[256] = {
    /* 0x00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 0x10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /*  !"#$%&'()*+,-./ */ 0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0,
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

/* Letters and digits in lower case, at most FOLD_MAX of them. */
static struct view fold(struct view name, char out[FOLD_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < name.n && n < FOLD_MAX; i++) {
        char c = byte_of(name, i);
        out[n] = c;
        n += c > 1;
    }
    return view_at(out, n);
}

bool header_is_token(struct view name)
{
    for (size_t i = 0; i < name.n; i++)
        if (byte_of(name, i) == 0)
            return false;
    return name.n > 0;
}

static bool byte_is_clean(char c)
{
    return ((uint8_t)c >= 0x20 && c != 0x7f) || c == '\t';
}

/* Eight bytes at a time: does any lie below 0x20 or equal 0x7f? Tabs show as well. */
static bool word_is_suspect(uint64_t w)
{
    const uint64_t ones = UINT64_MAX / 0xff, tops = ones << 7;
    uint64_t below = (w - ones * 0x20) & ~w;
    uint64_t del = w ^ ones * 0x7f;
    return ((below | ((del - ones) & ~del)) & tops) != 0;
}

bool header_value_is_clean(struct view value)
{
    size_t i = 0;
    for (; i + sizeof(uint64_t) <= value.n; i += sizeof(uint64_t)) {
        uint64_t w;
        memcpy(&w, value.p + i, sizeof(w));
        if (word_is_suspect(w))
            break;
    }
    for (; i < value.n; i++)
        if (!byte_is_clean(value.p[i]))
            return false;
    return true;
}

static size_t skip_to_alnum(struct view v, size_t i)
{
    while (i < v.n && byte_of(v, i) <= 1)
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

#define IS(text, id)                                  \
    if (memcmp(f.p, (text), sizeof(text) - 1) == 0) \
    return (id)

/* By length first, since this runs for each header of each request. */
static enum header_id folded_id(struct view f)
{
    switch (f.n) {
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
    case 20:
        IS("xrepogateproxysecret", HEADER_PROXY_SECRET);
        break;
    default:
        break;
    }
    return HEADER_OTHER;
}

#undef IS

static const struct view known_names[HEADER_ID_COUNT] = {
#define X(id, name) [id] = {name, sizeof(name) - 1},
    HEADER_TABLE(X)
#undef X
};

enum header_id header_id_of(struct view name, bool *ret_is_exact)
{
    char folded[FOLD_MAX];
    enum header_id id = folded_id(fold(name, folded));
    *ret_is_exact = id != HEADER_OTHER && view_eq_ci(name, known_names[id]);
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

struct view header_find(const struct request *r, struct view name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (view_eq_ci(r->headers[i].name, name))
            return r->headers[i].value;
    return VIEW_NONE;
}

/* Names folded as by fold(). The prefixes are whole families: whoever adds a header to one of ours must not have to remember this list. */
static const struct class_rule {
    struct view text;
    enum header_class class;
    bool is_prefix;
} class_rules[] = {
    {VIEW("connection"), HEADER_HOP, false}, /* RFC 9110 7.6.1, 11.7, and what older agents take for hop-by-hop */
    {VIEW("keepalive"), HEADER_HOP, false},
    {VIEW("proxyconnection"), HEADER_HOP, false},
    {VIEW("proxyauthenticate"), HEADER_HOP, false},
    {VIEW("proxyauthorization"), HEADER_HOP, false},
    {VIEW("te"), HEADER_HOP, false},
    {VIEW("trailer"), HEADER_HOP, false},
    {VIEW("trailers"), HEADER_HOP, false},
    {VIEW("transferencoding"), HEADER_HOP, false},
    {VIEW("upgrade"), HEADER_HOP, false},
    {VIEW("http2settings"), HEADER_HOP, false},
    {VIEW("cookie"), HEADER_SECRET, false},
    {VIEW("authorization"), HEADER_SECRET, false},
    {VIEW("forwarded"), HEADER_IDENTITY, false},
    {VIEW("traceparent"), HEADER_IDENTITY, false},
    {VIEW("tracestate"), HEADER_IDENTITY, false},
    {VIEW("xauthentik"), HEADER_IDENTITY, true},
    {VIEW("xforwarded"), HEADER_IDENTITY, true},
    {VIEW("xgithubrepo"), HEADER_IDENTITY, false},
    {VIEW("xoriginal"), HEADER_IDENTITY, true},
    {VIEW("xpolicy"), HEADER_IDENTITY, true},
    {VIEW("xrealip"), HEADER_IDENTITY, false},
    {VIEW("xrepogate"), HEADER_IDENTITY, true},
    {VIEW("xrequestpath"), HEADER_IDENTITY, false},
    {VIEW("xrewriteurl"), HEADER_IDENTITY, false},
    {VIEW("knativeserving"), HEADER_CONTROL, true}, /* knative/networking pkg/http/header, with K-* below */
    {VIEW("knetworkprobe"), HEADER_CONTROL, false},
    {VIEW("knetworkhash"), HEADER_CONTROL, false},
    {VIEW("kproxyrequest"), HEADER_CONTROL, false},
    {VIEW("koriginalhost"), HEADER_CONTROL, false},
    {VIEW("kpassthroughlb"), HEADER_CONTROL, false},
    {VIEW("kkubeletprobe"), HEADER_CONTROL, false},
    {VIEW("xenvoy"), HEADER_CONTROL, true}, /* Envoy CVE-2024-45806 */
};

/* "K-" and its aliases. The folded form alone can't tell it from Keep-Alive or Key. */
static bool is_k_family(struct view name)
{
    size_t i = skip_to_alnum(name, 0);
    return i + 1 < name.n && byte_of(name, i) == 'k' && byte_of(name, i + 1) <= 1;
}

enum header_class header_classify(struct view name)
{
    char folded[FOLD_MAX];
    struct view f = fold(name, folded);
    for (size_t i = 0; f.n > 0 && i < sizeof(class_rules) / sizeof(class_rules[0]); i++) {
        const struct class_rule *rule = &class_rules[i];
        if (rule->text.p[0] == f.p[0] && (rule->is_prefix ? view_starts(f, rule->text) : view_eq(f, rule->text)))
            return rule->class;
    }
    return is_k_family(name) ? HEADER_CONTROL : HEADER_PASS;
}
