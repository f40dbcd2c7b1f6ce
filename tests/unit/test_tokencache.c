#include "identity/tokencache.h"

#include "support.h"

#include <stdio.h>

enum { EXP_S = 1700003600 };

static struct principal *person(size_t n, size_t pad_bytes)
{
    struct buf json = BUF(64 * 1024), claims = BUF(64 * 1024);
    struct principal *who;
    buf_printf(&json, "{\"iss\":\"i\",\"sub\":\"u%zu\",\"groups\":[],\"exp\":%d,\"pad\":\"", n, (int)EXP_S);
    for (size_t i = 0; i < pad_bytes; i++)
        buf_put_byte(&json, 'x');
    buf_puts(&json, "\"}");
    ck_assert_int_eq(pack_parse(buf_view(&json), &claims), GW_OK);
    ck_assert_int_eq(principal_new(pack_root(claims.p), PRINCIPAL_BEARER, false, &who), GW_OK);
    buf_deinit(&json);
    buf_deinit(&claims);
    return who;
}

/* Numbers chosen by us, so that many fall into few buckets. */
static void digest_of(size_t n, uint8_t digest[DIGEST_BYTES])
{
    memset(digest, 0, DIGEST_BYTES);
    digest[0] = (uint8_t)(n % 7);
    memcpy(digest + 8, &n, sizeof(n));
}

static void put(struct tokencache *c, size_t n, size_t pad_bytes)
{
    uint8_t digest[DIGEST_BYTES];
    struct principal *who = person(n, pad_bytes);
    digest_of(n, digest);
    tokencache_put(c, digest, who);
    principal_unref(who);
}

static bool has(const struct tokencache *c, size_t n, int64_t now_s)
{
    char sub[32];
    uint8_t digest[DIGEST_BYTES];
    digest_of(n, digest);
    struct principal *who = tokencache_find(c, digest, now_s);
    snprintf(sub, sizeof(sub), "u%zu", n);
    ck_assert_msg(who == NULL || view_eq(principal_sub(who), view_of(sub)), "another's principal");
    return who != NULL;
}

START_TEST(finds_what_was_put_until_its_exp)
{
    struct tokencache *c;
    ck_assert_int_eq(tokencache_new(&c), GW_OK);
    ck_assert(!has(c, 1, 0));
    put(c, 1, 0);
    put(c, 8, 0); /* the same bucket */
    ck_assert(has(c, 1, EXP_S - 1));
    ck_assert(has(c, 8, EXP_S - 1));
    ck_assert(!has(c, 15, EXP_S - 1));
    ck_assert_msg(!has(c, 1, EXP_S), "not on or after exp");
    tokencache_clear(c);
    ck_assert(!has(c, 1, EXP_S - 1));
    ck_assert_uint_eq(tokencache_count(c), 0);
    put(c, 1, 0);
    ck_assert(has(c, 1, EXP_S - 1));
    tokencache_free(c);
}
END_TEST

START_TEST(the_oldest_go_when_it_is_full)
{
    struct tokencache *c;
    size_t n = TOKENCACHE_ENTRIES_MAX + 100;
    ck_assert_int_eq(tokencache_new(&c), GW_OK);
    for (size_t i = 0; i < n; i++) {
        put(c, i, 0);
        ck_assert_uint_le(tokencache_count(c), TOKENCACHE_ENTRIES_MAX);
    }
    ck_assert_uint_eq(tokencache_count(c), TOKENCACHE_ENTRIES_MAX);
    for (size_t i = 0; i < n; i += 33)
        ck_assert_msg(has(c, i, 0) == (i >= 100), "%zu", i);
    tokencache_free(c);
}
END_TEST

START_TEST(bytes_are_capped_too)
{
    enum { PAD = 12 * 1024 };
    struct tokencache *c;
    ck_assert_int_eq(tokencache_new(&c), GW_OK);
    size_t n = TOKENCACHE_BYTES_MAX / PAD + 50;
    for (size_t i = 0; i < n; i++)
        put(c, i, PAD);
    ck_assert_uint_lt(tokencache_count(c), TOKENCACHE_BYTES_MAX / PAD + 1);
    ck_assert_msg(!has(c, 0, 0) && has(c, n - 1, 0), "the oldest went");
    tokencache_free(c);
}
END_TEST

START_TEST(a_reference_outlives_the_cache)
{
    uint8_t digest[DIGEST_BYTES];
    struct tokencache *c;
    ck_assert_int_eq(tokencache_new(&c), GW_OK);
    put(c, 3, 0);
    digest_of(3, digest);
    struct principal *who = principal_ref(tokencache_find(c, digest, 0));
    tokencache_free(c);
    ck_assert(view_eq(principal_sub(who), VIEW("u3")));
    principal_unref(who);
    tokencache_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tokencache");
    TCase *t = tcase_create("tokencache");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, finds_what_was_put_until_its_exp);
    tcase_add_test(t, the_oldest_go_when_it_is_full);
    tcase_add_test(t, bytes_are_capped_too);
    tcase_add_test(t, a_reference_outlives_the_cache);
    suite_add_tcase(s, t);
    return support_run(s);
}
