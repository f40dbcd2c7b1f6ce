#include "identity/provider_state.h"

#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/log.h"

#include <stdlib.h>

enum { TROUBLE_MAX = 1024 };

struct provider_waiter {
    struct provider_waiter *next;
    void (*ready)(void *arg, enum gw_err err);
    void (*again)(void *arg);
    void *arg;
};

GW_DEFINE_FREEP(provider_freep, struct provider, provider_free)

static void attempt_begin(struct provider *p);

static void on_timer(struct loop_timer *t)
{
    struct provider *p = t->arg;
    if (!p->is_attempting)
        attempt_begin(p);
}

/* --- birth and death --- */

static enum gw_err read_algorithms(struct provider *p, const struct provider_spec *spec)
{
    for (size_t i = 0; i < spec->n_algorithms; i++) {
        enum sigalg alg = sigalg_from_name(view_of(spec->algorithms[i]));
        if (alg == SIGALG_NONE)
            return GW_E_INVALID;
        p->is_alg_allowed[alg] = true;
    }
    return spec->n_algorithms > 0 ? GW_OK : GW_E_INVALID;
}

void provider_renew_secret(struct provider *p)
{
    if (p->secret_file == NULL || (p->secret != NULL && secretfile_generation(p->secret_file) == p->secret_generation))
        return;
    struct secrettext *old = p->secret;
    p->secret_generation = secretfile_generation(p->secret_file);
    p->secret = secretfile_get(p->secret_file);
    p->client.client_secret = secrettext_view(p->secret);
    if (p->verifier != NULL)
        verifier_set_secret(p->verifier, p->client.client_secret);
    secrettext_unref(old);
}

static enum gw_err make_parts(struct provider *p, const struct provider_spec *spec, struct fetcher *f)
{
    struct verifier_spec vs = {.issuer = p->issuer, .client_id = p->client.client_id, .secret = p->client.client_secret};
    memcpy(vs.is_alg_allowed, p->is_alg_allowed, sizeof(vs.is_alg_allowed));
    enum gw_err err = verifier_new(&vs, &p->verifier);
    if (err == GW_OK)
        err = uplink_new(f, p->issuer, view_of(spec->internal_url), &p->uplink);
    return err;
}

enum gw_err provider_new(const struct provider_spec *spec, struct loop *l, struct fetcher *f, struct provider **ret_provider)
{
    GW_CLEANUP(provider_freep) struct provider *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return GW_E_NOMEM;
    p->loop = l;
    p->issuer = view_of(spec->issuer);
    p->client = (struct authcode_client){
        .client_id = view_of(spec->client_id),
        .client_secret = view_of(spec->client_secret),
        .redirect_uri = view_of(spec->redirect_uri),
        .scopes = spec->scopes,
        .n_scopes = spec->n_scopes,
    };
    p->timer = (struct loop_timer){.fn = on_timer, .arg = p};
    p->trouble = BUF(TROUBLE_MAX);
    p->reported = BUF(TROUBLE_MAX);
    p->secret_file = spec->client_secret == NULL ? spec->client_secret_file : NULL;
    provider_renew_secret(p);
    for (size_t i = 0; i < spec->n_scopes; i++)
        p->is_repogate_requested |= view_eq(view_of(spec->scopes[i]), VIEW("repogate"));
    enum gw_err err = read_algorithms(p, spec);
    if (err == GW_OK)
        err = make_parts(p, spec, f);
    if (err != GW_OK)
        return err;
    buf_puts(&p->trouble, "not asked yet");
    *ret_provider = GW_TAKE(p);
    return GW_OK;
}

static void call_waiters(struct provider *p)
{
    struct provider_waiter *w = GW_TAKE(p->waiters);
    enum gw_err err = p->is_closing ? GW_E_IO : provider_is_ready(p) ? GW_OK : p->attempt_err;
    p->n_waiters = 0;
    while (w != NULL) {
        struct provider_waiter *next = w->next;
        if (w->ready != NULL)
            w->ready(w->arg, err);
        else
            w->again(w->arg);
        free(w);
        w = next;
    }
}

void provider_free(struct provider *p)
{
    if (p == NULL)
        return;
    p->is_closing = true;
    loop_timer_stop(p->loop, &p->timer);
    uplink_free(p->uplink); /* ends the attempt, its waiters, and the logins, through their own callbacks */
    call_waiters(p);
    verifier_free(p->verifier);
    keyset_free(p->keys);
    discovery_free(p->discovery);
    secrettext_unref(p->secret);
    buf_deinit(&p->trouble);
    buf_deinit(&p->reported);
    free(p);
}

