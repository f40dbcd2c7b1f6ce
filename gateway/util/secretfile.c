#include "util/secretfile.h"

#include "util/cleanup.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/meter.h"
#include "util/secret.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

struct secrettext {
    _Atomic uint32_t n_refs;
    size_t n;
    char text[];
};

struct secretfile {
    const char *key;
    char *path;
    secretfile_take_fn take;
    void *arg;
    pthread_mutex_t lock; /* of text */
    struct secrettext *text;
    _Atomic uint32_t generation;
    /* Under the set's lock: what was found last, taken or not. */
    uint8_t seen[DIGEST_BYTES];
    enum gw_err seen_err; /* what became of it */
    enum gw_err err;      /* of the last look */
};

struct secretfiles {
    pthread_mutex_t lock; /* one check at a time, held over reading: nobody who is in a hurry waits for it */
    struct secretfile *files[SECRETFILES_MAX];
    size_t n;
    struct loop *loop;
    struct jobs *jobs;
    struct loop_timer timer;
};

/* ---- texts ---- */

static enum gw_err text_new(struct view v, struct secrettext **ret_text)
{
    struct secrettext *t = malloc(sizeof(*t) + v.n);
    if (t == NULL)
        return GW_E_NOMEM;
    atomic_init(&t->n_refs, 1);
    t->n = v.n;
    memcpy(t->text, v.p, v.n);
    *ret_text = t;
    return GW_OK;
}

struct view secrettext_view(const struct secrettext *t)
{
    return view_at(t->text, t->n);
}

void secrettext_unref(struct secrettext *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->n_refs, 1, memory_order_acq_rel) != 1)
        return;
    secret_wipe(t->text, t->n);
    free(t);
}

struct secrettext *secretfile_get(struct secretfile *f)
{
    pthread_mutex_lock(&f->lock);
    struct secrettext *t = f->text;
    atomic_fetch_add_explicit(&t->n_refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&f->lock);
    return t;
}

uint32_t secretfile_generation(const struct secretfile *f)
{
    return atomic_load_explicit(&f->generation, memory_order_acquire);
}

bool secretfile_is(struct secretfile *f, struct view candidate)
{
    GW_CLEANUP(secrettext_unrefp) struct secrettext *t = secretfile_get(f);
    return secret_eq(secrettext_view(t), candidate);
}

/* ---- reading ---- */

/* Nothing changes unless all of it succeeds. */
static enum gw_err put_to_use(struct secretfile *f, struct view v)
{
    struct secrettext *fresh;
    enum gw_err err = text_new(v, &fresh);
    if (err == GW_OK && f->take != NULL && (err = f->take(f->arg, v)) != GW_OK)
        secrettext_unref(fresh);
    if (err != GW_OK)
        return err;
    pthread_mutex_lock(&f->lock);
    struct secrettext *old = f->text;
    f->text = fresh;
    pthread_mutex_unlock(&f->lock);
    atomic_fetch_add_explicit(&f->generation, 1, memory_order_release);
    secrettext_unref(old);
    return GW_OK;
}

/* ret_is_new: another text than at the last look. */
static enum gw_err look(struct secretfile *f, bool *ret_is_new)
{
    GW_CLEANUP(secret_freep) char *text = NULL;
    uint8_t digest[DIGEST_BYTES];
    struct stat st;
    *ret_is_new = false;
    if (stat(f->path, &st) == 0 && !S_ISREG(st.st_mode))
        return GW_E_INVALID; /* a pipe would keep us waiting */
    enum gw_err err = secret_load(f->path, &text);
    if (err == GW_OK)
        err = digest_sha256(view_of(text), digest);
    if (err != GW_OK)
        return err;
    if (memcmp(digest, f->seen, sizeof(digest)) == 0)
        return f->seen_err;
    err = put_to_use(f, view_of(text));
    if (err == GW_E_NOMEM)
        return err; /* that says nothing about the text: look again */
    *ret_is_new = true;
    memcpy(f->seen, digest, sizeof(digest));
    f->seen_err = err;
    return err;
}

