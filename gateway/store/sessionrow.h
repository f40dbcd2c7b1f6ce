/* sessionrow: a session as a sealed row of the store, and back.
 *
 * Shape: the row's id is SHA-256 of the cookie's value, so a row yields no cookie. Label (username, address): the server's key
 * opens it. Secret (claims, tokens, times): only the key and the cookie together. The times in the clear are for sweeping;
 * those in the secret count, so a hand at the database prolongs nothing.
 * Errors: GW_E_INVALID the row does not open or contradicts itself; GW_E_LIMIT past SESSION_SECRET_MAX or SESSION_LABEL_MAX.
 * Owns: rows and secrets belong to the caller; a secret is wiped when it goes. Threads: any. */
#pragma once

#include "store/session.h"

struct sessionrow_secret {
    struct buf block;
    struct view claims_json, id_token, access_token, refresh_token; /* borrowed from block */
    int64_t access_expires_s;
    int64_t fresh_s; /* when the provider was asked for the claims */
};

struct sessionrow_label {
    struct buf block;
    struct view username, ip; /* borrowed from block */
};

enum gw_err sessionrow_id(struct view cookie, uint8_t ret_id[DIGEST_BYTES]) GW_MUST_CHECK;
enum gw_err sessionrow_seal(const struct seal_ring *ring, const struct session_new_spec *spec, struct view cookie,
                            int64_t created_s, int64_t expires_s, struct store_row *ret_row) GW_MUST_CHECK;
enum gw_err sessionrow_open(const struct seal_ring *ring, const struct store_row *row, struct view cookie,
                            struct sessionrow_secret *ret_secret) GW_MUST_CHECK;
/* Puts another secret, and the username unless it is empty, into a row that was read. */
enum gw_err sessionrow_reseal(const struct seal_ring *ring, const struct sessionrow_secret *secret, struct view username,
                              struct view cookie, struct store_row *row) GW_MUST_CHECK;
void sessionrow_secret_deinit(struct sessionrow_secret *secret);
/* What a row has for (iss, name) under key number i of the ring: by sid or by sub. */
enum gw_err sessionrow_mac(const struct seal_ring *ring, size_t i, enum session_by by, struct view iss, struct view name,
                           uint8_t out[DIGEST_BYTES]) GW_MUST_CHECK;
/* The same under every key of one moment: whoever looks for rows must miss none while keys rotate. */
enum gw_err sessionrow_mac_all(const struct seal_ring *ring, enum session_by by, struct view iss, struct view name,
                               uint8_t out[SEAL_KEYS_MAX][DIGEST_BYTES], size_t *ret_n) GW_MUST_CHECK;
enum gw_err sessionrow_open_label(const struct seal_ring *ring, const struct store_row *row, struct sessionrow_label *ret_label)
    GW_MUST_CHECK;
void sessionrow_label_deinit(struct sessionrow_label *label);
