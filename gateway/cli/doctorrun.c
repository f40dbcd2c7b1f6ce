#include "cli/doctorrun.h"

#include "net/rawcall.h"
#include "util/cleanup.h"
#include "util/rnd.h"

#include <stdio.h>

enum { REQUEST_MAX = 32 * 1024, NAME_BYTES = 8 };

static struct seen *seen_new(void)
{
    return calloc(1, sizeof(struct seen));
}

static void seen_free(struct seen *s)
{
    if (s == NULL)
        return;
    doctorseen_deinit(s);
    free(s);
}

GW_DEFINE_FREEP(seen_freep, struct seen, seen_free)

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

/* ---- one request ---- */

static bool is_whole(void *arg, struct view bytes)
{
    (void)arg;
    return doctorseen_is_whole(bytes);
}

/* GW_OK with no answer too: s->status is 0 then. */
static enum gw_err send_bytes(struct doctor *d, struct view bytes, struct seen *s)
{
    GW_CLEANUP(buf_deinitp) struct buf answer = BUF(DOCTORSEEN_ANSWER_MAX);
    char detail[RAWCALL_DETAIL_MAX] = "";
    struct rawcall_spec spec = {d->url, d->ca_file, bytes, DOCTORRUN_TIMEOUT_MS, is_whole, NULL};
    if (d->n_sent == DOCTORRUN_REQUESTS_MAX || d->n_dead >= DOCTORRUN_DEAD_MAX)
        return GW_E_LIMIT;
    d->n_sent++;
    enum gw_err call_err = rawcall(&spec, &answer, detail);
    if (call_err == GW_E_NOMEM)
        return GW_E_NOMEM;
    enum gw_err err = doctorseen_read(s, buf_view(&answer));
    if (err != GW_OK)
        return err;
    d->n_dead = call_err != GW_OK ? d->n_dead + 1 : 0;
    if (call_err != GW_OK)
        snprintf(s->detail, sizeof(s->detail), "%s", detail);
    return call_err;
}

static enum gw_err send_probe(struct doctor *d, const struct doctor_probe *p, struct seen *s)
{
    GW_CLEANUP(buf_deinitp) struct buf bytes = BUF(REQUEST_MAX);
    doctorchecks_put_request(&bytes, p, &d->place, d->token);
    return buf_ok(&bytes) ? send_bytes(d, buf_view(&bytes), s) : GW_E_NOMEM;
}

/* ---- the beginning and the end ---- */

enum gw_err doctorrun_begin(struct doctor *d)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t random[NAME_BYTES];
    if (rnd_bytes(random, sizeof(random)) != GW_OK)
        return GW_E_IO;
    for (size_t i = 0; i < NAME_BYTES; i++) {
        d->name[i * 2] = hex[random[i] >> 4];
        d->name[i * 2 + 1] = hex[random[i] & 15];
    }
    d->place.name = view_of(d->name);
    d->baseline = seen_new();
    return d->baseline == NULL ? GW_E_NOMEM : send_probe(d, &doctorchecks[0].probes[0], d->baseline);
}

void doctorrun_end(struct doctor *d)
{
    seen_free(d->baseline);
    d->baseline = NULL;
}

/* ---- results ---- */

static void put_escaped(struct buf *out, struct view bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        uint8_t c = (uint8_t)bytes.p[i];
        if (c == '\r' && i + 1 < bytes.n && bytes.p[i + 1] == '\n') {
            buf_puts(out, "\n");
            i++;
        } else if (c < 0x20 || c >= 0x7f) {
            buf_printf(out, "\\x%02x", c);
        } else {
            buf_put_byte(out, (char)c);
        }
    }
}

static void show_request(const struct doctor *d, const struct doctor_probe *p, struct doctor_result *r)
{
    GW_CLEANUP(buf_deinitp) struct buf bytes = BUF(REQUEST_MAX);
    doctorchecks_put_request(&bytes, p, &d->place, VIEW("(token)"));
    buf_clear(&r->request);
    put_escaped(&r->request, buf_view(&bytes));
}

