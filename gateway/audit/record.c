/* A record is written whole. Only if that comes out too long it is written again with a cap on every text, counted in bytes as they stand
 * in the line; these caps and the keys add up to less than a line may have, so the second attempt fits whatever comes. */
#include "audit/record.h"

#include "audit/journal.h"
#include "util/digest.h"
#include "util/epoch.h"
#include "util/swar.h"

enum {
    BYTES_MAX = JOURNAL_LINE_MAX - JOURNAL_TAIL_MAX - 2, /* brace and line break */
    LIST_MAX = 8,
    TRUNCATED_MAX = 32,
    QUERY_DIGEST_BYTES = 8,
    /* caps of the second attempt */
    CAP_WORD = 64,
    CAP_NAME = 256,
    CAP_HOST = 512,
    CAP_TEXT = 1024,
    CAP_PATH = 2560,
    CAP_GROUPS = 2048,
    CAP_ITEM = 160,
    ROOM_AFTER_INPUT = CAP_TEXT + 1024, /* obligations, eval, trace_id, truncated */
};

struct writer {
    struct buf *out;
    size_t start;
    bool is_tight;
    const char *truncated[TRUNCATED_MAX];
    size_t n_truncated;
};

/* Forty pieces of constant text in every record: inline, with its length known, such a copy is a few instructions. */
static inline void put_constant(struct buf *out, const char *text, size_t n)
{
    if (out->failed || out->size - out->n <= n || out->cap - out->n < n) {
        buf_put(out, view_at(text, n));
        return;
    }
    memcpy(out->p + out->n, text, n);
    out->n += n;
    out->p[out->n] = '\0';
}

#define KEY(w, literal) put_constant((w)->out, literal, sizeof(literal) - 1)

/* ---- values ---- */

static void note_truncated(struct writer *w, const char *name)
{
    bool is_noted = w->n_truncated > 0 && strcmp(w->truncated[w->n_truncated - 1], name) == 0;
    if (!is_noted && w->n_truncated < TRUNCATED_MAX)
        w->truncated[w->n_truncated++] = name;
}

/* At most n bytes of v, ending between two characters. */
static struct view cut_text(struct view v, size_t n)
{
    if (n >= v.n)
        return v;
    size_t at = n;
    for (int i = 0; i < 3 && at > 0 && ((uint8_t)v.p[at] & 0xc0) == 0x80; i++)
        at--;
    return view_at(v.p, ((uint8_t)v.p[at] & 0xc0) == 0x80 ? n : at);
}

static void put_text(struct writer *w, const char *name, struct view v, size_t cap)
{
    if (v.p == NULL) {
        buf_puts(w->out, "null");
        return;
    }
    if (!w->is_tight) {
        buf_put_json(w->out, v);
        return;
    }
    if (!buf_ok(w->out))
        return;
    size_t mark = w->out->n;
    struct view cut = cut_text(v, cap);
    for (;;) {
        buf_put_json(w->out, cut);
        size_t n = w->out->n - mark;
        if (buf_ok(w->out) ? n <= cap + 2 : cut.n == 0)
            break;
        /* Escapes made it too long: less of it, in proportion if we know how long. */
        cut = cut_text(cut, buf_ok(w->out) ? cut.n * cap / n : cut.n / 2);
        w->out->n = mark;
        w->out->failed = false;
    }
    if (cut.n < v.n)
        note_truncated(w, name);
}

/* JSON made by us, whole or not at all. A control byte in it could only be white space between values, but would be a second line. */
static bool has_no_control(struct view v)
{
    size_t i = 0;
    while (v.n - i >= SWAR_BYTES && swar_below(swar_load(v.p + i), 0x20) == 0)
        i += SWAR_BYTES;
    while (i < v.n && (uint8_t)v.p[i] >= 0x20)
        i++;
    return i == v.n;
}

static void put_json_value(struct writer *w, const char *name, struct view json, size_t cap)
{
    if (json.n > 0 && has_no_control(json) && (!w->is_tight || json.n <= cap)) {
        buf_put(w->out, json);
        return;
    }
    buf_puts(w->out, "null");
    if (json.n > 0)
        note_truncated(w, name);
}

static struct view view_or_null(const char *text)
{
    return text == NULL ? VIEW_NONE : view_of(text);
}

static void put_list(struct writer *w, const char *name, size_t n, struct view (*item)(const void *arg, size_t i),
                     const void *arg)
{
    KEY(w, "[");
    for (size_t i = 0; i < n; i++) {
        if (w->is_tight && i == LIST_MAX) {
            note_truncated(w, name);
            break;
        }
        if (i > 0)
            KEY(w, ",");
        put_text(w, name, item(arg, i), CAP_ITEM);
    }
    KEY(w, "]");
}

/* ---- groups of fields ---- */

