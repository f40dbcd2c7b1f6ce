#include "http/form.h"
#include "http/request.h"

#include <check.h>
#include <stdlib.h>

static const struct {
    const char *text, *name;
    enum form_found found;
    const char *value;
} cases[] = {
    {"rd=/a&x=y", "rd", FORM_ONE, "/a"},
    {"x=y&rd=%2Fa%3Fb%3Dc%26d", "rd", FORM_ONE, "/a?b=c&d"},
    {"rd=a+b%2Bc", "rd", FORM_ONE, "a b+c"},
    {"rd=", "rd", FORM_ONE, ""},
    {"rd", "rd", FORM_ONE, ""},
    {"&&rd=a&&", "rd", FORM_ONE, "a"},
    {"%72%64=a", "rd", FORM_ONE, "a"},
    {"rd=a=b==", "rd", FORM_ONE, "a=b=="},
    {"rd=%c3%a9", "rd", FORM_ONE, "\xc3\xa9"},
    {"my+name=x", "my name", FORM_ONE, "x"},
    {"rd=a;x=b", "rd", FORM_ONE, "a;x=b"},
    {"", "rd", FORM_ABSENT, NULL},
    {"&", "rd", FORM_ABSENT, NULL},
    {"RD=a", "rd", FORM_ABSENT, NULL},
    {"rdx=a&xrd=b", "rd", FORM_ABSENT, NULL},
    {"=a", "", FORM_ABSENT, NULL},
    {"rd=a&rd=a", "rd", FORM_REPEATED, NULL},
    {"rd=a&x=y&rd=b", "rd", FORM_REPEATED, NULL},
    {"rd=a&%72d=b", "rd", FORM_REPEATED, NULL},
    {"rd&rd", "rd", FORM_REPEATED, NULL},
    {"rd=%", "rd", FORM_INVALID, NULL},
    {"rd=%4", "rd", FORM_INVALID, NULL},
    {"rd=%zz", "rd", FORM_INVALID, NULL},
    {"rd=a%00b", "rd", FORM_INVALID, NULL},
    {"rd=a&x=%", "rd", FORM_INVALID, NULL},
    {"x%=a&rd=a", "rd", FORM_INVALID, NULL},
    {"rd=a&rd=b&x=%00", "rd", FORM_INVALID, NULL},
};

START_TEST(finds_one_field_decoded)
{
    struct arena a = ARENA(65536);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct view value = VIEW("untouched");
        ck_assert_msg(form_get(view_of(cases[i].text), view_of(cases[i].name), &a, &value) == cases[i].found, "%s",
                      cases[i].text);
        const char *expected = cases[i].value == NULL ? "untouched" : cases[i].value;
        ck_assert_msg(view_eq(value, view_of(expected)), "%s gave %.*s", cases[i].text, VIEW_FMT(value));
    }
    arena_deinit(&a);
}
END_TEST

START_TEST(refuses_a_raw_nul)
{
    struct arena a = ARENA(4096);
    struct view value;
    ck_assert_int_eq(form_get(VIEW("rd=a\0b"), VIEW("rd"), &a, &value), FORM_INVALID);
    ck_assert_int_eq(form_get(VIEW_NONE, VIEW("rd"), &a, &value), FORM_ABSENT);
    arena_deinit(&a);
}
END_TEST

START_TEST(M8_M9_holds_its_caps)
{
    struct arena a = ARENA(REQUEST_FORM_MAX_BYTES * 2), tiny = ARENA(16);
    struct view value;
    char *text = malloc(REQUEST_FORM_MAX_BYTES + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, 'a', REQUEST_FORM_MAX_BYTES + 1);
    memcpy(text, "rd=", 3);
    ck_assert_int_eq(form_get(view_at(text, REQUEST_FORM_MAX_BYTES), VIEW("rd"), &a, &value), FORM_ONE);
    ck_assert_uint_eq(value.n, REQUEST_FORM_MAX_BYTES - 3);
    ck_assert_int_eq(form_get(view_at(text, REQUEST_FORM_MAX_BYTES + 1), VIEW("rd"), &a, &value), FORM_INVALID);
    ck_assert_int_eq(form_get(view_at(text, 100), VIEW("rd"), &tiny, &value), FORM_INVALID);
    free(text);
    arena_deinit(&a);
    arena_deinit(&tiny);
}
END_TEST

START_TEST(reads_back_every_byte_that_it_puts)
{
    struct arena a = ARENA(65536);
    struct buf out = BUF(4096);
    char all[255];
    struct view value;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)(i + 1);
    buf_puts(&out, "/login?");
    form_put(&out, VIEW("rd"), view_at(all, sizeof(all)));
    form_put(&out, VIEW("a b&c"), VIEW("d=e"));
    ck_assert(buf_ok(&out));
    ck_assert(view_starts(buf_view(&out), VIEW("/login?rd=%01")));
    struct view query = view_skip(buf_view(&out), strlen("/login?"));
    ck_assert_int_eq(form_get(query, VIEW("rd"), &a, &value), FORM_ONE);
    ck_assert(view_eq(value, view_at(all, sizeof(all))));
    ck_assert_int_eq(form_get(query, VIEW("a b&c"), &a, &value), FORM_ONE);
    ck_assert(view_eq(value, VIEW("d=e")));
    buf_clear(&out);
    form_put(&out, VIEW("x"), VIEW(""));
    ck_assert_str_eq(out.p, "x=");
    buf_deinit(&out);
    arena_deinit(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("form");
    TCase *tc = tcase_create("form");
    tcase_add_test(tc, finds_one_field_decoded);
    tcase_add_test(tc, refuses_a_raw_nul);
    tcase_add_test(tc, M8_M9_holds_its_caps);
    tcase_add_test(tc, reads_back_every_byte_that_it_puts);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
