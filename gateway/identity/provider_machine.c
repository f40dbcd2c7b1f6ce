/* What only programs need of the provider: their tokens verified, opaque tokens vouched for, app passwords exchanged. */
#include "identity/provider_state.h"

#include "http/form.h"
#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/meter.h"
#include "util/secret.h"

#include <stdlib.h>

enum { MACHINE_FORM_MAX = 64 * 1024, ERROR_CODE_MAX = 64 };

struct machine_call {
    struct provider *p;
    introspect_fn introspected;
    app_grant_fn granted;
    void *arg;
};

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

static void buf_wipep(struct buf *b)
{
    secret_wipe(b->p, b->size);
    buf_deinit(b);
}

enum gw_err provider_verify_access(struct provider *p, struct view token, struct pack_val *ret_claims, const char **ret_reason)
{
    if (!provider_is_ready(p)) {
        *ret_reason = "identity provider is not ready";
        return GW_E_NOTFOUND;
    }
    provider_renew_secret(p);
    enum gw_err err = verifier_check(p->verifier, p->keys, token, VERIFIER_ACCESS_TOKEN, VIEW_NONE, ret_claims, ret_reason);
    if (err == GW_OK)
        meter_inc(METER_BEARER_VERIFIED);
    return err;
}

/* ---- answers ---- */

static void finish(struct machine_call *c, enum gw_err err, const char *detail, struct pack_val claims, struct view token)
{
    if (c->introspected != NULL)
        c->introspected(c->arg, err, detail, claims);
    else
        c->granted(c->arg, err, detail, token);
    free(c);
}

static void fail(struct machine_call *c, enum gw_err err, const char *detail)
{
    finish(c, err, detail, (struct pack_val){NULL}, VIEW_NONE);
}

/* An answer that says nothing about the credential. Its description stays unread: it may repeat what we sent. */
static void fail_unanswered(struct machine_call *c, const char *what, const struct fetch_answer *a, struct view error_code)
{
    struct buf detail = BUF(PROVIDER_DETAIL_MAX);
    if (a->err != GW_OK)
        buf_printf(&detail, "%s: %s", what, a->detail);
    else
        buf_printf(&detail, "%s answered %d ", what, a->status);
    if (error_code.n > 0)
        buf_put_json(&detail, view_at(error_code.p, error_code.n < ERROR_CODE_MAX ? error_code.n : ERROR_CODE_MAX));
    fail(c, a->err == GW_OK || a->err == GW_E_LIMIT || a->err == GW_E_INVALID ? GW_E_UPSTREAM : a->err,
         buf_ok(&detail) ? detail.p : what);
    buf_deinit(&detail);
}

static bool read_object(const struct fetch_answer *a, struct buf *block)
{
    return a->err == GW_OK && pack_parse(a->body, block) == GW_OK && pack_type(pack_root(block->p)) == PACK_MAP;
}

static bool is_text(struct pack_val v, struct view want)
{
    return pack_type(v) == PACK_STRING && view_eq(pack_string(v), want);
}

static bool is_absent_or(struct pack_val v, struct view want)
{
    return v.p == NULL || is_text(v, want);
}

/* NULL if the provider vouches for this token as ours. It may know tokens of other clients (RFC 7662 2.2 leaves it to the caller
 * to look; CVE-2024-47077 is what happens otherwise), so nothing that would tell may be missing. */
static const char *judge_introspection(const struct provider *p, struct pack_val doc)
{
    struct pack_val exp = pack_find(doc, VIEW("exp"));
    if (!pack_is_true(pack_find(doc, VIEW("active"))))
        return "the provider does not know this token";
    if (!is_text(pack_find(doc, VIEW("iss")), p->issuer))
        return "iss is another issuer";
    if (!is_text(pack_find(doc, VIEW("aud")), p->client.client_id) ||
        !is_absent_or(pack_find(doc, VIEW("client_id")), p->client.client_id) ||
        !is_absent_or(pack_find(doc, VIEW("azp")), p->client.client_id))
        return "the token is for another client";
    if (pack_string(pack_find(doc, VIEW("sub"))).n == 0)
        return "no sub";
    if (pack_find(doc, VIEW("events")).p != NULL)
        return "a logout token";
    if (pack_type(exp) != PACK_INT || pack_int(exp) <= epoch_now_s())
        return "expired";
    return NULL;
}

