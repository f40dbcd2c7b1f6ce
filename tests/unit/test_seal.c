#include "support.h"
#include "util/seal.h"

static struct seal_ring *ring_of(size_t n, uint8_t first)
{
    uint8_t keys[SEAL_KEYS_MAX + 1][SEAL_KEY_BYTES];
    struct seal_ring *ring = NULL;
    for (size_t i = 0; i < n; i++)
        memset(keys[i], first + (int)i, SEAL_KEY_BYTES);
    ck_assert_int_eq(seal_ring_new((const uint8_t(*)[SEAL_KEY_BYTES])keys, n, &ring), GW_OK);
    return ring;
}

START_TEST(F10_G11_opens_what_it_sealed_for_the_same_purpose_and_context)
{
    struct seal_ring *ring = ring_of(1, 1);
    struct buf sealed = BUF(1024), plain = BUF(1024);
    ck_assert_int_eq(seal_put(ring, VIEW("session"), VIEW("cookie"), VIEW("claims"), &sealed), GW_OK);
    ck_assert_uint_eq(sealed.n, 6 + SEAL_OVERHEAD_BYTES);
    ck_assert(!view_contains(buf_view(&sealed), VIEW("claims")));
    ck_assert_int_eq(seal_open(ring, VIEW("session"), VIEW("cookie"), buf_view(&sealed), &plain), GW_OK);
    ck_view_eq(buf_view(&plain), "claims");
    ck_assert_int_eq(seal_open(ring, VIEW("login"), VIEW("cookie"), buf_view(&sealed), &plain), GW_E_INVALID);
    ck_assert_int_eq(seal_open(ring, VIEW("session"), VIEW("cookiE"), buf_view(&sealed), &plain), GW_E_INVALID);
    ck_assert_int_eq(seal_open(ring, VIEW("session"), VIEW_NONE, buf_view(&sealed), &plain), GW_E_INVALID);
    ck_view_eq(buf_view(&plain), "claims");
    buf_deinit(&sealed);
    buf_deinit(&plain);
    seal_ring_free(ring);
}
END_TEST

/* RFC 5116 2.1: a nonce that comes back gives the key away. */
START_TEST(L6_never_seals_one_text_alike_twice)
{
    enum { N = 64 };
    struct seal_ring *ring = ring_of(1, 1);
    struct buf sealed = BUF(64 * 1024);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(seal_put(ring, VIEW("p"), VIEW_NONE, VIEW("text"), &sealed), GW_OK);
    size_t each = sealed.n / N;
    for (size_t a = 0; a < N; a++)
        for (size_t b = 0; b < a; b++)
            ck_assert(memcmp(sealed.p + a * each, sealed.p + b * each, each) != 0);
    /* no column of bytes but those that say how it was sealed stays the same */
    for (size_t at = each - strlen("text") - 16 - 12; at < each; at++) {
        size_t n_equal = 0;
        for (size_t a = 1; a < N; a++)
            n_equal += sealed.p[a * each + at] == sealed.p[at];
        ck_assert_uint_lt(n_equal, N / 2);
    }
    buf_deinit(&sealed);
    seal_ring_free(ring);
}
END_TEST

START_TEST(refuses_a_text_with_any_bit_changed_or_cut)
{
    struct seal_ring *ring = ring_of(1, 1);
    struct buf sealed = BUF(1024), plain = BUF(1024);
    ck_assert_int_eq(seal_put(ring, VIEW("p"), VIEW_NONE, VIEW("text"), &sealed), GW_OK);
    for (size_t i = 0; i < sealed.n; i++) {
        sealed.p[i] ^= 1;
        ck_assert_int_eq(seal_open(ring, VIEW("p"), VIEW_NONE, buf_view(&sealed), &plain), GW_E_INVALID);
        sealed.p[i] ^= 1;
        ck_assert_int_eq(seal_open(ring, VIEW("p"), VIEW_NONE, view_at(sealed.p, i), &plain), GW_E_INVALID);
    }
    ck_assert_uint_eq(plain.n, 0);
    buf_deinit(&sealed);
    buf_deinit(&plain);
    seal_ring_free(ring);
}
END_TEST

START_TEST(opens_under_an_older_key_after_rotation_but_not_without_it)
{
    uint8_t keys[2][SEAL_KEY_BYTES];
    struct seal_ring *old_ring = ring_of(1, 7), *rotated = NULL, *gone = ring_of(1, 9);
    struct buf sealed = BUF(1024), plain = BUF(1024);
    memset(keys[0], 9, SEAL_KEY_BYTES);
    memset(keys[1], 7, SEAL_KEY_BYTES);
    ck_assert_int_eq(seal_ring_new((const uint8_t(*)[SEAL_KEY_BYTES])keys, 2, &rotated), GW_OK);
    ck_assert_int_eq(seal_put(old_ring, VIEW("p"), VIEW_NONE, VIEW("text"), &sealed), GW_OK);
    ck_assert_int_eq(seal_open(rotated, VIEW("p"), VIEW_NONE, buf_view(&sealed), &plain), GW_OK);
    ck_assert_int_eq(seal_open(gone, VIEW("p"), VIEW_NONE, buf_view(&sealed), &plain), GW_E_INVALID);
    buf_deinit(&sealed);
    buf_deinit(&plain);
    seal_ring_free(old_ring);
    seal_ring_free(rotated);
    seal_ring_free(gone);
}
END_TEST

/* Keys of 'A' and 'B' bytes, as a key file holds them. */
#define KEY_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"
#define KEY_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI"

