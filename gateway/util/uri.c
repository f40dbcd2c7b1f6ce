/* Which bytes may stand where follows RFC 3986 3.3 and 3.4, with what browsers send raw all the same (the percent-encode
 * sets of the WHATWG URL standard): `|`, `^`, `[` and `]` in paths, in queries also `"`, backquote, `{` and `}`. The rest
 * every browser encodes, so a raw one was made by hand. The backslash is refused even in a query, where browsers would
 * leave it: too many parsers turn it into a slash. */
#include "util/uri.h"

#include "util/ipaddr.h"

enum { HOST_MAX = 253, LABEL_MAX = 63, PORT_DIGITS_MAX = 5 };

/* Bits of byte_class. */
enum { IN_QUERY = 1, IN_PATH = 2, ESCAPE = 4, SEPARATOR = 8, IN_LABEL = 16 }; /* SEPARATOR: ends a segment, or its escape may */

/* clang-format off */
static const uint8_t byte_class[256] = {
    /* 0x00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 0x10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /*  !"#$%&'()*+,-./ */ 0, 3, 1, 0, 3, 15, 3, 3, 3, 3, 3, 3, 3, 19, 3, 11,
    /* 0123456789:;<=>? */ 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 3, 3, 0, 3, 0, 1,
    /* @ABCDEFGHIJKLMNO */ 3, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19,
    /* PQRSTUVWXYZ[\]^_ */ 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 3, 8, 3, 3, 19,
    /* `abcdefghijklmno */ 1, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19,
    /* pqrstuvwxyz{|}~  */ 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 1, 3, 1, 3, 0,
};
/* clang-format on */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = view_lower_byte(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape at v.p[i] stands for; -1 if there is none. */
static int escape_at(struct view v, size_t i)
{
    if (i + 2 >= v.n || v.p[i] != '%')
        return -1;
    int hi = hex_digit(v.p[i + 1]), lo = hex_digit(v.p[i + 2]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

static bool text_is_clean(struct view v, uint8_t where)
{
    /* A query is nobody's to decide by: what pages write there, a lone percent sign included, passes as it is. */
    uint8_t looked_at = where == IN_PATH ? IN_PATH | ESCAPE : where;
    for (size_t i = 0; i < v.n; i++) {
        uint8_t class = byte_class[(uint8_t)v.p[i]] & looked_at;
        if (class != where && (class == 0 || escape_at(v, i) < 0))
            return false;
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* WHATWG URL 3.5: a host whose last label is a number is an IPv4 address, in spellings such as 0x7f.1 that others take for a
 * name. */
static bool label_is_number(struct view label)
{
    if (!is_digit(label.p[0]))
        return false;
    bool is_hex = label.n >= 2 && label.p[0] == '0' && view_lower_byte(label.p[1]) == 'x';
    for (size_t i = is_hex ? 2 : 0; i < label.n; i++)
        if (is_hex ? hex_digit(label.p[i]) < 0 : !is_digit(label.p[i]))
            return false;
    return true;
}

/* Names and IPv4 addresses. Empty labels, a trailing dot too, are a second spelling of the same host. */
static bool host_is_valid(struct view host)
{
    size_t label = 0;
    if (host.n == 0 || host.n > HOST_MAX)
        return false;
    for (size_t i = 0; i < host.n; i++) {
        if ((byte_class[(uint8_t)host.p[i]] & IN_LABEL) != 0)
            continue;
        if (host.p[i] != '.' || i == label || i - label > LABEL_MAX)
            return false;
        label = i + 1;
    }
    struct view last = view_skip(host, label);
    struct ipaddr addr;
    if (last.n == 0 || last.n > LABEL_MAX)
        return false;
    return !label_is_number(last) || ipaddr_parse(host, &addr) == GW_OK;
}

/* "[…]": the length with its brackets, 0 if it is no IPv6 address. */
static size_t bracketed_length(struct view text)
{
    size_t end = view_index(text, ']');
    struct ipaddr addr;
    if (end == text.n)
        return 0;
    struct view inner = view_at(text.p + 1, end - 1);
    return view_index(inner, ':') < inner.n && ipaddr_parse(inner, &addr) == GW_OK ? end + 1 : 0;
}

static bool port_parse(struct view text, uint16_t *ret_port)
{
    uint64_t port;
    if (text.n > PORT_DIGITS_MAX || view_to_u64(text, &port) != GW_OK || port == 0 || port > UINT16_MAX || text.p[0] == '0')
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

enum gw_err uri_parse_authority(struct view text, uint16_t default_port, struct uri *ret_uri)
{
    uint16_t port = default_port;
    bool is_bracketed = text.n > 0 && text.p[0] == '[';
    size_t n_host = is_bracketed ? bracketed_length(text) : view_index(text, ':');
    if (n_host == 0 || (!is_bracketed && !host_is_valid(view_at(text.p, n_host))))
        return GW_E_INVALID;
    if (n_host < text.n && (text.p[n_host] != ':' || !port_parse(view_skip(text, n_host + 1), &port)))
        return GW_E_INVALID;
    ret_uri->authority = text;
    ret_uri->host = view_at(text.p, n_host);
    ret_uri->port = port;
    return GW_OK;
}

/* /path[?query], or the empty path that an absolute URL may have. */
static enum gw_err parse_path_query(struct view text, struct uri *u)
{
    size_t n_path = view_index(text, '?');
    u->path = n_path == 0 ? VIEW("/") : view_at(text.p, n_path);
    u->query = n_path < text.n ? view_skip(text, n_path + 1) : VIEW_NONE;
    bool is_clean = u->path.p[0] == '/' && text_is_clean(u->path, IN_PATH) && text_is_clean(u->query, IN_QUERY);
    return is_clean ? GW_OK : GW_E_INVALID;
}

static size_t authority_length(struct view text)
{
    size_t n = 0;
    while (n < text.n && text.p[n] != '/' && text.p[n] != '?' && text.p[n] != '#')
        n++;
    return n;
}

enum gw_err uri_parse(struct view text, struct uri *ret_uri)
{
    struct uri u = {0};
    if (text.n > URI_MAX)
        return GW_E_LIMIT;
    if (view_starts(text, VIEW("https://")))
        u.scheme = view_at(text.p, 5);
    else if (view_starts(text, VIEW("http://")))
        u.scheme = view_at(text.p, 4);
    else
        return GW_E_INVALID;
    struct view rest = view_skip(text, u.scheme.n + 3);
    size_t n_authority = authority_length(rest);
    enum gw_err err = uri_parse_authority(view_at(rest.p, n_authority), u.scheme.n == 5 ? 443 : 80, &u);
    if (err == GW_OK)
        err = parse_path_query(view_skip(rest, n_authority), &u);
    if (err == GW_OK)
        *ret_uri = u;
    return err;
}

/* "//host/path" is a path to a server and another host to whoever resolves it as a reference (RFC 3986 4.2), so it is refused. */
enum gw_err uri_parse_target(struct view text, struct uri *ret_uri)
{
    struct uri u = {0};
    if (text.n > URI_MAX)
        return GW_E_LIMIT;
    if (text.n == 0 || text.p[0] != '/' || view_starts(text, VIEW("//")))
        return GW_E_INVALID;
    enum gw_err err = parse_path_query(text, &u);
    if (err != GW_OK)
        return err;
    ret_uri->path = u.path;
    ret_uri->query = u.query;
    return GW_OK;
}

bool uri_same_origin(const struct uri *a, const struct uri *b)
{
    return a->port == b->port && view_eq(a->scheme, b->scheme) && view_eq_ci(a->host, b->host);
}

/* Bytes that separate segments for some parser: a slash, a backslash, or either of them encoded; 0 if none begins at i. */
static size_t separator_at(struct view v, size_t i)
{
    if (v.p[i] == '/' || v.p[i] == '\\')
        return 1;
    int byte = escape_at(v, i);
    return byte == '/' || byte == '\\' ? 3 : 0;
}

/* Does a segment that consists of one or two dots, encoded or not, begin at i? `..;x` counts: servlet containers cut the
 * parameter off. */
static bool dots_at(struct view v, size_t i)
{
    size_t n_dots = 0;
    if (i == v.n || (v.p[i] != '.' && v.p[i] != '%'))
        return false;
    for (; i < v.n; n_dots++) {
        if (v.p[i] == '.')
            i++;
        else if (escape_at(v, i) == '.')
            i += 3;
        else
            break;
    }
    bool is_end = i == v.n || v.p[i] == ';' || escape_at(v, i) == ';' || separator_at(v, i) > 0;
    return (n_dots == 1 || n_dots == 2) && is_end;
}

bool uri_path_has_dot_segment(struct view path)
{
    for (size_t i = 0; i < path.n; i++) {
        if ((byte_class[(uint8_t)path.p[i]] & SEPARATOR) == 0)
            continue;
        size_t n = separator_at(path, i);
        if (n > 0 && dots_at(path, i + n))
            return true;
    }
    return dots_at(path, 0);
}

/* An escape is needed for what may not stand there raw; anything else would be a second spelling. */
static bool escape_is_canonical(struct view path, size_t i)
{
    int byte = escape_at(path, i);
    bool is_upper = view_index(VIEW("abcdef"), path.p[i + 1]) == 6 && view_index(VIEW("abcdef"), path.p[i + 2]) == 6;
    return is_upper && byte >= ' ' && byte != 0x7f && byte != '\\' && (byte_class[byte] & IN_PATH) == 0;
}

bool uri_path_is_canonical(struct view path)
{
    if (path.n == 0 || path.p[0] != '/' || !text_is_clean(path, IN_PATH) || uri_path_has_dot_segment(path))
        return false;
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == ';' || view_starts(view_skip(path, i), VIEW("//")))
            return false;
        if (path.p[i] == '%' && !escape_is_canonical(path, i))
            return false;
    }
    return true;
}

enum gw_err uri_decode(struct view text, char *out, size_t cap, size_t *ret_n)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        int byte = (uint8_t)text.p[i];
        if (byte == '%') {
            byte = escape_at(text, i);
            i += 2;
        }
        if (byte <= 0)
            return GW_E_INVALID;
        if (n == cap)
            return GW_E_LIMIT;
        out[n++] = (char)byte;
    }
    *ret_n = n;
    return GW_OK;
}
