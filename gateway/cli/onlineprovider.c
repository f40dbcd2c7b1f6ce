/* Discovery is judged by the code that the gateway judges it with; what comes on top is what a gateway can do without, or would
 * learn too late: scopes, the client's credentials, logout, clocks. */
#include "cli/online_state.h"

#include "http/form.h"
#include "identity/discovery.h"
#include "identity/verifier.h"
#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/pack.h"
#include "util/rnd.h"
#include "util/secret.h"

#include <stdio.h>

enum { FORM_MAX = 64 * 1024, WHY_MAX = 1024, ERROR_SHOWN_MAX = 64, LIST_SHOWN_MAX = 512, PROBE_BYTES = 32 };

static const char SIGNING_KEY_CURE[] = "choose a signing key (RSA or EC) for the provider in Authentik";

struct party {
    struct online *o;
    struct view issuer;
    const char *key;            /* of the issuer, in the configuration */
    const char *address_key;    /* of the address that is asked */
    const char *algorithms_key; /* of what may be signed with */
    bool is_alg_allowed[SIGALG_COUNT];
    struct uplink *uplink;
    struct buf block; /* the metadata, packed */
    struct discovery *discovery;
};

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

static void buf_wipep(struct buf *b)
{
    if (b->p != NULL)
        secret_wipe(b->p, b->n);
    buf_deinit(b);
}

static struct pack_val metadata_of(const struct party *p, const char *name)
{
    return pack_find(pack_root(p->block.p), view_of(name));
}

/* ---- discovery ---- */

static void check_clock(struct party *p, const struct online_answer *a)
{
    int64_t ahead_s = a->date_s - a->arrived_s;

    if (a->date_s == 0 || (ahead_s <= VERIFIER_LEEWAY_S && ahead_s >= -VERIFIER_LEEWAY_S))
        return;
    online_say(p->o, ONLINE_WRONG, p->key,
               "the provider's clock is %lld s %s ours, more than the %d s that tokens may be off: set both by NTP",
               (long long)(ahead_s < 0 ? -ahead_s : ahead_s), ahead_s < 0 ? "behind" : "ahead of", VERIFIER_LEEWAY_S);
}

/* True: there is a document to judge. */
static bool is_document(struct party *p, const char *what, struct view url, const struct online_answer *a, const char *cure)
{
    if (a->err == GW_E_LIMIT)
        online_say(p->o, ONLINE_WRONG, p->key, "%.*s: %s: that is not %s", VIEW_FMT(url), a->detail, what);
    else if (a->err != GW_OK)
        online_say_unreachable(p->o, p->address_key, url, a);
    else if (a->status >= 500 || a->status == 429)
        online_say(p->o, ONLINE_UNKNOWN, p->key, "%.*s answered %d: the provider is not up, or overloaded", VIEW_FMT(url),
                   a->status);
    else if (a->status >= 300 && a->status < 400)
        online_say(
            p->o, ONLINE_WRONG, p->key,
            "%.*s answered %d, a redirect, and those are not followed: expected the address itself, with its scheme and slash",
            VIEW_FMT(url), a->status);
    else if (a->status != 200)
        online_say(p->o, ONLINE_WRONG, p->key, "%.*s answered %d instead of %s: %s", VIEW_FMT(url), a->status, what, cure);
    return a->err == GW_OK && a->status == 200;
}

/* Everything that the gateway itself demands of the document but the algorithms, which get their own line. */
static enum gw_err judge_metadata(struct party *p, struct view json)
{
    GW_CLEANUP(buf_deinitp) struct buf why = BUF(WHY_MAX);
    bool any[SIGALG_COUNT];

    for (int i = 0; i < SIGALG_COUNT; i++)
        any[i] = true;
    enum gw_err err = discovery_parse(json, p->issuer, any, &p->discovery, &why);
    if (err != GW_E_UPSTREAM)
        return err;
    struct view theirs = p->block.n == 0 ? VIEW_NONE : pack_string(metadata_of(p, "issuer"));
    bool is_other_issuer = theirs.n > 0 && !view_eq(theirs, p->issuer);
    online_say(p->o, ONLINE_WRONG, p->key, "%s%s", why.p == NULL ? "unfit metadata" : why.p,
               !is_other_issuer ? ""
                                : ": expected exactly what the provider says; if that is an internal name, the proxy in front of "
                                  "Authentik must pass Host and X-Forwarded-Proto on");
    return GW_OK;
}

