/* Input: values of Cookie headers, one per line. A found value is made of cookie octets; what was filtered holds no cookie of
 * that name. */
#include "http/cookie.h"

#include <stdlib.h>

#define NAME VIEW("__Host-repogate")

static struct request req;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool is_ours(struct view name, void *arg)
{
    (void)arg;
    return view_eq(name, NAME);
}

static void check_filter(struct view header)
{
    struct buf out = BUF(64 * 1024);
    struct view name, value;
    size_t pos = 0;
    cookie_filter(&out, header, is_ours, NULL);
    require(buf_ok(&out) && out.n <= header.n * 2);
    while (cookie_next(buf_view(&out), &pos, &name, &value))
        require(!view_eq(name, NAME));
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = view_at((const char *)data, size < 16384 ? size : 16384), value;
    request_reset(&req);
    while (rest.n > 0) {
        struct view line = view_split(&rest, '\n');
        if (request_add_header(&req, VIEW("Cookie"), line) != GW_OK)
            break;
        check_filter(line);
    }
    if (cookie_get(&req, NAME, &value) == COOKIE_ONE)
        for (size_t i = 0; i < value.n; i++)
            require((uint8_t)value.p[i] > ' ' && (uint8_t)value.p[i] < 0x7f && strchr("\";,\\", value.p[i]) == NULL);
    return 0;
}
