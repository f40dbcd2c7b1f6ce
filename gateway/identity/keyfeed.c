#include "identity/keyfeed.h"

#include "util/buf.h"
#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/secret.h"

enum { TROUBLE_MAX = 512 };

struct waiter {
    struct waiter *next;
    void (*fn)(void *arg);
    void *arg;
};

struct keyfeed {
    struct keyfeed_spec spec;
    struct keyset *keys;
    struct loop_timer timer; /* the next reading */
    bool is_reading, is_closing;
    bool was_read, was_ever_read;
    int64_t ended_us; /* the last reading, if was_read */
    int64_t good_ms;  /* the last good one by the clock on the wall, if was_ever_read */
    int64_t retry_ms;
    struct waiter *waiters;
    size_t n_waiters;
    struct buf trouble, reported;
    char *text; /* of the file; a job's until it is done */
    enum gw_err text_err;
};

static void read_now(struct keyfeed *f);

static void on_timer(struct loop_timer *t)
{
    read_now(t->arg);
}

enum gw_err keyfeed_new(const struct keyfeed_spec *spec, struct keyfeed **ret_feed)
{
    struct keyfeed *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return GW_E_NOMEM;
    f->spec = *spec;
    if (f->spec.gap_ms == 0)
        f->spec.gap_ms = KEYFEED_GAP_MS;
    f->timer = (struct loop_timer){.fn = on_timer, .arg = f};
    f->trouble = f->reported = BUF(TROUBLE_MAX);
    *ret_feed = f;
    return GW_OK;
}

static const char *place(const struct keyfeed *f)
{
    return f->spec.url != NULL ? f->spec.url : f->spec.path;
}

static void call_waiters(struct keyfeed *f)
{
    struct waiter *w = GW_TAKE(f->waiters);
    f->n_waiters = 0;
    while (w != NULL) {
        struct waiter *next = w->next;
        w->fn(w->arg);
        free(w);
        w = next;
    }
}

void keyfeed_close(struct keyfeed *f)
{
    if (f == NULL)
        return;
    f->is_closing = true;
    loop_timer_stop(f->spec.loop, &f->timer);
    call_waiters(f);
}

void keyfeed_free(struct keyfeed *f)
{
    if (f == NULL)
        return;
    keyfeed_close(f);
    keyset_free(f->keys);
    buf_deinit(&f->trouble);
    buf_deinit(&f->reported);
    secret_free(f->text);
    free(f);
}

/* ---- a reading ---- */

static void report(struct keyfeed *f)
{
    if (f->is_closing || view_eq(buf_view(&f->trouble), buf_view(&f->reported)))
        return;
    if (f->trouble.n == 0)
        log_event(LOG_INFO, "the keys can be read again", LOG_KV("from", view_of(place(f))));
    else
        log_event(LOG_WARN, f->keys == NULL ? "there are no keys" : "the keys cannot be read anew",
                  LOG_KV("from", view_of(place(f))), LOG_KV("reason", buf_view(&f->trouble)));
    buf_clear(&f->reported);
    buf_put(&f->reported, buf_view(&f->trouble));
}

static int64_t next_delay_ms(struct keyfeed *f, bool is_good)
{
    if (is_good) {
        f->retry_ms = 0;
        return KEYFEED_REFRESH_MS;
    }
    f->retry_ms = f->retry_ms == 0 ? f->spec.gap_ms : f->retry_ms * 2;
    if (f->retry_ms > KEYFEED_RETRY_MAX_MS)
        f->retry_ms = KEYFEED_RETRY_MAX_MS;
    return f->retry_ms;
}

/* trouble says why it is not good. */
static void end_reading(struct keyfeed *f, bool is_good)
{
    f->is_reading = false;
    f->was_read = true;
    f->ended_us = epoch_mono_us();
    if (is_good) {
        f->was_ever_read = true;
        f->good_ms = epoch_now_ms();
        buf_clear(&f->trouble);
    }
    report(f);
    if (!f->is_closing && loop_timer_start(f->spec.loop, &f->timer, next_delay_ms(f, is_good)) != GW_OK)
        log_event(LOG_ERROR, "no timer for the keys: they are read anew only when one is missed",
                  LOG_KV("from", view_of(place(f))));
    call_waiters(f);
}

