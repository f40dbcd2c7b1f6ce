/* digest: SHA-256 and HMAC-SHA-256 (FIPS 180-4, RFC 2104), HKDF (RFC 5869).
 *
 * Errors: GW_E_IO if the library fails. Threads: any (contexts are kept per thread). */
#pragma once

#include "util/view.h"

enum { DIGEST_BYTES = 32, DIGEST_HEX_LEN = 64 };

enum gw_err digest_sha256(struct view data, uint8_t out[DIGEST_BYTES]) GW_MUST_CHECK;
/* SHA-256 over the parts one after the other. */
enum gw_err digest_sha256_parts(const struct view *parts, size_t n_parts, uint8_t out[DIGEST_BYTES]) GW_MUST_CHECK;
enum gw_err digest_hmac(struct view key, struct view data, uint8_t out[DIGEST_BYTES]) GW_MUST_CHECK;
/* HKDF-SHA-256 without salt: a key of 32 bytes for the purpose named by info. */
enum gw_err digest_hkdf(struct view key, struct view info, uint8_t out[DIGEST_BYTES]) GW_MUST_CHECK;
const char *digest_library_version(void);
/* Lower-case hexadecimal with NUL. */
void digest_hex(const uint8_t digest[DIGEST_BYTES], char out[DIGEST_HEX_LEN + 1]);
