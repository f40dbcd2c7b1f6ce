#include "workspace/driver.h"

#include "util/digest.h"

enum gw_err driver_route(const struct driver *d, const struct driver_ask *ask, struct arena *a, struct driver_route *ret_route)
{
    return d->ops->route(d, ask, a, ret_route);
}

void driver_free(struct driver *d)
{
    if (d != NULL)
        d->ops->free(d);
}

enum gw_err driver_format_id(const struct driver_ask *ask, char out[DRIVER_ID_LEN + 1])
{
    /* neither an issuer nor a repository holds a NUL, so no two triples read alike */
    const struct view nul = {"", 1};
    const struct view parts[] = {principal_iss(ask->principal), nul, principal_sub(ask->principal), nul,
                                 view_of(ask->repo->full)};
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_LEN + 1];
    enum gw_err err = digest_sha256_parts(parts, sizeof(parts) / sizeof(parts[0]), digest);
    if (err != GW_OK)
        return err;
    digest_hex(digest, hex);
    memcpy(out, "ws-", 3);
    memcpy(out + 3, hex, DRIVER_ID_LEN - 3);
    out[DRIVER_ID_LEN] = '\0';
    return GW_OK;
}
