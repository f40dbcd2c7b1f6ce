#include "handlers/stronger.h"

#include "support.h"

#include <stdio.h>

static const int64_t NOW_S = 1700000000;

static const struct {
    struct stepup what;
    const char *words;
} demands[] = {
    {{60, false}, "This needs a login that is at most 1 minute old."},
    {{90, false}, "This needs a login that is at most 90 seconds old."},
    {{900, false}, "This needs a login that is at most 15 minutes old."},
    {{3600, true}, "This needs a login that is at most 1 hour old, with a second factor."},
    {{5400, false}, "This needs a login that is at most 90 minutes old."},
    {{86400, false}, "This needs a login that is at most 1 day old."},
    {{STEPUP_MAX_AGE_S, false}, "This needs a login that is at most 365 days old."},
    {{0, true}, "This needs a login with a second factor."},
};

START_TEST(says_exactly_what_is_demanded)
{
    struct arena a = ARENA(1 << 16);
    ck_view_eq(stronger_explain(&demands[_i].what, &a), demands[_i].words);
    arena_deinit(&a);
}
END_TEST

static const struct {
    struct stepup what;
    const char *claims, *words;
} failures[] = {
    {{900, false}, "\"auth_time\":1699992679", "by the identity provider's word you did so 2 hours ago."},
    {{900, false}, "\"auth_time\":1699999099", "by the identity provider's word you did so 15 minutes ago."},
    {{60, false}, "\"auth_time\":1699999930", "by the identity provider's word you did so 70 seconds ago."},
    {{900, false}, "\"amr\":[\"mfa\"]", "the identity provider does not say when you did."},
    {{900, false}, "\"auth_time\":1800000000", "the identity provider dates it in the future."},
    {{0, true}, "\"auth_time\":1", "the identity provider does not confirm a second factor."},
    {{900, true}, "\"auth_time\":1,\"amr\":[\"pwd\"]", "the identity provider does not confirm a second factor."},
    {{900, true}, "\"auth_time\":1,\"amr\":[\"mfa\"]", "ago."},
};

START_TEST(says_what_came_instead)
{
    char json[512];
    struct arena a = ARENA(1 << 16);
    struct buf claims = BUF(PACK_BYTES_MAX);
    struct principal *who = NULL;
    snprintf(json, sizeof(json), "{\"iss\":\"i\",\"sub\":\"s\",\"groups\":[],%s}", failures[_i].claims);
    ck_assert_int_eq(pack_parse(view_of(json), &claims), GW_OK);
    ck_assert_int_eq(principal_new(pack_root(claims.p), PRINCIPAL_SESSION, false, &who), GW_OK);
    struct view words = stronger_explain_failure(&failures[_i].what, who, NOW_S, &a);
    ck_assert(view_starts(words, VIEW("This needs a login ")));
    ck_assert_msg(words.n > strlen(failures[_i].words) &&
                      view_eq(view_skip(words, words.n - strlen(failures[_i].words)), view_of(failures[_i].words)),
                  "%.*s", VIEW_FMT(words));
    principal_unref(who);
    buf_deinit(&claims);
    arena_deinit(&a);
}
END_TEST

START_TEST(is_remembered_as_it_was)
{
    static const struct stronger all[] = {
        {{0, false}, false}, {{900, false}, false}, {{900, true}, true}, {{0, true}, true}, {{STEPUP_MAX_AGE_S, true}, false}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct stronger s = stronger_unpack(stronger_pack(&all[i]));
        ck_assert_int_eq(s.what.max_age_s, all[i].what.max_age_s);
        ck_assert_int_eq(s.what.mfa, all[i].what.mfa);
        ck_assert_int_eq(s.is_asked, all[i].is_asked);
        ck_assert_int_eq(stronger_pack(&all[i]) == 0, i == 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stronger");
    TCase *t = tcase_create("stronger");
    tcase_add_loop_test(t, says_exactly_what_is_demanded, 0, sizeof(demands) / sizeof(demands[0]));
    tcase_add_loop_test(t, says_what_came_instead, 0, sizeof(failures) / sizeof(failures[0]));
    tcase_add_test(t, is_remembered_as_it_was);
    suite_add_tcase(s, t);
    return support_run(s);
}
