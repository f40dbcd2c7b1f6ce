#include "util/jobs.h"

#include "util/meter.h"

#include <pthread.h>
#include <stdlib.h>

struct job {
    struct loop *loop;
    loop_task_fn run, done;
    void *arg;
};

struct jobs {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct job *ring;
    size_t first, n, size;
    bool stopping;
    size_t n_threads;
    pthread_t threads[];
};

static void *work(void *arg)
{
    struct jobs *j = arg;
    pthread_mutex_lock(&j->lock);
    for (;;) {
        while (j->n == 0 && !j->stopping)
            pthread_cond_wait(&j->more, &j->lock);
        if (j->n == 0)
            break;
        struct job job = j->ring[j->first];
        j->first = (j->first + 1) % j->size;
        j->n--;
        pthread_mutex_unlock(&j->lock);
        job.run(job.arg);
        /* Jobs under way are fewer than LOOP_TASKS_MAX (jobs_new sees to it), so a loop always has room for their answers. */
        if (loop_post(job.loop, job.done, job.arg) != GW_OK)
            abort();
        pthread_mutex_lock(&j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

enum gw_err jobs_new(size_t n_threads, size_t queue_max, struct jobs **ret_jobs)
{
    if (n_threads == 0 || queue_max == 0 || n_threads + queue_max > LOOP_TASKS_MAX / 4)
        return GW_E_LIMIT;
    struct jobs *j = calloc(1, sizeof(*j) + n_threads * sizeof(j->threads[0]));
    if (j == NULL)
        return GW_E_NOMEM;
    j->ring = calloc(queue_max, sizeof(*j->ring));
    if (j->ring == NULL) {
        free(j);
        return GW_E_NOMEM;
    }
    j->size = queue_max;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->more, NULL);
    for (; j->n_threads < n_threads; j->n_threads++)
        if (pthread_create(&j->threads[j->n_threads], NULL, work, j) != 0) {
            jobs_free(j);
            return GW_E_IO;
        }
    *ret_jobs = j;
    return GW_OK;
}

void jobs_stop(struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    pthread_cond_broadcast(&j->more);
    pthread_mutex_unlock(&j->lock);
    for (size_t i = 0; i < j->n_threads; i++)
        pthread_join(j->threads[i], NULL);
    j->n_threads = 0;
}

void jobs_free(struct jobs *j)
{
    if (j == NULL)
        return;
    jobs_stop(j);
    pthread_cond_destroy(&j->more);
    pthread_mutex_destroy(&j->lock);
    free(j->ring);
    free(j);
}

enum gw_err jobs_submit(struct jobs *j, struct loop *l, loop_task_fn run, loop_task_fn done, void *arg)
{
    enum gw_err err = GW_OK;
    pthread_mutex_lock(&j->lock);
    if (j->stopping || j->n == j->size)
        err = GW_E_LIMIT;
    else
        j->ring[(j->first + j->n++) % j->size] = (struct job){l, run, done, arg};
    pthread_mutex_unlock(&j->lock);
    if (err == GW_OK)
        pthread_cond_signal(&j->more);
    else
        meter_inc(METER_JOBS_REFUSED);
    return err;
}
