#include "cli/doctorjudge.h"

#include "support.h"

#define ECHO "/_repogate/echo/n/page"

static struct seen baseline, seen;
static char why[DOCTORJUDGE_WHY_MAX];

static void add(struct seen_headers *h, const char *name, const char *value)
{
    h->items[h->n++] = (struct seen_header){view_of(name), view_of(value)};
}

/* An echo as it should be. */
static void make_echo(struct seen *s, bool is_by_proxy)
{
    *s = (struct seen){.status = 200, .is_echo = true, .is_by_proxy = is_by_proxy};
    s->judged.id = VIEW("i");
    s->judged.method = s->method = VIEW("GET");
    s->judged.host = VIEW("dev.example.org");
    s->judged.target = s->target = VIEW(ECHO);
    s->judged.base = VIEW("/_repogate/echo/n");
    s->judged.ip = VIEW("203.0.113.7");
    s->judged.username = VIEW("alice");
    add(&s->arrived, "Host", "dev.example.org");
    struct seen_headers *far_side = is_by_proxy ? &s->arrived : &s->workspace;
    add(far_side, "X-authentik-username", "alice");
    add(far_side, "X-Authentik-User", "alice");
}

static void make_answer(struct seen *s, int status)
{
    *s = (struct seen){.status = status};
}

static enum verdict judge(enum judge what)
{
    struct trial t = {what, VIEW("GET"), VIEW(ECHO), VIEW("dev.example.org"), &baseline, &seen};
    enum verdict v = doctorjudge(&t, why);
    ck_assert_str_ne(why, "");
    return v;
}

static void set_up(void)
{
    make_echo(&baseline, true);
    make_echo(&seen, true);
}

START_TEST(what_is_as_it_should_be_is_safe)
{
    for (int by_proxy = 0; by_proxy < 2; by_proxy++) {
        make_echo(&baseline, by_proxy);
        make_echo(&seen, by_proxy);
        ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_SAFE);
        ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_SAFE);
        ck_assert_int_eq(judge(JUDGE_UNASKED), VERDICT_SAFE);
    }
}
END_TEST

/* ---- disagreement ---- */

static const struct {
    size_t offset;
    struct view value;
} disagreements[] = {
    {offsetof(struct seen, judged.target), {"/_repogate/echo/n/claimed", 25}},
    {offsetof(struct seen, target), {"/_repogate/echo/n/Page", 22}},
    {offsetof(struct seen, judged.method), {"DELETE", 6}},
    {offsetof(struct seen, method), {"POST", 4}},
    {offsetof(struct seen, judged.host), {"doctor.invalid", 14}},
    {offsetof(struct seen, judged.ip), {DOCTOR_ADDRESS, sizeof(DOCTOR_ADDRESS) - 1}},
};

START_TEST(A1_A3_A7_A9_B9_a_difference_between_judged_and_routed_is_open)
{
    memcpy((char *)&seen + disagreements[_i].offset, &disagreements[_i].value, sizeof(struct view));
    ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_OPEN);
    ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_OPEN);
    make_answer(&baseline, 403);
    ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_OPEN);
}
END_TEST

START_TEST(the_prefix_may_be_taken_off_on_the_way)
{
    seen.target = VIEW("/page");
    ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_SAFE);
    seen.target = VIEW("page");
    ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_OPEN);
    seen.target = VIEW("/n/page");
    ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_OPEN);
}
END_TEST

START_TEST(B8_the_spelling_of_the_host_does_not_matter)
{
    seen.judged.host = VIEW("DEV.example.ORG");
    ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_SAFE);
}
END_TEST

/* ---- what arrived ---- */

static const char *const forged[][2] = {
    {"X-authentik-email", DOCTOR_FORGED},   {"x_authentik_email", DOCTOR_FORGED},     {"X.Authentik.Email", "a, " DOCTOR_FORGED},
    {"X-Repogate-Anything", DOCTOR_FORGED}, {"Connection", "close, X-authentik-uid"}, {"X_Authentik_Username", "alice"},
    {"X-authentik-username", "alice"},      {"Forwarded", "for=" DOCTOR_FORGED},
};

