/* Whatever is accepted lies inside the input, has an unambiguous host, and reads the same when it is put together again. */
#include "util/uri.h"

#include <stdlib.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_inside(struct view part, struct view whole)
{
    require(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n) || view_eq(part, VIEW("/")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = view_at((const char *)data, size);
    struct uri u, again;
    char out[256];
    size_t n;
    if (uri_parse(text, &u) == GW_OK) {
        require_inside(u.host, text);
        require_inside(u.path, text);
        require_inside(u.query, text);
        require(u.port != 0 && u.path.p[0] == '/' && view_starts(u.authority, u.host));
        require(view_index(u.host, '@') == u.host.n && view_index(text, '\\') == text.n && view_index(text, '#') == text.n);
        require(uri_parse_authority(u.authority, u.scheme.n == 5 ? 443 : 80, &again) == GW_OK && again.port == u.port);
        require(uri_same_origin(&u, &u));
    }
    if (uri_parse_target(text, &u) == GW_OK) {
        require(u.path.p == text.p && u.path.n + (u.query.p == NULL ? 0 : 1 + u.query.n) == text.n);
        require(!view_starts(text, VIEW("//")));
        require(!uri_path_is_canonical(u.path) || !uri_path_has_dot_segment(u.path));
    }
    if (uri_decode(text, out, sizeof(out), &n) == GW_OK)
        require(n <= size && n <= sizeof(out) && memchr(out, '\0', n) == NULL);
    return 0;
}
