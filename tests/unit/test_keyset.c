#include "identity/keyset.h"

#include "support.h"
#include "tokens.h"

#include <stdio.h>

static struct token_key rsa, ec256, ec384, ec521, ed;

static void make_keys(void)
{
    rsa = token_key_rsa(2048, "rsa");
    ec256 = token_key_ec(SIGALG_ES256, "ec256");
    ec384 = token_key_ec(SIGALG_ES384, "ec384");
    ec521 = token_key_ec(SIGALG_ES512, "ec521");
    ed = token_key_ed25519("ed");
}

static void free_keys(void)
{
    EVP_PKEY_free(rsa.pkey);
    EVP_PKEY_free(ec256.pkey);
    EVP_PKEY_free(ec384.pkey);
    EVP_PKEY_free(ec521.pkey);
    EVP_PKEY_free(ed.pkey);
}

static void put_set(struct buf *out, const struct token_key *const *keys, size_t n, const char *extra)
{
    buf_puts(out, "{\"keys\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_puts(out, ",");
        token_put_jwk(out, keys[i], extra);
    }
    buf_puts(out, "]}");
}

START_TEST(T1_T2_algorithm_follows_from_type_and_curve)
{
    const struct token_key *const all[] = {&rsa, &ec256, &ec384, &ec521, &ed};
    struct buf json = BUF(64 * 1024);
    struct keyset *ks;
    put_set(&json, all, 5, ",\"use\":\"sig\",\"x5c\":[\"junk\"],\"x5u\":\"https://evil/\"");
    ck_assert_int_eq(keyset_parse(buf_view(&json), &ks), GW_OK);
    ck_assert_uint_eq(keyset_count(ks), 5);
    for (size_t i = 0; i < 5; i++) {
        struct keyset_key *key = keyset_find(ks, view_of(all[i]->kid));
        ck_assert_ptr_nonnull(key);
        ck_assert_int_eq(keyset_key_alg(key), all[i]->alg);
    }
    ck_assert_ptr_null(keyset_find(ks, VIEW("other")));
    ck_assert_msg(keyset_find(ks, VIEW_NONE) == NULL, "without a kid, five keys are four too many");
    keyset_free(ks);
    buf_deinit(&json);
}
END_TEST

START_TEST(verifies_each_algorithm_again_and_again)
{
    const struct token_key *const all[] = {&rsa, &ec256, &ec384, &ec521, &ed};
    struct buf json = BUF(64 * 1024), text = BUF(4096);
    struct keyset *ks;
    uint8_t sig[1024];
    size_t n;
    put_set(&json, all, 5, "");
    ck_assert_int_eq(keyset_parse(buf_view(&json), &ks), GW_OK);
    for (int round = 0; round < 3; round++) {
        const struct token_key *k = all[_i];
        struct keyset_key *key = keyset_find(ks, view_of(k->kid));
        buf_clear(&text);
        buf_printf(&text, "round %d", round);
        size_t n_text = text.n;
        token_put_signature(&text, k);
        ck_assert_int_eq(b64url_decode(view_skip(buf_view(&text), n_text + 1), sig, sizeof(sig), &n), GW_OK);
        ck_assert(keyset_key_verify(key, view_at(text.p, n_text), sig, n));
        ck_assert_msg(!keyset_key_verify(key, view_at(text.p, n_text - 1), sig, n), "other text");
        ck_assert_msg(!keyset_key_verify(key, view_at(text.p, n_text), sig, n - 1), "cut signature");
        ck_assert_msg(!keyset_key_verify(key, view_at(text.p, n_text), sig, 0), "no signature");
        sig[n / 2] ^= 1;
        ck_assert_msg(!keyset_key_verify(key, view_at(text.p, n_text), sig, n), "changed signature");
        memset(sig, 0, n);
        ck_assert_msg(!keyset_key_verify(key, view_at(text.p, n_text), sig, n), "zeroes (r = s = 0)");
    }
    keyset_free(ks);
    buf_deinit(&json);
    buf_deinit(&text);
}
END_TEST

START_TEST(a_set_without_keys_is_a_set)
{
    static const char *const sets[] = {"{}", "{\"keys\":[]}", " { } "};
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        struct keyset *ks;
        ck_assert_int_eq(keyset_parse(view_of(sets[i]), &ks), GW_OK);
        ck_assert_uint_eq(keyset_count(ks), 0);
        ck_assert_ptr_null(keyset_find(ks, VIEW_NONE));
        ck_assert_ptr_null(keyset_find(ks, VIEW("a")));
        keyset_free(ks);
    }
}
END_TEST

START_TEST(refuses_what_is_no_set)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{\"keys\":null}",
        "{\"keys\":{}}",
        "{\"keys\":\"x\"}",
        "{\"keys\":[1]}",
        "{\"keys\":[null]}",
        "{\"keys\":[[]]}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"kty\":\"EC\"}]}",
        "{\"keys\":[]",
        "{\"keys\":[]} x",
        "<html>",
        "{\"keys\":[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct keyset *ks = NULL;
        ck_assert_msg(keyset_parse(view_of(bad[i]), &ks) != GW_OK, "%s", bad[i]);
        ck_assert_ptr_null(ks);
    }
}
END_TEST