START_TEST(H1_H2_H5_H6_H8_what_the_client_says_on_the_far_side_is_open)
{
    for (int by_proxy = 0; by_proxy < 2; by_proxy++) {
        make_echo(&baseline, by_proxy);
        make_echo(&seen, by_proxy);
        add(by_proxy ? &seen.arrived : &seen.workspace, forged[_i][0], forged[_i][1]);
        ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_OPEN);
    }
}
END_TEST

START_TEST(what_reaches_a_gateway_that_routes_is_its_own_matter)
{
    make_echo(&baseline, false);
    make_echo(&seen, false);
    add(&seen.arrived, forged[_i][0], forged[_i][1]);
    ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_SAFE);
}
END_TEST

START_TEST(H6_what_the_gateway_says_must_arrive)
{
    seen.arrived.n--;
    ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_OPEN);
    ck_assert_ptr_nonnull(strstr(why, "x-authentik-user "));
}
END_TEST

START_TEST(H10_two_lengths_are_open)
{
    add(&seen.arrived, "Content-Length", "5");
    ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_SAFE);
    add(&seen.arrived, "Transfer-Encoding", "chunked");
    ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_OPEN);
}
END_TEST

/* ---- around the question ---- */

START_TEST(H13_a_kind_of_request_that_is_not_asked_about_is_not_safe)
{
    make_echo(&seen, false);
    ck_assert_int_eq(judge(JUDGE_UNASKED), VERDICT_UNKNOWN);
    add(&seen.arrived, "X-authentik-email", DOCTOR_FORGED);
    ck_assert_int_eq(judge(JUDGE_UNASKED), VERDICT_OPEN);
    seen.arrived.n--;
    ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_OPEN);
    ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_SAFE);
    make_echo(&baseline, false);
    ck_assert_int_eq(judge(JUDGE_UNASKED), VERDICT_SAFE);
    ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_SAFE);
}
END_TEST

/* ---- refused ---- */

START_TEST(a_refusal_is_safe_only_where_others_are_let_in)
{
    static const int refusals[] = {0, 301, 400, 403, 404, 431, 501}, others[] = {200, 204, 500, 502, 503};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        make_echo(&baseline, true);
        make_answer(&seen, refusals[i]);
        ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_SAFE);
        make_answer(&baseline, 403);
        ck_assert_int_eq(judge(JUDGE_CLAIM), VERDICT_UNKNOWN);
    }
    make_echo(&baseline, true);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        make_answer(&seen, others[i]);
        ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_UNKNOWN);
    }
}
END_TEST

/* ---- nobody's ---- */

static const struct {
    enum judge judge;
    int status;
    enum verdict verdict;
} statuses[] = {
    {JUDGE_ANONYMOUS, 401, VERDICT_SAFE},    {JUDGE_ANONYMOUS, 403, VERDICT_SAFE},  {JUDGE_ANONYMOUS, 302, VERDICT_SAFE},
    {JUDGE_ANONYMOUS, 400, VERDICT_SAFE},    {JUDGE_ANONYMOUS, 200, VERDICT_OPEN},  {JUDGE_ANONYMOUS, 101, VERDICT_OPEN},
    {JUDGE_ANONYMOUS, 404, VERDICT_UNKNOWN}, {JUDGE_ANONYMOUS, 0, VERDICT_UNKNOWN}, {JUDGE_ANONYMOUS, 500, VERDICT_UNKNOWN},
    {JUDGE_ANSWER, 401, VERDICT_SAFE},       {JUDGE_ANSWER, 302, VERDICT_SAFE},     {JUDGE_ANSWER, 500, VERDICT_OPEN},
    {JUDGE_ANSWER, 503, VERDICT_UNKNOWN},    {JUDGE_ANSWER, 200, VERDICT_UNKNOWN},  {JUDGE_ANSWER, 403, VERDICT_UNKNOWN},
    {JUDGE_CLOSED, 404, VERDICT_SAFE},       {JUDGE_CLOSED, 403, VERDICT_SAFE},     {JUDGE_CLOSED, 200, VERDICT_UNKNOWN},
    {JUDGE_LOGIN, 401, VERDICT_OPEN},        {JUDGE_LOGIN, 403, VERDICT_OPEN},      {JUDGE_LOGIN, 302, VERDICT_OPEN},
    {JUDGE_LOGIN, 503, VERDICT_UNKNOWN},     {JUDGE_LOGIN, 0, VERDICT_UNKNOWN},
};

