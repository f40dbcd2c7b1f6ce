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

struct walk {
    bool begins_own, has_own, has_up;
};

static struct walk walk(struct view path)
{
    struct walk w = {0};
    bool is_first = true;
    for (size_t i = 0; i < path.n; i++) {
        size_t start = i;
        while (i < path.n && path.p[i] != '/' && path.p[i] != '\\')
            i++;
        enum segment kind = segment_kind(view_at(path.p + start, i - start));
        w.begins_own = w.begins_own || (kind == SEGMENT_OWN && is_first);
        w.has_own = w.has_own || kind == SEGMENT_OWN;
        w.has_up = w.has_up || kind == SEGMENT_UP;
        is_first = is_first && kind != SEGMENT_OTHER && kind != SEGMENT_OWN;
    }
    return w;
}

/* Ours stands first, but for segments that vanish; or anywhere, if something climbs. */
static bool walk_finds_own(struct view path)
{
    struct walk w = walk(path);
    return w.begins_own || (w.has_own && w.has_up);
}

static bool walk_finds_any(struct view path)
{
    struct walk w = walk(path);
    return w.has_own || w.has_up;
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
static bool decoded_holds(struct view path, bool (*finds)(struct view path))
{
    char text[URI_MAX];
    size_t n = path.n, n_passes = 0;
    if (view_index(path, '%') == path.n)
        return finds(path);
    if (n > sizeof(text))
        return true;
    memcpy(text, path.p, n);
    while (decode_once(text, &n) > 0)
        if (++n_passes > DECODE_PASSES_MAX)
            return true;
    return finds(view_at(text, n));
}

bool original_is_own_path(struct view path)
{
    return decoded_holds(path, walk_finds_own);
}

static bool is_echo_name(struct view name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = view_lower_byte(name.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return name.n > 0 && name.n <= ORIGINAL_ECHO_NAME_MAX;
}

bool original_is_echo_path(struct view path)
{
    struct view prefix = VIEW(ORIGINAL_ECHO_PREFIX);
    if (!view_starts(path, prefix))
        return false;
    struct view rest = view_skip(path, prefix.n);
    size_t n = view_index(rest, '/');
    if (n == rest.n || !is_echo_name(view_at(rest.p, n)))
        return false;
    rest = view_skip(rest, n);
    return !view_starts(rest, VIEW("//")) && !decoded_holds(rest, walk_finds_any);
}

/* ---- who asks where ---- */

/* The outpost's addresses are the same question, but for NGINX, whose documented set-up tells less. */
static const struct endpoint {
    struct view path;
    enum dialect dialect;
} endpoints[] = {
    {VIEW("/_repogate/auth/nginx"), DIALECT_NGINX},
    {VIEW("/outpost.goauthentik.io/auth/nginx"), DIALECT_OUTPOST_NGINX},
    {VIEW("/_repogate/auth/haproxy"), DIALECT_HAPROXY},
    {VIEW("/_repogate/auth/traefik"), DIALECT_TRAEFIK},
    {VIEW("/outpost.goauthentik.io/auth/traefik"), DIALECT_TRAEFIK},
    {VIEW("/_repogate/auth/caddy"), DIALECT_CADDY},
    {VIEW("/outpost.goauthentik.io/auth/caddy"), DIALECT_CADDY},
    {VIEW("/_repogate/auth/envoy"), DIALECT_ENVOY},
    {VIEW("/outpost.goauthentik.io/auth/envoy"), DIALECT_ENVOY},
};

enum url_source {
    URL_WHOLE, /* X-Original-URL */
    URL_PARTS, /* X-Forwarded-Proto, -Host, -Uri */
    URL_LINE,  /* the request line, after the endpoint's address if there is one, and Host; the scheme is public_url's */
};

/* Which header is believed: DESIGN 4, a row per dialect. HEADER_OTHER: of the method, the request line's; of the client, absent. */
static const struct row {
    const char *name;
    enum url_source url;
    enum header_id method, client;
    bool has_url_only;  /* neither method nor client is told */
    bool has_ws_scheme; /* Traefik calls the scheme of a WebSocket ws or wss */
} rows[DIALECT_COUNT] = {
    [DIALECT_NGINX] = {"nginx", URL_WHOLE, HEADER_X_ORIGINAL_METHOD, HEADER_X_REAL_IP, false, false},
    [DIALECT_OUTPOST_NGINX] = {"outpost_nginx", URL_WHOLE, HEADER_OTHER, HEADER_OTHER, true, false},
    [DIALECT_HAPROXY] = {"haproxy", URL_WHOLE, HEADER_X_ORIGINAL_METHOD, HEADER_X_REAL_IP, false, false},
    [DIALECT_TRAEFIK] = {"traefik", URL_PARTS, HEADER_X_FORWARDED_METHOD, HEADER_X_FORWARDED_FOR, false, true},
    [DIALECT_CADDY] = {"caddy", URL_PARTS, HEADER_X_FORWARDED_METHOD, HEADER_X_FORWARDED_FOR, false, false},
    [DIALECT_ENVOY] = {"envoy", URL_LINE, HEADER_OTHER, HEADER_X_FORWARDED_FOR, false, false},
    [DIALECT_OWN] = {"own", URL_LINE, HEADER_OTHER, HEADER_X_FORWARDED_FOR, false, false},
};

/* Where the request line names the original target too, it follows the endpoint's address. */
static bool endpoint_is(const struct endpoint *e, struct view target)
{
    if (!view_starts(target, e->path))
        return false;
    if (rows[e->dialect].url == URL_LINE)
        return target.n > e->path.n && target.p[e->path.n] == '/';
    return target.n == e->path.n || target.p[e->path.n] == '?';
}

static const struct endpoint *find_endpoint(struct view target)
{
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
        if (endpoint_is(&endpoints[i], target))
            return &endpoints[i];
    return NULL;
}

bool original_find_endpoint(struct view target, enum dialect *ret_dialect)
{
    const struct endpoint *e = find_endpoint(target);
    if (e != NULL)
        *ret_dialect = e->dialect;
    return e != NULL;
}

const char *original_dialect_name(enum dialect d)
{
    return rows[d].name;
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
    if (original_is_own_path(path) && !original_is_echo_path(path))
        return ORIGINAL_OWN_PATH;
    return uri_path_has_dot_segment(path) || has_encoded_nul(path) ? ORIGINAL_AMBIGUOUS : ORIGINAL_FINE;
}

/* Two families that both name a URL: whoever set up the proxy may have meant the other one. */
static bool has_other_family(const struct request *r, enum url_source url)
{
    return r->seen[HEADER_X_ORIGINAL_URI] > 0 || (url != URL_WHOLE && r->seen[HEADER_X_ORIGINAL_URL] > 0) ||
           (url != URL_PARTS && r->seen[HEADER_X_FORWARDED_URI] > 0);
}

static enum original_fault find_whole(const struct request *r, struct uri *u)
{
    struct view text;
    enum original_fault fault = believe(r, HEADER_X_ORIGINAL_URL, &text);
    if (fault != ORIGINAL_FINE)
        return fault;
    return uri_parse(text, u) == GW_OK ? ORIGINAL_FINE : ORIGINAL_AMBIGUOUS;
}

static bool parse_origin(struct view scheme, struct view authority, struct uri *u)
{
    u->scheme = scheme;
    return uri_parse_authority(authority, view_eq(scheme, VIEW("https")) ? 443 : 80, u) == GW_OK;
}

/* A WebSocket's scheme as the scheme of the request that opens it. */
static struct view http_scheme(struct view scheme, bool *ret_is_websocket)
{
    *ret_is_websocket = view_eq(scheme, VIEW("ws")) || view_eq(scheme, VIEW("wss"));
    return !*ret_is_websocket ? scheme : scheme.n == 3 ? VIEW("https") : VIEW("http");
}

static enum original_fault find_parts(const struct request *r, const struct row *row, struct original *o)
{
    struct view scheme, host, target;
    enum original_fault fault = believe(r, HEADER_X_FORWARDED_URI, &target);
    if (fault == ORIGINAL_FINE)
        fault = believe(r, HEADER_X_FORWARDED_PROTO, &scheme);
    if (fault == ORIGINAL_FINE)
        fault = believe(r, HEADER_X_FORWARDED_HOST, &host);
    if (fault != ORIGINAL_FINE)
        return fault;
    if (row->has_ws_scheme)
        scheme = http_scheme(scheme, &o->is_websocket);
    bool is_clear = parse_origin(scheme, host, &o->uri) && uri_parse_target(target, &o->uri) == GW_OK;
    return is_clear ? ORIGINAL_FINE : ORIGINAL_AMBIGUOUS;
}

static enum original_fault find_line(const struct request *r, enum dialect d, const struct uri *public_url, struct uri *u)
{
    struct view host;
    enum original_fault fault = believe(r, HEADER_HOST, &host);
    if (fault != ORIGINAL_FINE)
        return fault;
    const struct endpoint *e = d == DIALECT_OWN ? NULL : find_endpoint(r->target);
    if (e == NULL)
        *u = r->uri;
    else if (uri_parse_target(view_skip(r->target, e->path.n), u) != GW_OK)
        return ORIGINAL_AMBIGUOUS;
    return parse_origin(public_url->scheme, host, u) ? ORIGINAL_FINE : ORIGINAL_AMBIGUOUS;
}

static enum original_fault find_url(const struct request *r, enum dialect d, const struct uri *public_url, struct original *o)
{
    enum original_fault fault = ORIGINAL_AMBIGUOUS;
    switch (rows[d].url) {
    case URL_WHOLE:
        fault = find_whole(r, &o->uri);
        break;
    case URL_PARTS:
        fault = find_parts(r, &rows[d], o);
        break;
    case URL_LINE:
        fault = find_line(r, d, public_url, &o->uri);
        break;
    }
    if (fault != ORIGINAL_FINE)
        return fault;
    if (!uri_same_origin(&o->uri, public_url) || (d != DIALECT_OWN && has_other_family(r, rows[d].url)))
        return ORIGINAL_AMBIGUOUS;
    return check_path(o->uri.path);
}

static enum original_fault find_method(const struct request *r, const struct row *row, struct view *ret_method)
{
    *ret_method = r->method;
    if (row->method == HEADER_OTHER)
        return ORIGINAL_FINE;
    enum original_fault fault = believe(r, row->method, ret_method);
    return fault != ORIGINAL_FINE || request_method_is_known(*ret_method) ? fault : ORIGINAL_AMBIGUOUS;
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

/* Whoever asks for another always knows whom it serves; only of a request to ourselves may nothing be said. */
static enum original_fault find_client(const struct request *r, enum dialect d, const struct ipnet *trusted, size_t n_trusted,
                                       struct ipaddr *ret_client)
{
    struct view sent = VIEW_NONE;
    if (d != DIALECT_OWN) {
        enum original_fault fault = believe(r, rows[d].client, &sent);
        if (fault != ORIGINAL_FINE)
            return fault;
    }
    if (rows[d].client == HEADER_X_FORWARDED_FOR)
        return original_find_client(r, trusted, n_trusted, ret_client);
    return ipaddr_parse(sent, ret_client) == GW_OK ? ORIGINAL_FINE : ORIGINAL_AMBIGUOUS;
}

enum original_fault original_find(const struct request *r, enum dialect d, const struct uri *public_url,
                                  const struct ipnet *trusted, size_t n_trusted, struct original *ret_original)
{
    struct original o = {0};
    if (d != DIALECT_OWN && !r->peer_is_trusted)
        return ORIGINAL_UNTRUSTED_PEER;
    enum original_fault fault = find_url(r, d, public_url, &o);
    if (fault == ORIGINAL_FINE && !rows[d].has_url_only)
        fault = find_method(r, &rows[d], &o.method);
    if (fault == ORIGINAL_FINE && !rows[d].has_url_only)
        fault = find_client(r, d, trusted, n_trusted, &o.client);
    if (fault == ORIGINAL_FINE)
        *ret_original = o;
    return fault;
}

/* ---- what is noted ---- */

static struct view raw_target(const struct request *r, enum dialect d)
{
    const struct endpoint *e;
    switch (rows[d].url) {
    case URL_WHOLE:
        return header_find(r, VIEW("x-original-url"));
    case URL_PARTS:
        return header_find(r, VIEW("x-forwarded-uri"));
    case URL_LINE:
        break;
    }
    e = d == DIALECT_OWN ? NULL : find_endpoint(r->target);
    return e == NULL ? r->target : view_skip(r->target, e->path.n);
}

void original_note_raw(const struct request *r, enum dialect d, const struct ipnet *trusted, size_t n_trusted,
                       struct original *ret_original)
{
    struct view raw = raw_target(r, d);
    size_t query = view_index(raw, '?');
    struct original o = {.uri.path = view_at(raw.p, query)};
    if (query < raw.n)
        o.uri.query = view_skip(raw, query + 1);
    if (rows[d].url == URL_LINE)
        o.method = r->method;
    bool is_told = (d == DIALECT_OWN || r->peer_is_trusted) && !rows[d].has_url_only &&
                   find_client(r, d, trusted, n_trusted, &o.client) == ORIGINAL_FINE;
    if (!is_told)
        o.client = r->peer;
    *ret_original = o;
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
