#include "support.h"
#include "util/b64url.h"

/* RFC 4648 10, in the URL alphabet and without padding. */
static const struct {
    const char *plain, *text;
} rfc4648[] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
               {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};

START_TEST(encodes_and_decodes_the_vectors_of_rfc_4648)
{
    struct buf b = BUF(64);
    uint8_t out[16];
    size_t n = 99;
    b64url_encode(&b, rfc4648[_i].plain, strlen(rfc4648[_i].plain));
    ck_view_eq(buf_view(&b), rfc4648[_i].text);
    ck_assert_int_eq(b64url_decode(view_of(rfc4648[_i].text), out, sizeof(out), &n), GW_OK);
    ck_view_eq(view_at((char *)out, n), rfc4648[_i].plain);
    buf_deinit(&b);
}
END_TEST

static const char *const others[] = {"Zg==", "Zg=",   "Z",      "Zh",        "Zm9", "Zm+v",
                                     "Zm/v", "Zm 9v", "Zm9v\n", "Zm9vYmF5Z", "=",   "Zm9vé"};

START_TEST(refuses_every_other_spelling)
{
    uint8_t out[32];
    size_t n = 99;
    ck_assert_int_eq(b64url_decode(view_of(others[_i]), out, sizeof(out), &n), GW_E_INVALID);
    ck_assert_uint_eq(n, 99);
}
END_TEST

START_TEST(refuses_what_does_not_fit)
{
    uint8_t out[2];
    size_t n;
    ck_assert_int_eq(b64url_decode(VIEW("Zm9v"), out, sizeof(out), &n), GW_E_LIMIT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("b64url");
    TCase *t = tcase_create("b64url");
    tcase_add_loop_test(t, encodes_and_decodes_the_vectors_of_rfc_4648, 0, sizeof(rfc4648) / sizeof(rfc4648[0]));
    tcase_add_loop_test(t, refuses_every_other_spelling, 0, sizeof(others) / sizeof(others[0]));
    tcase_add_test(t, refuses_what_does_not_fit);
    suite_add_tcase(s, t);
    return support_run(s);
}
