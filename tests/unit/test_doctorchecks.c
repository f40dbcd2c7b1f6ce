#include "cli/doctorchecks.h"
#include "cli/doctorcures.h"

#include "support.h"

static const struct doctor_place place = {VIEW("dev.example.org"), VIEW("https://dev.example.org"), VIEW("n0")};

static struct buf request_of(const struct doctor_probe *p)
{
    struct buf out = BUF(32 * 1024);
    doctorchecks_put_request(&out, p, &place, VIEW("secret"));
    ck_assert(buf_ok(&out));
    return out;
}

START_TEST(an_ordinary_request_is_ordinary)
{
    struct buf out = request_of(&doctorchecks[0].probes[0]);
    ck_assert_str_eq(
        out.p, "GET /_repogate/echo/n0/page HTTP/1.1\r\nHost: dev.example.org\r\nUser-Agent: repogate-doctor/" REPOGATE_VERSION
               "\r\nAuthorization: Bearer secret\r\nConnection: close\r\n\r\n");
    buf_deinit(&out);
}
END_TEST

static bool is_harmless(const char *method)
{
    static const char *const fine[] = {"GET", "get", "OPTIONS", "POST", "DOCTOR"};
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        if (method == NULL || strcmp(method, fine[i]) == 0)
            return true;
    return false;
}

static size_t count_text(struct view v, struct view needle)
{
    size_t n = 0;
    for (size_t i = 0; i + needle.n <= v.n; i++)
        n += memcmp(v.p + i, needle.p, needle.n) == 0;
    return n;
}

static void check_probe(const struct doctor_probe *p)
{
    struct buf out = request_of(p);
    struct view v = buf_view(&out);
    ck_assert(is_harmless(p->method));
    ck_assert_msg(!view_contains(v, VIEW("{")) && !view_contains(v, VIEW("}")), "a placeholder is left: %s", out.p);
    ck_assert_msg(view_contains(v, VIEW("\r\n\r\n")), "no end: %s", out.p);
    ck_assert_uint_eq(count_text(v, VIEW("secret")), (p->flags & PROBE_ANONYMOUS) != 0 ? 0 : 1);
    ck_assert_uint_eq(count_text(v, VIEW("User-Agent:")), 1);
    ck_assert_uint_eq(count_text(v, VIEW("\r\nConnection:")), 1);
    buf_deinit(&out);
}

START_TEST(each_request_is_complete_and_harmless)
{
    size_t n = 0;
    for (size_t i = 0; i < doctorchecks_count; i++)
        for (size_t k = 0; k < doctorchecks[i].n_probes; k++, n++)
            check_probe(&doctorchecks[i].probes[k]);
    ck_assert_uint_gt(n, 100);
}
END_TEST

START_TEST(each_check_has_a_name_of_its_own_and_a_cure)
{
    for (size_t i = 0; i < doctorchecks_count; i++) {
        ck_assert_uint_gt(doctorchecks[i].n_probes, 0);
        for (int p = DOCTOR_NGINX; i > 0 && p <= DOCTOR_CADDY; p++)
            ck_assert_ptr_nonnull(doctorcures_find(doctorchecks[i].id, (enum doctor_proxy)p));
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(doctorchecks[i].id, doctorchecks[k].id);
    }
}
END_TEST

START_TEST(the_cookie_is_the_one_of_the_scheme)
{
    struct buf out = BUF(256);
    struct doctor_place plain = place;
    plain.origin = VIEW("http://dev.example.org");
    doctorchecks_put(&out, VIEW("{session} {host} {origin} {echo}/x {name}"), &place);
    ck_assert_str_eq(out.p, "__Host-repogate dev.example.org https://dev.example.org /_repogate/echo/n0/x n0");
    buf_clear(&out);
    doctorchecks_put(&out, VIEW("{session}"), &plain);
    ck_assert_str_eq(out.p, "repogate");
    buf_deinit(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("doctorchecks");
    TCase *tc = tcase_create("doctorchecks");
    tcase_add_test(tc, an_ordinary_request_is_ordinary);
    tcase_add_test(tc, each_request_is_complete_and_harmless);
    tcase_add_test(tc, each_check_has_a_name_of_its_own_and_a_cure);
    tcase_add_test(tc, the_cookie_is_the_one_of_the_scheme);
    suite_add_tcase(s, tc);
    return support_run(s);
}
