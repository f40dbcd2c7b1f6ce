/* The one place where userinfo is asked and put together with a token's claims: at login, when a session is refreshed, and for
 * bearer tokens. */
#include "identity/provider_state.h"

#include "util/cleanup.h"

#include <stdlib.h>

struct userinfo_call {
    struct provider *p;
    enum principal_via via;
    struct buf claims; /* packed */
    userinfo_fn fn;
    void *arg;
};

/* Userinfo tells about the person, the token about itself and its login: none of these may come from userinfo, not even where the
 * token lacks them. */
static const struct view token_claims[] = {
    {"iss", 3}, {"sub", 3},   {"aud", 3},       {"exp", 3}, {"iat", 3}, {"nbf", 3}, {"jti", 3},   {"sid", 3},
    {"uid", 3}, {"nonce", 5}, {"auth_time", 9}, {"acr", 3}, {"amr", 3}, {"azp", 3}, {"scope", 5},
};
enum { TOKEN_CLAIMS = sizeof(token_claims) / sizeof(token_claims[0]) };

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

enum gw_err provider_put_token_claims(struct pack_val claims, struct buf *out)
{
    return pack_only(claims, token_claims, TOKEN_CLAIMS, out);
}

static void call_free(struct userinfo_call *c)
{
    buf_deinit(&c->claims);
    free(c);
}

static void finish(struct userinfo_call *c, enum userinfo_result result, enum gw_err err, const char *detail)
{
    c->fn(c->arg, &(struct userinfo){.result = result, .err = err, .detail = detail});
    call_free(c);
}

/* Core 5.3.2: without the same sub, userinfo must not be used. */
static void finish_about_another(struct userinfo_call *c)
{
    c->fn(c->arg,
          &(struct userinfo){
              .result = USERINFO_UNFIT, .err = GW_E_INVALID, .detail = "userinfo is about another sub", .is_another = true});
    call_free(c);
}

static enum gw_err merge(const struct userinfo_call *c, struct pack_val userinfo, struct buf *out)
{
    GW_CLEANUP(buf_deinitp) struct buf allowed = BUF(PACK_BYTES_MAX);
    enum gw_err err = pack_without(userinfo, token_claims, TOKEN_CLAIMS, &allowed);
    return err == GW_OK ? pack_merge(pack_root(c->claims.p), pack_root(allowed.p), out) : err;
}

static void conclude(struct userinfo_call *c, struct pack_val userinfo)
{
    GW_CLEANUP(buf_deinitp) struct buf merged = BUF(PACK_BYTES_MAX);
    struct principal *who;
    enum gw_err err = merge(c, userinfo, &merged);
    if (err == GW_OK)
        err = principal_new(pack_root(merged.p), c->via, c->p->is_repogate_requested, &who);
    if (err != GW_OK) {
        finish(c, err == GW_E_NOMEM ? USERINFO_UNREACHABLE : USERINFO_UNFIT, err,
               err == GW_E_LIMIT ? "claims are too large" : "claims are unfit");
        return;
    }
    c->fn(c->arg,
          &(struct userinfo){.result = USERINFO_GIVEN, .err = GW_OK, .detail = "", .claims = pack_root(merged.p), .who = who});
    principal_unref(who);
    call_free(c);
}

static bool is_same_sub(const struct userinfo_call *c, struct pack_val userinfo)
{
    struct pack_val theirs = pack_find(userinfo, VIEW("sub"));
    return pack_type(theirs) == PACK_STRING &&
           view_eq(pack_string(theirs), pack_string(pack_find(pack_root(c->claims.p), VIEW("sub"))));
}

static bool is_json(struct view content_type)
{
    struct view type = view_split(&content_type, ';');
    return view_eq_ci(view_trim(type), VIEW("application/json"));
}

static void on_failed(struct userinfo_call *c, const struct fetch_answer *a)
{
    struct buf detail = BUF(PROVIDER_DETAIL_MAX);
    if (a->err == GW_OK)
        buf_printf(&detail, "userinfo answered %d", a->status);
    else
        buf_printf(&detail, "userinfo: %s", a->detail);
    bool is_refused = a->err == GW_OK && (a->status == 401 || a->status == 403);
    finish(c, is_refused ? USERINFO_REFUSED : USERINFO_UNREACHABLE,
           a->err == GW_OK || a->err == GW_E_LIMIT ? GW_E_UPSTREAM : a->err, buf_ok(&detail) ? detail.p : "userinfo failed");
    buf_deinit(&detail);
}

static void on_userinfo(void *arg, const struct fetch_answer *a)
{
    struct userinfo_call *c = arg;
    GW_CLEANUP(buf_deinitp) struct buf block = BUF(PACK_BYTES_MAX);
    if (a->err != GW_OK || a->status != 200)
        on_failed(c, a);
    else if (!is_json(a->content_type) || pack_parse(a->body, &block) != GW_OK || pack_type(pack_root(block.p)) != PACK_MAP)
        finish(c, USERINFO_UNREACHABLE, GW_E_UPSTREAM, "userinfo is no JSON object");
    else if (!is_same_sub(c, pack_root(block.p)))
        finish_about_another(c);
    else
        conclude(c, pack_root(block.p));
}

enum gw_err provider_userinfo(struct provider *p, struct view access_token, struct pack_val claims, enum principal_via via,
                              userinfo_fn fn, void *arg)
{
    if (p->is_closing)
        return GW_E_IO;
    if (!provider_is_ready(p))
        return GW_E_UPSTREAM;
    struct userinfo_call *c = malloc(sizeof(*c));
    if (c == NULL)
        return GW_E_NOMEM;
    *c = (struct userinfo_call){.p = p, .via = via, .claims = BUF(PACK_BYTES_MAX), .fn = fn, .arg = arg};
    buf_put(&c->claims, view_at((const char *)claims.p, pack_size(claims)));
    enum gw_err err = GW_E_NOMEM;
    if (buf_ok(&c->claims))
        err = uplink_get(p->uplink, view_of(p->discovery->userinfo_endpoint), access_token, on_userinfo, c);
    if (err != GW_OK)
        call_free(c);
    return err;
}