static void check_algorithms(struct party *p)
{
    GW_CLEANUP(buf_deinitp) struct buf list = BUF(LIST_SHOWN_MAX);
    struct pack_val algs = metadata_of(p, "id_token_signing_alg_values_supported");
    struct pack_iter it;

    if (pack_type(algs) != PACK_LIST)
        return;
    for (pack_iter_init(&it, algs); pack_iter_next(&it);)
        if (p->is_alg_allowed[sigalg_from_name(pack_string(it.val))])
            return;
    pack_format_json(algs, &list);
    online_say(p->o, ONLINE_WRONG, p->algorithms_key, "the provider signs with %s, none of which is allowed here: %s",
               buf_ok(&list) ? list.p : "others", SIGNING_KEY_CURE);
}

static enum gw_err read_metadata(struct party *p)
{
    GW_CLEANUP(buf_deinitp) struct buf url = BUF(UPLINK_URL_MAX);
    struct online_answer a;
    enum gw_err err = GW_OK;

    buf_put(&url, p->issuer);
    if (!view_ends(p->issuer, VIEW("/")))
        buf_puts(&url, "/");
    buf_puts(&url, ".well-known/openid-configuration");
    if (!buf_ok(&url))
        return GW_E_LIMIT;
    online_get(p->o, p->uplink, buf_view(&url), &a);
    if (a.err == GW_OK)
        check_clock(p, &a);
    if (is_document(p, "the provider's metadata", buf_view(&url), &a,
                    "is the application's slug right? Authentik shows the issuer on the provider's page")) {
        if (pack_parse(buf_view(&a.body), &p->block) != GW_OK || pack_type(pack_root(p->block.p)) != PACK_MAP)
            buf_clear(&p->block);
        err = judge_metadata(p, buf_view(&a.body));
    }
    online_answer_deinit(&a);
    if (err == GW_OK && p->block.n > 0)
        check_algorithms(p);
    return err;
}

/* ---- keys ---- */

static void check_encryption(struct party *p, struct view json)
{
    GW_CLEANUP(buf_deinitp) struct buf block = BUF(PACK_BYTES_MAX);
    struct pack_iter it;

    if (pack_parse(json, &block) != GW_OK)
        return;
    for (pack_iter_init(&it, pack_find(pack_root(block.p), VIEW("keys"))); pack_iter_next(&it);)
        if (view_eq(pack_string(pack_find(it.val, VIEW("use"))), VIEW("enc"))) {
            online_say(p->o, ONLINE_WRONG, p->key,
                       "the provider encrypts its tokens, and encrypted ones are not read here: take its encryption key out");
            return;
        }
}

static void judge_keys(struct party *p, struct view json)
{
    GW_CLEANUP(keyset_freep) struct keyset *keys = NULL;

    if (keyset_parse(json, &keys) != GW_OK) {
        online_say(p->o, ONLINE_WRONG, p->key, "%s is no set of keys that is accepted here", p->discovery->jwks_uri);
        return;
    }
    check_encryption(p, json);
    if (p->is_alg_allowed[SIGALG_HS256] || keyset_has_alg(keys, p->is_alg_allowed))
        return;
    if (keyset_count(keys) == 0)
        online_say(p->o, ONLINE_WRONG, p->key, "%s holds no usable key (%zu left out as weak, broken or of another kind): %s",
                   p->discovery->jwks_uri, keyset_skipped(keys), SIGNING_KEY_CURE);
    else
        online_say(p->o, ONLINE_WRONG, p->algorithms_key, "%s holds keys, but none for the algorithms that are allowed here: %s",
                   p->discovery->jwks_uri, SIGNING_KEY_CURE);
}

