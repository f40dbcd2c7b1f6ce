#include "store/pending.h"

#include "store/backend.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t NOW_S = 1700000000;

static struct seal_ring *ring_of(uint8_t first, size_t n)
{
    uint8_t keys[SEAL_KEYS_MAX][SEAL_KEY_BYTES];
    struct seal_ring *ring = NULL;
    for (size_t i = 0; i < n; i++)
        memset(keys[i], first - (int)i, SEAL_KEY_BYTES);
    ck_assert_int_eq(seal_ring_new(keys, n, &ring), GW_OK);
    return ring;
}

static struct pending make(struct view rd, int64_t now_s)
{
    struct pending p;
    ck_assert_int_eq(pending_new(rd, now_s * 1000, &p), GW_OK);
    return p;
}

static struct buf seal(const struct seal_ring *ring, const struct pending *p)
{
    struct buf value = BUF(4096);
    ck_assert_int_eq(pending_seal(ring, p, &value), GW_OK);
    return value;
}

START_TEST(opens_what_was_sealed)
{
    struct seal_ring *ring = ring_of(7, 1);
    struct pending p = make(VIEW("/github/acme/payments/?a=\"b\"&c=%20"), NOW_S), q;
    p.need = INT64_C(0x0102030405060708);
    struct buf value = seal(ring, &p);
    ck_assert_int_eq(pending_open(ring, buf_view(&value), NOW_S + 1, &q), GW_OK);
    ck_assert_mem_eq(&p, &q, sizeof(p));
    ck_assert_str_eq(q.rd, "/github/acme/payments/?a=\"b\"&c=%20");
    ck_assert_uint_eq(strlen(p.state), PENDING_STATE_LEN);
    ck_assert_uint_eq(strlen(p.nonce), 43);
    ck_assert_uint_eq(strlen(p.verifier), 43);
    buf_deinit(&value);
    seal_ring_free(ring);
}
END_TEST

START_TEST(T8_no_two_attempts_share_anything)
{
    struct pending p = make(VIEW("/"), NOW_S), q = make(VIEW("/"), NOW_S);
    ck_assert_str_ne(p.state, q.state);
    ck_assert_int_ne(strncmp(p.state, q.state, PENDING_ATTEMPT_LEN), 0);
    ck_assert_str_ne(p.state + PENDING_ATTEMPT_LEN, q.state + PENDING_ATTEMPT_LEN);
    ck_assert_str_ne(p.nonce, q.nonce);
    ck_assert_str_ne(p.verifier, q.verifier);
    ck_assert_mem_ne(p.id, q.id, DIGEST_BYTES);
}
END_TEST

START_TEST(C6_lives_ten_minutes)
{
    static const struct {
        int64_t age_s;
        enum gw_err err;
    } CASES[] = {
        {0, GW_OK}, {599, GW_OK}, {600, GW_E_EXPIRED}, {86400, GW_E_EXPIRED}, {-60, GW_OK}, {-61, GW_E_EXPIRED},
    };
    struct seal_ring *ring = ring_of(7, 1);
    struct pending p = make(VIEW("/"), NOW_S), q;
    struct buf value = seal(ring, &p);
    ck_assert_int_eq(pending_open(ring, buf_view(&value), NOW_S + CASES[_i].age_s, &q), CASES[_i].err);
    buf_deinit(&value);
    seal_ring_free(ring);
}
END_TEST

START_TEST(F6_refuses_a_cookie_with_any_character_changed)
{
    struct seal_ring *ring = ring_of(7, 1);
    struct pending p = make(VIEW("/x"), NOW_S), q;
    struct buf value = seal(ring, &p);
    for (size_t i = 0; i < value.n; i++) {
        char was = value.p[i];
        value.p[i] = was == 'A' ? 'B' : 'A';
        ck_assert_int_eq(pending_open(ring, buf_view(&value), NOW_S, &q), GW_E_INVALID);
        value.p[i] = was;
    }
    for (size_t n = 0; n < value.n; n++)
        ck_assert_int_eq(pending_open(ring, view_at(value.p, n), NOW_S, &q), GW_E_INVALID);
    buf_deinit(&value);
    seal_ring_free(ring);
}
END_TEST

