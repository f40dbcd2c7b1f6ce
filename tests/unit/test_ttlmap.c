#include "store/ttlmap.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

static int n_dropped;

static void count_drop(void *value)
{
    (void)value;
    n_dropped++;
}

static struct ttlmap *make(size_t max_entries, size_t max_cost)
{
    struct ttlmap_spec spec = {.max_entries = max_entries, .max_cost = max_cost, .drop = count_drop};
    struct ttlmap *m = NULL;
    ck_assert_int_eq(ttlmap_new(&spec, &m), GW_OK);
    n_dropped = 0;
    return m;
}

static const uint8_t *key(unsigned n)
{
    static uint8_t keys[8][DIGEST_BYTES];
    static unsigned turn;
    uint8_t *k = keys[turn++ % 8];
    char text[16];
    int len = snprintf(text, sizeof(text), "%u", n);
    ck_assert_int_eq(digest_sha256(view_at(text, (size_t)len), k), GW_OK);
    return k;
}

static int values[64];

static void put(struct ttlmap *m, unsigned n, size_t cost, int64_t expires_s)
{
    ck_assert_int_eq(ttlmap_put(m, key(n), &values[n % 64], cost, expires_s), GW_OK);
}

START_TEST(finds_what_was_put_and_nothing_else)
{
    struct ttlmap *m = make(10, 0);
    put(m, 1, 0, 100);
    ck_assert_ptr_eq(ttlmap_find(m, key(1), 50), &values[1]);
    ck_assert_ptr_null(ttlmap_find(m, key(2), 50));
    ttlmap_free(m);
    ck_assert_int_eq(n_dropped, 1);
}
END_TEST

START_TEST(replaces_and_drops_the_old_value)
{
    struct ttlmap *m = make(10, 100);
    put(m, 1, 60, 100);
    ck_assert_int_eq(ttlmap_put(m, key(1), &values[2], 70, 100), GW_OK);
    ck_assert_ptr_eq(ttlmap_find(m, key(1), 50), &values[2]);
    ck_assert_int_eq(n_dropped, 1);
    ck_assert_uint_eq(ttlmap_count(m), 1);
    ck_assert_uint_eq(ttlmap_cost(m), 70);
    ttlmap_free(m);
}
END_TEST

START_TEST(ends_in_the_second_it_expires)
{
    struct ttlmap *m = make(10, 0);
    put(m, 1, 0, 100);
    ck_assert_ptr_nonnull(ttlmap_find(m, key(1), 99));
    ck_assert_ptr_null(ttlmap_find(m, key(1), 100));
    ck_assert_int_eq(n_dropped, 1);
    ck_assert_ptr_null(ttlmap_find(m, key(1), 99));
    ttlmap_free(m);
}
END_TEST

START_TEST(full_map_drops_the_one_used_longest_ago)
{
    struct ttlmap *m = make(3, 0);
    put(m, 1, 0, 100);
    put(m, 2, 0, 100);
    put(m, 3, 0, 100);
    ck_assert_ptr_nonnull(ttlmap_find(m, key(1), 0));
    put(m, 4, 0, 100);
    ck_assert_ptr_null(ttlmap_find(m, key(2), 0));
    ck_assert_ptr_nonnull(ttlmap_find(m, key(1), 0));
    ck_assert_ptr_nonnull(ttlmap_find(m, key(3), 0));
    ck_assert_ptr_nonnull(ttlmap_find(m, key(4), 0));
    ttlmap_free(m);
}
END_TEST

START_TEST(cost_past_the_cap_drops_as_many_as_it_takes)
{
    struct ttlmap *m = make(100, 100);
    for (unsigned i = 0; i < 10; i++)
        put(m, i, 10, 100);
    put(m, 10, 35, 100);
    ck_assert_uint_eq(ttlmap_cost(m), 95);
    ck_assert_ptr_null(ttlmap_find(m, key(3), 0));
    ck_assert_ptr_nonnull(ttlmap_find(m, key(4), 0));
    ttlmap_free(m);
}
END_TEST

