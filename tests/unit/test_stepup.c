#include "store/stepup.h"

#include "support.h"

static const int64_t NOW_S = 1700000000;

/* One step-up after the other: what the rule wants, what the session's login was asked for, what it brought, and how long ago it was. */
static const struct {
    const char *what;
    struct stepup need, asked;
    int64_t auth_before_login_s; /* auth_time lies so long before the session was made; -1: unknown */
    bool has_mfa;
    int64_t made_ago_s;
    bool is_met, is_hopeless;
} cases[] = {
    {"nothing wanted", {0, false}, {0, false}, -1, false, 0, true, false},
    {"fresh", {900, false}, {0, false}, 0, false, 900, true, false},
    {"lapsed, never asked", {900, false}, {0, false}, 0, false, 901, false, false},
    {"unknown, never asked", {900, false}, {0, false}, -1, false, 0, false, false},
    {"asked, and the login was fresh", {900, false}, {900, false}, 5, false, 10, true, false},
    {"asked, brought, and lapsed since: ask again", {900, false}, {900, false}, 5, false, 900, false, false},
    {"asked, and the provider did not ask the person", {900, false}, {900, false}, 901, false, 0, false, true},
    {"asked, and no auth_time came", {900, false}, {900, false}, -1, false, 0, false, true},
    {"asked, and it is far in the future", {900, false}, {900, false}, -61, false, 0, false, true},
    {"asked for an older one only", {900, false}, {3600, false}, 1800, false, 0, false, false},
    {"asked for a fresher one, which did not come", {900, false}, {60, false}, 1800, false, 0, false, true},
    {"second factor, never asked", {0, true}, {900, false}, 0, false, 0, false, false},
    {"second factor, asked, did not come", {0, true}, {0, true}, 0, false, 0, false, true},
    {"second factor, came", {0, true}, {0, true}, -1, true, 90000, true, false},
    {"both asked, no second factor", {900, true}, {900, true}, 0, false, 10, false, true},
    {"both asked, no second factor, and lapsed since", {900, true}, {900, true}, 0, false, 901, false, false},
    {"both wanted, factor there, age never asked", {900, true}, {0, true}, 0, true, 901, false, false},
    {"both wanted, age asked in vain, factor never", {900, true}, {900, false}, 901, false, 0, false, false},
};

START_TEST(asks_again_only_where_it_can_help)
{
    int64_t made_s = NOW_S - cases[_i].made_ago_s, before_s = cases[_i].auth_before_login_s;
    struct stepup_login login = {.has_mfa = cases[_i].has_mfa, .auth_time_s = before_s == -1 ? 0 : made_s - before_s};
    ck_assert_msg(stepup_is_met(&cases[_i].need, &login, NOW_S) == cases[_i].is_met, "%s", cases[_i].what);
    ck_assert_msg(stepup_is_hopeless(&cases[_i].need, &cases[_i].asked, &login, made_s, NOW_S) == cases[_i].is_hopeless, "%s",
                  cases[_i].what);
}
END_TEST

/* Whatever a provider brings, a login that was asked for all that is wanted, judged at once, is either enough or hopeless. */
START_TEST(never_asks_twice_in_a_row)
{
    static const struct stepup needs[] = {{60, false}, {900, false}, {0, true}, {60, true}, {900, true}};
    static const int64_t auth_times[] = {0,         1,     NOW_S - 901, NOW_S - 900, NOW_S - 61,
                                         NOW_S - 1, NOW_S, NOW_S + 60,  NOW_S + 61,  INT64_MAX / 2};
    for (size_t n = 0; n < sizeof(needs) / sizeof(needs[0]); n++)
        for (size_t i = 0; i < sizeof(auth_times) / sizeof(auth_times[0]); i++)
            for (int mfa = 0; mfa <= 1; mfa++) {
                struct stepup_login login = {auth_times[i], mfa};
                ck_assert(stepup_is_met(&needs[n], &login, NOW_S) ||
                          stepup_is_hopeless(&needs[n], &needs[n], &login, NOW_S, NOW_S));
            }
}
END_TEST

START_TEST(adds_up_to_the_stricter)
{
    struct stepup s = {0};
    stepup_add(&s, &(struct stepup){0, false});
    ck_assert(stepup_is_none(&s));
    stepup_add(&s, &(struct stepup){3600, false});
    stepup_add(&s, &(struct stepup){0, true});
    stepup_add(&s, &(struct stepup){900, false});
    stepup_add(&s, &(struct stepup){1800, false});
    ck_assert_int_eq(s.max_age_s, 900);
    ck_assert(s.mfa);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stepup");
    TCase *t = tcase_create("stepup");
    tcase_add_loop_test(t, asks_again_only_where_it_can_help, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(t, never_asks_twice_in_a_row);
    tcase_add_test(t, adds_up_to_the_stricter);
    suite_add_tcase(s, t);
    return support_run(s);
}