START_TEST(opens_under_an_older_key_and_under_no_foreign_one)
{
    struct seal_ring *old = ring_of(7, 1), *rotated = ring_of(8, 2), *foreign = ring_of(9, 1);
    struct pending p = make(VIEW("/x"), NOW_S), q;
    struct buf value = seal(old, &p);
    ck_assert_int_eq(pending_open(rotated, buf_view(&value), NOW_S, &q), GW_OK);
    ck_assert_int_eq(pending_open(foreign, buf_view(&value), NOW_S, &q), GW_E_INVALID);
    buf_deinit(&value);
    seal_ring_free(old);
    seal_ring_free(rotated);
    seal_ring_free(foreign);
}
END_TEST

START_TEST(R1_rd_that_is_too_long_or_odd_becomes_the_root)
{
    static char longest[PENDING_RD_MAX + 2];
    struct seal_ring *ring = ring_of(7, 1);
    struct pending p;
    memset(longest, '"', sizeof(longest) - 1);
    longest[0] = '/';
    p = make(view_at(longest, PENDING_RD_MAX), NOW_S);
    ck_assert_uint_eq(strlen(p.rd), PENDING_RD_MAX);
    struct buf value = seal(ring, &p);
    ck_assert_uint_lt(value.n, 3072);
    ck_assert_int_eq(pending_open(ring, buf_view(&value), NOW_S, &p), GW_OK);
    ck_assert_uint_eq(strlen(p.rd), PENDING_RD_MAX);
    buf_deinit(&value);
    const struct view odd[] = {view_at(longest, PENDING_RD_MAX + 1), VIEW_NONE, VIEW("/a\nb"), VIEW("/a\0b"), VIEW("/\x7f")};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        ck_assert_str_eq(make(odd[i], NOW_S).rd, "/");
    seal_ring_free(ring);
}
END_TEST

START_TEST(F6_state_names_its_cookie_and_is_compared_whole)
{
    struct pending p = make(VIEW("/"), NOW_S), q = make(VIEW("/"), NOW_S);
    struct buf name = BUF(128);
    char expected[128], mixed[PENDING_STATE_LEN + 1];
    ck_assert_int_eq(pending_cookie_name(&name, VIEW("__Host-login-"), view_of(p.state)), GW_OK);
    snprintf(expected, sizeof(expected), "__Host-login-%.*s", PENDING_ATTEMPT_LEN, p.state);
    ck_assert_str_eq(name.p, expected);
    ck_assert(pending_has_state(&p, view_of(p.state)));
    memcpy(mixed, q.state, sizeof(mixed));
    memcpy(mixed, p.state, PENDING_ATTEMPT_LEN);
    ck_assert(!pending_has_state(&p, view_of(mixed)));
    ck_assert(!pending_has_state(&p, VIEW_NONE));
    buf_deinit(&name);
}
END_TEST

START_TEST(refuses_a_state_that_cannot_be_ours)
{
    struct pending p = make(VIEW("/"), NOW_S);
    struct buf name = BUF(128);
    char bad[PENDING_STATE_LEN + 1];
    ck_assert_int_eq(pending_cookie_name(&name, VIEW("p"), VIEW_NONE), GW_E_INVALID);
    ck_assert_int_eq(pending_cookie_name(&name, VIEW("p"), view_at(p.state, PENDING_STATE_LEN - 1)), GW_E_INVALID);
    memcpy(bad, p.state, sizeof(bad));
    bad[3] = ';';
    ck_assert_int_eq(pending_cookie_name(&name, VIEW("p"), view_of(bad)), GW_E_INVALID);
    bad[3] = '\n';
    ck_assert_int_eq(pending_cookie_name(&name, VIEW("p"), view_of(bad)), GW_E_INVALID);
    ck_assert_uint_eq(name.n, 0);
    buf_deinit(&name);
}
END_TEST