START_TEST(replaced_keys_open_what_the_ring_sealed_before_and_seal_with_the_first)
{
    struct seal_ring *ring = ring_of(1, 'A'), *only_b = ring_of(1, 'B');
    struct buf before = BUF(1024), after = BUF(1024), plain = BUF(1024);
    ck_assert_int_eq(seal_put(ring, VIEW("p"), VIEW_NONE, VIEW("before"), &before), GW_OK);
    ck_assert_int_eq(seal_ring_replace(ring, VIEW(KEY_B "\n" KEY_A)), GW_OK);
    ck_assert_uint_eq(seal_ring_count(ring), 2);
    ck_assert_int_eq(seal_put(ring, VIEW("p"), VIEW_NONE, VIEW("after"), &after), GW_OK);
    ck_assert_int_eq(seal_open(only_b, VIEW("p"), VIEW_NONE, buf_view(&after), &plain), GW_OK);
    ck_assert_int_eq(seal_open(ring, VIEW("p"), VIEW_NONE, buf_view(&before), &plain), GW_OK);
    ck_view_eq(buf_view(&plain), "afterbefore");
    ck_assert_int_eq(seal_ring_replace(ring, VIEW(KEY_B)), GW_OK);
    ck_assert_int_eq(seal_open(ring, VIEW("p"), VIEW_NONE, buf_view(&before), &plain), GW_E_INVALID);
    buf_deinit(&before);
    buf_deinit(&after);
    buf_deinit(&plain);
    seal_ring_free(ring);
    seal_ring_free(only_b);
}
END_TEST

START_TEST(a_text_that_is_no_key_file_replaces_nothing)
{
    static const char *const texts[] = {"", "short", KEY_B "\n", KEY_B "\n\n" KEY_A, KEY_B "=", KEY_B " " KEY_A};
    struct seal_ring *ring = ring_of(1, 'A');
    struct buf sealed = BUF(1024), plain = BUF(1024);
    ck_assert_int_eq(seal_put(ring, VIEW("p"), VIEW_NONE, VIEW("text"), &sealed), GW_OK);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        ck_assert_msg(seal_ring_replace(ring, view_of(texts[i])) == GW_E_INVALID, "%s", texts[i]);
    ck_assert_int_eq(seal_ring_replace(ring, VIEW_NONE), GW_E_INVALID);
    ck_assert_int_eq(seal_open(ring, VIEW("p"), VIEW_NONE, buf_view(&sealed), &plain), GW_OK);
    buf_deinit(&sealed);
    buf_deinit(&plain);
    seal_ring_free(ring);
}
END_TEST

START_TEST(macs_under_all_keys_are_those_under_each)
{
    uint8_t all[SEAL_KEYS_MAX][32], one[32];
    struct seal_ring *ring = ring_of(3, 'A');
    size_t n = 0;
    ck_assert_int_eq(seal_mac_all(ring, VIEW("p"), VIEW("data"), all, &n), GW_OK);
    ck_assert_uint_eq(n, 3);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(seal_mac(ring, i, VIEW("p"), VIEW("data"), one), GW_OK);
        ck_assert_mem_eq(one, all[i], sizeof(one));
    }
    ck_assert_int_eq(seal_mac(ring, n, VIEW("p"), VIEW("data"), one), GW_E_NOTFOUND);
    seal_ring_free(ring);
}
END_TEST

START_TEST(takes_no_ring_without_keys_or_with_too_many)
{
    uint8_t keys[SEAL_KEYS_MAX + 1][SEAL_KEY_BYTES] = {{1}};
    struct seal_ring *ring = NULL;
    ck_assert_int_eq(seal_ring_new((const uint8_t(*)[SEAL_KEY_BYTES])keys, 0, &ring), GW_E_INVALID);
    ck_assert_int_eq(seal_ring_new((const uint8_t(*)[SEAL_KEY_BYTES])keys, SEAL_KEYS_MAX + 1, &ring), GW_E_LIMIT);
    ck_assert_ptr_null(ring);
}
END_TEST

START_TEST(macs_differ_by_key_purpose_and_data)
{
    struct seal_ring *ring = ring_of(2, 1);
    uint8_t a[32], b[32];
    ck_assert_int_eq(seal_mac(ring, 0, VIEW("sid"), VIEW("x"), a), GW_OK);
    ck_assert_int_eq(seal_mac(ring, 0, VIEW("sid"), VIEW("x"), b), GW_OK);
    ck_assert_mem_eq(a, b, 32);
    ck_assert_int_eq(seal_mac(ring, 1, VIEW("sid"), VIEW("x"), b), GW_OK);
    ck_assert_mem_ne(a, b, 32);
    ck_assert_int_eq(seal_mac(ring, 0, VIEW("sub"), VIEW("x"), b), GW_OK);
    ck_assert_mem_ne(a, b, 32);
    ck_assert_int_eq(seal_mac(ring, 2, VIEW("sid"), VIEW("x"), b), GW_E_NOTFOUND);
    seal_ring_free(ring);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("seal");
    TCase *t = tcase_create("seal");
    tcase_add_test(t, F10_G11_opens_what_it_sealed_for_the_same_purpose_and_context);
    tcase_add_test(t, L6_never_seals_one_text_alike_twice);
    tcase_add_test(t, refuses_a_text_with_any_bit_changed_or_cut);
    tcase_add_test(t, opens_under_an_older_key_after_rotation_but_not_without_it);
    tcase_add_test(t, takes_no_ring_without_keys_or_with_too_many);
    tcase_add_test(t, replaced_keys_open_what_the_ring_sealed_before_and_seal_with_the_first);
    tcase_add_test(t, a_text_that_is_no_key_file_replaces_nothing);
    tcase_add_test(t, macs_under_all_keys_are_those_under_each);
    tcase_add_test(t, macs_differ_by_key_purpose_and_data);
    suite_add_tcase(s, t);
    return support_run(s);
}
