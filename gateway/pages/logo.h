/* logo: the operators' own picture, read once at the start and served as what its first bytes say it is.
 *
 * Errors: GW_E_IO unreadable; GW_E_LIMIT over LOGO_MAX_BYTES; GW_E_INVALID none of the kinds; GW_E_NOMEM. *ret_logo is owned.
 * Threads: any, once loaded. Source: WHATWG MIME Sniffing 6.1, for the kinds that browsers show and phones can. */
#pragma once

#include "util/buf.h"

enum { LOGO_MAX_BYTES = 128 * 1024 };

struct logo {
    struct buf bytes;
    const char *media_type; /* a constant */
};

enum gw_err logo_load(const char *path, struct logo *ret_logo) GW_MUST_CHECK;
void logo_deinit(struct logo *logo);
