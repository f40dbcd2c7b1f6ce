/* An entry is settled (it has a value and its place in the order of use) or under probe (it has waiters). Waiters live on loops of
 * their own and are woken by a task there. Because the probing loop could be stuck, or a loop's queue full, each waiter also has a
 * timer of its own: whatever goes wrong elsewhere, the one who asked hears "unknown". */
#include "forge/visibility.h"

#include "util/buf.h"
#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/meter.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 16384, URL_MAX = 4096, ANSWER_MAX_BYTES = 4096, WAITER_SLACK_MS = 1000 };

struct entry {
    struct entry *chain;         /* next in its bucket */
    struct entry *older, *newer; /* order of use, settled ones only */
    struct waiter *waiters;
    enum visibility_value value; /* VISIBILITY_PENDING while under probe */
    int64_t since_s;
    char full[REPO_FULL_MAX + 1];
};

enum waiter_state {
    WAITER_WAITING, /* in its entry's list */
    WAITER_POSTED,  /* its loop has a task for it */
    WAITER_LOST,    /* its loop's queue was full: the timer wakes it */
};

struct waiter {
    struct visibility *owner;
    struct waiter *prev, *next; /* all of them */
    struct waiter *beside;      /* next in the entry's list */
    struct entry *entry;
    enum waiter_state state;
    enum visibility_value value;
    struct loop *loop;
    struct loop_timer timer;
    visibility_fn fn;
    void *arg;
};

struct probe {
    struct visibility *owner;
    struct entry *entry;
};

struct visibility {
    pthread_mutex_t lock;
    struct entry *buckets[BUCKETS];
    struct entry *oldest, *newest;
    struct waiter *waiters;
    size_t n_entries, n_probes, n_waiters;
};

/* ---- entries; the lock is held ---- */

static size_t bucket_of(const char *full)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a; the order is bounded by the cap, not by the hash */
    for (const char *p = full; *p != '\0'; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211u;
    return (size_t)((h ^ (h >> 32)) % BUCKETS);
}

static struct entry *entry_find(const struct visibility *v, const char *full)
{
    struct entry *e = v->buckets[bucket_of(full)];
    while (e != NULL && strcmp(e->full, full) != 0)
        e = e->chain;
    return e;
}

static void order_remove(struct visibility *v, struct entry *e)
{
    *(e->older != NULL ? &e->older->newer : &v->oldest) = e->newer;
    *(e->newer != NULL ? &e->newer->older : &v->newest) = e->older;
    e->older = e->newer = NULL;
}

static void order_add(struct visibility *v, struct entry *e)
{
    e->older = v->newest;
    *(v->newest != NULL ? &v->newest->newer : &v->oldest) = e;
    v->newest = e;
}

static void entry_free(struct visibility *v, struct entry *e)
{
    struct entry **at = &v->buckets[bucket_of(e->full)];
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    v->n_entries--;
    free(e);
}

/* NULL without memory. A full table gives up what was used longest ago; probes are fewer than entries, so there is one. */
static struct entry *entry_new(struct visibility *v, const char *full)
{
    if (v->n_entries == VISIBILITY_ENTRIES_MAX) {
        struct entry *old = v->oldest;
        order_remove(v, old);
        entry_free(v, old);
    }
    struct entry *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    size_t bucket = bucket_of(full);
    memcpy(e->full, full, strlen(full) + 1);
    e->chain = v->buckets[bucket];
    v->buckets[bucket] = e;
    v->n_entries++;
    return e;
}

static enum visibility_value entry_value(const struct entry *e)
{
    int64_t age_s = epoch_now_s() - e->since_s; /* below zero: the clock was set back, and nothing is known */
    int64_t ttl_s = e->value == VISIBILITY_UNKNOWN ? VISIBILITY_UNKNOWN_TTL_S : VISIBILITY_TTL_S;
    return age_s >= 0 && age_s < ttl_s ? e->value : VISIBILITY_PENDING;
}

/* ---- waiters ---- */

static void waiter_free(struct waiter *w)
{
    struct visibility *v = w->owner;
    *(w->prev != NULL ? &w->prev->next : &v->waiters) = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    v->n_waiters--;
    free(w);
}

static void waiter_call(struct waiter *w)
{
    visibility_fn fn = w->fn;
    void *arg = w->arg;
    enum visibility_value value = w->value;
    struct visibility *v = w->owner;
    loop_timer_stop(w->loop, &w->timer);
    pthread_mutex_lock(&v->lock);
    waiter_free(w);
    pthread_mutex_unlock(&v->lock);
    fn(arg, value);
}

static void on_posted(void *arg)
{
    waiter_call(arg);
}

static void on_waited_enough(struct loop_timer *t)
{
    struct waiter *w = t->arg;
    pthread_mutex_lock(&w->owner->lock);
    bool is_posted = w->state == WAITER_POSTED;
    if (w->state == WAITER_WAITING) {
        struct waiter **at = &w->entry->waiters;
        while (*at != w)
            at = &(*at)->beside;
        *at = w->beside;
    }
    pthread_mutex_unlock(&w->owner->lock);
    if (!is_posted)
        waiter_call(w);
}