static void put_head(struct writer *w, struct view type, struct view id, int64_t now_ms)
{
    char ts[EPOCH_RFC3339_LEN + 1];
    epoch_format(now_ms, ts);
    KEY(w, "{\"v\":1,\"type\":");
    put_text(w, "type", type, CAP_WORD);
    KEY(w, ",\"id\":");
    put_text(w, "id", id, CAP_WORD);
    KEY(w, ",\"ts\":\"");
    buf_put(w->out, view_at(ts, EPOCH_RFC3339_LEN));
    KEY(w, "\"");
}

static void put_reason(struct writer *w, struct view code, struct view text)
{
    KEY(w, ",\"reason\":{\"code\":");
    put_text(w, "reason.code", code, CAP_NAME);
    KEY(w, ",\"text\":");
    put_text(w, "reason.text", text, CAP_TEXT);
    KEY(w, "}");
}

static void put_subject(struct writer *w, const struct record_subject *s)
{
    KEY(w, ",\"subject\":");
    if (s->iss.n == 0) {
        KEY(w, "null");
        return;
    }
    KEY(w, "{\"iss\":");
    put_text(w, "subject.iss", s->iss, CAP_HOST);
    KEY(w, ",\"uid\":");
    put_text(w, "subject.uid", s->uid, CAP_NAME);
    KEY(w, ",\"username\":");
    put_text(w, "subject.username", s->username, CAP_NAME);
    KEY(w, ",\"groups\":");
    put_json_value(w, "subject.groups", s->groups_json, CAP_GROUPS);
    KEY(w, ",\"via\":");
    put_text(w, "subject.via", s->via, CAP_WORD);
    if (s->is_stale)
        KEY(w, ",\"stale\":true");
    KEY(w, "}");
}

static void put_resource(struct writer *w, const struct record_decision *d)
{
    KEY(w, ",\"resource\":");
    if (d->forge.n == 0) {
        KEY(w, "null");
        return;
    }
    KEY(w, "{\"forge\":");
    put_text(w, "resource.forge", d->forge, CAP_WORD);
    KEY(w, ",\"owner\":");
    put_text(w, "resource.owner", d->owner, CAP_HOST);
    KEY(w, ",\"name\":");
    put_text(w, "resource.name", d->name, CAP_NAME);
    KEY(w, ",\"visibility\":");
    put_text(w, "resource.visibility", d->visibility, CAP_WORD);
    KEY(w, "}");
}

static void put_query(struct writer *w, const struct record_decision *d, const uint8_t *digest)
{
    if (d->query.p == NULL) {
        KEY(w, ",\"query_len\":null,\"query_digest\":null");
        return;
    }
    KEY(w, ",\"query_len\":");
    buf_put_u64(w->out, d->query.n);
    if (digest == NULL) {
        KEY(w, ",\"query_digest\":null");
        return;
    }
    KEY(w, ",\"query_digest\":\"");
    buf_put_hex(w->out, digest, QUERY_DIGEST_BYTES);
    KEY(w, "\"");
}

static void put_request(struct writer *w, const struct record_decision *d, const uint8_t *query_digest)
{
    KEY(w, ",\"request\":{\"id\":");
    put_text(w, "request.id", d->request_id, CAP_NAME);
    KEY(w, ",\"method\":");
    put_text(w, "request.method", d->method, CAP_WORD);
    KEY(w, ",\"host\":");
    put_text(w, "request.host", d->host, CAP_HOST);
    KEY(w, ",\"path\":");
    put_text(w, "request.path", d->path, CAP_PATH);
    put_query(w, d, query_digest);
    KEY(w, ",\"ip\":");
    put_text(w, "request.ip", d->ip, CAP_WORD);
    KEY(w, ",\"action\":");
    put_text(w, "request.action", d->action, CAP_WORD);
    KEY(w, ",\"dialect\":");
    put_text(w, "request.dialect", d->dialect, CAP_WORD);
    KEY(w, "}");
}

static struct view matched_at(const void *arg, size_t i)
{
    const struct record_decision *d = arg;
    return view_or_null(d->matched[i]);
}

static struct view error_at(const void *arg, size_t i)
{
    const struct record_decision *d = arg;
    return d->errors[i];
}

static void put_policy(struct writer *w, const struct record_decision *d)
{
    KEY(w, ",\"policy\":{\"revision\":");
    put_text(w, "policy.revision", d->revision, CAP_WORD);
    KEY(w, ",\"rule\":");
    put_text(w, "policy.rule", d->rule, CAP_NAME);
    KEY(w, ",\"file\":");
    put_text(w, "policy.file", d->file, CAP_NAME);
    KEY(w, ",\"line\":");
    if (d->line > 0)
        buf_put_i64(w->out, d->line);
    else
        KEY(w, "null");
    KEY(w, ",\"matched\":");
    put_list(w, "policy.matched", d->n_matched, matched_at, d);
    KEY(w, ",\"errors\":");
    put_list(w, "policy.errors", d->n_errors, error_at, d);
    KEY(w, "}");
}

