/* tokencache: bearer tokens that have been verified, so that a signature is checked once per token and thread.
 *
 * Shape: from the SHA-256 of the token's whole text to a principal, until its exp. Only verified tokens get in, so nobody
 * outside can fill it.
 * When TOKENCACHE_ENTRIES_MAX entries or TOKENCACHE_BYTES_MAX bytes of principals are held, the oldest go.
 * Owns: a counted reference to each principal. Threads: one at a time. */
#pragma once

#include "identity/principal.h"
#include "util/digest.h"

enum { TOKENCACHE_ENTRIES_MAX = 10000, TOKENCACHE_BYTES_MAX = 32 * 1024 * 1024 };

struct tokencache;

enum gw_err tokencache_new(struct tokencache **ret_cache) GW_MUST_CHECK;
void tokencache_free(struct tokencache *c);
/* Borrowed until the next put or clear; NULL if unknown or now_s is not before its exp. */
struct principal *tokencache_find(const struct tokencache *c, const uint8_t digest[DIGEST_BYTES], int64_t now_s);
/* Takes a reference of its own. The digest is not in the cache yet. */
void tokencache_put(struct tokencache *c, const uint8_t digest[DIGEST_BYTES], struct principal *who);
void tokencache_clear(struct tokencache *c);
size_t tokencache_count(const struct tokencache *c);
