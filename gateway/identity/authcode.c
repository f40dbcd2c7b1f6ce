#include "identity/authcode.h"

#include "http/form.h"
#include "util/cleanup.h"
#include "util/pack.h"

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

/* An endpoint may have a query of its own (RFC 6749 3.1). */
static void put_endpoint(struct buf *out, struct view endpoint)
{
    buf_put(out, endpoint);
    if (view_index(endpoint, '?') == endpoint.n)
        buf_puts(out, "?");
}

void authcode_put_url(struct buf *out, const struct authcode_client *c, struct view endpoint, const struct authcode_request *r)
{
    put_endpoint(out, endpoint);
    form_put(out, VIEW("response_type"), VIEW("code"));
    form_put(out, VIEW("client_id"), c->client_id);
    form_put(out, VIEW("redirect_uri"), c->redirect_uri);
    buf_puts(out, "&scope=");
    for (size_t i = 0; i < c->n_scopes; i++) {
        if (i > 0)
            buf_puts(out, "%20");
        buf_put_percent(out, view_of(c->scopes[i]));
    }
    form_put(out, VIEW("state"), r->state);
    form_put(out, VIEW("nonce"), r->nonce);
    form_put(out, VIEW("code_challenge"), r->code_challenge);
    form_put(out, VIEW("code_challenge_method"), VIEW("S256"));
    if (r->is_prompted)
        form_put(out, VIEW("prompt"), VIEW("login"));
    if (r->max_age_s > 0) {
        buf_puts(out, "&max_age=");
        buf_put_i64(out, r->max_age_s);
    }
}

void authcode_put_end_session(struct buf *out, struct view endpoint, struct view id_token_hint,
                              struct view post_logout_redirect_uri, struct view state)
{
    if (id_token_hint.n == 0 && post_logout_redirect_uri.n == 0 && state.n == 0) {
        buf_put(out, endpoint);
        return;
    }
    put_endpoint(out, endpoint);
    if (id_token_hint.n > 0)
        form_put(out, VIEW("id_token_hint"), id_token_hint);
    if (post_logout_redirect_uri.n > 0)
        form_put(out, VIEW("post_logout_redirect_uri"), post_logout_redirect_uri);
    if (state.n > 0)
        form_put(out, VIEW("state"), state);
}

void authcode_put_form(struct buf *out, const struct authcode_client *c, struct view code, struct view code_verifier)
{
    form_put(out, VIEW("grant_type"), VIEW("authorization_code"));
    form_put(out, VIEW("code"), code);
    form_put(out, VIEW("redirect_uri"), c->redirect_uri);
    form_put(out, VIEW("code_verifier"), code_verifier);
    form_put(out, VIEW("client_id"), c->client_id);
    form_put(out, VIEW("client_secret"), c->client_secret);
}

void authcode_put_refresh_form(struct buf *out, const struct authcode_client *c, struct view refresh_token)
{
    form_put(out, VIEW("grant_type"), VIEW("refresh_token"));
    form_put(out, VIEW("refresh_token"), refresh_token);
    form_put(out, VIEW("client_id"), c->client_id);
    form_put(out, VIEW("client_secret"), c->client_secret);
}

static enum gw_err refuse(struct buf *why, const char *what)
{
    buf_put(why, view_of(what));
    return GW_E_UPSTREAM;
}

/* Tokens travel in headers and cookies later: visible ASCII only (RFC 6749 A.12 has VSCHAR). */
static bool is_token(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= 0x20 || v.p[i] >= 0x7f)
            return false;
    return v.n > 0 && v.n <= AUTHCODE_TOKEN_MAX;
}

enum gw_err authcode_parse_tokens(struct view json, struct buf *block, struct authcode_tokens *ret_tokens, struct buf *why)
{
    if (pack_parse(json, block) != GW_OK || pack_type(pack_root(block->p)) != PACK_MAP)
        return refuse(why, "the token endpoint's answer is no JSON object");
    struct pack_val doc = pack_root(block->p), id_token = pack_find(doc, VIEW("id_token")),
                    refresh = pack_find(doc, VIEW("refresh_token")), expires = pack_find(doc, VIEW("expires_in"));
    struct authcode_tokens t = {
        .id_token = pack_string(id_token),
        .access_token = pack_string(pack_find(doc, VIEW("access_token"))),
        .refresh_token = pack_string(refresh),
        .expires_in_s = pack_int(expires),
    };
    if (!view_eq_ci(pack_string(pack_find(doc, VIEW("token_type"))), VIEW("Bearer")))
        return refuse(why, "the token endpoint gave no token_type Bearer");
    if ((id_token.p != NULL && !is_token(t.id_token)) || !is_token(t.access_token))
        return refuse(why, "the token endpoint gave no fit id_token and access_token");
    if (refresh.p != NULL && !is_token(t.refresh_token))
        return refuse(why, "the token endpoint gave an unfit refresh_token");
    if (expires.p != NULL && (pack_type(expires) != PACK_INT || t.expires_in_s <= 0 || t.expires_in_s > AUTHCODE_EXPIRES_MAX_S))
        return refuse(why, "the token endpoint gave an unfit expires_in");
    *ret_tokens = t;
    return GW_OK;
}

bool authcode_is_refusal(int status, struct view json)
{
    GW_CLEANUP(buf_deinitp) struct buf block = BUF(PACK_BYTES_MAX);
    return status >= 400 && status < 500 && pack_parse(json, &block) == GW_OK &&
           pack_string(pack_find(pack_root(block.p), VIEW("error"))).n > 0;
}

bool authcode_is_jwt(struct view token)
{
    size_t n_dots = 0;
    for (size_t i = 0; i < token.n; i++)
        n_dots += token.p[i] == '.';
    return n_dots == 2;
}

enum gw_err authcode_parse_error(int status, struct view json, struct buf *why)
{
    GW_CLEANUP(buf_deinitp) struct buf block = BUF(PACK_BYTES_MAX);
    struct view error = VIEW_NONE, text = VIEW_NONE;
    buf_printf(why, "the token endpoint answered %d", status);
    if (status >= 400 && status < 500 && pack_parse(json, &block) == GW_OK) {
        error = pack_string(pack_find(pack_root(block.p), VIEW("error")));
        text = pack_string(pack_find(pack_root(block.p), VIEW("error_description")));
    }
    if (error.n > 0) {
        buf_puts(why, " ");
        buf_put_json(why, view_at(error.p, error.n < 64 ? error.n : 64));
    }
    if (text.n > 0) {
        buf_puts(why, ": ");
        buf_put_json(why, view_at(text.p, text.n < 200 ? text.n : 200));
    }
    return view_eq(error, VIEW("invalid_grant")) ? GW_E_INVALID : GW_E_UPSTREAM;
}
