/* The URL is cut into pieces once; a request only joins them. What is literal is checked by the same parser as every other URL, with
 * harmless text in the places of the placeholders. */
#include "workspace/fixed.h"

#include "util/buf.h"
#include "util/cleanup.h"
#include "util/uri.h"

#include <stddef.h>
#include <stdio.h>

enum {
    SEGMENTS_MAX = 32,
    BASE_PATH_MAX = 8192,
    AUTHORITY_MAX = 230, /* leaves room for an id within the 253 bytes of a name */
};

enum segment_kind { SEGMENT_LITERAL, SEGMENT_FORGE, SEGMENT_OWNER, SEGMENT_NAME, SEGMENT_USER };

struct segment {
    enum segment_kind kind;
    struct view text;
};

struct fixed {
    struct driver driver;
    char *url, *host;   /* host: NULL = the authority */
    char *address;      /* the authority with a port */
    size_t n_authority; /* the address's first bytes: the authority as written */
    size_t id_at;       /* where {id} stands in both */
    bool has_id;
    bool is_filled_in;     /* some segment is no literal */
    struct view base_path; /* if not is_filled_in */
    struct segment segments[SEGMENTS_MAX];
    size_t n_segments;
};

static const struct view id_text = {"{id}", 4};

static void fixed_free(struct driver *d)
{
    struct fixed *f = (struct fixed *)(void *)d;
    free(f->url);
    free(f->host);
    free(f->address);
    free(f);
}

/* ---- the template ---- */

static const struct placeholder {
    struct view text;
    enum segment_kind kind;
} placeholders[] = {
    {VIEW("{forge}"), SEGMENT_FORGE},
    {VIEW("{owner}"), SEGMENT_OWNER},
    {VIEW("{name}"), SEGMENT_NAME},
    {VIEW("{user}"), SEGMENT_USER},
};

static bool has_brace(struct view v)
{
    return view_index(v, '{') < v.n || view_index(v, '}') < v.n;
}

static const char *add_segment(struct fixed *f, struct view text)
{
    if (f->n_segments == SEGMENTS_MAX)
        return "the path has too many segments";
    struct segment *s = &f->segments[f->n_segments++];
    *s = (struct segment){SEGMENT_LITERAL, text};
    for (size_t i = 0; i < sizeof(placeholders) / sizeof(placeholders[0]); i++)
        if (view_eq(text, placeholders[i].text))
            s->kind = placeholders[i].kind;
    f->is_filled_in |= s->kind != SEGMENT_LITERAL;
    if (s->kind != SEGMENT_LITERAL)
        return NULL;
    if (has_brace(text))
        return "in the path, {forge} {owner} {name} {user} may stand as whole segments, and nothing else in braces";
    if (text.n == 0 || uri_path_has_dot_segment(text))
        return "the path has an empty segment or a dot segment";
    return NULL;
}

static const char *cut_path(struct fixed *f, struct view path)
{
    if (view_ends(path, VIEW("/")))
        path.n--;
    f->base_path = path;
    while (path.n > 0) {
        path = view_skip(path, 1);
        size_t n = view_index(path, '/');
        const char *why = add_segment(f, view_at(path.p, n));
        if (why != NULL)
            return why;
        path = view_skip(path, n);
    }
    return NULL;
}

static const char *cut_authority(struct fixed *f, struct view authority)
{
    if (authority.n > AUTHORITY_MAX)
        return "the host is too long";
    size_t open = view_index(authority, '{');
    if (open == authority.n)
        return has_brace(authority) ? "there is a stray brace in the host" : NULL;
    struct view behind = view_skip(authority, open);
    bool is_label = view_starts(behind, id_text) && (open == 0 || authority.p[open - 1] == '.') &&
                    (behind.n == id_text.n || behind.p[id_text.n] == '.' || behind.p[id_text.n] == ':');
    if (!is_label || has_brace(view_skip(behind, id_text.n)))
        return "in the host, {id} may stand once, as one whole label, and nothing else in braces";
    f->has_id = true;
    f->id_at = open;
    return NULL;
}

/* The URL with an "x" for each placeholder, as a judge of all that is literal. */
static const char *check_literals(const struct fixed *f, struct view authority, struct uri *ret_uri)
{
    GW_CLEANUP(buf_deinit) struct buf text = BUF(FIXED_URL_MAX + 16);
    buf_puts(&text, "http://");
    buf_put(&text, view_at(authority.p, f->has_id ? f->id_at : authority.n));
    if (f->has_id) {
        buf_puts(&text, "x");
        buf_put(&text, view_skip(authority, f->id_at + id_text.n));
    }
    for (size_t i = 0; i < f->n_segments; i++) {
        buf_puts(&text, "/");
        buf_put(&text, f->segments[i].kind == SEGMENT_LITERAL ? f->segments[i].text : VIEW("x"));
    }
    if (!buf_ok(&text) || uri_parse(buf_view(&text), ret_uri) != GW_OK || ret_uri->query.p != NULL)
        return "it is not a plain URL: http://host[:port]/path, without user, query or fragment";
    return NULL;
}

static const char *set_address(struct fixed *f, struct view authority, uint16_t port)
{
    bool has_port = authority.p[authority.n - 1] != ']' && view_index(authority, ':') < authority.n;
    size_t size = authority.n + sizeof(":65535");
    f->address = malloc(size);
    if (f->address == NULL)
        return "there is no memory";
    snprintf(f->address, size, has_port ? "%.*s" : "%.*s:%u", VIEW_FMT(authority), (unsigned)port);
    f->n_authority = authority.n;
    return NULL;
}