static const char *reason_of(enum gw_err err)
{
    switch (err) {
    case GW_E_IO:
        return "it cannot be read";
    case GW_E_LIMIT:
        return "it is too large";
    case GW_E_NOMEM:
        return "no memory";
    default:
        return "it does not hold what is expected there";
    }
}

static void check_one(struct secretfile *f)
{
    bool is_new;
    enum gw_err before = f->err;
    f->err = look(f, &is_new);
    if (f->err == GW_OK && is_new) {
        meter_inc(METER_SECRETS_RELOADED);
        log_event(LOG_INFO, "a secret was read anew", LOG_KV("key", view_of(f->key)), LOG_KV("file", view_of(f->path)));
    } else if (f->err != GW_OK && (is_new || f->err != before)) {
        meter_inc(METER_SECRETS_REJECTED);
        log_event(LOG_ERROR, "a secret's file changed and cannot be used: the old secret stays in force",
                  LOG_KV("key", view_of(f->key)), LOG_KV("file", view_of(f->path)), LOG_KV("reason", view_of(reason_of(f->err))));
    }
}

void secretfiles_check(struct secretfiles *set)
{
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < set->n; i++)
        check_one(set->files[i]);
    pthread_mutex_unlock(&set->lock);
}

/* ---- the set ---- */

enum gw_err secretfiles_new(struct secretfiles **ret_set)
{
    struct secretfiles *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return GW_E_NOMEM;
    pthread_mutex_init(&set->lock, NULL);
    *ret_set = set;
    return GW_OK;
}

static void file_free(struct secretfile *f)
{
    secrettext_unref(f->text);
    pthread_mutex_destroy(&f->lock);
    free(f->path);
    free(f);
}

static void file_freep(struct secretfile **pp)
{
    if (*pp != NULL)
        file_free(*pp);
}

void secretfiles_free(struct secretfiles *set)
{
    if (set == NULL)
        return;
    if (set->loop != NULL)
        loop_timer_stop(set->loop, &set->timer);
    for (size_t i = 0; i < set->n; i++)
        file_free(set->files[i]);
    pthread_mutex_destroy(&set->lock);
    free(set);
}

enum gw_err secretfiles_add(struct secretfiles *set, const char *key, const char *path, secretfile_take_fn take, void *arg,
                            struct secretfile **ret_file)
{
    bool is_new;
    if (set->n == SECRETFILES_MAX)
        return GW_E_LIMIT;
    GW_CLEANUP(file_freep) struct secretfile *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return GW_E_NOMEM;
    pthread_mutex_init(&f->lock, NULL);
    f->key = key;
    f->take = take;
    f->arg = arg;
    if ((f->path = view_dup(view_of(path))) == NULL)
        return GW_E_NOMEM;
    enum gw_err err = look(f, &is_new);
    if (err != GW_OK)
        return err;
    if (ret_file != NULL)
        *ret_file = f;
    set->files[set->n++] = GW_TAKE(f);
    return GW_OK;
}

/* ---- watching ---- */

static void check_run(void *arg)
{
    secretfiles_check(arg);
}

static void check_again(void *arg)
{
    struct secretfiles *set = arg;
    if (loop_timer_start(set->loop, &set->timer, SECRETFILES_CHECK_MS) != GW_OK)
        log_write(LOG_ERROR, "secrets are no longer read anew, except by SIGHUP: no memory for a timer", NULL);
}

static void on_check_due(struct loop_timer *t)
{
    struct secretfiles *set = t->arg;
    if (jobs_submit(set->jobs, set->loop, check_run, check_again, set) != GW_OK)
        check_again(set);
}

enum gw_err secretfiles_watch(struct secretfiles *set, struct loop *l, struct jobs *j)
{
    set->loop = l;
    set->jobs = j;
    set->timer = (struct loop_timer){.fn = on_check_due, .arg = set};
    return loop_post(l, check_again, set); /* l may be running already, and timers are its thread's */
}
