/* b64url: Base64 for URLs without padding (RFC 4648 5).
 *
 * Strict: only the alphabet, no '=', no blanks, unused bits zero, so each value has exactly one spelling. */
#pragma once

#include "util/buf.h"

/* Characters that n bytes take. */
static inline size_t b64url_encoded_len(size_t n)
{
    return n / 3 * 4 + (n % 3 == 0 ? 0 : n % 3 + 1);
}

void b64url_encode(struct buf *out, const void *p, size_t n);
/* Decodes into out (cap bytes). GW_E_INVALID for another spelling, GW_E_LIMIT if it does not fit. */
enum gw_err b64url_decode(struct view text, uint8_t *out, size_t cap, size_t *ret_n) GW_MUST_CHECK;
