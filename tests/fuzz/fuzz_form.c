/* A field that is found once is found again, alone and the same, after it was written anew. */
#include "http/form.h"
#include "http/request.h"

#include <stdlib.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = ARENA(128 * 1024);
    struct buf out = BUF(64 * 1024);
    struct view text = view_at((const char *)data, size), value, again;
    if (form_get(text, VIEW("rd"), &a, &value) == FORM_ONE) {
        require(value.n <= size && size <= REQUEST_FORM_MAX_BYTES && memchr(value.p, '\0', value.n) == NULL);
        form_put(&out, VIEW("rd"), value);
        require(buf_ok(&out));
        if (out.n <= REQUEST_FORM_MAX_BYTES)
            require(form_get(buf_view(&out), VIEW("rd"), &a, &again) == FORM_ONE && view_eq(value, again));
    }
    buf_deinit(&out);
    arena_deinit(&a);
    return 0;
}