static void take(struct keyfeed *f, struct view json)
{
    struct keyset *keys;
    enum gw_err err = keyset_parse(json, &keys);
    if (err != GW_OK) {
        buf_printf(&f->trouble, "no JWK set that can be used (%s)", gw_err_name(err));
        end_reading(f, false);
        return;
    }
    keyset_free(f->keys);
    f->keys = keys;
    end_reading(f, true);
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
    struct keyfeed *f = arg;
    buf_clear(&f->trouble);
    if (a->err == GW_OK && a->status == 200) {
        take(f, a->body);
        return;
    }
    if (a->err == GW_OK)
        buf_printf(&f->trouble, "it answered %d", a->status);
    else
        buf_printf(&f->trouble, "%s", a->detail);
    end_reading(f, false);
}

static void read_file(void *arg)
{
    struct keyfeed *f = arg;
    f->text_err = secret_load(f->spec.path, &f->text);
}

static void on_file(void *arg)
{
    struct keyfeed *f = arg;
    GW_CLEANUP(secret_freep) char *text = GW_TAKE(f->text);
    buf_clear(&f->trouble);
    if (f->text_err == GW_OK) {
        take(f, view_of(text));
        return;
    }
    buf_printf(&f->trouble, "the file cannot be read (%s)", gw_err_name(f->text_err));
    end_reading(f, false);
}

static enum gw_err start_reading(struct keyfeed *f)
{
    static const struct fetch_header accept = {"Accept", {"application/jwk-set+json, application/json", 42}};
    if (f->spec.url == NULL)
        return jobs_submit(f->spec.jobs, f->spec.loop, read_file, on_file, f);
    struct fetch_spec spec = {
        .method = "GET",
        .url = view_of(f->spec.url),
        .headers = &accept,
        .n_headers = 1,
        .timeout_ms = KEYFEED_TIMEOUT_MS,
        .max_bytes = KEYSET_BYTES_MAX,
    };
    return fetch_start(f->spec.fetcher, &spec, on_answer, f);
}

static void read_now(struct keyfeed *f)
{
    f->is_reading = true;
    loop_timer_stop(f->spec.loop, &f->timer);
    enum gw_err err = start_reading(f);
    if (err == GW_OK)
        return;
    buf_clear(&f->trouble);
    buf_printf(&f->trouble, "it cannot be asked (%s)", gw_err_name(err));
    end_reading(f, false);
}

/* ---- what callers see ---- */

void keyfeed_start(struct keyfeed *f)
{
    if (!f->is_reading && !f->is_closing)
        read_now(f);
}

struct keyset *keyfeed_keys(const struct keyfeed *f)
{
    int64_t age_ms = epoch_now_ms() - f->good_ms; /* negative: the clock was set back, so nobody knows */
    return f->was_ever_read && age_ms >= 0 && age_ms < KEYFEED_STALE_MS ? f->keys : NULL;
}

/* By timer always, so that nobody is called back before keyfeed_await() has returned. */
static enum gw_err hurry(struct keyfeed *f)
{
    int64_t since_ms = (epoch_mono_us() - f->ended_us) / 1000;
    int64_t delay_ms = !f->was_read || since_ms >= f->spec.gap_ms ? 0 : f->spec.gap_ms - since_ms;
    return f->is_reading ? GW_OK : loop_timer_start(f->spec.loop, &f->timer, delay_ms);
}

enum gw_err keyfeed_await(struct keyfeed *f, void (*fn)(void *arg), void *arg)
{
    if (f->is_closing)
        return GW_E_IO;
    if (f->n_waiters >= KEYFEED_WAITERS_MAX)
        return GW_E_LIMIT;
    struct waiter *w = malloc(sizeof(*w));
    if (w == NULL)
        return GW_E_NOMEM;
    enum gw_err err = hurry(f);
    if (err != GW_OK) {
        free(w);
        return err;
    }
    *w = (struct waiter){.next = f->waiters, .fn = fn, .arg = arg};
    f->waiters = w;
    f->n_waiters++;
    return GW_OK;
}