static void merge(const struct doctor *d, const struct doctor_probe *p, enum verdict v, const char *why, struct doctor_result *r)
{
    bool is_worse = v == VERDICT_OPEN || (v == VERDICT_UNKNOWN && r->verdict == VERDICT_SAFE);
    if (!is_worse && r->why[0] != '\0')
        return;
    r->verdict = v;
    snprintf(r->why, sizeof(r->why), "%s", why);
    if (v != VERDICT_SAFE)
        show_request(d, p, r);
}

/* ---- checks ---- */

static void set_trial(const struct doctor *d, const struct doctor_probe *p, const struct seen *s, struct trial *t,
                      struct buf *target)
{
    doctorchecks_put(target, p->target.p == NULL ? VIEW("{echo}/page") : p->target, &d->place);
    *t =
        (struct trial){p->judge, view_of(p->method == NULL ? "GET" : p->method), buf_view(target), d->place.host, d->baseline, s};
}

static void judge_probe(struct doctor *d, const struct doctor_check *c, const struct doctor_probe *p, const struct seen *s,
                        struct doctor_result *r)
{
    GW_CLEANUP(buf_deinitp) struct buf target = BUF(DOCTORCHECKS_TEXT_MAX);
    char why[DOCTORJUDGE_WHY_MAX];
    struct trial t;
    set_trial(d, p, s, &t, &target);
    enum verdict v = c->kind == DOCTOR_SECRETS ? doctorjudge_secrets(&t, sizeof(DOCTOR_COOKIE) - 1, why) : doctorjudge(&t, why);
    merge(d, p, v, why, r);
}

/* GW_OK too if there was no answer: the finding says so. */
static enum gw_err run_probe(struct doctor *d, const struct doctor_check *c, const struct doctor_probe *p,
                             struct doctor_result *r)
{
    GW_CLEANUP(seen_freep) struct seen *s = seen_new();
    char why[DOCTORJUDGE_WHY_MAX] = "too many requests were not answered, so no more were sent";
    enum gw_err err = s == NULL ? GW_E_NOMEM : send_probe(d, p, s);
    if (err == GW_E_NOMEM)
        return err;
    if (err == GW_OK) {
        judge_probe(d, c, p, s, r);
        return GW_OK;
    }
    if (err != GW_E_LIMIT)
        snprintf(why, sizeof(why), "no answer: %s", s->detail);
    merge(d, p, VERDICT_UNKNOWN, why, r);
    return GW_OK;
}

/* The check's requests, judged together; shown is the first of the latter half, which gets what the former half left. */
static enum gw_err run_together(struct doctor *d, const struct doctor_check *c, struct doctor_result *r)
{
    struct seen *seen = calloc(c->n_probes, sizeof(*seen));
    enum gw_err err = seen == NULL ? GW_E_NOMEM : GW_OK;
    char why[DOCTORJUDGE_WHY_MAX] = "no answer";
    enum verdict v = VERDICT_UNKNOWN;
    for (size_t i = 0; i < c->n_probes && err == GW_OK; i++)
        err = send_probe(d, &c->probes[i], &seen[i]);
    if (err == GW_OK)
        v = c->kind == DOCTOR_CACHE ? doctorjudge_cache(seen, why) : doctorjudge_question(seen, why);
    if (err != GW_E_NOMEM)
        merge(d, &c->probes[c->n_probes / 2], v, why, r);
    for (size_t i = 0; seen != NULL && i < c->n_probes; i++)
        doctorseen_deinit(&seen[i]);
    free(seen);
    return err == GW_E_NOMEM ? err : GW_OK;
}

enum gw_err doctorrun_check(struct doctor *d, const struct doctor_check *check, struct doctor_result *r)
{
    enum gw_err err = GW_OK;
    *r = (struct doctor_result){.verdict = VERDICT_SAFE, .request = BUF(REQUEST_MAX)};
    if (check == &doctorchecks[0]) {
        judge_probe(d, check, &check->probes[0], d->baseline, r);
        return GW_OK;
    }
    if (check->kind == DOCTOR_CACHE || check->kind == DOCTOR_QUESTION)
        return run_together(d, check, r);
    for (size_t i = 0; i < check->n_probes && err == GW_OK && r->verdict != VERDICT_OPEN; i++)
        err = run_probe(d, check, &check->probes[i], r);
    return err;
}

void doctorrun_result_deinit(struct doctor_result *r)
{
    buf_deinit(&r->request);
}
