#include "support.h"
#include "util/jobs.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { N_JOBS = 200 };

static struct loop *loop;
static atomic_int n_run;
static int n_done;

static void run_one(void *arg)
{
    (void)arg;
    ck_assert(!loop_is_current(loop));
    atomic_fetch_add(&n_run, 1);
}

static void one_done(void *arg)
{
    (void)arg;
    ck_assert(loop_is_current(loop));
    if (++n_done == N_JOBS)
        loop_stop(loop);
}

START_TEST(runs_each_job_elsewhere_and_answers_on_the_loop)
{
    struct jobs *jobs;
    ck_assert_int_eq(loop_new(&loop), GW_OK);
    ck_assert_int_eq(jobs_new(3, N_JOBS, &jobs), GW_OK);
    for (int i = 0; i < N_JOBS; i++)
        ck_assert_int_eq(jobs_submit(jobs, loop, run_one, one_done, NULL), GW_OK);
    loop_run(loop);
    ck_assert_int_eq(atomic_load(&n_run), N_JOBS);
    jobs_free(jobs);
    loop_free(loop);
}
END_TEST

static sem_t started, gate;
static void wait_at_gate(void *arg)
{
    (void)arg;
    sem_post(&started);
    sem_wait(&gate);
}

static void count_done(void *arg)
{
    (void)arg;
    n_done++;
}

START_TEST(refuses_past_the_queue_and_after_stopping_and_answers_what_it_took)
{
    struct jobs *jobs;
    ck_assert_int_eq(loop_new(&loop), GW_OK);
    ck_assert_int_eq(jobs_new(1, 2, &jobs), GW_OK);
    sem_init(&started, 0, 0);
    sem_init(&gate, 0, 0);
    ck_assert_int_eq(jobs_submit(jobs, loop, wait_at_gate, count_done, NULL), GW_OK);
    sem_wait(&started); /* taken from the queue */
    ck_assert_int_eq(jobs_submit(jobs, loop, wait_at_gate, count_done, NULL), GW_OK);
    ck_assert_int_eq(jobs_submit(jobs, loop, wait_at_gate, count_done, NULL), GW_OK);
    ck_assert_int_eq(jobs_submit(jobs, loop, wait_at_gate, count_done, NULL), GW_E_LIMIT);
    for (int i = 0; i < 3; i++)
        sem_post(&gate);
    jobs_stop(jobs);
    ck_assert_int_eq(jobs_submit(jobs, loop, wait_at_gate, count_done, NULL), GW_E_LIMIT);
    loop_stop(loop);
    loop_run(loop);
    ck_assert_int_eq(n_done, 3);
    jobs_free(jobs);
    loop_free(loop);
    sem_destroy(&started);
    sem_destroy(&gate);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("jobs");
    TCase *t = tcase_create("jobs");
    tcase_add_test(t, runs_each_job_elsewhere_and_answers_on_the_loop);
    tcase_add_test(t, refuses_past_the_queue_and_after_stopping_and_answers_what_it_took);
    suite_add_tcase(s, t);
    return support_run(s);
}
