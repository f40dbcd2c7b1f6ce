#include "support.h"

START_TEST(splits_at_a_byte_and_ends_with_null)
{
    struct view rest = VIEW("a,,b");
    ck_view_eq(view_split(&rest, ','), "a");
    ck_view_eq(view_split(&rest, ','), "");
    ck_assert_ptr_nonnull(rest.p);
    ck_view_eq(view_split(&rest, ','), "b");
    ck_assert_ptr_null(rest.p);
}
END_TEST

static const struct {
    const char *text;
    bool ok;
    uint64_t n;
} numbers[] = {
    {"0", true, 0},    {"18446744073709551615", true, UINT64_MAX},
    {"007", true, 7},  {"18446744073709551616", false, 0},
    {"", false, 0},    {"-1", false, 0},
    {"+1", false, 0},  {"1 ", false, 0},
    {"0x1", false, 0},
};

START_TEST(reads_decimal_digits_only)
{
    uint64_t n = 4711;
    enum gw_err err = view_to_u64(view_of(numbers[_i].text), &n);
    ck_assert_int_eq(err == GW_OK, numbers[_i].ok);
    ck_assert_uint_eq(n, numbers[_i].ok ? numbers[_i].n : 4711);
}
END_TEST

START_TEST(compares_empty_views_without_touching_their_pointers)
{
    ck_assert(view_eq(VIEW_NONE, VIEW("")));
    ck_assert(view_eq_ci(VIEW_NONE, VIEW_NONE));
    ck_assert_int_eq(view_cmp(VIEW_NONE, VIEW("")), 0);
    ck_assert(view_contains(VIEW("abc"), VIEW_NONE));
    ck_assert(!view_contains(VIEW_NONE, VIEW("a")));
    ck_assert_uint_eq(view_index(VIEW_NONE, 'x'), 0);
}
END_TEST

START_TEST(trims_blanks_and_tabs_only)
{
    ck_view_eq(view_trim(VIEW(" \t a\n \t")), "a\n");
    ck_view_eq(view_trim(VIEW("   ")), "");
}
END_TEST

START_TEST(knows_beginnings_and_ends)
{
    ck_assert(view_starts(VIEW("/github/x"), VIEW("/github/")));
    ck_assert(!view_starts(VIEW("/git"), VIEW("/github/")));
    ck_assert(view_ends(VIEW("a.git"), VIEW(".git")));
    ck_assert(!view_ends(VIEW("git"), VIEW(".git")));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("view");
    TCase *t = tcase_create("view");
    tcase_add_test(t, splits_at_a_byte_and_ends_with_null);
    tcase_add_loop_test(t, reads_decimal_digits_only, 0, sizeof(numbers) / sizeof(numbers[0]));
    tcase_add_test(t, compares_empty_views_without_touching_their_pointers);
    tcase_add_test(t, trims_blanks_and_tabs_only);
    tcase_add_test(t, knows_beginnings_and_ends);
    suite_add_tcase(s, t);
    return support_run(s);
}
