/* What a session asks the provider for: a refresh grant (RFC 6749 6, OpenID Connect Core 12) or userinfo. Each is one exchange,
 * begun when the provider is ready, and says in the words of session.h what the answer means for the session.
 *
 * A refresh token rotates: whoever sends it a second time ends the person's session at the provider. So a grant is sent once, over a
 * connection of its own, and anything but a clear answer leaves the session without a token that may be used: SESSION_LOST. */
#include "identity/provider_state.h"

#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/secret.h"

#include <stdlib.h>

enum {
    FORM_MAX = 64 * 1024,
    CLAIMS_JSON_MAX = 512 * 1024,
    READY_WAIT_MS = 5 * 1000, /* past that the lease under which we ask is too short for what follows */
};

struct renewal {
    struct provider *p;
    session_renewed_fn done;
    void *arg;
    int64_t begun_ms;
    bool is_grant, has_waited_for_keys;
    struct buf claims; /* packed; grant: those of the session, userinfo: those to ask with */
    char *token;       /* what is sent */
    struct buf answer; /* the token endpoint's, packed; tokens points into it */
    struct authcode_tokens tokens;
    struct buf detail;
};

static void check_tokens(struct renewal *r);

static void buf_wipep(struct buf *b)
{
    secret_wipe(b->p, b->size);
    buf_deinit(b);
}

static void renewal_free(struct renewal *r)
{
    if (r == NULL)
        return;
    secret_free(r->token);
    buf_wipep(&r->answer);
    buf_wipep(&r->claims);
    buf_deinit(&r->detail);
    free(r);
}

GW_DEFINE_FREEP(renewal_freep, struct renewal, renewal_free)

static void finish(struct renewal *r, const struct session_renewed *said)
{
    r->done(r->arg, said);
    renewal_free(r);
}

static void conclude(struct renewal *r, enum session_renewal result, const char *why)
{
    finish(r, &(struct session_renewed){.result = result, .why = why});
}

/* With what stands in detail. */
static void conclude_in_detail(struct renewal *r, enum session_renewal result)
{
    conclude(r, result, buf_ok(&r->detail) && r->detail.n > 0 ? r->detail.p : "the provider's answer is of no use");
}

/* ---- grant ---- */

static struct view claim(struct pack_val claims, struct view name)
{
    return pack_string(pack_find(claims, name));
}

static int64_t access_expiry_s(const struct renewal *r, struct pack_val claims)
{
    return r->tokens.expires_in_s > 0 ? epoch_now_s() + r->tokens.expires_in_s : pack_int(pack_find(claims, VIEW("exp")));
}

/* What is wrong with a token that verified, or NULL. Core 12.2: iss and sub must be the same; the verifier has looked at iss. An ID
 * token without the sid that the login had comes from a provider whose session has ended. */
static const char *find_other_person(const struct renewal *r, struct pack_val claims, bool is_id_token)
{
    struct pack_val before = pack_root(r->claims.p);
    if (!view_eq(claim(claims, VIEW("sub")), claim(before, VIEW("sub"))))
        return "the refreshed token is about another sub";
    bool has_sid = pack_find(claims, VIEW("sid")).p != NULL;
    if ((is_id_token || has_sid) && !view_eq(claim(claims, VIEW("sid")), claim(before, VIEW("sid"))))
        return "the refreshed token is of another sid";
    return NULL;
}

static void on_keys_again(void *arg)
{
    check_tokens(arg);
}

/* True if the token holds and is this session's; otherwise the renewal has ended, or waits for keys and comes back to
 * check_tokens(). */
static bool is_good(struct renewal *r, const char *what, struct view token, enum verifier_purpose purpose,
                    struct pack_val *ret_claims)
{
    struct provider *p = r->p;
    const char *reason;
    enum gw_err err = verifier_check(p->verifier, p->keys, token, purpose, VIEW_NONE, ret_claims, &reason);
    if (err == GW_E_NOTFOUND && !r->has_waited_for_keys &&
        provider_await(p, PROVIDER_KEYS_MIN_MS, NULL, on_keys_again, r) == GW_OK) {
        r->has_waited_for_keys = true;
        return false;
    }
    if (err != GW_OK) {
        buf_printf(&r->detail, "refreshed %s: %s", what, reason);
        conclude_in_detail(r, SESSION_OVER);
        return false;
    }
    const char *other = find_other_person(r, *ret_claims, purpose != VERIFIER_ACCESS_TOKEN);
    if (other != NULL)
        conclude(r, SESSION_ANOTHER, other);
    return other == NULL;
}

