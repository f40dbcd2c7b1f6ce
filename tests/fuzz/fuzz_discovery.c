/* Input: a metadata document. What is accepted has https endpoints that our own URL parser takes; what is refused says why. */
#include "identity/discovery.h"

#include "util/uri.h"

#include <stdlib.h>

static void check_url(const char *text)
{
    struct uri uri;
    if (text == NULL || uri_parse(view_of(text), &uri) != GW_OK || !view_eq(uri.scheme, VIEW("https")))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bool allowed[SIGALG_COUNT] = {[SIGALG_RS256] = true, [SIGALG_ES256] = true};
    struct buf why = BUF(1024);
    struct discovery *d = NULL;
    enum gw_err err = discovery_parse(view_at((const char *)data, size), VIEW("https://auth.example.org/application/o/repogate/"),
                                      allowed, &d, &why);
    if ((err == GW_OK) != (d != NULL) || (err == GW_E_UPSTREAM && why.n == 0 && buf_ok(&why)))
        abort();
    if (d != NULL) {
        check_url(d->authorization_endpoint);
        check_url(d->token_endpoint);
        check_url(d->userinfo_endpoint);
        check_url(d->jwks_uri);
        if (d->end_session_endpoint != NULL)
            check_url(d->end_session_endpoint);
    }
    discovery_free(d);
    buf_deinit(&why);
    return 0;
}
