#include "identity/hs256.h"

#include "util/cleanup.h"

#include <errno.h>
#include <jwt.h>
#include <limits.h>

GW_DEFINE_FREEP(jwt_freep, jwt_t, jwt_free)

enum gw_err hs256_verify(struct view jwt, struct view secret)
{
    GW_CLEANUP(jwt_freep) jwt_t *token = NULL;
    if (secret.p == NULL || secret.n < HS256_SECRET_MIN || secret.n > INT_MAX)
        return GW_E_INVALID;
    GW_CLEANUP(gw_freep) char *text = view_dup(jwt);
    if (text == NULL)
        return GW_E_NOMEM;
    int failed = jwt_decode(&token, text, (const unsigned char *)secret.p, (int)secret.n);
    if (failed != 0)
        return failed == ENOMEM ? GW_E_NOMEM : GW_E_INVALID;
    return jwt_get_alg(token) == JWT_ALG_HS256 ? GW_OK : GW_E_INVALID;
}