static void check_keys(struct party *p)
{
    struct online_answer a;
    struct view url = view_of(p->discovery->jwks_uri);

    online_get(p->o, p->uplink, url, &a);
    if (is_document(p, "the provider's keys", url, &a, "the provider's metadata names this address"))
        judge_keys(p, buf_view(&a.body));
    online_answer_deinit(&a);
}

/* ---- what the application was given in Authentik ---- */

static const char *loss_of(const char *scope)
{
    static const struct {
        const char *scope, *loss;
    } losses[] = {
        {"openid", "there would be no login at all"},
        {"repogate", "every request would be denied as claims_missing"},
        {"offline_access", "sessions would end with their first access token, within minutes"},
        {"entitlements", "rules would see no entitlements"},
        {"profile", "people would have no names, and no groups but those of the repogate claim"},
        {"email", "people would have no address"},
    };

    for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++)
        if (strcmp(scope, losses[i].scope) == 0)
            return losses[i].loss;
    return "its claims would be missing";
}

static void check_scopes(struct party *p)
{
    const struct config_strings *wanted = &p->o->config->oidc.scopes;
    struct pack_val offered = metadata_of(p, "scopes_supported");
    bool has_offline = false;

    for (size_t i = 0; i < wanted->n; i++)
        has_offline |= strcmp(wanted->items[i], "offline_access") == 0;
    if (!has_offline)
        online_say(p->o, ONLINE_WARNING, "oidc.scopes", "offline_access is not asked for: %s", loss_of("offline_access"));
    if (pack_type(offered) != PACK_LIST) {
        online_say(p->o, ONLINE_WARNING, "oidc.scopes", "the provider does not say which scopes it knows");
        return;
    }
    for (size_t i = 0; i < wanted->n; i++)
        if (!pack_list_has(offered, view_of(wanted->items[i])))
            online_say(
                p->o, ONLINE_WRONG, "oidc.scopes",
                "the provider does not offer %s, and leaves it out silently, so %s: add its scope mapping to the provider in Authentik",
                wanted->items[i], loss_of(wanted->items[i]));
}

static void check_logout(struct party *p)
{
    if (!pack_is_true(metadata_of(p, "backchannel_logout_supported")))
        online_say(
            p->o, ONLINE_WARNING, p->key,
            "the provider does not say that it tells of logouts: where it can, set its logout method to back-channel and its "
            "logout URI to %s/_repogate/backchannel-logout; until then a session that ends there ends here at its next refresh",
            p->o->config->server.public_url);
    if (p->discovery->end_session_endpoint == NULL)
        online_say(p->o, ONLINE_WARNING, p->key, "the provider has no end_session_endpoint: nobody can log out of it from here");
}

/* ---- the client ----
 *
 * A refresh token and a code that nobody ever issued: whoever accepts the client refuses them as invalid_grant, and nothing else
 * happens (RFC 6749 5.2). Authentik answers 400 to either, so that the error's name decides. The refresh grant comes first, since
 * with the code it looks at the redirect URI too, and calls a wrong one invalid_client. */

static void put_client(struct party *p, struct buf *form, const char *secret)
{
    form_put(form, VIEW("client_id"), view_of(p->o->config->oidc.client_id));
    form_put(form, VIEW("client_secret"), view_of(secret));
}

/* error: its name, "" if there is none. False: no answer that says anything; that has been said. */
static bool ask_token_endpoint(struct party *p, struct view form, char error[ERROR_SHOWN_MAX])
{
    GW_CLEANUP(buf_deinitp) struct buf block = BUF(PACK_BYTES_MAX);
    struct view url = view_of(p->discovery->token_endpoint), name = VIEW_NONE;
    struct online_answer a;

    online_post(p->o, p->uplink, url, form, &a);
    if (a.err == GW_OK && pack_parse(buf_view(&a.body), &block) == GW_OK)
        name = pack_string(pack_find(pack_root(block.p), VIEW("error")));
    bool is_refusal = a.err == GW_OK && a.status >= 400 && a.status < 500 && name.n > 0 && name.n < ERROR_SHOWN_MAX;
    if (is_refusal)
        snprintf(error, ERROR_SHOWN_MAX, "%.*s", VIEW_FMT(name));
    else if (a.err != GW_OK)
        online_say_unreachable(p->o, p->address_key, url, &a);
    else
        online_say(p->o, ONLINE_UNKNOWN, p->key, "%.*s answered %d to a made-up token, where an error with a name was expected",
                   VIEW_FMT(url), a.status);
    online_answer_deinit(&a);
    return is_refusal;
}

