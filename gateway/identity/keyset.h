/* keyset: the provider's signing keys, and the check of a signature with one of them.
 *
 * Shape: in: a JWK set as JSON. Out: the keys a signature may be checked with; the algorithm follows from each key's type and
 * curve, never from a token. `{}` and an empty list are a set without keys. Keys for encryption, symmetric keys, unknown
 * types and broken or weak keys (RSA under 2048 bits, a point off its curve) are left out and counted; private members,
 * x5c, x5u and the like are never read.
 * Errors: GW_E_INVALID not a JWK set, or two usable keys with one kid (which one is meant is not ours to guess);
 * GW_E_LIMIT over KEYSET_BYTES_MAX or KEYSET_KEYS_MAX; GW_E_NOMEM.
 * Threads: a keyset keeps OpenSSL contexts and belongs to one thread.
 * Source: RFC 7517 4 and 5, RFC 7518 3.3, 3.4 and 6, RFC 8037 2 and 3.1.
 * Not here: fetching and refreshing (provider), HS256 (hs256), claims (verifier). */
#pragma once

#include "util/view.h"

enum { KEYSET_BYTES_MAX = 128 * 1024, KEYSET_KEYS_MAX = 32, KEYSET_SIGNATURE_MAX = 1024 };

enum sigalg { SIGALG_NONE, SIGALG_RS256, SIGALG_ES256, SIGALG_ES384, SIGALG_ES512, SIGALG_EDDSA, SIGALG_HS256, SIGALG_COUNT };

/* Exact spelling (RFC 7518 3.1, RFC 8037 3.1), else SIGALG_NONE: "none", "rs256" and "PS256" are no algorithm here. */
enum sigalg sigalg_from_name(struct view name);
const char *sigalg_name(enum sigalg alg);

struct keyset;
struct keyset_key;

enum gw_err keyset_parse(struct view json, struct keyset **ret_keyset) GW_MUST_CHECK;
void keyset_free(struct keyset *ks);

size_t keyset_count(const struct keyset *ks);
/* Is there a key for one of these algorithms? */
bool keyset_has_alg(const struct keyset *ks, const bool is_alg_allowed[SIGALG_COUNT]);
/* Members of the set that were left out. */
size_t keyset_skipped(const struct keyset *ks);
/* Borrowed from ks; NULL if there is none. An empty kid finds the only key of a set of one (OpenID Connect Core 10.1). */
struct keyset_key *keyset_find(struct keyset *ks, struct view kid);
enum sigalg keyset_key_alg(const struct keyset_key *key);
/* Verifies signature (raw bytes, as JWS has them) over data. */
bool keyset_key_verify(struct keyset_key *key, struct view data, const uint8_t *signature, size_t n_signature);

static inline void keyset_freep(struct keyset **pp)
{
    keyset_free(*pp);
}
