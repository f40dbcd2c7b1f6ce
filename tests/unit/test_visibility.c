/* Fetcher and loops are stand-ins: a probe is answered, a task run and a timer due when the test says so. */
#include "forge/visibility.h"
#include "util/epoch.h"
#include "util/meter.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

enum { FETCHES_MAX = 20000, TASKS_MAX = 4096, TIMERS_MAX = 4096, THREADS = 4, ASKS_PER_THREAD = 3000, REPOS = 37 };

/* ---- stand-ins ---- */

struct loop {
    pthread_mutex_t lock;
    struct {
        loop_task_fn fn;
        void *arg;
    } tasks[TASKS_MAX];
    size_t n_tasks;
    bool is_full, has_no_memory;
    struct loop_timer *timers[TIMERS_MAX];
    size_t n_timers;
};

enum gw_err loop_post(struct loop *l, loop_task_fn fn, void *arg)
{
    enum gw_err err = GW_E_LIMIT;
    pthread_mutex_lock(&l->lock);
    if (!l->is_full && l->n_tasks < TASKS_MAX) {
        l->tasks[l->n_tasks].fn = fn;
        l->tasks[l->n_tasks++].arg = arg;
        err = GW_OK;
    }
    pthread_mutex_unlock(&l->lock);
    return err;
}

enum gw_err loop_timer_start(struct loop *l, struct loop_timer *t, int64_t delay_ms)
{
    ck_assert_int_ge(delay_ms, VISIBILITY_TIMEOUT_MS);
    if (l->has_no_memory || l->n_timers == TIMERS_MAX)
        return GW_E_NOMEM;
    l->timers[l->n_timers++] = t;
    t->slot = l->n_timers;
    return GW_OK;
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    if (t->slot == 0)
        return;
    struct loop_timer *last = l->timers[--l->n_timers];
    l->timers[t->slot - 1] = last;
    last->slot = t->slot;
    t->slot = 0;
}

static size_t drain(struct loop *l)
{
    size_t n_run = 0;
    for (;; n_run++) {
        pthread_mutex_lock(&l->lock);
        if (l->n_tasks == 0) {
            pthread_mutex_unlock(&l->lock);
            return n_run;
        }
        loop_task_fn fn = l->tasks[0].fn;
        void *arg = l->tasks[0].arg;
        memmove(&l->tasks[0], &l->tasks[1], --l->n_tasks * sizeof(l->tasks[0]));
        pthread_mutex_unlock(&l->lock);
        fn(arg);
    }
}

static void let_timers_pass(struct loop *l)
{
    while (l->n_timers > 0) {
        struct loop_timer *t = l->timers[0];
        loop_timer_stop(l, t);
        t->fn(t);
    }
}

struct fetcher {
    struct loop *loop;
    enum gw_err refuses_with;
    bool answers_itself;
};

struct fetched {
    fetch_fn fn;
    void *arg;
    char url[512];
    char header[64];
    size_t max_bytes;
    int64_t timeout_ms;
    bool head_is_enough;
};
static struct fetched fetched[FETCHES_MAX];
static atomic_size_t n_fetched;

static void on_self_answer(void *arg)
{
    struct fetched *x = arg;
    struct fetch_answer a = {.status = strchr(x->url, '7') != NULL ? 404 : 200,
                             .content_type = VIEW("application/x-git-upload-pack-advertisement"),
                             .body = VIEW("001e# service=git-upload-pack\n")};
    x->fn(x->arg, &a);
}

enum gw_err fetch_start(struct fetcher *f, const struct fetch_spec *spec, fetch_fn fn, void *arg)
{
    if (f->refuses_with != GW_OK)
        return f->refuses_with;
    size_t i = atomic_fetch_add(&n_fetched, 1);
    ck_assert_uint_lt(i, FETCHES_MAX);
    struct fetched *x = &fetched[i];
    *x = (struct fetched){.fn = fn,
                          .arg = arg,
                          .max_bytes = spec->max_bytes,
                          .timeout_ms = spec->timeout_ms,
                          .head_is_enough = spec->head_is_enough};
    ck_assert_str_eq(spec->method, "GET");
    snprintf(x->url, sizeof(x->url), "%.*s", VIEW_FMT(spec->url));
    if (spec->n_headers > 0)
        snprintf(x->header, sizeof(x->header), "%s: %.*s", spec->headers[0].name, VIEW_FMT(spec->headers[0].value));
    return f->answers_itself ? loop_post(f->loop, on_self_answer, x) : GW_OK;
}