/* --- one attempt: metadata if we have none, then keys --- */

static int64_t next_delay_ms(struct provider *p, enum gw_err err)
{
    if (err == GW_OK) {
        p->retry_ms = 0;
        return PROVIDER_KEYS_MAX_AGE_MS;
    }
    p->retry_ms = p->retry_ms == 0 ? PROVIDER_RETRY_FIRST_MS : p->retry_ms * 2;
    if (p->retry_ms > PROVIDER_RETRY_LAST_MS)
        p->retry_ms = PROVIDER_RETRY_LAST_MS;
    return p->retry_ms;
}

/* Each reason once, not at each retry. */
static void report(struct provider *p)
{
    if (p->is_closing || view_eq(buf_view(&p->trouble), buf_view(&p->reported)))
        return;
    if (p->trouble.n == 0)
        log_event(LOG_INFO, "identity provider answers again", LOG_KV("issuer", p->issuer));
    else
        log_event(LOG_WARN,
                  provider_is_ready(p) ? "identity provider's keys cannot be read anew" : "identity provider is not ready",
                  LOG_KV("issuer", p->issuer), LOG_KV("reason", buf_view(&p->trouble)));
    buf_clear(&p->reported);
    buf_put(&p->reported, buf_view(&p->trouble));
}

/* trouble holds the reason if err is not GW_OK. */
static void attempt_end(struct provider *p, enum gw_err err)
{
    if (err == GW_OK)
        buf_clear(&p->trouble);
    else if (p->trouble.n == 0)
        buf_put(&p->trouble, view_of(gw_err_name(err)));
    p->is_attempting = false;
    p->attempt_ended_ms = epoch_now_ms();
    p->attempt_err = err;
    report(p);
    if (!p->is_closing && loop_timer_start(p->loop, &p->timer, next_delay_ms(p, err)) != GW_OK)
        log_event(LOG_ERROR, "no timer for the identity provider: it is asked again only when someone needs it",
                  LOG_KV("issuer", p->issuer));
    call_waiters(p);
}

/* What an exchange that should bring a document can be wrong about, apart from the document. */
static enum gw_err check_answer(struct provider *p, const char *what, const struct fetch_answer *a)
{
    if (a->err == GW_OK && a->status == 200)
        return GW_OK;
    if (a->err == GW_OK)
        buf_printf(&p->trouble, "%s answered %d", what, a->status);
    else
        buf_printf(&p->trouble, "%s: %s", what, a->detail);
    return a->err == GW_OK || a->err == GW_E_LIMIT ? GW_E_UPSTREAM : a->err;
}

static enum gw_err take_keys(struct provider *p, struct view json)
{
    uint8_t digest[DIGEST_BYTES];
    struct keyset *keys;
    enum gw_err err = digest_sha256(json, digest);
    if (err != GW_OK)
        return err;
    if (p->keys != NULL && memcmp(digest, p->keys_digest, sizeof(digest)) == 0)
        return GW_OK;
    err = keyset_parse(json, &keys);
    if (err != GW_OK) {
        buf_puts(&p->trouble, "the provider's keys are no JWK set that we accept");
        return err == GW_E_NOMEM ? err : GW_E_UPSTREAM;
    }
    keyset_free(p->keys);
    p->keys = keys;
    memcpy(p->keys_digest, digest, sizeof(digest));
    p->keys_generation++;
    return GW_OK;
}

static bool are_keys_usable(const struct provider *p)
{
    return p->keys != NULL && (p->is_alg_allowed[SIGALG_HS256] || keyset_has_alg(p->keys, p->is_alg_allowed));
}

static void on_keys(void *arg, const struct fetch_answer *a)
{
    struct provider *p = arg;
    buf_clear(&p->trouble);
    enum gw_err err = check_answer(p, p->discovery->jwks_uri, a);
    if (err == GW_OK)
        err = take_keys(p, a->body);
    if (err == GW_OK && !are_keys_usable(p)) {
        buf_puts(&p->trouble, "the provider publishes no key for our algorithms (has it a signing key?)");
        err = GW_E_UPSTREAM;
    }
    attempt_end(p, err);
}

static void fetch_keys(struct provider *p)
{
    enum gw_err err = uplink_get(p->uplink, view_of(p->discovery->jwks_uri), VIEW_NONE, on_keys, p);
    if (err != GW_OK)
        attempt_end(p, err);
}

