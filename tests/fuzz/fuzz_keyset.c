/* Input: a JWK set. Each key that gets in has an algorithm, is found by no other kid than its own, and refuses an empty
 * signature. */
#include "identity/keyset.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bool all[SIGALG_COUNT] = {false, true, true, true, true, true, true};
    static const char *const kids[] = {"", "a", "rsa", "ec", "ed", "2011-04-29"};
    static const uint8_t zeroes[132];
    struct keyset *ks;
    if (keyset_parse(view_at((const char *)data, size), &ks) != GW_OK)
        return 0;
    if (keyset_count(ks) > KEYSET_KEYS_MAX || keyset_has_alg(ks, all) != (keyset_count(ks) > 0))
        abort();
    for (size_t i = 0; i < sizeof(kids) / sizeof(kids[0]); i++) {
        struct keyset_key *key = keyset_find(ks, view_of(kids[i]));
        if (key != NULL &&
            (keyset_key_alg(key) == SIGALG_NONE || keyset_key_alg(key) == SIGALG_HS256 ||
             keyset_key_verify(key, VIEW("text"), zeroes, 0) ||
             (keyset_key_alg(key) != SIGALG_EDDSA && keyset_key_verify(key, VIEW("text"), zeroes, sizeof(zeroes)))))
            abort();
    }
    keyset_free(ks);
    return 0;
}