static void answer_body(size_t i, enum gw_err err, int status, const char *type, struct view body)
{
    struct fetch_answer a = {.err = err, .status = status, .content_type = view_of(type), .body = body, .detail = ""};
    fetched[i].fn(fetched[i].arg, &a);
}

static void answer(size_t i, enum gw_err err, int status, const char *type)
{
    answer_body(i, err, status, type, VIEW("001e# service=git-upload-pack\n0000"));
}

static const char git_type[] = "application/x-git-upload-pack-advertisement";

/* ---- fixture ---- */

static const struct forge forge = {.name = "github", .kind = FORGE_GITHUB, .url = "http://forge.test/base"};
static struct visibility *v;
static struct loop here, there;
static struct fetcher fetcher_here, fetcher_there;

struct heard {
    int n;
    enum visibility_value value;
};

static void on_value(void *arg, enum visibility_value value)
{
    struct heard *h = arg;
    h->n++;
    h->value = value;
}

static struct repo repo_named(const char *owner, const char *name)
{
    struct repo r = {.forge = &forge};
    snprintf(r.owner, sizeof(r.owner), "%s", owner);
    snprintf(r.name, sizeof(r.name), "%s", name);
    snprintf(r.full, sizeof(r.full), "github:%.200s/%.100s", owner, name);
    return r;
}

static struct repo repo_numbered(int i)
{
    char name[32];
    snprintf(name, sizeof(name), "r%d", i);
    return repo_named("acme", name);
}

static void setup(void)
{
    memset(&here, 0, sizeof(here));
    memset(&there, 0, sizeof(there));
    pthread_mutex_init(&here.lock, NULL);
    pthread_mutex_init(&there.lock, NULL);
    fetcher_here = (struct fetcher){.loop = &here};
    fetcher_there = (struct fetcher){.loop = &there};
    atomic_store(&n_fetched, 0);
    epoch_fix_ms(1700000000000);
    ck_assert_int_eq(visibility_new(&v), GW_OK);
}

static void teardown(void)
{
    visibility_free(v);
    ck_assert_uint_eq(here.n_timers, 0);
    ck_assert_uint_eq(there.n_timers, 0);
    epoch_fix_ms(-1);
}

static void ask_here(const struct repo *r, struct heard *h)
{
    visibility_ask(v, &here, &fetcher_here, r, on_value, h);
}

/* ---- tests ---- */

START_TEST(asks_the_forge_for_exactly_this_repository)
{
    struct heard h = {0};
    struct repo r = repo_named("acme", "site.v2");
    int64_t probes = meter_value(METER_PROBES);
    ask_here(&r, &h);
    ck_assert_uint_eq(n_fetched, 1);
    ck_assert_str_eq(fetched[0].url, "http://forge.test/base/acme/site.v2.git/info/refs?service=git-upload-pack");
    ck_assert_str_eq(fetched[0].header, "Git-Protocol: version=2");
    ck_assert(fetched[0].head_is_enough);
    ck_assert_uint_le(fetched[0].max_bytes, 4096);
    ck_assert_int_eq(fetched[0].timeout_ms, VISIBILITY_TIMEOUT_MS);
    ck_assert_int_eq(meter_value(METER_PROBES), probes + 1);
}
END_TEST

