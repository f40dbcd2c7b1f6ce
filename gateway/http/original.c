#include "http/original.h"

#include "http/header.h"

/* ---- our own prefixes ---- */

enum { DECODE_PASSES_MAX = 4 };

enum segment { SEGMENT_NOTHING, SEGMENT_UP, SEGMENT_OWN, SEGMENT_OTHER };

/* Case folded; blanks and control bytes are skipped, as browsers drop tabs and line breaks from URLs. */
static bool segment_starts(struct view segment, struct view lower)
{
    size_t n = 0;
    for (size_t i = 0; i < segment.n && n < lower.n; i++) {
        if ((uint8_t)segment.p[i] <= ' ')
            continue;
        if (view_lower_byte(segment.p[i]) != lower.p[n])
            return false;
        n++;
    }
    return n == lower.n;
}

/* By prefix, not by equality: parameters, trailing dots and what else a parser may cut off the end don't matter then. */
static enum segment segment_kind(struct view segment)
{
    size_t n_dots = 0, n_others = 0;
    /* Most begin otherwise, and the bytes that may vanish, climb or be ours are few. */
    if (segment.n > 0 && (uint8_t)segment.p[0] > ' ' && memchr("_oO.;", segment.p[0], 5) == NULL)
        return SEGMENT_OTHER;
    if (segment_starts(segment, VIEW("_repogate")) || segment_starts(segment, VIEW("outpost.goauthentik.io")))
        return SEGMENT_OWN;
    for (size_t i = 0; i < segment.n && segment.p[i] != ';'; i++) {
        n_dots += segment.p[i] == '.';
        n_others += segment.p[i] != '.' && (uint8_t)segment.p[i] > ' ';
    }
    if (n_others > 0 || n_dots > 2)
        return SEGMENT_OTHER;
    return n_dots == 2 ? SEGMENT_UP : SEGMENT_NOTHING;
}

/* Ours stands first, but for segments that vanish; or anywhere, if something climbs. */
static bool walk_finds_own(struct view path)
{
    bool is_first = true, has_own = false, has_up = false;
    for (size_t i = 0; i < path.n; i++) {
        size_t start = i;
        while (i < path.n && path.p[i] != '/' && path.p[i] != '\\')
            i++;
        enum segment kind = segment_kind(view_at(path.p + start, i - start));
        if (kind == SEGMENT_OWN && is_first)
            return true;
        has_own = has_own || kind == SEGMENT_OWN;
        has_up = has_up || kind == SEGMENT_UP;
        is_first = is_first && kind != SEGMENT_OTHER && kind != SEGMENT_OWN;
    }
    return has_own && has_up;
}

static int hex_value(char c)
{
    size_t i = view_index(VIEW("0123456789abcdef"), view_lower_byte(c));
    return i < 16 ? (int)i : -1;
}

/* Percent-decodes once, in place, leaving what is no escape; tells how many there were. */
static size_t decode_once(char *p, size_t *n)
{
    size_t n_out = 0, n_escapes = 0;
    for (size_t i = 0; i < *n; i++) {
        int hi = -1, lo = -1;
        if (p[i] == '%' && i + 2 < *n) {
            hi = hex_value(p[i + 1]);
            lo = hex_value(p[i + 2]);
        }
        bool is_escape = hi >= 0 && lo >= 0;
        p[n_out++] = is_escape ? (char)(hi * 16 + lo) : p[i];
        i += is_escape ? 2 : 0;
        n_escapes += is_escape;
    }
    *n = n_out;
    return n_escapes;
}

/* Decoding only ever reveals more separators, dots and prefixes, so one look at the fully decoded path covers every parser that
 * decodes less. */
bool original_is_own_path(struct view path)
{
    char text[URI_MAX];
    size_t n = path.n, n_passes = 0;
    if (view_index(path, '%') == path.n)
        return walk_finds_own(path);
    if (n > sizeof(text))
        return true;
    memcpy(text, path.p, n);
    while (decode_once(text, &n) > 0)
        if (++n_passes > DECODE_PASSES_MAX)
            return true;
    return walk_finds_own(view_at(text, n));
}

/* ---- what is believed ---- */

static enum original_fault believe(const struct request *r, enum header_id id, struct view *ret_value)
{
    switch (header_get(r, id, ret_value)) {
    case HEADER_ONE:
        return ORIGINAL_FINE;
    case HEADER_ABSENT:
        return ORIGINAL_MISSING;
    case HEADER_AMBIGUOUS:
        break;
    }
    return ORIGINAL_REPEATED;
}

static bool has_encoded_nul(struct view path)
{
    return view_index(path, '%') < path.n && view_contains(path, VIEW("%00"));
}

/* The strictness for every path, whether or not it names a repository: what the proxy in front could resolve before it chooses a
 * location may not be there at all (PLATFORM 0.3(8), 2.4). repo_parse_path() is stricter yet about the repository's prefix. */
static enum original_fault check_path(struct view path)
{
    if (original_is_own_path(path))
        return ORIGINAL_OWN_PATH;
    return uri_path_has_dot_segment(path) || has_encoded_nul(path) ? ORIGINAL_AMBIGUOUS : ORIGINAL_FINE;
}