START_TEST(leaves_out_unfit_keys_and_keeps_the_rest)
{
    static const char x32[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"; /* 32 zero bytes */
    char garbage[16][512];
    size_t n = 0;
    snprintf(garbage[n++], 512, "{}");
    snprintf(garbage[n++], 512, "{\"kty\":7}");
    snprintf(garbage[n++], 512, "{\"kty\":\"oct\",\"k\":\"c2VjcmV0\",\"kid\":\"oct\"}");
    snprintf(garbage[n++], 512, "{\"kty\":\"FUTURE\",\"kid\":\"f\"}");
    snprintf(garbage[n++], 512, "{\"kty\":\"rsa\",\"n\":\"AQAB\",\"e\":\"AQAB\"}");
    snprintf(garbage[n++], 512, "{\"kty\":\"RSA\",\"kid\":\"a\"}");
    snprintf(garbage[n++], 512, "{\"kty\":\"RSA\",\"n\":1,\"e\":65537}");
    snprintf(garbage[n++], 512, "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"kid\":\"tiny\"}");
    snprintf(garbage[n++], 512, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\",\"kid\":\"off the curve\"}", x32,
             x32);
    snprintf(garbage[n++], 512, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\",\"kid\":\"short\"}");
    snprintf(garbage[n++], 512, "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"%s\",\"y\":\"%s\"}", x32, x32);
    snprintf(garbage[n++], 512, "{\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x32, x32);
    snprintf(garbage[n++], 512, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}");
    snprintf(garbage[n++], 512, "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"%s\"}", x32);
    snprintf(garbage[n++], 512, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\",\"kid\":5}", x32);
    struct buf json = BUF(64 * 1024);
    buf_puts(&json, "{\"keys\":[");
    for (size_t i = 0; i < n; i++) {
        buf_put(&json, view_of(garbage[i]));
        buf_puts(&json, ",");
    }
    token_put_jwk(&json, &ec256, ",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"alg\":\"ES256\"");
    buf_puts(&json, "]}");
    struct keyset *ks;
    ck_assert_int_eq(keyset_parse(buf_view(&json), &ks), GW_OK);
    ck_assert_uint_eq(keyset_count(ks), 1);
    ck_assert_uint_eq(keyset_skipped(ks), n);
    ck_assert_ptr_nonnull(keyset_find(ks, VIEW("ec256")));
    ck_assert_msg(keyset_find(ks, VIEW_NONE) != NULL, "the only usable key needs no kid");
    keyset_free(ks);
    buf_deinit(&json);
}
END_TEST

START_TEST(T1_T3_leaves_out_keys_for_something_else)
{
    static const char *const extras[] = {
        ",\"use\":\"enc\"",
        ",\"use\":\"SIG\"",
        ",\"use\":null",
        ",\"key_ops\":[\"encrypt\"]",
        ",\"key_ops\":\"verify\"",
        ",\"alg\":\"PS256\"",
        ",\"alg\":\"RSA-OAEP-256\"",
        ",\"alg\":\"HS256\"",
        ",\"alg\":\"rs256\"",
        ",\"alg\":7",
    };
    const struct token_key *const one[] = {&rsa};
    for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
        struct buf json = BUF(64 * 1024);
        struct keyset *ks;
        put_set(&json, one, 1, extras[i]);
        ck_assert_int_eq(keyset_parse(buf_view(&json), &ks), GW_OK);
        ck_assert_msg(keyset_count(ks) == 0 && keyset_skipped(ks) == 1, "%s", extras[i]);
        keyset_free(ks);
        buf_deinit(&json);
    }
}
END_TEST

START_TEST(leaves_out_rsa_keys_that_are_short_or_odd)
{
    struct token_key short_rsa = token_key_rsa(512, "short"), nearly = token_key_rsa(2040, "nearly");
    struct buf json = BUF(64 * 1024);
    struct keyset *ks;
    buf_puts(&json, "{\"keys\":[");
    token_put_jwk(&json, &short_rsa, "");
    buf_puts(&json, ",");
    token_put_jwk(&json, &nearly, "");
    static const char *const exponents[] = {"AQ", "Ag", "AA", "", "AQAA", "AQAAAAAAAAAB", "AQAB="};
    for (size_t i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
        buf_puts(&json, ",{\"kty\":\"RSA\",\"n\":\"");
        token_put_bn(&json, rsa.pkey, OSSL_PKEY_PARAM_RSA_N, 0);
        buf_printf(&json, "\",\"e\":\"%s\",\"kid\":\"e%zu\"}", exponents[i], i);
    }
    buf_puts(&json, ",{\"kty\":\"RSA\",\"e\":\"AQAB\",\"kid\":\"huge\",\"n\":\"");
    for (size_t i = 0; i < 8 * 1024; i++)
        buf_puts(&json, "B");
    buf_puts(&json, "\"}]}");
    ck_assert_int_eq(keyset_parse(buf_view(&json), &ks), GW_OK);
    ck_assert_uint_eq(keyset_count(ks), 0);
    ck_assert_uint_eq(keyset_skipped(ks), 2 + sizeof(exponents) / sizeof(exponents[0]) + 1);
    keyset_free(ks);
    buf_deinit(&json);
    EVP_PKEY_free(short_rsa.pkey);
    EVP_PKEY_free(nearly.pkey);
}
END_TEST

START_TEST(refuses_two_keys_with_one_kid)
{
    struct token_key twin = ec256;
    twin.kid = "rsa";
    const struct token_key *const both[] = {&rsa, &twin};
    struct buf json = BUF(64 * 1024);
    struct keyset *ks = NULL;
    put_set(&json, both, 2, "");
    ck_assert_int_eq(keyset_parse(buf_view(&json), &ks), GW_E_INVALID);
    ck_assert_ptr_null(ks);
    buf_clear(&json);
    buf_puts(&json, "{\"keys\":[");
    token_put_jwk(&json, &rsa, ",\"use\":\"enc\"");
    buf_puts(&json, ",");
    token_put_jwk(&json, &twin, "");
    buf_puts(&json, "]}");
    ck_assert_msg(keyset_parse(buf_view(&json), &ks) == GW_OK, "one of them is for encryption");
    ck_assert_int_eq(keyset_key_alg(keyset_find(ks, VIEW("rsa"))), SIGALG_ES256);
    keyset_free(ks);
    buf_deinit(&json);
}
END_TEST

START_TEST(M3_caps_bytes_and_keys)
{
    struct buf json = BUF(1024 * 1024);
    struct keyset *ks = NULL;
    buf_puts(&json, "{\"keys\":[{}");
    for (size_t i = 1; i < KEYSET_KEYS_MAX; i++)
        buf_puts(&json, ",{}");
    size_t n = json.n;
    buf_puts(&json, "]}");
    ck_assert_int_eq(keyset_parse(buf_view(&json), &ks), GW_OK);
    keyset_free(ks);
    json.n = n;
    buf_puts(&json, ",{}]}");
    ck_assert_int_eq(keyset_parse(buf_view(&json), &ks), GW_E_LIMIT);
    buf_clear(&json);
    buf_puts(&json, "{\"keys\":[]");
    while (json.n <= KEYSET_BYTES_MAX)
        buf_puts(&json, "          ");
    buf_puts(&json, "}");
    ck_assert_int_eq(keyset_parse(buf_view(&json), &ks), GW_E_LIMIT);
    buf_deinit(&json);
}
END_TEST

START_TEST(names_of_algorithms_are_exact)
{
    static const char *const none[] = {"",      "none",  "None",  "NONE",  "rs256",  "RS256 ",
                                       "RS384", "RS512", "PS256", "HS384", "ES256K", "EDDSA"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        ck_assert_msg(sigalg_from_name(view_of(none[i])) == SIGALG_NONE, "%s", none[i]);
    for (int a = SIGALG_NONE + 1; a < SIGALG_COUNT; a++)
        ck_assert_int_eq(sigalg_from_name(view_of(sigalg_name((enum sigalg)a))), a);
}
END_TEST

/* RFC 7517 A.1: an EC key for encryption, an RSA key for signatures. */
START_TEST(reads_rfc7517_a_1)
{
    struct keyset *ks;
    ck_assert_int_eq(
        keyset_parse(
            VIEW(
                "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
                "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"use\":\"enc\",\"kid\":\"1\"},"
                "{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
                "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI"
                "SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\","
                "\"kid\":\"2011-04-29\"}]}"),
            &ks),
        GW_OK);
    ck_assert_uint_eq(keyset_count(ks), 1);
    ck_assert_int_eq(keyset_key_alg(keyset_find(ks, VIEW("2011-04-29"))), SIGALG_RS256);
    keyset_free(ks);
}
END_TEST

int main(void)
{
    make_keys();
    Suite *s = suite_create("keyset");
    TCase *t = tcase_create("keyset");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, T1_T2_algorithm_follows_from_type_and_curve);
    tcase_add_loop_test(t, verifies_each_algorithm_again_and_again, 0, 5);
    tcase_add_test(t, a_set_without_keys_is_a_set);
    tcase_add_test(t, refuses_what_is_no_set);
    tcase_add_test(t, leaves_out_unfit_keys_and_keeps_the_rest);
    tcase_add_test(t, T1_T3_leaves_out_keys_for_something_else);
    tcase_add_test(t, leaves_out_rsa_keys_that_are_short_or_odd);
    tcase_add_test(t, refuses_two_keys_with_one_kid);
    tcase_add_test(t, M3_caps_bytes_and_keys);
    tcase_add_test(t, names_of_algorithms_are_exact);
    tcase_add_test(t, reads_rfc7517_a_1);
    suite_add_tcase(s, t);
    int status = support_run(s);
    free_keys();
    return status;
}