/* The lock is held, so that the waiter's own timer sees either the list or the post. */
static void waiter_post(struct waiter *w, enum visibility_value value)
{
    w->entry = NULL;
    w->value = value;
    w->state = WAITER_POSTED;
    if (loop_post(w->loop, on_posted, w) != GW_OK)
        w->state = WAITER_LOST;
}

/* The lock is held. NULL without memory, or with VISIBILITY_WAITERS_MAX waiting. */
static struct waiter *waiter_new(struct visibility *v, struct loop *l, visibility_fn fn, void *arg)
{
    if (v->n_waiters >= VISIBILITY_WAITERS_MAX)
        return NULL;
    struct waiter *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    *w = (struct waiter){.owner = v, .value = VISIBILITY_UNKNOWN, .loop = l, .fn = fn, .arg = arg, .next = v->waiters};
    w->timer = (struct loop_timer){.fn = on_waited_enough, .arg = w};
    if (loop_timer_start(l, &w->timer, VISIBILITY_TIMEOUT_MS + WAITER_SLACK_MS) != GW_OK) {
        free(w);
        return NULL;
    }
    if (v->waiters != NULL)
        v->waiters->prev = w;
    v->waiters = w;
    v->n_waiters++;
    return w;
}

/* ---- answers nobody waits for: "unknown" in one more turn of the loop ---- */

struct refusal {
    visibility_fn fn;
    void *arg;
};

static void on_refused(void *arg)
{
    struct refusal r = *(struct refusal *)arg;
    free(arg);
    r.fn(r.arg, VISIBILITY_UNKNOWN);
}

static void refuse(struct loop *l, visibility_fn fn, void *arg)
{
    struct refusal *r = malloc(sizeof(*r));
    if (r != NULL) {
        *r = (struct refusal){fn, arg};
        if (loop_post(l, on_refused, r) == GW_OK)
            return;
        free(r);
    }
    fn(arg, VISIBILITY_UNKNOWN); /* neither memory nor room in the loop: too early is better than never */
}

/* ---- probes ---- */

