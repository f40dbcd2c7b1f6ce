/* Input: what follows `Basic `. What is taken has a name without a colon and no control byte, and encodes to just this text. */
#include "http/basic.h"
#include "util/b64url.h"
#include "util/buf.h"

#include <stdlib.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_spelling(const struct basic *b, struct view credentials)
{
    struct buf plain = BUF(BASIC_MAX_BYTES), text = BUF(2 * BASIC_MAX_BYTES);
    buf_put(&plain, b->username);
    buf_puts(&plain, ":");
    buf_put(&plain, b->password);
    b64url_encode(&text, plain.p, plain.n);
    require(buf_ok(&text) && text.n <= credentials.n && credentials.n - text.n < 3);
    for (size_t i = 0; i < text.n; i++)
        require(text.p[i] == (credentials.p[i] == '+' ? '-' : credentials.p[i] == '/' ? '_' : credentials.p[i]));
    buf_deinit(&plain);
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t block[BASIC_MAX_BYTES];
    struct basic b;
    struct view credentials = view_at((const char *)data, size);
    if (basic_parse(credentials, block, &b) != GW_OK)
        return 0;
    require(view_index(b.username, ':') == b.username.n);
    for (size_t i = 0; i < b.password.n; i++)
        require((uint8_t)b.password.p[i] >= 0x20 && b.password.p[i] != 0x7f);
    check_spelling(&b, credentials);
    return 0;
}
