/* The admin API: whose sessions there are, and their end. Only on the admin listener, only with the token of server.admin_token_file, and
 * each use and each refused attempt leaves a line in the audit log. */
#include "handlers/forget.h"
#include "handlers/handlers.h"
#include "handlers/recorder.h"
#include "handlers/reply.h"
#include "http/form.h"
#include "util/digest.h"
#include "util/epoch.h"
#include "util/uri.h"

#include <inttypes.h>
#include <stdio.h>

enum { PAGE_DEFAULT = 100, TOKEN_NAME_BYTES = 4, JSON_MAX_BYTES = 4 * 1024 * 1024, THROTTLE_ADMIN = 1 };

struct admin {
    struct exchange *x;
    char token[TOKEN_NAME_BYTES * 2 + 1]; /* the start of its digest */
    struct record_sessions asked;
    struct session_revocation revocation;
    const char *action;
};

/* ---- answers ---- */

static void reply_refused(struct exchange *x, int status, const char *reason, const char *title, const char *text)
{
    reply_problem(x, &(struct reply_problem){.status = status, .reason = reason, .title = title, .text = text});
}

static bool record(struct admin *a, const char *outcome, struct view text, int64_t count)
{
    a->asked.count = count;
    return recorder_event(a->x, &(struct recorder_event){
                                    .type = "admin.action",
                                    .outcome = outcome,
                                    .reason = a->action,
                                    .reason_text = text,
                                    .sessions = &a->asked,
                                    .admin_token = view_of(a->token),
                                    .is_direct = true,
                                });
}

static void reply_unavailable(struct admin *a, const char *reason, const char *text)
{
    response_put(&a->x->response, "Retry-After", VIEW("5"));
    reply_refused(a->x, 503, reason, "Not available at the moment", text);
}

static void reply_failed(struct admin *a, enum gw_err err)
{
    record(a, "failed", view_of(gw_err_name(err)), -1);
    reply_unavailable(a, "store_unavailable", "The session store does not answer. Some sessions may have been ended.");
}

static void reply_unrecorded(struct admin *a, const char *text)
{
    reply_unavailable(a, "audit_unavailable", text);
}

/* ---- who may ---- */

static void refuse(struct exchange *x, const char *why)
{
    struct throttle_refusal refusal;
    response_put(&x->response, "WWW-Authenticate", VIEW("Bearer realm=\"repogate admin\""));
    if (throttle_take(x->core->gateway->bad_tokens, THROTTLE_ADMIN, &x->request.peer, epoch_mono_us(), &refusal))
        recorder_event(x, &(struct recorder_event){.type = "admin.action",
                                                   .outcome = "failed",
                                                   .reason = "unauthorized",
                                                   .reason_text = view_of(why),
                                                   .is_direct = true});
    reply_refused(x, 401, "unauthorized", "Not authorized", "Send the admin token: Authorization: Bearer TOKEN.");
}

/* NULL if it has been answered. */
static struct admin *admit(struct exchange *x, const char *action)
{
    static const struct view scheme = {"Bearer ", 7};
    struct secretfile *token = x->core->gateway->admin_token;
    struct view value;
    uint8_t digest[DIGEST_BYTES];
    if (token == NULL) {
        handle_nothing(x);
        return NULL;
    }
    if (header_get(&x->request, HEADER_AUTHORIZATION, &value) != HEADER_ONE || value.n < scheme.n ||
        !view_eq_ci(view_at(value.p, scheme.n), scheme)) {
        refuse(x, "no token");
        return NULL;
    }
    value = view_trim(view_skip(value, scheme.n));
    if (!secretfile_is(token, value)) {
        refuse(x, "another token");
        return NULL;
    }
    struct admin *a = arena_get(&x->arena, sizeof(*a));
    if (a == NULL || digest_sha256(value, digest) != GW_OK) {
        reply_defect(x);
        return NULL;
    }
    *a = (struct admin){.x = x, .asked = {.how = VIEW("admin"), .by = VIEW("all")}, .action = action};
    for (size_t i = 0; i < TOKEN_NAME_BYTES; i++)
        snprintf(a->token + 2 * i, 3, "%02x", digest[i]);
    return a;
}

/* ---- reading what was asked ---- */