static void on_introspected(void *arg, const struct fetch_answer *a)
{
    struct machine_call *c = arg;
    GW_CLEANUP(buf_deinitp) struct buf block = BUF(PACK_BYTES_MAX);
    if (a->err != GW_OK || a->status != 200 || !read_object(a, &block)) {
        fail_unanswered(c, "introspection", a, VIEW_NONE);
        return;
    }
    const char *wrong = judge_introspection(c->p, pack_root(block.p));
    if (wrong != NULL)
        fail(c, GW_E_INVALID, wrong);
    else
        finish(c, GW_OK, "", pack_root(block.p), VIEW_NONE);
}

static bool is_token(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= 0x20 || v.p[i] >= 0x7f)
            return false;
    return v.n > 0 && v.n <= VERIFIER_TOKEN_MAX;
}

static void on_granted(void *arg, const struct fetch_answer *a)
{
    struct machine_call *c = arg;
    GW_CLEANUP(buf_wipep) struct buf block = BUF(PACK_BYTES_MAX);
    if (!read_object(a, &block)) {
        fail_unanswered(c, "token endpoint", a, VIEW_NONE);
        return;
    }
    struct pack_val doc = pack_root(block.p);
    struct view token = pack_string(pack_find(doc, VIEW("access_token"))), error = pack_string(pack_find(doc, VIEW("error")));
    if (a->status >= 400 && a->status < 500 && view_eq(error, VIEW("invalid_grant")))
        fail(c, GW_E_INVALID, "wrong user name or app password, or the provider lets this user in here no more");
    else if (a->status != 200 || !view_eq_ci(pack_string(pack_find(doc, VIEW("token_type"))), VIEW("Bearer")) || !is_token(token))
        fail_unanswered(c, "token endpoint", a, error);
    else
        finish(c, GW_OK, "", (struct pack_val){NULL}, token);
}

/* ---- questions ---- */

/* form: used up. */
static enum gw_err post(struct provider *p, const char *endpoint, struct buf *form, const struct machine_call *call,
                        fetch_fn on_answer)
{
    provider_renew_secret(p);
    form_put(form, VIEW("client_id"), p->client.client_id);
    form_put(form, VIEW("client_secret"), p->client.client_secret);
    struct machine_call *c = malloc(sizeof(*c));
    if (c == NULL)
        return GW_E_NOMEM;
    *c = *call;
    enum gw_err err = buf_ok(form) ? uplink_post(p->uplink, view_of(endpoint), buf_view(form), on_answer, c) : GW_E_LIMIT;
    if (err != GW_OK)
        free(c);
    return err;
}

enum gw_err provider_introspect(struct provider *p, struct view token, introspect_fn fn, void *arg)
{
    GW_CLEANUP(buf_wipep) struct buf form = BUF(MACHINE_FORM_MAX);
    if (p->is_closing || !provider_is_ready(p))
        return p->is_closing ? GW_E_IO : GW_E_UPSTREAM;
    if (p->discovery->introspection_endpoint == NULL)
        return GW_E_NOTFOUND;
    form_put(&form, VIEW("token"), token);
    form_put(&form, VIEW("token_type_hint"), VIEW("access_token"));
    const struct machine_call call = {.p = p, .introspected = fn, .arg = arg};
    return post(p, p->discovery->introspection_endpoint, &form, &call, on_introspected);
}

/* Those of a login but for the one that asks for a refresh token, which this grant never gives. */
static void put_scopes(struct buf *form, const struct authcode_client *client)
{
    struct buf scopes = BUF(MACHINE_FORM_MAX);
    for (size_t i = 0; i < client->n_scopes; i++) {
        if (strcmp(client->scopes[i], "offline_access") == 0)
            continue;
        if (scopes.n > 0)
            buf_puts(&scopes, " ");
        buf_put(&scopes, view_of(client->scopes[i]));
    }
    form_put(form, VIEW("scope"), buf_view(&scopes));
    buf_deinit(&scopes);
}

enum gw_err provider_grant_app(struct provider *p, struct view username, struct view password, app_grant_fn fn, void *arg)
{
    GW_CLEANUP(buf_wipep) struct buf form = BUF(MACHINE_FORM_MAX);
    if (p->is_closing || !provider_is_ready(p))
        return p->is_closing ? GW_E_IO : GW_E_UPSTREAM;
    form_put(&form, VIEW("grant_type"), VIEW("client_credentials"));
    form_put(&form, VIEW("username"), username);
    form_put(&form, VIEW("password"), password);
    put_scopes(&form, &p->client);
    const struct machine_call call = {.p = p, .granted = fn, .arg = arg};
    return post(p, p->discovery->token_endpoint, &form, &call, on_granted);
}