static void check_tokens(struct renewal *r)
{
    const struct authcode_tokens *t = &r->tokens;
    struct pack_val claims = {NULL};
    int64_t expires_s = 0;
    if (t->id_token.n > 0) {
        if (!is_good(r, "ID token", t->id_token, VERIFIER_REFRESHED_ID_TOKEN, &claims))
            return;
        expires_s = access_expiry_s(r, claims);
    }
    if (authcode_is_jwt(t->access_token)) {
        if (!is_good(r, "access token", t->access_token, VERIFIER_ACCESS_TOKEN, &claims))
            return;
        expires_s = access_expiry_s(r, claims);
    }
    finish(r, &(struct session_renewed){
                  .result = SESSION_RENEWED,
                  .why = "",
                  .id_token = t->id_token,
                  .access_token = t->access_token,
                  .refresh_token = t->refresh_token,
                  .access_expires_s = expires_s > 0 ? expires_s : access_expiry_s(r, claims),
              });
}

static void on_tokens(void *arg, const struct fetch_answer *a)
{
    struct renewal *r = arg;
    if (a->err != GW_OK) {
        buf_printf(&r->detail, "refresh grant: %s", a->detail);
        conclude_in_detail(r, a->is_unsent ? SESSION_UNREACHABLE : SESSION_LOST);
    } else if (a->status == 200) {
        if (authcode_parse_tokens(a->body, &r->answer, &r->tokens, &r->detail) == GW_OK)
            check_tokens(r);
        else
            conclude_in_detail(r, SESSION_LOST);
    } else {
        enum gw_err err = authcode_parse_error(a->status, a->body, &r->detail);
        /* An OAuth error of another kind (invalid_client, say) was given instead of spending the token. */
        conclude_in_detail(r, err == GW_E_INVALID                       ? SESSION_OVER
                              : authcode_is_refusal(a->status, a->body) ? SESSION_UNREACHABLE
                                                                        : SESSION_LOST);
    }
}

static enum gw_err send_grant(struct renewal *r)
{
    GW_CLEANUP(buf_wipep) struct buf form = BUF(FORM_MAX);
    authcode_put_refresh_form(&form, &r->p->client, view_of(r->token));
    if (!buf_ok(&form))
        return GW_E_LIMIT;
    return uplink_post_once(r->p->uplink, view_of(r->p->discovery->token_endpoint), buf_view(&form), on_tokens, r);
}

/* ---- userinfo ---- */

static void on_userinfo(void *arg, const struct userinfo *u)
{
    struct renewal *r = arg;
    GW_CLEANUP(buf_wipep) struct buf json = BUF(CLAIMS_JSON_MAX);
    switch (u->result) {
    case USERINFO_UNREACHABLE:
        conclude(r, SESSION_UNREACHABLE, u->detail);
        return;
    case USERINFO_REFUSED:
        conclude(r, SESSION_REFUSED, u->detail);
        return;
    case USERINFO_UNFIT:
        conclude(r, u->is_another ? SESSION_ANOTHER : SESSION_OVER, u->detail);
        return;
    case USERINFO_GIVEN:
        break;
    }
    pack_format_json(u->claims, &json);
    if (!buf_ok(&json)) {
        conclude(r, SESSION_OVER, "claims are too large");
        return;
    }
    finish(r, &(struct session_renewed){
                  .result = SESSION_RENEWED, .why = "", .claims_json = buf_view(&json), .username = principal_username(u->who)});
}

static enum gw_err send_userinfo(struct renewal *r)
{
    return provider_userinfo(r->p, view_of(r->token), pack_root(r->claims.p), PRINCIPAL_SESSION, on_userinfo, r);
}