static const char *set_url(struct fixed *f, struct view url)
{
    struct uri uri;
    if (url.n == 0 || url.n > FIXED_URL_MAX)
        return "it is empty or too long";
    if (view_starts(url, VIEW("https://")))
        return "https to a workspace is not supported: expected http://host[:port]/path";
    if (!view_starts(url, VIEW("http://")))
        return "expected http://host[:port]/path";
    url = view_skip(url, 7);
    size_t n = view_index(url, '/');
    struct view authority = view_at(url.p, n);
    const char *why = cut_authority(f, authority);
    if (why == NULL)
        why = cut_path(f, view_skip(url, n));
    if (why == NULL)
        why = check_literals(f, authority, &uri);
    return why == NULL ? set_address(f, authority, uri.port) : why;
}

static const char *set_host(struct fixed *f, const char *host)
{
    struct uri uri = {0};
    if (host == NULL || host[0] == '\0')
        return NULL;
    if (uri_parse_authority(view_of(host), 80, &uri) != GW_OK)
        return "the host to send is not host[:port]";
    f->host = view_dup(view_of(host));
    return f->host == NULL ? "there is no memory" : NULL;
}

/* ---- routing ---- */

/* Percent-encoded, a slash stays in its segment; but a server that decodes first must not be led out of it either. */
static bool climbs(struct view value)
{
    if (value.n == 0 || uri_path_has_dot_segment(value))
        return true;
    bool was_separator = true; /* an empty part is one that some servers drop */
    for (size_t i = 0; i < value.n; i++) {
        bool is_separator = value.p[i] == '/' || value.p[i] == '\\';
        if (is_separator && was_separator)
            return true;
        was_separator = is_separator;
    }
    return was_separator;
}

static struct view segment_value(const struct segment *s, const struct driver_ask *ask)
{
    switch (s->kind) {
    case SEGMENT_FORGE:
        return view_of(ask->repo->forge == NULL ? "" : ask->repo->forge->name);
    case SEGMENT_OWNER:
        return view_of(ask->repo->owner);
    case SEGMENT_NAME:
        return view_of(ask->repo->name);
    case SEGMENT_USER:
        return principal_username(ask->principal);
    case SEGMENT_LITERAL:
        break;
    }
    return s->text;
}

static enum gw_err fill_path(const struct fixed *f, const struct driver_ask *ask, struct arena *a, struct view *ret_path)
{
    GW_CLEANUP(buf_deinit) struct buf path = BUF(BASE_PATH_MAX);
    for (size_t i = 0; i < f->n_segments; i++) {
        const struct segment *s = &f->segments[i];
        struct view value = segment_value(s, ask);
        buf_puts(&path, "/");
        if (s->kind == SEGMENT_LITERAL) {
            buf_put(&path, value);
            continue;
        }
        if (climbs(value))
            return GW_E_INVALID;
        buf_put_percent(&path, value);
    }
    if (!buf_ok(&path))
        return GW_E_INVALID; /* a name longer than any path may be */
    *ret_path = arena_copy(a, buf_view(&path));
    return ret_path->p == NULL ? GW_E_NOMEM : GW_OK;
}

/* text with the id in the place of {id}. */
static struct view fill_id(const struct fixed *f, struct view text, struct view id, struct arena *a)
{
    const struct view parts[] = {view_at(text.p, f->id_at), id, view_skip(text, f->id_at + id_text.n)};
    return arena_join(a, parts, sizeof(parts) / sizeof(parts[0]));
}

static enum gw_err route_with_id(const struct fixed *f, const struct driver_ask *ask, struct arena *a, struct driver_route *route)
{
    char id[DRIVER_ID_LEN + 1];
    enum gw_err err = driver_format_id(ask, id);
    if (err != GW_OK)
        return err;
    route->address = fill_id(f, route->address, view_of(id), a);
    if (f->host == NULL)
        route->host = fill_id(f, route->host, view_of(id), a);
    return route->address.p == NULL || route->host.p == NULL ? GW_E_NOMEM : GW_OK;
}

static enum gw_err fixed_route(const struct driver *d, const struct driver_ask *ask, struct arena *a,
                               struct driver_route *ret_route)
{
    const struct fixed *f = (const struct fixed *)(const void *)d;
    struct driver_route route = {
        .address = view_of(f->address),
        .host = f->host == NULL ? view_at(f->address, f->n_authority) : view_of(f->host),
        .base_path = f->base_path,
    };
    enum gw_err err = GW_OK;
    if (f->has_id)
        err = route_with_id(f, ask, a, &route);
    if (err == GW_OK && f->is_filled_in)
        err = fill_path(f, ask, a, &route.base_path);
    if (err == GW_OK)
        *ret_route = route;
    return err;
}

enum gw_err fixed_new(const char *url, const char *host, struct driver **ret_driver, char *why, size_t why_cap)
{
    static const struct driver_ops ops = {fixed_route, fixed_free};
    struct fixed *f = calloc(1, sizeof(*f));
    const char *fault = "there is no memory";
    if (f != NULL) {
        f->driver.ops = &ops;
        f->url = view_dup(view_of(url));
        if (f->url != NULL)
            fault = set_url(f, view_of(f->url));
        if (fault == NULL)
            fault = set_host(f, host);
        if (fault == NULL) {
            *ret_driver = &f->driver;
            return GW_OK;
        }
        fixed_free(&f->driver);
    }
    snprintf(why, why_cap, "%s", fault);
    return GW_E_INVALID;
}
