#include "proxy/window.h"

#include "support.h"

static struct window_spares spares;
static struct window win;

static void tear_down(void)
{
    window_release(&win, &spares);
    ck_assert_uint_eq(spares.n_out, 0);
    window_spares_deinit(&spares);
}

START_TEST(holds_memory_only_while_bytes_wait)
{
    char out[8];
    ck_assert_uint_eq(window_put(&win, &spares, "hello", 5), 5);
    ck_assert_uint_eq(spares.n_out, 1);
    ck_assert_uint_eq(window_get(&win, &spares, out, sizeof(out)), 5);
    ck_assert(memcmp(out, "hello", 5) == 0);
    ck_assert_uint_eq(spares.n_out, 0);
    ck_assert_uint_eq(spares.n, 1);
    size_t room;
    ck_assert_ptr_nonnull(window_tail(&win, &spares, &room));
    window_added(&win, &spares, 0); /* nothing came after all */
    ck_assert_uint_eq(spares.n_out, 0);
}
END_TEST

START_TEST(takes_no_more_than_its_bytes)
{
    static char big[WINDOW_BYTES + 1];
    size_t room;
    ck_assert_uint_eq(window_put(&win, &spares, big, sizeof(big)), WINDOW_BYTES);
    ck_assert_uint_eq(window_room(&win), 0);
    ck_assert_ptr_null(window_tail(&win, &spares, &room));
    ck_assert_uint_eq(window_put(&win, &spares, big, 1), 0);
}
END_TEST

START_TEST(keeps_the_order_around_the_end)
{
    static const size_t steps[] = {1, 7, 4096, 60000, WINDOW_BYTES};
    static char bytes[WINDOW_BYTES];
    unsigned char written = 0, read = 0;
    bool is_wrong = false;
    for (size_t round = 0; round < 400; round++) {
        size_t n = steps[round % 5];
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(unsigned char)(written + i);
        written = (unsigned char)(written + window_put(&win, &spares, bytes, n));
        n = window_get(&win, &spares, bytes, steps[(round * 3 + 1) % 5]);
        for (size_t i = 0; i < n; i++)
            is_wrong |= (unsigned char)bytes[i] != (unsigned char)(read + i);
        read = (unsigned char)(read + n);
    }
    ck_assert(!is_wrong);
}
END_TEST

START_TEST(keeps_a_bounded_number_of_spares)
{
    static struct window many[WINDOW_SPARES_MAX + 5];
    for (size_t i = 0; i < WINDOW_SPARES_MAX + 5; i++)
        ck_assert_uint_eq(window_put(&many[i], &spares, "x", 1), 1);
    ck_assert_uint_eq(spares.n_out, WINDOW_SPARES_MAX + 5);
    for (size_t i = 0; i < WINDOW_SPARES_MAX + 5; i++)
        window_release(&many[i], &spares);
    ck_assert_uint_eq(spares.n, WINDOW_SPARES_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("window");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, NULL, tear_down);
    tcase_add_test(t, holds_memory_only_while_bytes_wait);
    tcase_add_test(t, takes_no_more_than_its_bytes);
    tcase_add_test(t, keeps_the_order_around_the_end);
    tcase_add_test(t, keeps_a_bounded_number_of_spares);
    suite_add_tcase(s, t);
    return support_run(s);
}