START_TEST(refuses_and_drops_what_never_fits)
{
    struct ttlmap *m = make(100, 100);
    put(m, 1, 10, 100);
    put(m, 2, 10, 100);
    ck_assert_int_eq(ttlmap_put(m, key(1), &values[1], 101, 100), GW_E_LIMIT);
    ck_assert_int_eq(n_dropped, 2); /* the new one and the one it was to replace */
    ck_assert_ptr_null(ttlmap_find(m, key(1), 0));
    ck_assert_ptr_nonnull(ttlmap_find(m, key(2), 0));
    ttlmap_free(m);
}
END_TEST

START_TEST(walk_meets_each_once_though_some_are_removed)
{
    enum { N = 1000 };
    struct ttlmap *m = make(N, 0);
    size_t pos = 0, n_met = 0;
    const uint8_t *k;
    void *v;
    for (unsigned i = 0; i < N; i++)
        put(m, i, 0, 100);
    while (ttlmap_next(m, &pos, &k, &v))
        if (n_met++ % 2 == 0)
            ck_assert(ttlmap_remove(m, k));
    ck_assert_uint_eq(n_met, N);
    ck_assert_uint_eq(ttlmap_count(m), N / 2);
    ttlmap_free(m);
    ck_assert_int_eq(n_dropped, N);
}
END_TEST

/* Random operations against an array that does the same the slow way. */
START_TEST(agrees_with_a_plain_list)
{
    enum { KEYS = 200, CAP = 90 };
    struct {
        bool is_in;
        unsigned used;
        int64_t expires_s;
        int *value;
    } list[KEYS] = {0};
    struct ttlmap *m = make(CAP, 0);
    unsigned seed = 1, n = 0;
    for (unsigned step = 1; step < 50000; step++) {
        unsigned k = (unsigned)rand_r(&seed) % KEYS;
        int64_t now_s = step / 100;
        switch (rand_r(&seed) % 4) {
        case 0:
        case 1: {
            bool is_live = list[k].is_in && now_s < list[k].expires_s;
            ck_assert_ptr_eq(ttlmap_find(m, key(k), now_s), is_live ? list[k].value : NULL);
            n -= list[k].is_in && !is_live;
            list[k].is_in = is_live;
            list[k].used = step;
            break;
        }
        case 2: {
            int64_t expires_s = now_s + rand_r(&seed) % 50;
            if (!list[k].is_in && n == CAP) {
                unsigned old = KEYS;
                for (unsigned i = 0; i < KEYS; i++)
                    if (list[i].is_in && (old == KEYS || list[i].used < list[old].used))
                        old = i;
                list[old].is_in = false;
                n--;
            }
            n += !list[k].is_in;
            list[k].is_in = true;
            list[k].used = step;
            list[k].expires_s = expires_s;
            list[k].value = &values[step % 64];
            ck_assert_int_eq(ttlmap_put(m, key(k), list[k].value, 0, expires_s), GW_OK);
            break;
        }
        default:
            if (step % 3 == 0) {
                ck_assert_int_eq(ttlmap_remove(m, key(k)), list[k].is_in);
                n -= list[k].is_in;
                list[k].is_in = false;
            }
        }
        ck_assert_uint_eq(ttlmap_count(m), n);
    }
    ttlmap_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ttlmap");
    TCase *t = tcase_create("ttlmap");
    tcase_add_test(t, finds_what_was_put_and_nothing_else);
    tcase_add_test(t, replaces_and_drops_the_old_value);
    tcase_add_test(t, ends_in_the_second_it_expires);
    tcase_add_test(t, full_map_drops_the_one_used_longest_ago);
    tcase_add_test(t, cost_past_the_cap_drops_as_many_as_it_takes);
    tcase_add_test(t, refuses_and_drops_what_never_fits);
    tcase_add_test(t, walk_meets_each_once_though_some_are_removed);
    tcase_add_test(t, agrees_with_a_plain_list);
    suite_add_tcase(s, t);
    return support_run(s);
}
