/* seal: encrypts with a ring of keys (AES-256-GCM, NIST SP 800-38D).
 *
 * Shape: a key file holds one key per line: 32 bytes in b64url, as `repogate keygen session` writes it. The first key
 * seals, all open, so keys rotate by putting a new line on top. A sealed text is key id (4 bytes) | nonce (12) |
 * ciphertext | tag (16).
 * `purpose` and `context` are bound in: what was sealed for one purpose or context opens for no other.
 * A ring stays the same object while its keys change (seal_ring_replace): what was sealed under a key that is still there opens.
 * Owns: the ring wipes its keys. Threads: any; each call works with the keys of one moment. */
#pragma once

#include "util/buf.h"

enum { SEAL_KEY_BYTES = 32, SEAL_KEYS_MAX = 8, SEAL_OVERHEAD_BYTES = 4 + 12 + 16 };

struct seal_ring;

/* GW_E_IO unreadable; GW_E_INVALID a line that is no key, or none; GW_E_LIMIT more than SEAL_KEYS_MAX. */
enum gw_err seal_ring_load(const char *path, struct seal_ring **ret_ring) GW_MUST_CHECK;
/* From raw keys of SEAL_KEY_BYTES each, the sealing one first. */
enum gw_err seal_ring_new(const uint8_t (*keys)[SEAL_KEY_BYTES], size_t n_keys, struct seal_ring **ret_ring) GW_MUST_CHECK;
void seal_ring_free(struct seal_ring *ring);
/* Other keys from now on, from the text of a key file; errors as seal_ring_load(), with the old keys in force. */
enum gw_err seal_ring_replace(struct seal_ring *ring, struct view text) GW_MUST_CHECK;

/* Appends the sealed text to out. context may be empty; a secret context (a cookie) makes the key depend on it. */
enum gw_err seal_put(const struct seal_ring *ring, struct view purpose, struct view context, struct view plain, struct buf *out)
    GW_MUST_CHECK;
/* Appends the plain text to out. GW_E_INVALID whatever is wrong with it. */
enum gw_err seal_open(const struct seal_ring *ring, struct view purpose, struct view context, struct view sealed, struct buf *out)
    GW_MUST_CHECK;
/* HMAC-SHA-256 under a key derived from ring key number i for the purpose. i == 0 is the sealing key. GW_E_NOTFOUND: no such key. */
enum gw_err seal_mac(const struct seal_ring *ring, size_t i, struct view purpose, struct view data, uint8_t out[32])
    GW_MUST_CHECK;
/* The same under every key of one moment, the sealing one first: for lookups that must survive rotation. Asking one by one could
 * miss a key that moves meanwhile. */
enum gw_err seal_mac_all(const struct seal_ring *ring, struct view purpose, struct view data, uint8_t out[SEAL_KEYS_MAX][32],
                         size_t *ret_n) GW_MUST_CHECK;
size_t seal_ring_count(const struct seal_ring *ring);

static inline void seal_ring_freep(struct seal_ring **pp)
{
    seal_ring_free(*pp);
}
