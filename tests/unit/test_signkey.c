#include "identity/signkey.h"

#include "identity/keyset.h"
#include "support.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

/* RFC 7515 A.3 gives the key, and RFC 7638 3.1 the way of its thumbprint, which OpenSSL and another program computed from it. */
#define RFC7515_A3                                                       \
    "-----BEGIN EC PRIVATE KEY-----\n"                                   \
    "MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n" \
    "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n" \
    "focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"                             \
    "-----END EC PRIVATE KEY-----\n"

static void put_pkey(struct buf *out, EVP_PKEY *pkey, const EVP_CIPHER *cipher)
{
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert_ptr_nonnull(pkey);
    ck_assert_int_eq(
        PEM_write_bio_PKCS8PrivateKey(bio, pkey, cipher, cipher == NULL ? NULL : "secret", cipher == NULL ? 0 : 6, NULL, NULL),
        1);
    long n = BIO_get_mem_data(bio, &text);
    buf_put(out, view_at(text, (size_t)n));
    BIO_free(bio);
    EVP_PKEY_free(pkey);
}

static void put_public(struct buf *out)
{
    char *text;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert_int_eq(PEM_write_bio_PUBKEY(bio, pkey), 1);
    long n = BIO_get_mem_data(bio, &text);
    buf_put(out, view_at(text, (size_t)n));
    BIO_free(bio);
    EVP_PKEY_free(pkey);
}

static enum gw_err parse(const struct buf *pem)
{
    struct signkey_ring *ring = NULL;
    enum gw_err err = signkey_ring_parse(buf_view(pem), &ring);
    ck_assert_msg((err == GW_OK) == (ring != NULL), "a ring only with GW_OK");
    signkey_ring_free(ring);
    return err;
}

START_TEST(what_it_signs_verifies_with_what_it_publishes)
{
    struct buf pem = BUF(65536), jwks = BUF(65536);
    struct signkey_ring *ring;
    struct keyset *keys;
    uint8_t signature[SIGNKEY_SIGNATURE_BYTES];
    ck_assert_int_eq(signkey_generate(&pem), GW_OK);
    ck_assert_int_eq(signkey_generate(&pem), GW_OK);
    ck_assert_int_eq(signkey_ring_parse(buf_view(&pem), &ring), GW_OK);
    ck_assert_uint_eq(signkey_ring_count(ring), 2);
    signkey_put_jwks(ring, &jwks);
    ck_assert(buf_ok(&jwks));
    ck_assert_uint_le(jwks.n, SIGNKEY_KEYS_MAX * SIGNKEY_JWK_MAX);
    ck_assert_int_eq(keyset_parse(buf_view(&jwks), &keys), GW_OK);
    ck_assert_uint_eq(keyset_count(keys), 2);
    struct keyset_key *key = keyset_find(keys, signkey_kid(ring));
    ck_assert_ptr_nonnull(key);
    ck_assert_int_eq(keyset_key_alg(key), SIGALG_ES256);
    for (int i = 0; i < 600; i++) { /* about every 128th r or s is shorter than 32 bytes */
        struct view data = view_at((const char *)&i, sizeof(i));
        ck_assert_int_eq(signkey_sign(ring, data, signature), GW_OK);
        ck_assert(keyset_key_verify(key, data, signature, sizeof(signature)));
    }
    signature[7] ^= 1;
    ck_assert(!keyset_key_verify(key, VIEW("x"), signature, sizeof(signature)));
    keyset_free(keys);
    signkey_ring_free(ring);
    buf_deinit(&pem);
    buf_deinit(&jwks);
}
END_TEST

START_TEST(L1_publishes_no_private_member)
{
    struct buf jwks = BUF(65536);
    struct signkey_ring *ring;
    ck_assert_int_eq(signkey_ring_parse(VIEW(RFC7515_A3), &ring), GW_OK);
    signkey_put_jwks(ring, &jwks);
    ck_assert_str_eq(jwks.p, "{\"keys\":[{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                             "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\","
                             "\"kid\":\"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U\",\"alg\":\"ES256\",\"use\":\"sig\"}]}\n");
    ck_view_eq(signkey_kid(ring), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    signkey_ring_free(ring);
    buf_deinit(&jwks);
}
END_TEST

START_TEST(reads_what_openssl_writes)
{
    struct buf pem = BUF(65536);
    put_pkey(&pem, EVP_EC_gen("P-256"), NULL);
    buf_puts(&pem, "made in November\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" RFC7515_A3);
    ck_assert_int_eq(parse(&pem), GW_OK);
    buf_deinit(&pem);
}
END_TEST

START_TEST(refuses_what_is_no_key_of_ours)
{
    struct buf pem = BUF(65536);
    if (_i == 0)
        buf_puts(&pem, "no key\n");
    else if (_i == 1)
        put_pkey(&pem, EVP_EC_gen("P-384"), NULL);
    else if (_i == 2)
        put_pkey(&pem, EVP_RSA_gen(2048), NULL);
    else if (_i == 3)
        put_pkey(&pem, EVP_EC_gen("secp256k1"), NULL);
    else if (_i == 4)
        put_public(&pem);
    else if (_i == 5)
        put_pkey(&pem, EVP_EC_gen("P-256"), EVP_aes_256_cbc()); /* and asks nobody for a password */
    else if (_i == 6)
        buf_puts(&pem, RFC7515_A3 RFC7515_A3);
    else if (_i == 7)
        buf_puts(&pem, "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n");
    else /* a whole one and half a one */
        buf_puts(&pem,
                 RFC7515_A3 "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n");
    ck_assert_int_eq(parse(&pem), GW_E_INVALID);
    buf_deinit(&pem);
}
END_TEST

START_TEST(refuses_a_private_half_of_another_public_one)
{
    /* the last byte of the public half changed: no point of the curve, or not this one */
    struct buf pem = BUF(65536);
    buf_puts(&pem, "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSzoAoGCCqGSM49\n"
                   "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\nfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                   "-----END EC PRIVATE KEY-----\n");
    ck_assert_int_eq(parse(&pem), GW_E_INVALID);
    buf_deinit(&pem);
}
END_TEST

START_TEST(takes_so_many_keys_and_no_more)
{
    struct buf pem = BUF(65536);
    for (int i = 0; i < SIGNKEY_KEYS_MAX; i++)
        ck_assert_int_eq(signkey_generate(&pem), GW_OK);
    ck_assert_int_eq(parse(&pem), GW_OK);
    ck_assert_int_eq(signkey_generate(&pem), GW_OK);
    ck_assert_int_eq(parse(&pem), GW_E_LIMIT);
    buf_deinit(&pem);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("signkey");
    TCase *t = tcase_create("signkey");
    tcase_add_test(t, what_it_signs_verifies_with_what_it_publishes);
    tcase_add_test(t, L1_publishes_no_private_member);
    tcase_add_test(t, reads_what_openssl_writes);
    tcase_add_loop_test(t, refuses_what_is_no_key_of_ours, 0, 9);
    tcase_add_test(t, refuses_a_private_half_of_another_public_one);
    tcase_add_test(t, takes_so_many_keys_and_no_more);
    suite_add_tcase(s, t);
    return support_run(s);
}