static bool read_id(struct view hex, uint8_t ret_id[DIGEST_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    if (hex.n != 2 * DIGEST_BYTES)
        return false;
    for (size_t i = 0; i < hex.n; i++) {
        const char *at = hex.p[i] == '\0' ? NULL : strchr(digits, hex.p[i]);
        if (at == NULL)
            return false;
        ret_id[i / 2] = (uint8_t)(ret_id[i / 2] << 4 | (at - digits));
    }
    return true;
}

static void reply_not_understood(struct exchange *x, const char *text)
{
    reply_refused(x, 400, "malformed_request", "Not understood", text);
}

/* ---- listing ---- */

static void put_time(struct buf *out, const char *name, int64_t s)
{
    char text[EPOCH_RFC3339_LEN + 1];
    epoch_format(s * 1000, text);
    buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

static void put_id(struct buf *out, const uint8_t *id)
{
    buf_put_byte(out, '"');
    buf_put_hex(out, id, DIGEST_BYTES);
    buf_put_byte(out, '"');
}

static void put_item(struct buf *out, const struct session_listed *item)
{
    buf_puts(out, "{\"id\":");
    put_id(out, item->id);
    buf_puts(out, ",\"username\":");
    buf_put_json(out, item->username);
    buf_puts(out, ",\"ip\":");
    buf_put_json(out, item->ip);
    put_time(out, "created", item->created_s);
    put_time(out, "seen", item->seen_s);
    put_time(out, "expires", item->expires_s);
    buf_puts(out, "}");
}

static void on_listed(void *arg, enum gw_err err, const struct session_listed *items, size_t n, bool is_more)
{
    struct admin *a = arg;
    struct buf out = BUF(JSON_MAX_BYTES);
    if (err != GW_OK) {
        reply_failed(a, err);
        return;
    }
    if (!record(a, "ok", VIEW_NONE, (int64_t)n)) {
        reply_unrecorded(a, "The audit log cannot be written, and nobody is shown sessions without it.");
        return;
    }
    buf_puts(&out, "{\"sessions\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_puts(&out, ",");
        put_item(&out, &items[i]);
    }
    buf_puts(&out, "],\"next\":");
    if (is_more && n > 0)
        put_id(&out, items[n - 1].id);
    else
        buf_puts(&out, "null");
    buf_puts(&out, "}\n");
    reply_json(a->x, 200, VIEW("application/json"), &out);
}

/* False: not understood. */
static bool read_list(struct admin *a, struct session_list_spec *spec, uint8_t after[DIGEST_BYTES])
{
    struct exchange *x = a->x;
    struct view query = x->request.uri.query, text;
    uint64_t limit = PAGE_DEFAULT;
    enum form_found user = form_get(query, VIEW("user"), &x->arena, &spec->username),
                    from = form_get(query, VIEW("after"), &x->arena, &text);
    if (user != FORM_ABSENT && (user != FORM_ONE || spec->username.n == 0))
        return false;
    if (from != FORM_ABSENT) {
        if (from != FORM_ONE || !read_id(text, after))
            return false;
        spec->after = after;
    }
    enum form_found most = form_get(query, VIEW("limit"), &x->arena, &text);
    if (most != FORM_ABSENT && (most != FORM_ONE || view_to_u64(text, &limit) != GW_OK || limit == 0 || limit > SESSION_LIST_MAX))
        return false;
    spec->n_max = (size_t)limit;
    if (user == FORM_ONE) {
        a->asked.by = VIEW("username");
        a->asked.name = spec->username;
    }
    return true;
}

void handle_admin_sessions(struct exchange *x)
{
    struct admin *a = admit(x, "session.list");
    struct session_list_spec spec = {.username = VIEW_NONE};
    uint8_t after[DIGEST_BYTES] = {0};
    if (a == NULL)
        return;
    if (!read_list(a, &spec, after)) {
        reply_not_understood(
            x, "Expected user, after (the id that the page before ended with) and limit (1 to 500), each at most once.");
        return;
    }
    enum gw_err err = session_list(x->core->gateway->sessions, x->core->loop, &spec, on_listed, a);
    if (err != GW_OK)
        reply_failed(a, err);
}

/* ---- revoking ---- */

static void on_revoked(void *arg, enum gw_err err, size_t n)
{
    struct admin *a = arg;
    struct buf out = BUF(PAGE_MAX_BYTES);
    if (err != GW_OK) {
        reply_failed(a, err);
        return;
    }
    if (!record(a, "ok", VIEW_NONE, (int64_t)n)) {
        reply_unrecorded(a, "The sessions were ended, but the audit log cannot be written.");
        return;
    }
    buf_printf(&out, "{\"ended\":%zu}\n", n);
    reply_json(a->x, 200, VIEW("application/json"), &out);
}

/* Whose: exactly one of the fields. False: not understood. */
static bool read_revocation(struct admin *a)
{
    static const struct {
        struct view field, by;
        enum session_by how;
    } fields[] = {
        {{"id", 2}, {"id", 2}, SESSION_BY_ID},
        {{"user", 4}, {"username", 8}, SESSION_BY_USERNAME},
        {{"sub", 3}, {"sub", 3}, SESSION_BY_SUB},
        {{"sid", 3}, {"sid", 3}, SESSION_BY_SID},
    };
    struct exchange *x = a->x;
    size_t n_found = 0;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct view value;
        enum form_found found = form_get(x->form, fields[i].field, &x->arena, &value);
        if (found == FORM_ABSENT)
            continue;
        if (found != FORM_ONE || value.n == 0)
            return false;
        n_found++;
        a->asked.by = fields[i].by;
        a->asked.name = value;
        a->revocation = (struct session_revocation){
            .by = fields[i].how,
            .iss = view_of(x->core->gateway->config->oidc.issuer),
            .name = value,
            .issued_until_s = INT64_MAX,
            .is_here_only = true,
        };
    }
    return n_found == 1 && (a->revocation.by != SESSION_BY_ID || read_id(a->asked.name, a->revocation.id));
}

void handle_admin_revoke(struct exchange *x)
{
    struct admin *a = admit(x, "session.revoke");
    enum gw_err err = GW_OK;
    if (a == NULL)
        return;
    if (!read_revocation(a)) {
        reply_not_understood(x, "Expected a form with exactly one of id, user, sub and sid.");
        return;
    }
    struct session_revocation *r = &a->revocation;
    if (r->by == SESSION_BY_SUB || r->by == SESSION_BY_SID)
        err =
            forget_machines(x->core->gateway,
                            &(struct machine_ending){
                                .iss = r->iss, .name = r->name, .by_sub = r->by == SESSION_BY_SUB, .issued_until_s = INT64_MAX});
    if (err == GW_OK)
        err = session_revoke(x->core->gateway->sessions, x->core->loop, r, on_revoked, a);
    if (err != GW_OK)
        reply_failed(a, err);
}
