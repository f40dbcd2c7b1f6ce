/* The keys of our assertions, for whoever verifies them: public halves only, and no login, since it is workspaces that ask. */
#include "handlers/core.h"
#include "handlers/handlers.h"

#include <stdio.h>

void handle_jwks(struct exchange *x)
{
    const struct assertion_maker *m = x->core->assertions;
    char max_age[64];
    int n = snprintf(max_age, sizeof(max_age), "public, max-age=%d", ASSERTION_JWKS_AGE_S);
    x->response.status = 200;
    response_put(&x->response, "Cache-Control", arena_copy(&x->arena, view_at(max_age, (size_t)n)));
    response_put(&x->response, "Content-Type", VIEW("application/jwk-set+json"));
    response_put(&x->response, "X-Content-Type-Options", VIEW("nosniff"));
    /* The maker may be exchanged while this is being sent. */
    struct view keys = m == NULL ? VIEW("{\"keys\":[]}\n") : arena_copy(&x->arena, assertion_jwks(m));
    if (keys.p == NULL)
        x->response.failed = true;
    x->response.body = keys;
    exchange_reply(x);
}