static enum original_fault find_url(const struct request *r, const struct uri *public_url, struct uri *ret_uri)
{
    struct view text;
    enum original_fault fault = believe(r, HEADER_X_ORIGINAL_URL, &text);
    if (fault != ORIGINAL_FINE)
        return fault;
    /* Two families that both name a URL: whoever set up the proxy may have meant the other one. */
    if (r->seen[HEADER_X_ORIGINAL_URI] > 0 || r->seen[HEADER_X_FORWARDED_URI] > 0)
        return ORIGINAL_AMBIGUOUS;
    if (uri_parse(text, ret_uri) != GW_OK || !uri_same_origin(ret_uri, public_url))
        return ORIGINAL_AMBIGUOUS;
    return check_path(ret_uri->path);
}

static enum original_fault find_method_and_client(const struct request *r, struct original *o)
{
    struct view address;
    enum original_fault fault = believe(r, HEADER_X_ORIGINAL_METHOD, &o->method);
    if (fault == ORIGINAL_FINE)
        fault = believe(r, HEADER_X_REAL_IP, &address);
    if (fault != ORIGINAL_FINE)
        return fault;
    bool is_clear = request_method_is_known(o->method) && ipaddr_parse(address, &o->client) == GW_OK;
    return is_clear ? ORIGINAL_FINE : ORIGINAL_AMBIGUOUS;
}

/* From the right: each proxy appends whom it saw, so the first one that is not ours is the client, and what stands left of it is
 * the client's own word. That must parse too: it is a sign that the list isn't read as it was written (heimdall CVE-2026-57210).
 */
enum original_fault original_find_client(const struct request *r, const struct ipnet *trusted, size_t n_trusted,
                                         struct ipaddr *ret_client)
{
    struct view list;
    if (!r->peer_is_trusted || header_get(r, HEADER_X_FORWARDED_FOR, &list) == HEADER_ABSENT) {
        *ret_client = r->peer;
        return ORIGINAL_FINE;
    }
    if (believe(r, HEADER_X_FORWARDED_FOR, &list) != ORIGINAL_FINE)
        return ORIGINAL_REPEATED;
    struct ipaddr client = {0}, addr; /* if all are ours: the leftmost, which is the farthest */
    do {
        if (ipaddr_parse(view_trim(view_split(&list, ',')), &addr) != GW_OK)
            return ORIGINAL_AMBIGUOUS;
        if (client.family == 0 || !ipnet_any_has(trusted, n_trusted, &addr))
            client = addr;
    } while (list.p != NULL);
    *ret_client = client;
    return ORIGINAL_FINE;
}

static enum original_fault find_nginx(const struct request *r, bool is_outpost, const struct uri *public_url,
                                      struct original *ret_original)
{
    struct original o = {0};
    if (!r->peer_is_trusted)
        return ORIGINAL_UNTRUSTED_PEER;
    enum original_fault fault = find_url(r, public_url, &o.uri);
    if (fault == ORIGINAL_FINE && !is_outpost)
        fault = find_method_and_client(r, &o);
    if (fault == ORIGINAL_FINE)
        *ret_original = o;
    return fault;
}

static enum original_fault find_own(const struct request *r, const struct uri *public_url, const struct ipnet *trusted,
                                    size_t n_trusted, struct original *ret_original)
{
    struct original o = {.uri = r->uri, .method = r->method};
    struct view host;
    enum original_fault fault = believe(r, HEADER_HOST, &host);
    if (fault != ORIGINAL_FINE)
        return fault;
    o.uri.scheme = public_url->scheme;
    if (uri_parse_authority(host, view_eq(public_url->scheme, VIEW("https")) ? 443 : 80, &o.uri) != GW_OK ||
        !uri_same_origin(&o.uri, public_url))
        return ORIGINAL_AMBIGUOUS;
    fault = check_path(o.uri.path);
    if (fault == ORIGINAL_FINE)
        fault = original_find_client(r, trusted, n_trusted, &o.client);
    if (fault == ORIGINAL_FINE)
        *ret_original = o;
    return fault;
}

enum original_fault original_find(const struct request *r, enum dialect d, const struct uri *public_url,
                                  const struct ipnet *trusted, size_t n_trusted, struct original *ret_original)
{
    switch (d) {
    case DIALECT_NGINX:
    case DIALECT_OUTPOST_NGINX:
        return find_nginx(r, d == DIALECT_OUTPOST_NGINX, public_url, ret_original);
    case DIALECT_OWN:
        return find_own(r, public_url, trusted, n_trusted, ret_original);
    }
    return ORIGINAL_AMBIGUOUS;
}

const char *original_fault_reason(enum original_fault f)
{
    switch (f) {
    case ORIGINAL_FINE:
        return "";
    case ORIGINAL_UNTRUSTED_PEER:
        return "untrusted_peer";
    case ORIGINAL_MISSING:
        return "original_url_missing";
    case ORIGINAL_REPEATED:
        return "original_url_repeated";
    case ORIGINAL_AMBIGUOUS:
        return "original_url_ambiguous";
    case ORIGINAL_OWN_PATH:
        return "own_path";
    }
    return "";
}