/* True: the client is known there with that secret. */
static bool is_client_accepted(struct party *p, const char *secret, const char *made_up)
{
    GW_CLEANUP(buf_wipep) struct buf form = BUF(FORM_MAX);
    const struct config *c = p->o->config;
    char error[ERROR_SHOWN_MAX];

    form_put(&form, VIEW("grant_type"), VIEW("refresh_token"));
    form_put(&form, VIEW("refresh_token"), view_of(made_up));
    put_client(p, &form, secret);
    if (!ask_token_endpoint(p, buf_view(&form), error))
        return false;
    if (strcmp(error, "invalid_grant") == 0)
        return true;
    if (strcmp(error, "unauthorized_client") == 0 || strcmp(error, "unsupported_grant_type") == 0) {
        online_say(p->o, ONLINE_WRONG, "oidc.scopes",
                   "the provider answers %s to the refresh grant: allow the grant type refresh_token for it in Authentik", error);
        return true;
    }
    if (strcmp(error, "invalid_client") == 0)
        online_say(
            p->o, ONLINE_WRONG, "oidc.client_id",
            "the provider refuses the client %s with the secret in %s (invalid_client): copy both from the provider's page in "
            "Authentik",
            c->oidc.client_id, c->oidc.client_secret_file);
    else
        online_say(p->o, ONLINE_UNKNOWN, "oidc.client_id",
                   "the provider answers %s to a made-up refresh token, where invalid_grant or invalid_client was expected",
                   error);
    return false;
}

static void check_redirect_uri(struct party *p, const char *secret, const char *made_up)
{
    GW_CLEANUP(buf_deinitp) struct buf uri = BUF(UPLINK_URL_MAX);
    GW_CLEANUP(buf_wipep) struct buf form = BUF(FORM_MAX);
    char error[ERROR_SHOWN_MAX];

    buf_printf(&uri, "%s/_repogate/callback", p->o->config->server.public_url);
    form_put(&form, VIEW("grant_type"), VIEW("authorization_code"));
    form_put(&form, VIEW("code"), view_of(made_up));
    form_put(&form, VIEW("code_verifier"), view_of(made_up));
    form_put(&form, VIEW("redirect_uri"), buf_view(&uri));
    put_client(p, &form, secret);
    if (!ask_token_endpoint(p, buf_view(&form), error) || strcmp(error, "invalid_grant") == 0)
        return;
    online_say(
        p->o, ONLINE_WRONG, "server.public_url",
        "the provider answers %s to a code, though it knows the client: add %s to its redirect URIs in Authentik, exactly as it "
        "stands here, and allow the grant type authorization_code",
        error, uri.p == NULL ? "" : uri.p);
}

/* A token that nobody issued: the answer has to be that it is not active. Authentik says so to a client that it does not know
 * too, so that this tells no more than that somebody is there (RFC 7662 2.2). */
static void check_introspection(struct party *p, const char *secret, const char *made_up)
{
    GW_CLEANUP(buf_deinitp) struct buf block = BUF(PACK_BYTES_MAX);
    GW_CLEANUP(buf_wipep) struct buf form = BUF(FORM_MAX);
    struct online_answer a;

    if (p->discovery->introspection_endpoint == NULL) {
        online_say(p->o, ONLINE_WRONG, "oidc.introspection", "the provider has no introspection_endpoint: expected false");
        return;
    }
    struct view url = view_of(p->discovery->introspection_endpoint);
    form_put(&form, VIEW("token"), view_of(made_up));
    put_client(p, &form, secret);
    online_post(p->o, p->uplink, url, buf_view(&form), &a);
    enum pack_type active = PACK_ABSENT;
    if (a.err == GW_OK && a.status == 200 && pack_parse(buf_view(&a.body), &block) == GW_OK)
        active = pack_type(pack_find(pack_root(block.p), VIEW("active")));
    if (a.err != GW_OK)
        online_say_unreachable(p->o, p->address_key, url, &a);
    else if (active == PACK_TRUE)
        online_say(p->o, ONLINE_WRONG, "oidc.introspection", "%.*s calls a made-up token active: it must not be asked",
                   VIEW_FMT(url));
    else if (active != PACK_FALSE)
        online_say(p->o, ONLINE_UNKNOWN, "oidc.introspection",
                   "%.*s answered %d to a made-up token, where {\"active\": false} was expected", VIEW_FMT(url), a.status);
    online_answer_deinit(&a);
}