static void put_input(struct writer *w, struct view json)
{
    size_t used = w->out->n - w->start + ROOM_AFTER_INPUT;
    KEY(w, ",\"input\":");
    put_json_value(w, "input", json, used < BYTES_MAX ? BYTES_MAX - used : 0);
}

static void put_eval(struct writer *w, const struct record_decision *d)
{
    KEY(w, ",\"eval\":{\"us\":");
    buf_put_i64(w->out, d->eval_us);
    KEY(w, ",\"instr\":");
    buf_put_i64(w->out, d->instr);
    KEY(w, ",\"bytes\":");
    buf_put_i64(w->out, d->eval_bytes);
    KEY(w, "}");
}

static void put_truncated(struct writer *w)
{
    for (size_t i = 0; i < w->n_truncated; i++) {
        buf_put(w->out, i == 0 ? VIEW(",\"truncated\":[\"") : VIEW("\",\""));
        buf_put(w->out, view_of(w->truncated[i]));
    }
    if (w->n_truncated > 0)
        KEY(w, "\"]");
}

/* ---- records ---- */

struct decision_and_digest {
    const struct record_decision *d;
    const uint8_t *query_digest;
};

static void put_decision(struct writer *w, const void *arg)
{
    const struct decision_and_digest *x = arg;
    const struct record_decision *d = x->d;
    put_head(w, VIEW("decision"), d->id, d->now_ms);
    KEY(w, ",\"decision\":");
    put_text(w, "decision", d->decision, CAP_WORD);
    KEY(w, ",\"outcome\":");
    put_text(w, "outcome", d->outcome, CAP_WORD);
    put_reason(w, d->reason, d->reason_text);
    put_subject(w, &d->subject);
    put_resource(w, d);
    put_request(w, d, x->query_digest);
    put_policy(w, d);
    put_input(w, d->input_json);
    KEY(w, ",\"obligations\":");
    put_json_value(w, "obligations", d->obligations_json, CAP_TEXT);
    put_eval(w, d);
    KEY(w, ",\"trace_id\":");
    put_text(w, "trace_id", d->trace_id, CAP_WORD);
    put_truncated(w);
}

static void put_sessions(struct writer *w, const struct record_sessions *s)
{
    KEY(w, ",\"sessions\":{\"how\":");
    put_text(w, "sessions.how", s->how, CAP_WORD);
    KEY(w, ",\"by\":");
    put_text(w, "sessions.by", s->by, CAP_WORD);
    KEY(w, ",\"name\":");
    put_text(w, "sessions.name", s->name, CAP_TEXT);
    KEY(w, ",\"count\":");
    if (s->count >= 0)
        buf_put_i64(w->out, s->count);
    else
        KEY(w, "null");
    KEY(w, "}");
}

static void put_event(struct writer *w, const void *arg)
{
    const struct record_event *e = arg;
    put_head(w, e->type, e->id, e->now_ms);
    KEY(w, ",\"outcome\":");
    put_text(w, "outcome", e->outcome, CAP_WORD);
    put_reason(w, e->reason, e->reason_text);
    put_subject(w, &e->subject);
    KEY(w, ",\"request\":{\"ip\":");
    put_text(w, "request.ip", e->ip, CAP_WORD);
    KEY(w, "},\"policy\":{\"revision\":");
    put_text(w, "policy.revision", e->revision, CAP_WORD);
    KEY(w, "}");
    if (e->sessions != NULL)
        put_sessions(w, e->sessions);
    if (e->admin_token.p != NULL) {
        KEY(w, ",\"admin\":{\"token\":");
        put_text(w, "admin.token", e->admin_token, CAP_WORD);
        KEY(w, "}");
    }
    put_truncated(w);
}

static enum gw_err put_within_cap(struct buf *out, void (*put)(struct writer *w, const void *arg), const void *arg)
{
    size_t start = out->n;
    if (!buf_ok(out))
        return GW_E_LIMIT;
    for (int attempt = 0; attempt < 2; attempt++) {
        struct writer w = {.out = out, .start = start, .is_tight = attempt > 0};
        put(&w, arg);
        if (buf_ok(out) && out->n - start <= BYTES_MAX)
            return GW_OK;
        out->n = start;
        out->failed = false;
        if (out->p != NULL)
            out->p[start] = '\0';
    }
    return GW_E_LIMIT;
}

enum gw_err record_put_decision(struct buf *out, const struct record_decision *d)
{
    uint8_t digest[DIGEST_BYTES];
    /* Without a key the digest of a short query could be guessed, so there is none. */
    bool has_digest = d->query.p != NULL && d->query_key.n > 0;
    if (has_digest && digest_hmac(d->query_key, d->query, digest) != GW_OK)
        return GW_E_IO;
    return put_within_cap(out, put_decision, &(struct decision_and_digest){d, has_digest ? digest : NULL});
}

enum gw_err record_put_event(struct buf *out, const struct record_event *e)
{
    return put_within_cap(out, put_event, e);
}
