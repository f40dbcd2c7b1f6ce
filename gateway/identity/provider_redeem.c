/* One login: (provider ready) > code for tokens > (keys anew, if a kid is unknown) > both tokens verified > userinfo > merged >
 * principal. */
#include "identity/provider_state.h"

#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/secret.h"

#include <stdlib.h>

enum { FORM_MAX = 64 * 1024, CLAIMS_JSON_MAX = 512 * 1024 };

struct provider_login_attempt {
    struct provider *p;
    provider_login_fn fn;
    void *arg;
    char *code, *code_verifier, *nonce;
    struct buf answer; /* the token endpoint's, packed; tokens points into it */
    struct authcode_tokens tokens;
    struct buf claims; /* the ID token's, packed */
    struct buf detail;
    bool has_waited_for_keys;
};

static void verify_tokens(struct provider_login_attempt *l);

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

static void buf_wipe(struct buf *b)
{
    secret_wipe(b->p, b->size);
    buf_deinit(b);
}

static void buf_wipep(struct buf *b)
{
    buf_wipe(b);
}

static void attempt_free(struct provider_login_attempt *l)
{
    secret_free(l->code);
    secret_free(l->code_verifier);
    secret_free(l->nonce);
    buf_wipe(&l->answer);
    buf_wipe(&l->claims);
    buf_deinit(&l->detail);
    free(l);
}

static void finish(struct provider_login_attempt *l, enum gw_err err, const struct provider_login *login)
{
    if (err != GW_OK && l->detail.n == 0)
        buf_put(&l->detail, view_of(gw_err_name(err)));
    l->p->n_logins--;
    l->fn(l->arg, err, err == GW_OK || l->detail.p == NULL ? "" : l->detail.p, login);
    attempt_free(l);
}

static void fail(struct provider_login_attempt *l, enum gw_err err, const char *detail)
{
    buf_clear(&l->detail);
    buf_put(&l->detail, view_of(detail));
    finish(l, err, NULL);
}

static bool is_answered(struct provider_login_attempt *l, const char *what, const struct fetch_answer *a)
{
    if (a->err == GW_OK)
        return true;
    buf_printf(&l->detail, "%s: %s", what, a->detail);
    finish(l, a->err == GW_E_LIMIT ? GW_E_UPSTREAM : a->err, NULL);
    return false;
}

/* --- the end: what both say becomes one person --- */

static int64_t access_expiry_s(const struct provider_login_attempt *l)
{
    /* Authentik's ID and access token lapse together; expires_in is only recommended (RFC 6749 5.1). */
    return l->tokens.expires_in_s > 0 ? epoch_now_s() + l->tokens.expires_in_s
                                      : pack_int(pack_find(pack_root(l->claims.p), VIEW("exp")));
}

static void on_userinfo(void *arg, const struct userinfo *u)
{
    struct provider_login_attempt *l = arg;
    GW_CLEANUP(buf_deinitp) struct buf json = BUF(CLAIMS_JSON_MAX);
    if (u->result != USERINFO_GIVEN) {
        fail(l, u->err, u->detail);
        return;
    }
    pack_format_json(u->claims, &json);
    if (!buf_ok(&json)) {
        fail(l, GW_E_LIMIT, "claims are too large");
        return;
    }
    finish(l, GW_OK,
           &(struct provider_login){
               .who = u->who,
               .claims_json = buf_view(&json),
               .id_token = l->tokens.id_token,
               .access_token = l->tokens.access_token,
               .refresh_token = l->tokens.refresh_token,
               .access_expires_s = access_expiry_s(l),
               .issued_s = pack_int(pack_find(pack_root(l->claims.p), VIEW("iat"))),
           });
}

/* --- the middle: tokens --- */

static void on_keys_again(void *arg)
{
    verify_tokens(arg);
}

/* True if the token holds; otherwise the attempt has ended, or waits for keys and comes back to verify_tokens(). */
static bool is_verified(struct provider_login_attempt *l, const char *what, struct view token, enum verifier_purpose purpose,
                        struct pack_val *ret_claims)
{
    struct provider *p = l->p;
    const char *reason;
    provider_renew_secret(p);
    enum gw_err err = verifier_check(p->verifier, p->keys, token, purpose, view_of(l->nonce), ret_claims, &reason);
    if (err == GW_OK)
        return true;
    if (err == GW_E_NOTFOUND && !l->has_waited_for_keys &&
        provider_await(p, PROVIDER_KEYS_MIN_MS, NULL, on_keys_again, l) == GW_OK) {
        l->has_waited_for_keys = true;
        return false;
    }
    buf_clear(&l->detail);
    buf_printf(&l->detail, "%s: %s", what, reason);
    finish(l, err == GW_E_NOTFOUND ? GW_E_INVALID : err, NULL);
    return false;
}