static void on_metadata(void *arg, const struct fetch_answer *a)
{
    struct provider *p = arg;
    buf_clear(&p->trouble);
    enum gw_err err = check_answer(p, "discovery", a);
    if (err == GW_OK)
        err = discovery_parse(a->body, p->issuer, p->is_alg_allowed, &p->discovery, &p->trouble);
    if (err == GW_OK)
        fetch_keys(p);
    else
        attempt_end(p, err);
}

/* Discovery 4.1: the path is appended to the issuer, without doubling the slash. */
static enum gw_err fetch_metadata(struct provider *p)
{
    struct buf url = BUF(UPLINK_URL_MAX);
    buf_put(&url, p->issuer);
    if (!view_ends(p->issuer, VIEW("/")))
        buf_puts(&url, "/");
    buf_puts(&url, ".well-known/openid-configuration");
    enum gw_err err = buf_ok(&url) ? uplink_get(p->uplink, buf_view(&url), VIEW_NONE, on_metadata, p) : GW_E_LIMIT;
    buf_deinit(&url);
    return err;
}

static void attempt_begin(struct provider *p)
{
    p->is_attempting = true;
    loop_timer_stop(p->loop, &p->timer);
    if (p->discovery != NULL) {
        fetch_keys(p);
        return;
    }
    enum gw_err err = fetch_metadata(p);
    if (err != GW_OK)
        attempt_end(p, err);
}

enum gw_err provider_await(struct provider *p, int64_t min_gap_ms, void (*ready)(void *arg, enum gw_err err),
                           void (*again)(void *arg), void *arg)
{
    if (p->is_closing)
        return GW_E_IO;
    if (p->n_waiters >= PROVIDER_WAITERS_MAX)
        return GW_E_LIMIT;
    int64_t gap_ms = epoch_now_ms() - p->attempt_ended_ms; /* negative: the clock was set back */
    if (!p->is_attempting && p->attempt_ended_ms != 0 && gap_ms >= 0 && gap_ms < min_gap_ms)
        return p->attempt_err == GW_OK ? GW_E_NOTFOUND : p->attempt_err;
    struct provider_waiter *w = malloc(sizeof(*w));
    if (w == NULL)
        return GW_E_NOMEM;
    if (!p->is_attempting)
        attempt_begin(p);
    if (!p->is_attempting) {
        free(w);
        return p->attempt_err;
    }
    *w = (struct provider_waiter){.next = p->waiters, .ready = ready, .again = again, .arg = arg};
    p->waiters = w;
    p->n_waiters++;
    return GW_OK;
}

/* --- what callers see --- */

void provider_start(struct provider *p)
{
    if (!p->is_attempting && !p->is_closing)
        attempt_begin(p);
}

bool provider_is_ready(const struct provider *p)
{
    return p->discovery != NULL && are_keys_usable(p);
}

const char *provider_trouble(const struct provider *p)
{
    return provider_is_ready(p) || p->trouble.p == NULL ? "" : p->trouble.p;
}

void provider_when_ready(struct provider *p, void (*fn)(void *arg, enum gw_err err), void *arg)
{
    if (provider_is_ready(p)) {
        fn(arg, GW_OK);
        return;
    }
    enum gw_err err = provider_await(p, PROVIDER_ATTEMPT_MIN_MS, fn, NULL, arg);
    if (err != GW_OK)
        fn(arg, err);
}

enum gw_err provider_authorize_url(const struct provider *p, const struct provider_authorize *a, struct buf *out)
{
    if (!provider_is_ready(p))
        return GW_E_UPSTREAM;
    if (a->state.n == 0 || a->nonce.n == 0 || a->code_challenge.n == 0)
        return GW_E_INVALID;
    struct authcode_request r = {a->state, a->nonce, a->code_challenge, a->is_prompted, a->max_age_s};
    authcode_put_url(out, &p->client, view_of(p->discovery->authorization_endpoint), &r);
    return buf_ok(out) ? GW_OK : GW_E_LIMIT;
}

bool provider_can_end_session(const struct provider *p)
{
    return provider_is_ready(p) && p->discovery->end_session_endpoint != NULL;
}

enum gw_err provider_end_session_url(const struct provider *p, struct view id_token_hint, struct view post_logout_redirect_uri,
                                     struct view state, struct buf *out)
{
    if (!provider_is_ready(p))
        return GW_E_UPSTREAM;
    if (p->discovery->end_session_endpoint == NULL)
        return GW_E_NOTFOUND;
    authcode_put_end_session(out, view_of(p->discovery->end_session_endpoint), id_token_hint, post_logout_redirect_uri, state);
    return buf_ok(out) ? GW_OK : GW_E_LIMIT;
}
