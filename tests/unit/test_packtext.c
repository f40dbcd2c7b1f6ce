#include "util/packtext.h"

#include "support.h"

/* The other parser's answer to the same text: the same bytes, or a refusal by both. */
static const char *const texts[] = {
    "null",
    "true",
    "false",
    "0",
    "-0",
    "127",
    "128",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "1.5",
    "-0.0",
    "1e5",
    "1E+5",
    "1e-5",
    "1e300",
    "1e999",
    "-1e999",
    "1e-999",
    "0.1",
    "123456789012345678901234567890.0",
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1e",
    "1e+",
    "0x10",
    "NaN",
    "Infinity",
    "1 2",
    "- 1",
    "1a",
    "00",
    "-01",
    "\"\"",
    "\"text\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"a\\u0041b\"",
    "\"\\u00e9\\u20ac\\ud83d\\ude00\"",
    "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800x\"",
    "\"\\ud800\\u0041\"",
    "\"\\ud800\\ud800\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\x41\"",
    "\"\\",
    "\"\\u",
    "\"a",
    "\"\n\"",
    "\"\t\"",
    "\"\x01\"",
    "\"\x7f\"",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xc1\xbf\"",
    "\"\xe0\x80\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xf0\x80\x80\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xf5\x80\x80\x80\"",
    "\"\xc3\"",
    "\"\xe2\x82\"",
    "\"\x80\"",
    "\"\xf4\x8f\xbf\xbf\"",
    "\"\xee\x80\x80\"",
    "\"\xef\xbf\xbf\"",
    "[]",
    "[ ]",
    "[1]",
    "[1,2,3]",
    " [ 1 , 2 ] ",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[",
    "]",
    "[1",
    "[1,",
    "[]]",
    "[[],[[]],{}]",
    "{}",
    "{ }",
    "{\"a\":1}",
    "{\"b\":1,\"a\":2}",
    "{\"c\":{\"z\":1,\"y\":[{\"q\":1,\"p\":2}]},\"a\":{},\"b\":[]}",
    "{\"a\":1,\"a\":1}",
    "{\"a\":1,\"b\":2,\"a\":3}",
    "{\"a\":1,\"\\u0061\":2}",
    "{\"\":1}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\" 1}",
    "{a:1}",
    "{'a':1}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\":1",
    "{",
    "}",
    "{\"a\":1}}",
    "{1:2}",
    "{\"a\":1}x",
    "{\"ab\":1,\"a\":2,\"abc\":3,\"B\":4,\"\xc3\xa9\":5}",
    "{\"a\\n\\u20ac\":\"b\\t\"}",
    "",
    " ",
    "\t\n\r 1 \n",
    "\v1",
    "\xef\xbb\xbf"
    "1",
    "nul",
    "nulll",
    "True",
    "tru",
    "falsey",
    "undefined",
    "/* */1",
    "//\n1",
    "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
    "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
    "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":[[[[[[[[1]]]]]]]]}}}}}}}}",
};

START_TEST(M3_T10_agrees_with_the_other_parser)
{
    struct buf ours = BUF(PACK_BYTES_MAX), theirs = BUF(PACK_BYTES_MAX);
    buf_puts(&ours, "x");
    buf_puts(&theirs, "x");
    enum gw_err a = packtext_parse(view_of(texts[_i]), &ours), b = pack_parse(view_of(texts[_i]), &theirs);
    ck_assert_msg(a == b, "%s: %s, not %s", texts[_i], gw_err_name(a), gw_err_name(b));
    ck_assert_msg(view_eq(buf_view(&ours), buf_view(&theirs)), "%s", texts[_i]);
    buf_deinit(&ours);
    buf_deinit(&theirs);
}
END_TEST

START_TEST(every_cut_is_refused_by_both)
{
    const char *whole = "{\"a\":[1,-2.5e3,\"\\u20ac\\n\xc3\xbc\"],\"b\":{\"c\":true,\"d\":null}}";
    for (size_t n = 0; n < strlen(whole); n++) {
        struct buf out = BUF(PACK_BYTES_MAX);
        ck_assert_int_eq(packtext_parse(view_at(whole, n), &out), GW_E_INVALID);
        ck_assert_uint_eq(out.n, 0);
        buf_deinit(&out);
    }
}
END_TEST

START_TEST(nul_is_refused_by_both)
{
    static const struct view with_nul[] = {{"38\0", 3}, {"[1,\0 2]", 7}, {"\0", 1}, {"\"\0\"", 3}, {"true\0", 5}, {"{}\0", 3}};
    for (size_t i = 0; i < sizeof(with_nul) / sizeof(with_nul[0]); i++) {
        struct buf out = BUF(PACK_BYTES_MAX);
        ck_assert_int_eq(packtext_parse(with_nul[i], &out), GW_E_INVALID);
        ck_assert_int_eq(pack_parse(with_nul[i], &out), GW_E_INVALID);
        buf_deinit(&out);
    }
}
END_TEST

START_TEST(many_members_are_sorted_and_twins_found)
{
    for (int has_twin = 0; has_twin < 2; has_twin++) {
        struct buf json = BUF(PACK_BYTES_MAX), ours = BUF(PACK_BYTES_MAX), theirs = BUF(PACK_BYTES_MAX);
        buf_puts(&json, "{");
        for (unsigned i = 0; i < 3000; i++)
            buf_printf(&json, "\"k%u\":{\"v\":%u,\"u\":[]},", i * 7919 % 3000, i);
        buf_printf(&json, "\"k%u\":0}", has_twin ? 1500 : 3000);
        enum gw_err want = has_twin ? GW_E_INVALID : GW_OK;
        ck_assert_int_eq(packtext_parse(buf_view(&json), &ours), want);
        ck_assert_int_eq(pack_parse(buf_view(&json), &theirs), want);
        ck_assert(view_eq(buf_view(&ours), buf_view(&theirs)));
        buf_deinit(&json);
        buf_deinit(&ours);
        buf_deinit(&theirs);
    }
}
END_TEST

START_TEST(caps_bytes_numbers_and_the_buffer)
{
    struct buf json = BUF(PACK_BYTES_MAX * 2), out = BUF(PACK_BYTES_MAX), small = BUF(8);
    for (size_t i = 0; i <= PACKTEXT_NUMBER_MAX; i++)
        buf_puts(&json, "1");
    buf_puts(&json, ".0");
    ck_assert_int_eq(packtext_parse(buf_view(&json), &out), GW_E_LIMIT);
    while (json.n <= PACK_BYTES_MAX)
        buf_puts(&json, "          ");
    ck_assert_int_eq(packtext_parse(buf_view(&json), &out), GW_E_LIMIT);
    ck_assert_int_eq(packtext_parse(VIEW("[\"longer than eight\"]"), &small), GW_E_LIMIT);
    ck_assert_int_eq(packtext_parse(VIEW("{}"), &small), GW_E_LIMIT); /* failed before */
    ck_assert_int_eq(packtext_parse(VIEW_NONE, &out), GW_E_INVALID);
    buf_deinit(&json);
    buf_deinit(&out);
    buf_deinit(&small);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("packtext");
    TCase *t = tcase_create("packtext");
    tcase_add_loop_test(t, M3_T10_agrees_with_the_other_parser, 0, (int)(sizeof(texts) / sizeof(texts[0])));
    tcase_add_test(t, every_cut_is_refused_by_both);
    tcase_add_test(t, nul_is_refused_by_both);
    tcase_add_test(t, many_members_are_sorted_and_twins_found);
    tcase_add_test(t, caps_bytes_numbers_and_the_buffer);
    suite_add_tcase(s, t);
    return support_run(s);
}