static enum gw_err check_client(struct party *p)
{
    GW_CLEANUP(secret_freep) char *secret = NULL;
    GW_CLEANUP(buf_deinitp) struct buf made_up = BUF(2 * PROBE_BYTES);
    uint8_t random[PROBE_BYTES];

    enum gw_err err = secret_load(p->o->config->oidc.client_secret_file, &secret);
    if (err == GW_OK)
        err = rnd_bytes(random, sizeof(random));
    if (err != GW_OK)
        return err;
    buf_put_hex(&made_up, random, sizeof(random));
    if (!buf_ok(&made_up))
        return GW_E_NOMEM;
    if (is_client_accepted(p, secret, made_up.p)) {
        check_redirect_uri(p, secret, made_up.p);
        if (p->o->config->oidc.introspection)
            check_introspection(p, secret, made_up.p);
    }
    return GW_OK;
}

/* ---- */

/* What is asked of every issuer. p->discovery stays NULL if its metadata will not do. */
static enum gw_err check_issuer(struct party *p, const char *issuer, const char *internal_url)
{
    p->issuer = view_of(issuer);
    p->block = BUF(PACK_BYTES_MAX);
    enum gw_err err = uplink_new(p->o->fetcher, p->issuer, view_of(internal_url), &p->uplink);
    if (err == GW_OK)
        err = read_metadata(p);
    if (err == GW_OK && p->discovery != NULL)
        check_keys(p);
    return err;
}

static void party_deinit(struct party *p)
{
    uplink_free(p->uplink);
    discovery_free(p->discovery);
    buf_deinit(&p->block);
}

static void allow_algorithms(struct party *p)
{
    const struct config_strings *names = &p->o->config->oidc.algorithms;

    for (size_t i = 0; i < names->n; i++)
        p->is_alg_allowed[sigalg_from_name(view_of(names->items[i]))] = true;
    p->is_alg_allowed[SIGALG_NONE] = false;
}

/* oidc.bearer: keys are all that is asked of them, and HS256 needs a secret that we do not share with them. */
static enum gw_err check_further(struct online *o, const struct config_issuer *further)
{
    struct party p = {.o = o, .key = "oidc.bearer", .address_key = "oidc.bearer", .algorithms_key = "oidc.bearer"};

    allow_algorithms(&p);
    p.is_alg_allowed[SIGALG_HS256] = false;
    enum gw_err err = check_issuer(&p, further->issuer, further->internal_url);
    party_deinit(&p);
    return err;
}

static enum gw_err check_own(struct online *o)
{
    const struct config *c = o->config;
    struct party p = {
        .o = o,
        .key = "oidc.issuer",
        .address_key = c->oidc.internal_url[0] != '\0' ? "oidc.internal_url" : "oidc.issuer",
        .algorithms_key = "oidc.algorithms",
    };

    allow_algorithms(&p);
    enum gw_err err = check_issuer(&p, c->oidc.issuer, c->oidc.internal_url);
    if (err == GW_OK && p.block.n > 0)
        check_scopes(&p);
    if (err == GW_OK && p.discovery != NULL) {
        check_logout(&p);
        err = check_client(&p);
    }
    party_deinit(&p);
    return err;
}

enum gw_err onlineprovider_check(struct online *o)
{
    enum gw_err err = check_own(o);

    for (size_t i = 0; i < o->config->oidc.n_bearer && err == GW_OK; i++)
        err = check_further(o, &o->config->oidc.bearer[i]);
    return err;
}