/* The payload of a token that was verified when it came. */
static enum gw_err read_payload(struct view jwt, struct buf *out)
{
    GW_CLEANUP(buf_wipep) struct buf json = BUF(VERIFIER_TOKEN_MAX);
    struct view rest = jwt;
    size_t n;
    view_split(&rest, '.');
    struct view payload = view_split(&rest, '.');
    char *p = buf_reserve(&json, payload.n);
    if (p == NULL)
        return GW_E_NOMEM;
    enum gw_err err = b64url_decode(payload, (uint8_t *)p, payload.n, &n);
    return err == GW_OK ? pack_parse(view_at(p, n), out) : err;
}

/* The claims to ask with: of the session's and the newest ID token's what is about the login. What they say about the person counts
 * only from an ID token that came just now: it would bring back what has been taken away since. */
static enum gw_err put_base(const struct session_tokens *tokens, struct pack_val before, struct buf *out)
{
    GW_CLEANUP(buf_wipep) struct buf login = BUF(PACK_BYTES_MAX);
    GW_CLEANUP(buf_wipep) struct buf payload = BUF(PACK_BYTES_MAX);
    GW_CLEANUP(buf_wipep) struct buf newer = BUF(PACK_BYTES_MAX);
    enum gw_err err = provider_put_token_claims(before, &login);
    if (err == GW_OK)
        err = read_payload(tokens->id_token, &payload);
    if (err == GW_OK && !tokens->is_id_token_new)
        err = provider_put_token_claims(pack_root(payload.p), &newer);
    if (err != GW_OK)
        return err;
    return pack_merge(pack_root(login.p), pack_root(tokens->is_id_token_new ? payload.p : newer.p), out);
}

/* ---- the beginning ---- */

static enum gw_err send(struct renewal *r)
{
    return r->is_grant ? send_grant(r) : send_userinfo(r);
}

static void on_ready(void *arg, enum gw_err err)
{
    struct renewal *r = arg;
    if (err == GW_OK && epoch_now_ms() - r->begun_ms > READY_WAIT_MS)
        err = GW_E_TIMEOUT;
    if (err == GW_OK)
        err = send(r);
    if (err != GW_OK)
        conclude(r, SESSION_UNREACHABLE, provider_is_ready(r->p) ? gw_err_name(err) : provider_trouble(r->p));
}

static enum gw_err renewal_new(struct provider *p, const struct session_tokens *tokens, bool is_grant,
                               struct renewal **ret_renewal)
{
    GW_CLEANUP(buf_wipep) struct buf before = BUF(PACK_BYTES_MAX);
    GW_CLEANUP(renewal_freep) struct renewal *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return GW_E_NOMEM;
    *r = (struct renewal){.p = p, .begun_ms = epoch_now_ms(), .is_grant = is_grant};
    r->claims = r->answer = BUF(PACK_BYTES_MAX);
    r->detail = BUF(PROVIDER_DETAIL_MAX);
    r->token = view_dup(is_grant ? tokens->refresh_token : tokens->access_token);
    enum gw_err err = r->token == NULL ? GW_E_NOMEM : pack_parse(tokens->claims_json, is_grant ? &r->claims : &before);
    if (err == GW_OK && !is_grant)
        err = put_base(tokens, pack_root(before.p), &r->claims);
    if (err != GW_OK)
        return err;
    *ret_renewal = GW_TAKE(r);
    return GW_OK;
}

static enum gw_err begin(struct provider *p, const struct session_tokens *tokens, bool is_grant, session_renewed_fn done,
                         void *arg)
{
    struct renewal *r;
    if (p->is_closing)
        return GW_E_IO;
    enum gw_err err = renewal_new(p, tokens, is_grant, &r);
    if (err != GW_OK)
        return err;
    r->done = done;
    r->arg = arg;
    err = provider_is_ready(p) ? send(r) : provider_await(p, PROVIDER_ATTEMPT_MIN_MS, on_ready, NULL, r);
    if (err != GW_OK)
        renewal_free(r);
    return err;
}

static enum gw_err grant(void *cls, const struct session_tokens *tokens, session_renewed_fn done, void *arg)
{
    return begin(cls, tokens, true, done, arg);
}

static enum gw_err userinfo(void *cls, const struct session_tokens *tokens, session_renewed_fn done, void *arg)
{
    return begin(cls, tokens, false, done, arg);
}

struct session_renewer provider_renewer(struct provider *p)
{
    return (struct session_renewer){.grant = grant, .userinfo = userinfo, .cls = p};
}
