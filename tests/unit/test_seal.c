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

START_TEST(opens_what_it_sealed_for_the_same_purpose_and_context)
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
    tcase_add_test(t, opens_what_it_sealed_for_the_same_purpose_and_context);
    tcase_add_test(t, refuses_a_text_with_any_bit_changed_or_cut);
    tcase_add_test(t, opens_under_an_older_key_after_rotation_but_not_without_it);
    tcase_add_test(t, takes_no_ring_without_keys_or_with_too_many);
    tcase_add_test(t, macs_differ_by_key_purpose_and_data);
    suite_add_tcase(s, t);
    return support_run(s);
}