START_TEST(judges_nobody_by_the_status)
{
    make_answer(&seen, statuses[_i].status);
    ck_assert_int_eq(judge(statuses[_i].judge), statuses[_i].verdict);
}
END_TEST

START_TEST(E1_nobody_sees_an_echo)
{
    ck_assert_int_eq(judge(JUDGE_ANONYMOUS), VERDICT_OPEN);
    ck_assert_int_eq(judge(JUDGE_ANSWER), VERDICT_OPEN);
    ck_assert_int_eq(judge(JUDGE_CLOSED), VERDICT_OPEN);
}
END_TEST

START_TEST(A2_an_auth_endpoint_that_answers_is_open_whatever_it_answers)
{
    static const int answers[] = {200, 401, 403, 500};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        seen = (struct seen){.status = answers[i], .is_auth_answer = true};
        ck_assert_int_eq(judge(JUDGE_CLOSED), VERDICT_OPEN);
    }
}
END_TEST

static const struct {
    struct view location;
    enum verdict redirect, login;
} locations[] = {
    {VIEW_NONE, VERDICT_SAFE, VERDICT_OPEN},
    {{"/_repogate/login?rd=//doctor.invalid/", 37}, VERDICT_SAFE, VERDICT_OPEN},
    {{"https://auth.example.org/authorize?client_id=r", 46}, VERDICT_SAFE, VERDICT_SAFE},
    {{"//doctor.invalid/", 17}, VERDICT_OPEN, VERDICT_OPEN},
    {{"/\\doctor.invalid/", 17}, VERDICT_OPEN, VERDICT_OPEN},
    {{"\\\\doctor.invalid", 16}, VERDICT_OPEN, VERDICT_OPEN},
    {{"https://doctor.invalid/x", 24}, VERDICT_OPEN, VERDICT_OPEN},
    {{"http://a@doctor.invalid:80/", 27}, VERDICT_OPEN, VERDICT_OPEN},
    {{"https://dev.example.org/?doctor.invalid", 39}, VERDICT_SAFE, VERDICT_OPEN},
    {{"/a:b//doctor.invalid", 20}, VERDICT_SAFE, VERDICT_OPEN},
};

START_TEST(R1_R2_knows_where_a_redirect_leads)
{
    seen = (struct seen){.status = 302, .location = locations[_i].location};
    ck_assert_int_eq(judge(JUDGE_REDIRECT), locations[_i].redirect);
    ck_assert_int_eq(judge(JUDGE_LOGIN), locations[_i].login);
}
END_TEST

START_TEST(J3_text_of_the_other_side_cannot_steer_a_terminal)
{
    seen.judged.target = VIEW("/\x1b[2J\x9b\r\n");
    ck_assert_int_eq(judge(JUDGE_REQUEST), VERDICT_OPEN);
    for (const char *p = why; *p != '\0'; p++)
        ck_assert(*p >= ' ' && *p < 0x7f);
}
END_TEST

/* ---- several ---- */

START_TEST(C1_a_decision_is_for_one_visitor)
{
    struct seen four[DOCTORJUDGE_CACHE_COUNT];
    make_echo(&four[0], true);
    make_echo(&four[1], true);
    make_answer(&four[2], 401);
    make_answer(&four[3], 401);
    ck_assert_int_eq(doctorjudge_cache(four, why), VERDICT_OPEN);
    four[1].judged.id = VIEW("j");
    ck_assert_int_eq(doctorjudge_cache(four, why), VERDICT_SAFE);
    make_echo(&four[2], true);
    ck_assert_int_eq(doctorjudge_cache(four, why), VERDICT_OPEN);
    make_answer(&four[2], 401);
    make_echo(&four[3], true);
    ck_assert_int_eq(doctorjudge_cache(four, why), VERDICT_OPEN);
    make_answer(&four[3], 401);
    make_answer(&four[0], 403);
    ck_assert_int_eq(doctorjudge_cache(four, why), VERDICT_UNKNOWN);
}
END_TEST

