#include "support.h"
#include "util/digest.h"

#include <pthread.h>

static void hex_of(const uint8_t d[DIGEST_BYTES], char out[DIGEST_HEX_LEN + 1])
{
    digest_hex(d, out);
}

START_TEST(sha256_of_fips_180_abc)
{
    uint8_t d[DIGEST_BYTES];
    char hex[DIGEST_HEX_LEN + 1];
    ck_assert_int_eq(digest_sha256(VIEW("abc"), d), GW_OK);
    hex_of(d, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_int_eq(digest_sha256_parts((struct view[]){VIEW("a"), VIEW_NONE, VIEW("bc")}, 3, d), GW_OK);
    hex_of(d, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

/* RFC 4231 4.3 and 4.7 (a key longer than a block). */
START_TEST(hmac_of_rfc_4231)
{
    uint8_t d[DIGEST_BYTES];
    char hex[DIGEST_HEX_LEN + 1], key[131];
    ck_assert_int_eq(digest_hmac(VIEW("Jefe"), VIEW("what do ya want for nothing?"), d), GW_OK);
    hex_of(d, hex);
    ck_assert_str_eq(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    ck_assert_int_eq(digest_hmac(view_at(key, sizeof(key)), VIEW("Test Using Larger Than Block-Size Key - Hash Key First"), d),
                     GW_OK);
    hex_of(d, hex);
    ck_assert_str_eq(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}
END_TEST

/* RFC 5869 A.3: no salt, no info; the first 32 of its 42 bytes. */
START_TEST(hkdf_of_rfc_5869_test_case_3)
{
    uint8_t d[DIGEST_BYTES];
    char hex[DIGEST_HEX_LEN + 1], ikm[22];
    memset(ikm, 0x0b, sizeof(ikm));
    ck_assert_int_eq(digest_hkdf(view_at(ikm, sizeof(ikm)), VIEW_NONE, d), GW_OK);
    hex_of(d, hex);
    ck_assert_str_eq(hex, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}
END_TEST

static void *hash_often(void *arg)
{
    uint8_t d[DIGEST_BYTES];
    uintptr_t wrong = 0;
    for (int i = 0; i < 1000; i++)
        if (digest_sha256(VIEW("abc"), d) != GW_OK || d[0] != 0xba)
            wrong++;
    (void)arg;
    return (void *)wrong;
}

START_TEST(threads_hash_without_disturbing_each_other)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hash_often, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("digest");
    TCase *t = tcase_create("digest");
    tcase_add_test(t, sha256_of_fips_180_abc);
    tcase_add_test(t, hmac_of_rfc_4231);
    tcase_add_test(t, hkdf_of_rfc_5869_test_case_3);
    tcase_add_test(t, threads_hash_without_disturbing_each_other);
    suite_add_tcase(s, t);
    return support_run(s);
}
