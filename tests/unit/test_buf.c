#include "support.h"

static const struct {
    const char *in;
    size_t n;
    const char *json;
} json_cases[] = {
    {"plain", 5, "\"plain\""},
    {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
    {"\n\r\t\x01\x7f", 5, "\"\\n\\r\\t\\u0001\\u007f\""},
    {"nul\0here", 8, "\"nul\\u0000here\""},
    {"gr\xc3\xbc\xc3\x9f", 6, "\"gr\xc3\xbc\xc3\x9f\""},
    {"\xc3", 1, "\"\xef\xbf\xbd\""},                                                 /* cut short */
    {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},                                 /* overlong */
    {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},                 /* surrogate */
    {"\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* past U+10FFFF */
    {"\xf0\x9f\x90\x99", 4, "\"\xf0\x9f\x90\x99\""},
    {"", 0, "\"\""},
};

START_TEST(writes_any_bytes_as_valid_json)
{
    struct buf b = BUF(1024);
    buf_put_json(&b, view_at(json_cases[_i].in, json_cases[_i].n));
    ck_assert(buf_ok(&b));
    ck_view_eq(buf_view(&b), json_cases[_i].json);
    buf_deinit(&b);
}
END_TEST

START_TEST(drops_writes_past_the_cap_and_says_so)
{
    struct buf b = BUF(8);
    buf_puts(&b, "12345678");
    ck_assert(buf_ok(&b));
    buf_puts(&b, "9");
    ck_assert(!buf_ok(&b));
    ck_view_eq(buf_view(&b), "12345678");
    buf_puts(&b, "");
    ck_assert_msg(!buf_ok(&b), "a failure is remembered");
    buf_clear(&b);
    ck_assert(buf_ok(&b));
    buf_deinit(&b);
}
END_TEST

START_TEST(escapes_html_in_elements_and_attributes)
{
    struct buf b = BUF(1024);
    buf_put_html(&b, VIEW("<a href=\"x\" on='y'>&</a>"));
    ck_view_eq(buf_view(&b), "&lt;a href=&quot;x&quot; on=&#39;y&#39;&gt;&amp;&lt;/a&gt;");
    buf_deinit(&b);
}
END_TEST

START_TEST(percent_encodes_all_but_unreserved)
{
    struct buf b = BUF(1024);
    buf_put_percent(&b, VIEW("/a b?c=\xc3\xa4-._~"));
    ck_view_eq(buf_view(&b), "%2Fa%20b%3Fc%3D%C3%A4-._~");
    buf_deinit(&b);
}
END_TEST

START_TEST(writes_numbers_to_their_limits)
{
    struct buf b = BUF(1024);
    buf_put_i64(&b, INT64_MIN);
    buf_put_byte(&b, ' ');
    buf_put_u64(&b, UINT64_MAX);
    buf_put_byte(&b, ' ');
    buf_put_u64(&b, 0);
    ck_view_eq(buf_view(&b), "-9223372036854775808 18446744073709551615 0");
    buf_deinit(&b);
}
END_TEST

START_TEST(consumes_from_the_front)
{
    struct buf b = BUF(1024);
    buf_consume(&b, 0);
    buf_puts(&b, "headtail");
    buf_consume(&b, 4);
    ck_view_eq(buf_view(&b), "tail");
    ck_assert_int_eq(b.p[b.n], '\0');
    buf_deinit(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("buf");
    TCase *t = tcase_create("buf");
    tcase_add_loop_test(t, writes_any_bytes_as_valid_json, 0, sizeof(json_cases) / sizeof(json_cases[0]));
    tcase_add_test(t, drops_writes_past_the_cap_and_says_so);
    tcase_add_test(t, escapes_html_in_elements_and_attributes);
    tcase_add_test(t, percent_encodes_all_but_unreserved);
    tcase_add_test(t, writes_numbers_to_their_limits);
    tcase_add_test(t, consumes_from_the_front);
    suite_add_tcase(s, t);
    return support_run(s);
}