START_TEST(A2_a_proxy_that_asks_in_vain_is_found)
{
    struct seen two[DOCTORJUDGE_QUESTION_COUNT];
    make_echo(&two[0], false);
    make_echo(&two[1], false);
    ck_assert_int_eq(doctorjudge_question(two, why), VERDICT_SAFE);
    two[1].n_refused_questions = 1;
    ck_assert_int_eq(doctorjudge_question(two, why), VERDICT_OPEN);
    two[1].is_by_proxy = true;
    ck_assert_int_eq(doctorjudge_question(two, why), VERDICT_SAFE);
    make_answer(&two[1], 403);
    ck_assert_int_eq(doctorjudge_question(two, why), VERDICT_UNKNOWN);
}
END_TEST

START_TEST(L2_tokens_and_our_cookies_do_not_arrive)
{
    struct trial t = {JUDGE_REQUEST, VIEW("GET"), VIEW(ECHO), VIEW("dev.example.org"), &baseline, &seen};
    ck_assert_int_eq(doctorjudge_secrets(&t, 5, why), VERDICT_SAFE);
    add(&seen.arrived, "Cookie", "(5 bytes)");
    ck_assert_int_eq(doctorjudge_secrets(&t, 5, why), VERDICT_SAFE);
    seen.arrived.items[seen.arrived.n - 1].value = VIEW("(6 bytes)");
    ck_assert_int_eq(doctorjudge_secrets(&t, 5, why), VERDICT_OPEN);
    seen.arrived.items[seen.arrived.n - 1].value = VIEW("app=1");
    ck_assert_int_eq(doctorjudge_secrets(&t, 5, why), VERDICT_OPEN);
    seen.arrived.items[seen.arrived.n - 1] = (struct seen_header){VIEW("authorization"), VIEW("(1 bytes)")};
    ck_assert_int_eq(doctorjudge_secrets(&t, 5, why), VERDICT_OPEN);
    make_answer(&seen, 403);
    ck_assert_int_eq(doctorjudge_secrets(&t, 5, why), VERDICT_UNKNOWN);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("doctorjudge");
    TCase *tc = tcase_create("doctorjudge");
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, what_is_as_it_should_be_is_safe);
    tcase_add_loop_test(tc, A1_A3_A7_A9_B9_a_difference_between_judged_and_routed_is_open, 0, COUNT(disagreements));
    tcase_add_test(tc, the_prefix_may_be_taken_off_on_the_way);
    tcase_add_test(tc, B8_the_spelling_of_the_host_does_not_matter);
    tcase_add_loop_test(tc, H1_H2_H5_H6_H8_what_the_client_says_on_the_far_side_is_open, 0, COUNT(forged));
    tcase_add_loop_test(tc, what_reaches_a_gateway_that_routes_is_its_own_matter, 0, COUNT(forged));
    tcase_add_test(tc, H6_what_the_gateway_says_must_arrive);
    tcase_add_test(tc, H10_two_lengths_are_open);
    tcase_add_test(tc, H13_a_kind_of_request_that_is_not_asked_about_is_not_safe);
    tcase_add_test(tc, a_refusal_is_safe_only_where_others_are_let_in);
    tcase_add_loop_test(tc, judges_nobody_by_the_status, 0, COUNT(statuses));
    tcase_add_test(tc, E1_nobody_sees_an_echo);
    tcase_add_test(tc, A2_an_auth_endpoint_that_answers_is_open_whatever_it_answers);
    tcase_add_loop_test(tc, R1_R2_knows_where_a_redirect_leads, 0, COUNT(locations));
    tcase_add_test(tc, J3_text_of_the_other_side_cannot_steer_a_terminal);
    tcase_add_test(tc, C1_a_decision_is_for_one_visitor);
    tcase_add_test(tc, A2_a_proxy_that_asks_in_vain_is_found);
    tcase_add_test(tc, L2_tokens_and_our_cookies_do_not_arrive);
    suite_add_tcase(s, tc);
    return support_run(s);
}