START_TEST(T7_rfc7636_appendix_b)
{
    char challenge[PENDING_RANDOM_LEN + 1];
    ck_assert_int_eq(pending_challenge(VIEW("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), challenge), GW_OK);
    ck_assert_str_eq(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}
END_TEST

/* ---- how many a browser may have ---- */

struct jar {
    struct seal_ring *ring;
    struct buf values[16];
    struct pending_cookie cookies[16];
    size_t n;
    size_t drops[PENDING_DROPS_MAX];
};

static struct jar jar_new(void)
{
    return (struct jar){.ring = ring_of(7, 1)};
}

static void jar_free(struct jar *j)
{
    for (size_t i = 0; i < j->n; i++)
        buf_deinit(&j->values[i]);
    seal_ring_free(j->ring);
}

static void jar_add(struct jar *j, size_t rd_len, int64_t created_s)
{
    static char rd[PENDING_RD_MAX];
    memset(rd, 'a', sizeof(rd));
    struct pending p = make(view_at(rd, rd_len), created_s);
    j->values[j->n] = seal(j->ring, &p);
    j->cookies[j->n] = (struct pending_cookie){VIEW("login-x"), buf_view(&j->values[j->n])};
    j->n++;
}

static void jar_add_text(struct jar *j, struct view name, struct view value)
{
    j->values[j->n] = BUF(1);
    j->cookies[j->n++] = (struct pending_cookie){name, value};
}

static size_t jar_drops(struct jar *j, size_t new_bytes)
{
    return pending_find_drops(j->ring, VIEW("login-"), j->cookies, j->n, new_bytes, NOW_S, j->drops);
}

START_TEST(M1_fifth_attempt_drops_the_oldest_only_when_there_are_five_already)
{
    struct jar j = jar_new();
    for (int i = 0; i < 4; i++)
        jar_add(&j, 10, NOW_S - 10 * i);
    ck_assert_uint_eq(jar_drops(&j, 300), 0);
    jar_add(&j, 10, NOW_S - 35);
    ck_assert_uint_eq(jar_drops(&j, 300), 1);
    ck_assert_uint_eq(j.drops[0], 4);
    jar_add(&j, 10, NOW_S - 5);
    ck_assert_uint_eq(jar_drops(&j, 300), 2);
    ck_assert_uint_eq(j.drops[0], 4);
    ck_assert_uint_eq(j.drops[1], 3);
    jar_free(&j);
}
END_TEST

/* Links can make a browser begin logins; their cookies must not grow the Cookie header past what a proxy takes. */
START_TEST(M1_bytes_of_all_attempts_stay_bounded)
{
    struct jar j = jar_new();
    jar_add(&j, PENDING_RD_MAX, NOW_S - 3);
    jar_add(&j, 100, NOW_S - 2);
    ck_assert_uint_eq(jar_drops(&j, 500), 0);
    ck_assert_uint_eq(jar_drops(&j, 3000), 1);
    ck_assert_uint_eq(j.drops[0], 0);
    jar_free(&j);
}
END_TEST

START_TEST(drops_what_does_not_open_and_leaves_other_cookies_alone)
{
    struct jar j = jar_new();
    jar_add_text(&j, VIEW("login-garbage"), VIEW("AAAA"));
    jar_add_text(&j, VIEW("repogate"), VIEW("AAAA"));
    jar_add(&j, 10, NOW_S - 10);
    jar_add(&j, 10, NOW_S - PENDING_LIFE_S);
    ck_assert_uint_eq(jar_drops(&j, 300), 2);
    ck_assert_uint_eq(j.drops[0], 0);
    ck_assert_uint_eq(j.drops[1], 3);
    jar_free(&j);
}
END_TEST

START_TEST(deletions_in_one_answer_are_bounded)
{
    struct jar j = jar_new();
    for (int i = 0; i < 16; i++)
        jar_add_text(&j, VIEW("login-garbage"), VIEW("AAAA"));
    ck_assert_uint_eq(jar_drops(&j, 300), PENDING_DROPS_MAX);
    jar_free(&j);
}
END_TEST

/* ---- taken once ---- */

struct answers {
    struct loop *loop;
    int n_left;
    int counts[GW_E_IO + 1];
};

static void on_used(void *arg, enum gw_err err)
{
    struct answers *a = arg;
    a->counts[err]++;
    if (--a->n_left == 0)
        loop_stop(a->loop);
}

START_TEST(T6_of_many_uses_at_once_one_wins)
{
    enum { N = 10 };
    struct answers a = {.n_left = N};
    struct store *store = NULL;
    struct jobs *jobs = NULL;
    struct pending p = make(VIEW("/"), NOW_S);
    ck_assert_int_eq(store_open(":memory:", &store), GW_OK);
    ck_assert_int_eq(loop_new(&a.loop), GW_OK);
    ck_assert_int_eq(jobs_new(4, 64, &jobs), GW_OK);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(pending_use(store, jobs, a.loop, &p, on_used, &a), GW_OK);
    loop_run(a.loop);
    ck_assert_int_eq(a.counts[GW_OK], 1);
    ck_assert_int_eq(a.counts[GW_E_EXPIRED], N - 1);
    jobs_free(jobs);
    loop_free(a.loop);
    store_close(store);
}
END_TEST

static enum gw_err fail_use(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s)
{
    (void)s, (void)id;
    ck_assert_int_eq(expires_s, NOW_S + PENDING_LIFE_S);
    return GW_E_IO;
}

START_TEST(store_that_fails_lets_nobody_go_on)
{
    static const struct store_ops OPS = {.use_once = fail_use};
    struct store store = {.ops = &OPS};
    struct answers a = {.n_left = 1};
    struct jobs *jobs = NULL;
    struct pending p = make(VIEW("/"), NOW_S);
    ck_assert_int_eq(loop_new(&a.loop), GW_OK);
    ck_assert_int_eq(jobs_new(1, 4, &jobs), GW_OK);
    ck_assert_int_eq(pending_use(&store, jobs, a.loop, &p, on_used, &a), GW_OK);
    loop_run(a.loop);
    ck_assert_int_eq(a.counts[GW_E_IO], 1);
    jobs_free(jobs);
    loop_free(a.loop);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pending");
    TCase *t = tcase_create("pending");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, opens_what_was_sealed);
    tcase_add_test(t, T8_no_two_attempts_share_anything);
    tcase_add_loop_test(t, C6_lives_ten_minutes, 0, 6);
    tcase_add_test(t, F6_refuses_a_cookie_with_any_character_changed);
    tcase_add_test(t, opens_under_an_older_key_and_under_no_foreign_one);
    tcase_add_test(t, R1_rd_that_is_too_long_or_odd_becomes_the_root);
    tcase_add_test(t, F6_state_names_its_cookie_and_is_compared_whole);
    tcase_add_test(t, refuses_a_state_that_cannot_be_ours);
    tcase_add_test(t, T7_rfc7636_appendix_b);
    tcase_add_test(t, M1_fifth_attempt_drops_the_oldest_only_when_there_are_five_already);
    tcase_add_test(t, M1_bytes_of_all_attempts_stay_bounded);
    tcase_add_test(t, drops_what_does_not_open_and_leaves_other_cookies_alone);
    tcase_add_test(t, deletions_in_one_answer_are_bounded);
    tcase_add_test(t, T6_of_many_uses_at_once_one_wins);
    tcase_add_test(t, store_that_fails_lets_nobody_go_on);
    suite_add_tcase(s, t);
    return support_run(s);
}
