#include "support.h"
#include "util/pack.h"

static void parse(struct buf *b, const char *json)
{
    ck_assert_int_eq(pack_parse(view_of(json), b), GW_OK);
}

static const char *const same[] = {
    "null",
    "true",
    "false",
    "0",
    "127",
    "128",
    "-1",
    "9223372036854775807",
    "\"\"",
    "\"text\"",
    "[]",
    "{}",
    "[1,\"a\",[true,null],{\"k\":2}]",
    "{\"a\":{\"b\":{\"c\":[1,2,3]}},\"z\":\"y\"}",
    "\"gr\xc3\xbc\xc3\x9f\"",
};

START_TEST(gives_back_what_was_packed)
{
    struct buf b = BUF(PACK_BYTES_MAX), out = BUF(4096);
    parse(&b, same[_i]);
    ck_assert_uint_eq(pack_size(pack_root(b.p)), b.n);
    pack_format_json(pack_root(b.p), &out);
    ck_view_eq(buf_view(&out), same[_i]);
    buf_deinit(&b);
    buf_deinit(&out);
}
END_TEST

static const struct {
    const char *json;
    enum gw_err err;
} refused[] = {
    {"", GW_E_INVALID},
    {"{\"a\":1,\"a\":2}", GW_E_INVALID},
    {"{\"a\":1} x", GW_E_INVALID},
    {"[1,]", GW_E_INVALID},
    {"\"\xff\"", GW_E_INVALID},
    {"1e999", GW_E_INVALID},
    {"[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", GW_E_LIMIT},
};

START_TEST(refuses_what_is_no_json_or_too_deep_and_leaves_the_buffer)
{
    struct buf b = BUF(PACK_BYTES_MAX);
    buf_puts(&b, "x");
    ck_assert_int_eq(pack_parse(view_of(refused[_i].json), &b), refused[_i].err);
    ck_view_eq(buf_view(&b), "x");
    buf_deinit(&b);
}
END_TEST

START_TEST(finds_members_and_iterates_in_key_order)
{
    struct buf b = BUF(PACK_BYTES_MAX);
    struct pack_iter it;
    char keys[8] = "";
    parse(&b, "{\"c\":[\"x\",\"y\"],\"a\":1,\"b\":\"s\"}");
    struct pack_val root = pack_root(b.p);
    ck_assert_int_eq(pack_int(pack_find(root, VIEW("a"))), 1);
    ck_view_eq(pack_string(pack_find(root, VIEW("b"))), "s");
    ck_assert(pack_list_has(pack_find(root, VIEW("c")), VIEW("y")));
    ck_assert(!pack_list_has(pack_find(root, VIEW("c")), VIEW("Y")));
    ck_assert_int_eq(pack_type(pack_find(root, VIEW("d"))), PACK_ABSENT);
    for (pack_iter_init(&it, root); pack_iter_next(&it);)
        strncat(keys, it.key.p, it.key.n);
    ck_assert_str_eq(keys, "abc");
    buf_deinit(&b);
}
END_TEST

START_TEST(merges_maps_at_the_top_with_the_second_winning)
{
    struct buf a = BUF(4096), b = BUF(4096), m = BUF(4096), out = BUF(4096);
    parse(&a, "{\"a\":1,\"g\":[\"x\"],\"z\":{\"k\":1}}");
    parse(&b, "{\"b\":2,\"g\":[\"y\"],\"z\":{\"l\":2}}");
    ck_assert_int_eq(pack_merge(pack_root(a.p), pack_root(b.p), &m), GW_OK);
    pack_format_json(pack_root(m.p), &out);
    ck_view_eq(buf_view(&out), "{\"a\":1,\"b\":2,\"g\":[\"y\"],\"z\":{\"l\":2}}");
    ck_assert_int_eq(pack_merge(pack_find(pack_root(a.p), VIEW("g")), pack_root(b.p), &m), GW_E_INVALID);
    buf_deinit(&a);
    buf_deinit(&b);
    buf_deinit(&m);
    buf_deinit(&out);
}
END_TEST

START_TEST(gives_zero_values_for_other_types)
{
    struct pack_val none = {NULL};
    ck_assert_int_eq(pack_int(none), 0);
    ck_assert_uint_eq(pack_string(none).n, 0);
    ck_assert(!pack_is_true(none));
    ck_assert_uint_eq(pack_count(none), 0);
    ck_assert(!pack_is_string_list(none));
}
END_TEST

START_TEST(finds_many_keys_in_one_walk)
{
    static const struct view keys[] = {{"", 0}, {"a", 1}, {"ab", 2}, {"b", 1}, {"d", 1}, {"z", 1}};
    static const char *const maps[] = {
        "{}",
        "[]",
        "{\"a\":1}",
        "{\"z\":1}",
        "{\"ab\":1,\"c\":2,\"d\":3}",
        "{\"\":0,\"B\":1,\"a\":2,\"aa\":3,\"ab\":4,\"abc\":5,\"b\":6,\"c\":7,\"d\":8,\"z\":9,\"zz\":10}"};
    for (size_t m = 0; m < sizeof(maps) / sizeof(maps[0]); m++) {
        struct buf b = BUF(PACK_BYTES_MAX);
        struct pack_val found[6];
        parse(&b, maps[m]);
        pack_find_sorted(pack_root(b.p), keys, 6, found);
        for (size_t i = 0; i < 6; i++)
            ck_assert_msg(found[i].p == pack_find(pack_root(b.p), keys[i]).p, "%s in %s", keys[i].p, maps[m]);
        buf_deinit(&b);
    }
}
END_TEST

START_TEST(leaves_out_or_keeps_the_named_members)
{
    static const struct view names[] = {{"b", 1}, {"x", 1}};
    struct buf b = BUF(PACK_BYTES_MAX), less = BUF(PACK_BYTES_MAX), json = BUF(4096);
    parse(&b, "{\"a\":{\"b\":1},\"b\":2,\"c\":[3]}");
    ck_assert_int_eq(pack_without(pack_root(b.p), names, 2, &less), GW_OK);
    pack_format_json(pack_root(less.p), &json);
    ck_view_eq(buf_view(&json), "{\"a\":{\"b\":1},\"c\":[3]}");
    buf_clear(&less);
    buf_clear(&json);
    ck_assert_int_eq(pack_only(pack_root(b.p), names, 2, &less), GW_OK);
    pack_format_json(pack_root(less.p), &json);
    ck_view_eq(buf_view(&json), "{\"b\":2}");
    buf_clear(&b);
    parse(&b, "[1]");
    ck_assert_int_eq(pack_without(pack_root(b.p), names, 2, &less), GW_E_INVALID);
    buf_deinit(&b);
    buf_deinit(&less);
    buf_deinit(&json);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pack");
    TCase *t = tcase_create("pack");
    tcase_add_loop_test(t, gives_back_what_was_packed, 0, sizeof(same) / sizeof(same[0]));
    tcase_add_loop_test(t, refuses_what_is_no_json_or_too_deep_and_leaves_the_buffer, 0, sizeof(refused) / sizeof(refused[0]));
    tcase_add_test(t, finds_members_and_iterates_in_key_order);
    tcase_add_test(t, finds_many_keys_in_one_walk);
    tcase_add_test(t, leaves_out_or_keeps_the_named_members);
    tcase_add_test(t, merges_maps_at_the_top_with_the_second_winning);
    tcase_add_test(t, gives_zero_values_for_other_types);
    suite_add_tcase(s, t);
    return support_run(s);
}