START_TEST(keeps_nested_owners_and_encodes_what_no_grammar_should_have_let_through)
{
    struct heard h = {0};
    struct repo nested = repo_named("group/sub/team", "x"), odd = repo_named("a?b#c/..\r\n", "d@e:1\\");
    ask_here(&nested, &h);
    ask_here(&odd, &h);
    ck_assert_str_eq(fetched[0].url, "http://forge.test/base/group/sub/team/x.git/info/refs?service=git-upload-pack");
    ck_assert_str_eq(fetched[1].url,
                     "http://forge.test/base/a%3Fb%23c/..%0D%0A/d%40e%3A1%5C.git/info/refs?service=git-upload-pack");
}
END_TEST

struct reading {
    enum gw_err err;
    int status;
    const char *type;
    enum visibility_value value;
};
static const struct reading readings[] = {
    {GW_OK, 200, git_type, VISIBILITY_PUBLIC},
    {GW_OK, 200, "APPLICATION/X-Git-Upload-Pack-Advertisement", VISIBILITY_PUBLIC},
    {GW_OK, 200, "text/html", VISIBILITY_UNKNOWN}, /* a login page */
    {GW_OK, 200, "text/plain", VISIBILITY_UNKNOWN},
    {GW_OK, 200, "application/x-git-receive-pack-advertisement", VISIBILITY_UNKNOWN},
    {GW_OK, 200, "application/x-git-upload-pack-advertisement2", VISIBILITY_UNKNOWN},
    {GW_OK, 200, NULL, VISIBILITY_UNKNOWN},
    {GW_OK, 401, "text/plain", VISIBILITY_PRIVATE},
    {GW_OK, 403, "", VISIBILITY_PRIVATE},
    {GW_OK, 404, git_type, VISIBILITY_PRIVATE},
    {GW_OK, 204, git_type, VISIBILITY_UNKNOWN},
    {GW_OK, 206, git_type, VISIBILITY_UNKNOWN},
    {GW_OK, 301, git_type, VISIBILITY_UNKNOWN},
    {GW_OK, 302, git_type, VISIBILITY_UNKNOWN},
    {GW_OK, 304, git_type, VISIBILITY_UNKNOWN},
    {GW_OK, 410, git_type, VISIBILITY_UNKNOWN},
    {GW_OK, 429, git_type, VISIBILITY_UNKNOWN},
    {GW_OK, 500, git_type, VISIBILITY_UNKNOWN},
    {GW_OK, 503, git_type, VISIBILITY_UNKNOWN},
    {GW_E_TIMEOUT, 0, NULL, VISIBILITY_UNKNOWN},
    {GW_E_UPSTREAM, 0, NULL, VISIBILITY_UNKNOWN},
    {GW_E_LIMIT, 200, git_type, VISIBILITY_UNKNOWN},
    {GW_E_IO, 200, git_type, VISIBILITY_UNKNOWN},
};

static const struct {
    struct view body;
    enum visibility_value value;
} bodies[] = {
    {{"001e# service=git-upload-pack\n0000", 34}, VISIBILITY_PUBLIC},
    {{"000eversion 2\n", 14}, VISIBILITY_PUBLIC},
    {{"001f# service=git-receive-pack\n0000", 35}, VISIBILITY_UNKNOWN},
    {{"00zz# service=git-upload-pack\n", 30}, VISIBILITY_UNKNOWN},
    {{"<!doctype html>", 15}, VISIBILITY_UNKNOWN},
    {{"001e", 4}, VISIBILITY_UNKNOWN},
    {{"", 0}, VISIBILITY_UNKNOWN},
};

START_TEST(believes_only_an_advertisement)
{
    struct heard h = {0};
    struct repo r = repo_numbered(1);
    ask_here(&r, &h);
    answer_body(0, GW_OK, 200, git_type, bodies[_i].body);
    drain(&here);
    ck_assert_int_eq(h.value, bodies[_i].value);
}
END_TEST

START_TEST(reads_answer_of_the_forge)
{
    const struct reading *x = &readings[_i];
    struct heard h = {0};
    struct repo r = repo_numbered(1);
    ask_here(&r, &h);
    answer(0, x->err, x->status, x->type);
    ck_assert_int_eq(h.n, 0); /* later */
    drain(&here);
    ck_assert_int_eq(h.n, 1);
    ck_assert_int_eq(h.value, x->value);
    ck_assert_int_eq(visibility_find(v, &r), x->value);
}
END_TEST

