#include "store/throttle.h"

#include "support.h"

#include <stdio.h>

enum { START_US = 7 * 1000 * 1000 };

static struct throttle *make(unsigned per_minute)
{
    struct throttle *t = NULL;
    ck_assert_int_eq(throttle_new(per_minute, &t), GW_OK);
    return t;
}

static struct ipaddr address(const char *text)
{
    struct ipaddr a;
    ck_assert_int_eq(ipaddr_parse(view_of(text), &a), GW_OK);
    return a;
}

/* How many of n come through at one moment. */
static unsigned take_many(struct throttle *t, uint8_t thing, const char *client, unsigned n, int64_t now_us)
{
    struct ipaddr a = address(client);
    struct throttle_refusal refusal;
    unsigned n_taken = 0;
    for (unsigned i = 0; i < n; i++)
        n_taken += throttle_take(t, thing, &a, now_us, &refusal);
    return n_taken;
}

START_TEST(lets_a_minutes_worth_through_at_once_and_then_as_many_as_time_brings)
{
    static const unsigned rates[] = {1, 7, 60, 600};
    unsigned rate = rates[_i];
    struct throttle *t = make(rate);
    int64_t step_us = INT64_C(60) * 1000 * 1000 / rate;
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", rate * 2, START_US), rate);
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 1, START_US + step_us - 1), 0);
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 5, START_US + step_us), 1);
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", rate * 2, START_US + INT64_C(3600) * 1000 * 1000), rate);
    throttle_free(t);
}
END_TEST

START_TEST(what_is_given_back_can_be_taken_again_and_no_more)
{
    struct throttle *t = make(6);
    struct ipaddr a = address("192.0.2.1"), never_seen = address("192.0.2.2");
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 1, START_US), 1);
        throttle_give_back(t, 0, &a);
    }
    throttle_give_back(t, 0, &a);
    throttle_give_back(t, 0, &never_seen);
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 20, START_US), 6);
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.2", 20, START_US), 6);
    throttle_give_back(t, 0, &a);
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 20, START_US), 1);
    throttle_free(t);
}
END_TEST

START_TEST(says_when_to_come_back_and_the_first_refusal_of_a_row)
{
    struct throttle *t = make(6);
    struct ipaddr a = address("192.0.2.1");
    struct throttle_refusal r = {0};
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 6, START_US), 6);
    ck_assert(!throttle_take(t, 0, &a, START_US, &r));
    ck_assert_int_eq(r.retry_after_s, 10);
    ck_assert(r.is_first);
    ck_assert(!throttle_take(t, 0, &a, START_US + 9500 * 1000, &r));
    ck_assert_int_eq(r.retry_after_s, 1);
    ck_assert(!r.is_first);
    ck_assert(throttle_take(t, 0, &a, START_US + 10 * 1000 * 1000, &r));
    ck_assert(!throttle_take(t, 0, &a, START_US + 10 * 1000 * 1000, &r));
    ck_assert(r.is_first);
    throttle_free(t);
}
END_TEST

START_TEST(I3_M6_counts_addresses_and_things_apart)
{
    struct throttle *t = make(3);
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 9, START_US), 3);
    ck_assert_uint_eq(take_many(t, 1, "192.0.2.1", 9, START_US), 3);
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.2", 9, START_US), 3);
    ck_assert_uint_eq(take_many(t, 0, "::ffff:192.0.2.1", 9, START_US), 0); /* folded to IPv4 */
    /* A customer's own network is one client, its neighbour another. */
    ck_assert_uint_eq(take_many(t, 0, "2001:db8:1:2::1", 2, START_US), 2);
    ck_assert_uint_eq(take_many(t, 0, "2001:db8:1:2:ffff:ffff:ffff:ffff", 9, START_US), 1);
    ck_assert_uint_eq(take_many(t, 0, "2001:db8:1:3::1", 9, START_US), 3);
    throttle_free(t);
}
END_TEST

START_TEST(I3_counts_names_apart_from_each_other_and_from_addresses)
{
    struct throttle *t = make(3);
    struct throttle_refusal r;
    static const char *const names[] = {"ci", "c", "", "ci\n"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (int k = 0; k < 3; k++)
            ck_assert(throttle_take_name(t, 0, view_of(names[i]), START_US, &r));
        ck_assert(!throttle_take_name(t, 0, view_of(names[i]), START_US, &r));
    }
    ck_assert(throttle_take_name(t, 1, VIEW("ci"), START_US, &r));
    throttle_give_back_name(t, 0, VIEW("ci"));
    throttle_give_back_name(t, 0, VIEW("never seen"));
    ck_assert(throttle_take_name(t, 0, VIEW("ci"), START_US, &r));
    ck_assert(!throttle_take_name(t, 0, VIEW("ci"), START_US, &r));
    ck_assert_uint_eq(take_many(t, 0, "99.105.0.0", 5, START_US), 3);
    throttle_free(t);
}
END_TEST

START_TEST(an_absent_address_is_counted_too)
{
    struct throttle *t = make(2);
    struct ipaddr absent = {.family = 0};
    struct throttle_refusal r;
    ck_assert(throttle_take(t, 0, &absent, START_US, &r));
    ck_assert(throttle_take(t, 0, &absent, START_US, &r));
    ck_assert(!throttle_take(t, 0, &absent, START_US, &r));
    throttle_free(t);
}
END_TEST

START_TEST(M6_keeps_the_addresses_used_last_in_bounded_memory)
{
    struct throttle *t = make(1);
    struct throttle_refusal r;
    char text[32];
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 2, START_US), 1);
    for (unsigned i = 0; i < THROTTLE_BUCKETS_MAX - 1; i++) {
        snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        ck_assert_uint_eq(take_many(t, 0, text, 1, START_US), 1);
    }
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 1, START_US), 0); /* still there, and used just now */
    ck_assert_uint_eq(take_many(t, 0, "198.51.100.1", 1, START_US), 1);
    ck_assert_uint_eq(take_many(t, 0, "192.0.2.1", 1, START_US), 0);
    struct ipaddr oldest = address("10.0.0.0");
    ck_assert(throttle_take(t, 0, &oldest, START_US, &r)); /* made room, and counts as new */
    throttle_free(t);
}
END_TEST

START_TEST(refuses_rates_that_mean_nothing)
{
    struct throttle *t = NULL;
    ck_assert_int_eq(throttle_new(0, &t), GW_E_INVALID);
    ck_assert_int_eq(throttle_new(THROTTLE_PER_MINUTE_MAX + 1, &t), GW_E_INVALID);
    ck_assert_ptr_null(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("throttle");
    TCase *t = tcase_create("throttle");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, lets_a_minutes_worth_through_at_once_and_then_as_many_as_time_brings, 0, 4);
    tcase_add_test(t, what_is_given_back_can_be_taken_again_and_no_more);
    tcase_add_test(t, says_when_to_come_back_and_the_first_refusal_of_a_row);
    tcase_add_test(t, I3_M6_counts_addresses_and_things_apart);
    tcase_add_test(t, an_absent_address_is_counted_too);
    tcase_add_test(t, I3_counts_names_apart_from_each_other_and_from_addresses);
    tcase_add_test(t, M6_keeps_the_addresses_used_last_in_bounded_memory);
    tcase_add_test(t, refuses_rates_that_mean_nothing);
    suite_add_tcase(s, t);
    return support_run(s);
}
