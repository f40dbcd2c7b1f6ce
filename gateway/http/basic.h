/* basic: user name and password of an Authorization header of the scheme Basic.
 *
 * Shape: in: what follows `Basic `. Out: both parts; the password begins after the first colon and may have more of them.
 * Strict: base64 with its padding and no blank or stray bit in it; no control characters.
 * Errors: GW_E_INVALID anything else; GW_E_LIMIT over BASIC_MAX_BYTES.
 * Owns: the views point into block, which the caller wipes. Threads: any. Source: RFC 7617 2 and 2.1, RFC 4648 4. */
#pragma once

#include "util/view.h"

enum { BASIC_MAX_BYTES = 2048 };

struct basic {
    struct view username, password;
};

enum gw_err basic_parse(struct view credentials, uint8_t block[BASIC_MAX_BYTES], struct basic *ret_basic) GW_MUST_CHECK;
