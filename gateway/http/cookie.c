/* Reading is done twice over: loosely, to see every pair that some parser could take for a cookie of that name, and strictly, to
 * take a value. A semicolon always ends a pair, also inside quotes: browsers send it so (RFC 6265 5.4), and a parser that lets
 * quotes span pairs can be made to read another cookie's value. */
#include "http/cookie.h"

#include "http/header.h"

/* RFC 6265 4.1.1 cookie-octet: printable ASCII without blank, '"', ',', ';', '\'. */
static bool value_is_strict(struct view value)
{
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = (uint8_t)value.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\')
            return false;
    }
    return true;
}

static struct view unquote(struct view value)
{
    bool is_quoted = value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"';
    return is_quoted ? view_at(value.p + 1, value.n - 2) : value;
}

/* The text between two semicolons, trimmed. */
static bool next_piece(struct view header, size_t *pos, struct view *ret_piece)
{
    if (*pos >= header.n)
        return false;
    struct view rest = view_skip(header, *pos);
    size_t n = view_index(rest, ';');
    *pos += n + 1;
    *ret_piece = view_trim(view_at(rest.p, n));
    return true;
}

/* The name as the most lenient parser would have it. */
static struct view piece_name(struct view piece)
{
    return view_trim(view_split(&piece, '='));
}

static bool parse_pair(struct view piece, struct view *ret_name, struct view *ret_value)
{
    struct view value = piece, name = view_split(&value, '=');
    if (value.p == NULL || !header_is_token(name))
        return false;
    value = unquote(value);
    if (!value_is_strict(value))
        return false;
    *ret_name = name;
    *ret_value = value;
    return true;
}

bool cookie_next(struct view header, size_t *pos, struct view *ret_name, struct view *ret_value)
{
    struct view piece;
    while (next_piece(header, pos, &piece))
        if (parse_pair(piece, ret_name, ret_value))
            return true;
    return false;
}

/* Counts the pieces of that name, and takes the last well-formed value. */
static size_t count_named(struct view header, struct view wanted, struct view *value)
{
    struct view piece, name;
    size_t n = 0, pos = 0;
    while (next_piece(header, &pos, &piece)) {
        if (!view_starts(piece, wanted) || view_index(piece, '=') == piece.n || !view_eq(piece_name(piece), wanted))
            continue;
        n++;
        struct view found;
        if (parse_pair(piece, &name, &found))
            *value = found;
    }
    return n;
}

enum cookie_found cookie_get(const struct request *r, struct view name, struct view *ret_value)
{
    struct view value = VIEW_NONE, header;
    size_t n = 0, pos = 0;
    while (header_next(r, HEADER_COOKIE, &pos, &header))
        n += count_named(header, name, &value);
    if (n > 1)
        return COOKIE_REPEATED;
    if (value.p == NULL)
        return COOKIE_ABSENT;
    *ret_value = value;
    return COOKIE_ONE;
}

void cookie_filter(struct buf *out, struct view header, bool (*drop)(struct view name, void *arg), void *arg)
{
    struct view piece;
    bool is_first = true;
    for (size_t pos = 0; next_piece(header, &pos, &piece);) {
        if (piece.n == 0 || drop(piece_name(piece), arg))
            continue;
        if (!is_first)
            buf_puts(out, "; ");
        buf_put(out, piece);
        is_first = false;
    }
}

static bool path_is_valid(struct view path)
{
    return path.n == 0 || (path.p[0] == '/' && value_is_strict(path));
}

/* A name or value that would end the pair, or the header, fails the buffer: better no cookie than one that says something else.
 */
void cookie_format(struct buf *out, const struct cookie_spec *c)
{
    if (!header_is_token(c->name) || !value_is_strict(c->value) || !path_is_valid(c->path)) {
        out->failed = true;
        return;
    }
    buf_put(out, c->name);
    buf_put_byte(out, '=');
    buf_put(out, c->value);
    buf_puts(out, "; Path=");
    buf_put(out, c->path.n == 0 ? VIEW("/") : c->path);
    if (c->max_age_s >= 0) {
        buf_puts(out, "; Max-Age=");
        buf_put_i64(out, c->max_age_s);
    }
    buf_puts(out, "; HttpOnly; SameSite=Lax");
    if (c->secure)
        buf_puts(out, "; Secure");
}