static bool is_same_sub(const struct provider_login_attempt *l, struct pack_val other)
{
    struct pack_val theirs = pack_find(other, VIEW("sub"));
    return view_eq(pack_string(theirs), pack_string(pack_find(pack_root(l->claims.p), VIEW("sub"))));
}

static void verify_tokens(struct provider_login_attempt *l)
{
    struct pack_val claims;
    if (!is_verified(l, "ID token", l->tokens.id_token, VERIFIER_ID_TOKEN, &claims))
        return;
    buf_clear(&l->claims); /* a second pass, after keys came */
    buf_put(&l->claims, view_at((const char *)claims.p, pack_size(claims)));
    if (!buf_ok(&l->claims)) {
        fail(l, GW_E_NOMEM, "out of memory");
        return;
    }
    if (authcode_is_jwt(l->tokens.access_token)) {
        if (!is_verified(l, "access token", l->tokens.access_token, VERIFIER_ACCESS_TOKEN, &claims))
            return;
        if (!is_same_sub(l, claims)) {
            fail(l, GW_E_INVALID, "access token is about another sub");
            return;
        }
    }
    enum gw_err err = provider_userinfo(l->p, l->tokens.access_token, pack_root(l->claims.p), PRINCIPAL_SESSION, on_userinfo, l);
    if (err != GW_OK)
        fail(l, err, "userinfo could not be asked");
}

static void on_tokens(void *arg, const struct fetch_answer *a)
{
    struct provider_login_attempt *l = arg;
    if (!is_answered(l, "token endpoint", a))
        return;
    enum gw_err err = a->status == 200 ? authcode_parse_tokens(a->body, &l->answer, &l->tokens, &l->detail)
                                       : authcode_parse_error(a->status, a->body, &l->detail);
    if (err == GW_OK && l->tokens.id_token.n == 0)
        fail(l, GW_E_UPSTREAM, "the token endpoint gave no fit id_token and access_token");
    else if (err == GW_OK)
        verify_tokens(l);
    else
        finish(l, err, NULL);
}

/* --- the beginning --- */

static enum gw_err send_code(struct provider_login_attempt *l)
{
    GW_CLEANUP(buf_wipep) struct buf form = BUF(FORM_MAX);
    provider_renew_secret(l->p);
    authcode_put_form(&form, &l->p->client, view_of(l->code), view_of(l->code_verifier));
    if (!buf_ok(&form))
        return GW_E_LIMIT;
    return uplink_post(l->p->uplink, view_of(l->p->discovery->token_endpoint), buf_view(&form), on_tokens, l);
}

static void on_ready(void *arg, enum gw_err err)
{
    struct provider_login_attempt *l = arg;
    if (err == GW_OK)
        err = send_code(l);
    if (err != GW_OK)
        fail(l, err, provider_is_ready(l->p) ? "the token endpoint could not be asked" : provider_trouble(l->p));
}

static enum gw_err attempt_new(struct provider *p, struct view code, struct view code_verifier, struct view nonce,
                               struct provider_login_attempt **ret_attempt)
{
    struct provider_login_attempt *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return GW_E_NOMEM;
    l->p = p;
    l->answer = BUF(PACK_BYTES_MAX);
    l->claims = BUF(PACK_BYTES_MAX);
    l->detail = BUF(PROVIDER_DETAIL_MAX);
    l->code = view_dup(code);
    l->code_verifier = view_dup(code_verifier);
    l->nonce = view_dup(nonce);
    if (l->code == NULL || l->code_verifier == NULL || l->nonce == NULL) {
        attempt_free(l);
        return GW_E_NOMEM;
    }
    *ret_attempt = l;
    return GW_OK;
}

enum gw_err provider_redeem(struct provider *p, struct view code, struct view code_verifier, struct view nonce,
                            provider_login_fn fn, void *arg)
{
    struct provider_login_attempt *l;
    if (code.n == 0 || code_verifier.n == 0 || nonce.n == 0)
        return GW_E_INVALID;
    if (p->is_closing)
        return GW_E_IO;
    if (p->n_logins >= PROVIDER_LOGINS_MAX)
        return GW_E_LIMIT;
    enum gw_err err = attempt_new(p, code, code_verifier, nonce, &l);
    if (err != GW_OK)
        return err;
    l->fn = fn;
    l->arg = arg;
    p->n_logins++;
    err = provider_is_ready(p) ? send_code(l) : provider_await(p, PROVIDER_ATTEMPT_MIN_MS, on_ready, NULL, l);
    if (err != GW_OK) {
        p->n_logins--;
        attempt_free(l);
    }
    return err;
}
