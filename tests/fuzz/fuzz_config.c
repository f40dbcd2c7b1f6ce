#include "config/config.h"

#include <stdlib.h>

static void ignore(void *arg, const struct config_finding *f)
{
    *(size_t *)arg += f->is_warning ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char variable[] = "REPOGATE__OIDC__SCOPES=openid,email", *environment[] = {variable, NULL};
    struct config *c = NULL;
    size_t n_errors = 0;

    enum gw_err err = config_parse(view_at((const char *)data, size), "fuzz.yaml", environment, ignore, &n_errors, &c);
    /* Refused means said, and the other way round. */
    if ((err == GW_OK) != (c != NULL) || (err == GW_E_INVALID) != (n_errors > 0))
        abort();
    config_free(c);
    return 0;
}