/* The lock is held. An entry that was never asked about is not remembered. */
static void settle(struct visibility *v, struct entry *e, enum visibility_value value, bool was_asked)
{
    struct waiter *next;
    for (struct waiter *w = e->waiters; w != NULL; w = next) {
        next = w->beside;
        waiter_post(w, value);
    }
    e->waiters = NULL;
    v->n_probes--;
    if (!was_asked) {
        entry_free(v, e);
        return;
    }
    e->value = value;
    e->since_s = epoch_now_s();
    order_add(v, e);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* git's http-protocol has clients check that the body begins as a smart server's does: a packet line with the service's name, or, in
 * version 2, with the version. */
static bool is_advertisement(struct view body)
{
    const size_t n_length = 4;
    for (size_t i = 0; i < n_length; i++)
        if (i >= body.n || !is_hex(body.p[i]))
            return false;
    struct view line = view_skip(body, n_length);
    return view_starts(line, VIEW("# service=git-upload-pack")) || view_starts(line, VIEW("version 2"));
}

static enum visibility_value value_of(const struct fetch_answer *a)
{
    if (a->err != GW_OK)
        return VISIBILITY_UNKNOWN;
    switch (a->status) {
    case 200:
        /* A smart server answers with exactly this type; a login page or a dumb server does not. */
        return view_eq_ci(a->content_type, VIEW("application/x-git-upload-pack-advertisement")) && is_advertisement(a->body)
                   ? VISIBILITY_PUBLIC
                   : VISIBILITY_UNKNOWN;
    case 401:
    case 403:
    case 404:
        return VISIBILITY_PRIVATE;
    default: /* moved, limited, broken */
        return VISIBILITY_UNKNOWN;
    }
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
    struct probe *p = arg;
    struct visibility *v = p->owner;
    pthread_mutex_lock(&v->lock);
    settle(v, p->entry, value_of(a), true);
    pthread_mutex_unlock(&v->lock);
    free(p);
}

/* Canonical names need no encoding; should one ever, it cannot leave its segment. */
static void put_path(struct buf *b, struct view path)
{
    while (path.n > 0) {
        buf_puts(b, "/");
        buf_put_percent(b, view_split(&path, '/'));
    }
}

static enum gw_err probe_start(struct visibility *v, struct fetcher *f, const struct repo *r, struct entry *e)
{
    struct probe *p = malloc(sizeof(*p));
    if (p == NULL)
        return GW_E_NOMEM;
    *p = (struct probe){v, e};
    struct buf url = BUF(URL_MAX);
    buf_put(&url, view_of(r->forge->url));
    put_path(&url, view_of(r->owner));
    put_path(&url, view_of(r->name));
    buf_puts(&url, ".git/info/refs?service=git-upload-pack");
    /* Version 2 of git's protocol answers with a few hundred bytes instead of every ref; whoever doesn't know it ignores the header. */
    const struct fetch_header version = {"Git-Protocol", VIEW("version=2")};
    const struct fetch_spec spec = {
        .method = "GET",
        .url = buf_view(&url),
        .headers = &version,
        .n_headers = 1,
        .timeout_ms = VISIBILITY_TIMEOUT_MS,
        .max_bytes = ANSWER_MAX_BYTES,
        .head_is_enough = true,
    };
    enum gw_err err = buf_ok(&url) ? fetch_start(f, &spec, on_answer, p) : GW_E_LIMIT;
    buf_deinit(&url);
    if (err == GW_OK)
        meter_inc(METER_PROBES);
    else
        free(p);
    return err;
}

/* ---- */

enum gw_err visibility_new(struct visibility **ret_visibility)
{
    struct visibility *v = calloc(1, sizeof(*v));
    if (v == NULL)
        return GW_E_NOMEM;
    if (pthread_mutex_init(&v->lock, NULL) != 0) {
        free(v);
        return GW_E_NOMEM;
    }
    *ret_visibility = v;
    return GW_OK;
}

void visibility_free(struct visibility *v)
{
    if (v == NULL)
        return;
    while (v->waiters != NULL) {
        loop_timer_stop(v->waiters->loop, &v->waiters->timer);
        waiter_free(v->waiters);
    }
    for (size_t i = 0; i < BUCKETS; i++)
        while (v->buckets[i] != NULL)
            entry_free(v, v->buckets[i]);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

/* The lock is held. Sets *ret_entry if the entry is there, settled or not. */
static enum visibility_value look(struct visibility *v, const struct repo *r, struct entry **ret_entry)
{
    struct entry *e = entry_find(v, r->full);
    *ret_entry = e;
    if (e == NULL || e->value == VISIBILITY_PENDING)
        return VISIBILITY_PENDING;
    enum visibility_value value = entry_value(e);
    order_remove(v, e);
    order_add(v, e);
    return value;
}

enum visibility_value visibility_find(struct visibility *v, const struct repo *r)
{
    struct entry *e;
    pthread_mutex_lock(&v->lock);
    enum visibility_value value = look(v, r, &e);
    pthread_mutex_unlock(&v->lock);
    return value;
}

/* The lock is held. Makes the entry one under probe: a new one, or a settled one whose time is over. */
static struct entry *claim(struct visibility *v, const struct repo *r, struct entry *e)
{
    if (v->n_probes == VISIBILITY_PROBES_MAX)
        return NULL;
    if (e != NULL)
        order_remove(v, e);
    else if ((e = entry_new(v, r->full)) == NULL)
        return NULL;
    e->value = VISIBILITY_PENDING;
    v->n_probes++;
    return e;
}

/* The lock is held. False: nobody will call fn. *ret_probe is the entry that the caller must now probe, or NULL. */
static bool join(struct visibility *v, struct loop *l, const struct repo *r, visibility_fn fn, void *arg,
                 struct entry **ret_probe)
{
    struct entry *e;
    enum visibility_value value = look(v, r, &e);
    struct waiter *w = waiter_new(v, l, fn, arg);
    *ret_probe = NULL;
    if (w == NULL)
        return false;
    if (value != VISIBILITY_PENDING) { /* settled since the caller looked */
        waiter_post(w, value);
        return true;
    }
    if (e == NULL || e->value != VISIBILITY_PENDING) {
        e = claim(v, r, e);
        if (e == NULL) {
            waiter_post(w, VISIBILITY_UNKNOWN);
            return true;
        }
        *ret_probe = e;
    }
    w->entry = e;
    w->beside = e->waiters;
    e->waiters = w;
    return true;
}

void visibility_ask(struct visibility *v, struct loop *l, struct fetcher *f, const struct repo *r, visibility_fn fn, void *arg)
{
    struct entry *e = NULL;
    bool has_joined = false;
    if (r->forge != NULL && r->owner[0] != '\0' && r->name[0] != '\0') {
        pthread_mutex_lock(&v->lock);
        has_joined = join(v, l, r, fn, arg, &e);
        pthread_mutex_unlock(&v->lock);
    }
    if (!has_joined) {
        refuse(l, fn, arg);
        return;
    }
    if (e == NULL)
        return;
    enum gw_err err = probe_start(v, f, r, e);
    if (err != GW_OK) { /* a spec that is refused would be refused again; anything else may pass */
        pthread_mutex_lock(&v->lock);
        settle(v, e, VISIBILITY_UNKNOWN, err == GW_E_INVALID);
        pthread_mutex_unlock(&v->lock);
    }
}

const char *visibility_name(enum visibility_value v)
{
    switch (v) {
    case VISIBILITY_PUBLIC:
        return "public";
    case VISIBILITY_PRIVATE:
        return "private";
    case VISIBILITY_INTERNAL:
        return "internal";
    case VISIBILITY_PENDING:
    case VISIBILITY_UNKNOWN:
        break;
    }
    return "unknown";
}