START_TEST(does_not_know_before_it_has_asked)
{
    struct repo r = repo_numbered(1);
    struct heard h = {0};
    ck_assert_int_eq(visibility_find(v, &r), VISIBILITY_PENDING);
    ask_here(&r, &h);
    ck_assert_int_eq(visibility_find(v, &r), VISIBILITY_PENDING);
}
END_TEST

START_TEST(does_not_mix_repositories_up)
{
    struct heard a = {0}, b = {0};
    struct repo one = repo_named("acme", "site"), two = repo_named("acme", "site2");
    ask_here(&one, &a);
    ask_here(&two, &b);
    answer(1, GW_OK, 200, git_type);
    answer(0, GW_OK, 404, "");
    drain(&here);
    ck_assert_int_eq(a.value, VISIBILITY_PRIVATE);
    ck_assert_int_eq(b.value, VISIBILITY_PUBLIC);
}
END_TEST

START_TEST(asks_once_for_all_who_wait_on_any_loop)
{
    struct heard mine[3] = {{0}}, theirs[3] = {{0}};
    struct repo r = repo_numbered(1);
    for (int i = 0; i < 3; i++) {
        ask_here(&r, &mine[i]);
        visibility_ask(v, &there, &fetcher_there, &r, on_value, &theirs[i]);
    }
    ck_assert_uint_eq(n_fetched, 1);
    answer(0, GW_OK, 200, git_type);
    ck_assert_uint_eq(drain(&here), 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(mine[i].n, 1);
        ck_assert_int_eq(mine[i].value, VISIBILITY_PUBLIC);
        ck_assert_int_eq(theirs[i].n, 0); /* only on their own loop */
    }
    ck_assert_uint_eq(drain(&there), 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(theirs[i].n, 1);
}
END_TEST

START_TEST(answers_from_memory_when_settled_meanwhile)
{
    struct heard first = {0}, second = {0};
    struct repo r = repo_numbered(1);
    ask_here(&r, &first);
    answer(0, GW_OK, 401, "");
    ask_here(&r, &second);
    ck_assert_uint_eq(n_fetched, 1);
    ck_assert_int_eq(second.n, 0);
    drain(&here);
    ck_assert_int_eq(second.n, 1);
    ck_assert_int_eq(second.value, VISIBILITY_PRIVATE);
}
END_TEST

struct ageing {
    int status;
    int64_t after_s;
    bool is_known;
};
static const struct ageing ageings[] = {
    {200, VISIBILITY_TTL_S - 1, true},
    {200, VISIBILITY_TTL_S, false},
    {404, VISIBILITY_TTL_S - 1, true},
    {404, VISIBILITY_TTL_S, false},
    {500, VISIBILITY_UNKNOWN_TTL_S - 1, true},
    {500, VISIBILITY_UNKNOWN_TTL_S, false},
    {200, -1, false}, /* the clock was set back */
};

START_TEST(forgets_in_time)
{
    struct heard h = {0};
    struct repo r = repo_numbered(1);
    ask_here(&r, &h);
    answer(0, GW_OK, ageings[_i].status, git_type);
    drain(&here);
    epoch_fix_ms(1700000000000 + ageings[_i].after_s * 1000);
    ck_assert_int_eq(visibility_find(v, &r) != VISIBILITY_PENDING, ageings[_i].is_known);
    ask_here(&r, &h);
    ck_assert_uint_eq(n_fetched, ageings[_i].is_known ? 1 : 2);
}
END_TEST

START_TEST(learns_anew_that_a_repository_turned_private)
{
    struct heard h = {0};
    struct repo r = repo_numbered(1);
    ask_here(&r, &h);
    answer(0, GW_OK, 200, git_type);
    epoch_fix_ms(1700000000000 + VISIBILITY_TTL_S * 1000);
    ask_here(&r, &h);
    ck_assert_int_eq(visibility_find(v, &r), VISIBILITY_PENDING); /* the old value is gone while it is asked again */
    answer(1, GW_OK, 404, "");
    drain(&here);
    ck_assert_int_eq(h.n, 2);
    ck_assert_int_eq(h.value, VISIBILITY_PRIVATE);
    ck_assert_int_eq(visibility_find(v, &r), VISIBILITY_PRIVATE);
}
END_TEST

START_TEST(says_unknown_when_too_many_probes_are_under_way_and_does_not_remember_it)
{
    static struct heard h[VISIBILITY_PROBES_MAX + 1];
    for (int i = 0; i <= VISIBILITY_PROBES_MAX; i++) {
        struct repo r = repo_numbered(i);
        h[i] = (struct heard){0};
        ask_here(&r, &h[i]);
    }
    ck_assert_uint_eq(n_fetched, VISIBILITY_PROBES_MAX);
    drain(&here);
    ck_assert_int_eq(h[VISIBILITY_PROBES_MAX].n, 1);
    ck_assert_int_eq(h[VISIBILITY_PROBES_MAX].value, VISIBILITY_UNKNOWN);
    struct repo late = repo_numbered(VISIBILITY_PROBES_MAX);
    ck_assert_int_eq(visibility_find(v, &late), VISIBILITY_PENDING);
    answer(0, GW_OK, 200, git_type);
    ask_here(&late, &h[0]);
    ck_assert_uint_eq(n_fetched, VISIBILITY_PROBES_MAX + 1);
}
END_TEST

START_TEST(says_unknown_when_too_many_wait)
{
    static struct heard h;
    struct heard late = {0};
    struct repo r = repo_numbered(1);
    for (int i = 0; i < VISIBILITY_WAITERS_MAX; i++)
        ask_here(&r, &h);
    ask_here(&r, &late);
    ck_assert_int_eq(late.n, 0);
    drain(&here);
    ck_assert_int_eq(late.n, 1);
    ck_assert_int_eq(late.value, VISIBILITY_UNKNOWN);
    answer(0, GW_OK, 200, git_type);
    drain(&here);
    ck_assert_int_eq(h.n, VISIBILITY_WAITERS_MAX);
}
END_TEST

START_TEST(gives_up_the_longest_unused_when_full)
{
    static struct heard h;
    for (int i = 0; i < VISIBILITY_ENTRIES_MAX; i++) {
        struct repo r = repo_numbered(i);
        ask_here(&r, &h);
        answer((size_t)i, GW_OK, 200, git_type);
        drain(&here);
    }
    struct repo first = repo_numbered(0), second = repo_numbered(1), more = repo_numbered(VISIBILITY_ENTRIES_MAX);
    ck_assert_int_eq(visibility_find(v, &first), VISIBILITY_PUBLIC); /* just used */
    ask_here(&more, &h);
    answer(VISIBILITY_ENTRIES_MAX, GW_OK, 200, git_type);
    ck_assert_int_eq(visibility_find(v, &first), VISIBILITY_PUBLIC);
    ck_assert_int_eq(visibility_find(v, &second), VISIBILITY_PENDING);
    ck_assert_int_eq(visibility_find(v, &more), VISIBILITY_PUBLIC);
}
END_TEST

START_TEST(says_unknown_when_the_probe_cannot_be_sent)
{
    static const enum gw_err errs[] = {GW_E_LIMIT, GW_E_NOMEM, GW_E_IO, GW_E_INVALID};
    struct heard h = {0};
    struct repo r = repo_numbered(1);
    int64_t probes = meter_value(METER_PROBES);
    fetcher_here.refuses_with = errs[_i];
    ask_here(&r, &h);
    ck_assert_int_eq(h.n, 0);
    drain(&here);
    ck_assert_int_eq(h.n, 1);
    ck_assert_int_eq(h.value, VISIBILITY_UNKNOWN);
    ck_assert_int_eq(meter_value(METER_PROBES), probes);
    /* only a spec that will never be accepted is remembered */
    ck_assert_int_eq(visibility_find(v, &r), errs[_i] == GW_E_INVALID ? VISIBILITY_UNKNOWN : VISIBILITY_PENDING);
}
END_TEST

START_TEST(says_unknown_for_what_is_no_repository_of_a_forge)
{
    struct heard h = {0};
    struct repo r = repo_numbered(1), nameless = repo_named("acme", ""), ownerless = repo_named("", "site");
    r.forge = NULL;
    ask_here(&r, &h);
    ask_here(&nameless, &h);
    ask_here(&ownerless, &h);
    drain(&here);
    ck_assert_int_eq(h.n, 3);
    ck_assert_int_eq(h.value, VISIBILITY_UNKNOWN);
    ck_assert_uint_eq(n_fetched, 0);
}
END_TEST

START_TEST(says_unknown_when_no_answer_ever_comes)
{
    struct heard mine = {0}, theirs = {0};
    struct repo r = repo_numbered(1);
    ask_here(&r, &mine);
    visibility_ask(v, &there, &fetcher_there, &r, on_value, &theirs);
    let_timers_pass(&there); /* the probing loop is stuck */
    ck_assert_int_eq(theirs.n, 1);
    ck_assert_int_eq(theirs.value, VISIBILITY_UNKNOWN);
    answer(0, GW_OK, 200, git_type);
    drain(&there);
    drain(&here);
    ck_assert_int_eq(theirs.n, 1);
    ck_assert_int_eq(mine.n, 1);
}
END_TEST

START_TEST(wakes_who_waits_on_a_full_loop_by_its_timer)
{
    struct heard theirs = {0};
    struct repo r = repo_numbered(1);
    struct heard mine = {0};
    ask_here(&r, &mine);
    visibility_ask(v, &there, &fetcher_there, &r, on_value, &theirs);
    there.is_full = true;
    answer(0, GW_OK, 200, git_type);
    drain(&there);
    ck_assert_int_eq(theirs.n, 0);
    let_timers_pass(&there);
    ck_assert_int_eq(theirs.n, 1);
    ck_assert_int_eq(theirs.value, VISIBILITY_PUBLIC);
    drain(&here);
}
END_TEST

START_TEST(calls_once_when_timer_and_task_come_together)
{
    struct heard h = {0};
    struct repo r = repo_numbered(1);
    ask_here(&r, &h);
    answer(0, GW_OK, 200, git_type);
    let_timers_pass(&here);
    ck_assert_int_eq(h.n, 0);
    drain(&here);
    ck_assert_int_eq(h.n, 1);
    ck_assert_int_eq(h.value, VISIBILITY_PUBLIC);
}
END_TEST

START_TEST(answers_at_once_rather_than_never)
{
    struct heard h = {0};
    struct repo r = repo_numbered(1);
    here.has_no_memory = here.is_full = true;
    ask_here(&r, &h);
    ck_assert_int_eq(h.n, 1);
    ck_assert_int_eq(h.value, VISIBILITY_UNKNOWN);
    ck_assert_uint_eq(n_fetched, 0);
}
END_TEST

START_TEST(calls_nobody_once_freed)
{
    struct heard h = {0};
    struct repo r = repo_numbered(1), other = repo_numbered(2);
    ask_here(&r, &h);
    ask_here(&other, &h);
    answer(0, GW_E_IO, 0, NULL); /* what a fetcher that is freed does */
    answer(1, GW_E_IO, 0, NULL);
    visibility_free(v);
    ck_assert_uint_eq(here.n_timers, 0);
    ck_assert_int_eq(h.n, 0);
    ck_assert_int_eq(visibility_new(&v), GW_OK);
}
END_TEST

START_TEST(names_values)
{
    ck_assert_str_eq(visibility_name(VISIBILITY_PUBLIC), "public");
    ck_assert_str_eq(visibility_name(VISIBILITY_PRIVATE), "private");
    ck_assert_str_eq(visibility_name(VISIBILITY_INTERNAL), "internal");
    ck_assert_str_eq(visibility_name(VISIBILITY_UNKNOWN), "unknown");
    ck_assert_str_eq(visibility_name(VISIBILITY_PENDING), "unknown");
}
END_TEST

/* ---- threads ---- */

struct worker {
    struct loop loop;
    struct fetcher fetcher;
    pthread_t thread;
    int n_heard, n_wrong;
};

struct ask {
    struct worker *worker;
    int repo;
};

static void on_worker_value(void *arg, enum visibility_value value)
{
    struct ask *a = arg;
    char name[32];
    snprintf(name, sizeof(name), "r%d", a->repo);
    enum visibility_value wanted = strchr(name, '7') != NULL ? VISIBILITY_PRIVATE : VISIBILITY_PUBLIC;
    a->worker->n_heard++;
    /* unknown: every place was taken */
    if (value != wanted && value != VISIBILITY_UNKNOWN)
        a->worker->n_wrong++;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    static _Thread_local struct ask asks[ASKS_PER_THREAD];
    for (int i = 0; i < ASKS_PER_THREAD; i++) {
        asks[i] = (struct ask){w, (i * 13 + (int)(w->thread % 7)) % REPOS};
        struct repo r = repo_numbered(asks[i].repo);
        visibility_find(v, &r);
        visibility_ask(v, &w->loop, &w->fetcher, &r, on_worker_value, &asks[i]);
        if (i % 5 == 0)
            drain(&w->loop);
    }
    while (w->n_heard < ASKS_PER_THREAD)
        if (drain(&w->loop) == 0)
            sched_yield();
    return NULL;
}

START_TEST(calls_each_exactly_once_across_threads)
{
    static struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        pthread_mutex_init(&workers[i].loop.lock, NULL);
        workers[i].fetcher = (struct fetcher){.loop = &workers[i].loop, .answers_itself = true};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        drain(&workers[i].loop);
        ck_assert_int_eq(workers[i].n_heard, ASKS_PER_THREAD);
        ck_assert_int_eq(workers[i].n_wrong, 0);
        ck_assert_uint_eq(workers[i].loop.n_timers, 0);
    }
    ck_assert_uint_le(n_fetched, REPOS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("visibility");
    TCase *t = tcase_create("visibility");
    SRunner *r = srunner_create(s);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, asks_the_forge_for_exactly_this_repository);
    tcase_add_test(t, keeps_nested_owners_and_encodes_what_no_grammar_should_have_let_through);
    tcase_add_loop_test(t, reads_answer_of_the_forge, 0, sizeof(readings) / sizeof(readings[0]));
    tcase_add_test(t, does_not_know_before_it_has_asked);
    tcase_add_loop_test(t, believes_only_an_advertisement, 0, (int)(sizeof(bodies) / sizeof(bodies[0])));
    tcase_add_test(t, does_not_mix_repositories_up);
    tcase_add_test(t, asks_once_for_all_who_wait_on_any_loop);
    tcase_add_test(t, answers_from_memory_when_settled_meanwhile);
    tcase_add_loop_test(t, forgets_in_time, 0, sizeof(ageings) / sizeof(ageings[0]));
    tcase_add_test(t, learns_anew_that_a_repository_turned_private);
    tcase_add_test(t, says_unknown_when_too_many_probes_are_under_way_and_does_not_remember_it);
    tcase_add_test(t, says_unknown_when_too_many_wait);
    tcase_add_test(t, gives_up_the_longest_unused_when_full);
    tcase_add_loop_test(t, says_unknown_when_the_probe_cannot_be_sent, 0, 4);
    tcase_add_test(t, says_unknown_for_what_is_no_repository_of_a_forge);
    tcase_add_test(t, says_unknown_when_no_answer_ever_comes);
    tcase_add_test(t, wakes_who_waits_on_a_full_loop_by_its_timer);
    tcase_add_test(t, calls_once_when_timer_and_task_come_together);
    tcase_add_test(t, answers_at_once_rather_than_never);
    tcase_add_test(t, calls_nobody_once_freed);
    tcase_add_test(t, names_values);
    tcase_add_test(t, calls_each_exactly_once_across_threads);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    int n_failed = srunner_ntests_failed(r);
    srunner_free(r);
    return n_failed == 0 ? 0 : 1;
}
