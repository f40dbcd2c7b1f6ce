#include "http/basic.h"
#include "support.h"

static const struct {
    const char *credentials, *username, *password;
} fine[] = {
    {"QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"}, /* RFC 7617 2 */
    {"dGVzdDoxMjPCow==", "test", "123\xc2\xa3"},                /* RFC 7617 2.1 */
    {"YTpiOmM=", "a", "b:c"},
    {"Og==", "", ""},
    {"YTo=", "a", ""},
    {"OmI=", "", "b"},
    {"YTo/Pz8+Pj4+", "a", "\x3f\x3f\x3f>>>>"},
};

START_TEST(splits_at_the_first_colon)
{
    uint8_t block[BASIC_MAX_BYTES];
    struct basic b;
    ck_assert_int_eq(basic_parse(view_of(fine[_i].credentials), block, &b), GW_OK);
    ck_view_eq(b.username, fine[_i].username);
    ck_view_eq(b.password, fine[_i].password);
}
END_TEST

static const char *const wrong[] = {
    "",
    "x",
    "QWxhZGRpbjpvcGVuIHNlc2FtZQ",    /* no padding */
    "QWxhZGRpbjpvcGVuIHNlc2FtZQ=",   /* half of it */
    "QWxhZGRpbjpvcGVuIHNlc2FtZQ===", /* too much */
    "QWxhZGRpbjpvcGVuIHNlc2FtZR==",  /* stray bits */
    "====",
    "YTpi====",
    "YT=iOmM=",
    "YTo_Pz8-Pj4-", /* another alphabet */
    "YTpi Og==",
    "YWFh",     /* no colon */
    "YToA",     /* NUL */
    "YTpiCg==", /* line break */
    "YQ06Yg==", /* carriage return in the name */
    "YTpifw==", /* DEL */
};

START_TEST(refuses_what_is_not_exactly_that)
{
    uint8_t block[BASIC_MAX_BYTES];
    struct basic b = {VIEW("untouched"), VIEW_NONE};
    ck_assert_msg(basic_parse(view_of(wrong[_i]), block, &b) == GW_E_INVALID, "%s", wrong[_i]);
    ck_view_eq(b.username, "untouched");
}
END_TEST

START_TEST(refuses_what_is_too_long)
{
    static char text[BASIC_MAX_BYTES * 2];
    uint8_t block[BASIC_MAX_BYTES];
    struct basic b;
    memset(text, 'O', sizeof(text));
    ck_assert_int_eq(basic_parse(view_at(text, sizeof(text)), block, &b), GW_E_LIMIT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("basic");
    TCase *t = tcase_create("basic");
    tcase_add_loop_test(t, splits_at_the_first_colon, 0, sizeof(fine) / sizeof(fine[0]));
    tcase_add_loop_test(t, refuses_what_is_not_exactly_that, 0, sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(t, refuses_what_is_too_long);
    suite_add_tcase(s, t);
    return support_run(s);
}
