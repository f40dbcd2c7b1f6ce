#include "support.h"
#include "util/loop.h"

#include <pthread.h>
#include <unistd.h>

static struct loop *loop;
static int n_calls;

static void setup(void)
{
    n_calls = 0;
    ck_assert_int_eq(loop_new(&loop), GW_OK);
}

static void teardown(void)
{
    loop_free(loop);
}

static void count_and_stop(void *arg)
{
    n_calls++;
    if (arg != NULL)
        loop_stop(loop);
}

START_TEST(runs_tasks_in_the_order_posted)
{
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(loop_post(loop, count_and_stop, i == 99 ? &n_calls : NULL), GW_OK);
    loop_run(loop);
    ck_assert_int_eq(n_calls, 100);
}
END_TEST

static char order[16];
static void on_timer(struct loop_timer *t)
{
    strncat(order, t->arg, 1);
    if (strlen(order) == 3)
        loop_stop(loop);
}

START_TEST(fires_timers_by_due_time_and_not_when_stopped)
{
    static char a[] = "a", b[] = "b", c[] = "c", x[] = "x";
    struct loop_timer ta = {.fn = on_timer, .arg = a}, tb = {.fn = on_timer, .arg = b}, tc = {.fn = on_timer, .arg = c},
                      tx = {.fn = on_timer, .arg = x};
    order[0] = '\0';
    ck_assert_int_eq(loop_timer_start(loop, &tc, 3), GW_OK);
    ck_assert_int_eq(loop_timer_start(loop, &ta, 1), GW_OK);
    ck_assert_int_eq(loop_timer_start(loop, &tx, 0), GW_OK);
    ck_assert_int_eq(loop_timer_start(loop, &tb, 2), GW_OK);
    loop_timer_stop(loop, &tx);
    loop_timer_stop(loop, &tx);
    loop_run(loop);
    ck_assert_str_eq(order, "abc");
    ck_assert_uint_eq(ta.slot, 0);
}
END_TEST

static struct loop_fd pair[2];
static void on_readable(struct loop_fd *lf, uint32_t events)
{
    (void)events;
    n_calls++;
    loop_fd_remove(loop, &pair[0]);
    loop_fd_remove(loop, &pair[1]);
    ck_assert(!lf->is_added);
    loop_stop(loop);
}

START_TEST(does_not_call_a_descriptor_that_was_removed_in_the_same_batch)
{
    int a[2], b[2];
    ck_assert_int_eq(pipe(a), 0);
    ck_assert_int_eq(pipe(b), 0);
    pair[0] = (struct loop_fd){.fd = a[0], .events = EPOLLIN, .fn = on_readable};
    pair[1] = (struct loop_fd){.fd = b[0], .events = EPOLLIN, .fn = on_readable};
    ck_assert_int_eq(loop_fd_add(loop, &pair[0]), GW_OK);
    ck_assert_int_eq(loop_fd_add(loop, &pair[1]), GW_OK);
    ck_assert_int_eq(write(a[1], "x", 1), 1);
    ck_assert_int_eq(write(b[1], "x", 1), 1);
    loop_run(loop);
    ck_assert_int_eq(n_calls, 1);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}
END_TEST

enum { POSTERS = 4, POSTS = 1000 };
static int n_posted;
static void count_posted(void *arg)
{
    (void)arg;
    ck_assert(loop_is_current(loop));
    if (++n_posted == POSTERS * POSTS)
        loop_stop(loop);
}

static void *post_often(void *arg)
{
    for (int i = 0; i < POSTS; i++)
        while (loop_post(loop, count_posted, NULL) == GW_E_LIMIT)
            ;
    return arg;
}

START_TEST(takes_tasks_from_many_threads_and_loses_none)
{
    pthread_t threads[POSTERS];
    n_posted = 0;
    for (int i = 0; i < POSTERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, post_often, NULL), 0);
    loop_run(loop);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(n_posted, POSTERS * POSTS);
}
END_TEST

START_TEST(refuses_tasks_past_the_cap)
{
    for (int i = 0; i < LOOP_TASKS_MAX; i++)
        ck_assert_int_eq(loop_post(loop, count_and_stop, NULL), GW_OK);
    ck_assert_int_eq(loop_post(loop, count_and_stop, NULL), GW_E_LIMIT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop");
    TCase *t = tcase_create("loop");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, runs_tasks_in_the_order_posted);
    tcase_add_test(t, fires_timers_by_due_time_and_not_when_stopped);
    tcase_add_test(t, does_not_call_a_descriptor_that_was_removed_in_the_same_batch);
    tcase_add_test(t, takes_tasks_from_many_threads_and_loses_none);
    tcase_add_test(t, refuses_tasks_past_the_cap);
    suite_add_tcase(s, t);
    return support_run(s);
}
