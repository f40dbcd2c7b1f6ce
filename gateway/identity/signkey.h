/* signkey: our own P-256 keys: made, read, published, and signed with (ES256).
 *
 * Shape: a key file is PEM: private keys (PKCS #8, or SEC 1 as `openssl ecparam` writes it), not encrypted. The first signs, all are
 * published, so keys rotate by putting a new one on top, and the old one out once nothing that it signed is valid any more. A key's id
 * is the thumbprint of its public half.
 * Errors: GW_E_INVALID something in the file is no such key, or a key stands there twice, or there is none; GW_E_LIMIT more than
 * SIGNKEY_KEYS_MAX; GW_E_IO unreadable, or the library fails; GW_E_NOMEM.
 * Threads: the ring keeps OpenSSL contexts and belongs to one thread.
 * Source: RFC 7468 10, RFC 5915, RFC 7518 3.4 and 6.2.1, RFC 7638. Not here: verifying (keyset). */
#pragma once

#include "util/buf.h"

enum { SIGNKEY_KEYS_MAX = 8, SIGNKEY_KID_LEN = 43, SIGNKEY_SIGNATURE_BYTES = 64, SIGNKEY_JWK_MAX = 256 };

struct signkey_ring;

enum gw_err signkey_ring_parse(struct view pem, struct signkey_ring **ret_ring) GW_MUST_CHECK;
enum gw_err signkey_ring_load(const char *path, struct signkey_ring **ret_ring) GW_MUST_CHECK;
void signkey_ring_free(struct signkey_ring *ring);

size_t signkey_ring_count(const struct signkey_ring *ring);
/* Of the key that signs: SIGNKEY_KID_LEN characters of base64url, borrowed from the ring. */
struct view signkey_kid(const struct signkey_ring *ring);
/* r and s side by side, as JWS has them. */
enum gw_err signkey_sign(struct signkey_ring *ring, struct view data, uint8_t out[SIGNKEY_SIGNATURE_BYTES]) GW_MUST_CHECK;
/* A JWK set of all public halves, at most SIGNKEY_KEYS_MAX * SIGNKEY_JWK_MAX bytes. */
void signkey_put_jwks(const struct signkey_ring *ring, struct buf *out);

/* Appends a new key as PEM (PKCS #8). A secret: the caller wipes it. */
enum gw_err signkey_generate(struct buf *out) GW_MUST_CHECK;

static inline void signkey_ring_freep(struct signkey_ring **pp)
{
    signkey_ring_free(*pp);
}
