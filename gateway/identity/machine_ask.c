#include "identity/machine_state.h"

#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"
#include "util/secret.h"

#include <stdlib.h>

struct waiter {
    struct waiter *next;
    machine_fn fn;
    void *arg;
};

struct machine_asking {
    struct machine_asking *prev, *next;
    struct machines *ms;
    uint8_t id[DIGEST_BYTES];
    enum machine_kind kind;
    char *text;
    size_t n_text;
    char *token; /* what a password was exchanged for */
    struct ipaddr client;
    bool is_counted;
    struct machine *known; /* counted */

    struct provider *provider;
    struct buf claims;  /* packed; of the token, once they are verified or vouched for */
    bool is_signed;     /* they come from the token itself */
    bool has_waited;    /* for the provider or its keys */
    int64_t begun_s;    /* when userinfo was asked */
    uint64_t n_endings; /* of machines, then */
    struct waiter *waiters;
};

const struct machine_answer machine_away = {.found = MACHINE_UNAVAILABLE,
                                            .reason = "the identity provider cannot be reached to check this credential"};
const struct machine_answer machine_overloaded = {.found = MACHINE_UNAVAILABLE,
                                                  .reason = "too many credentials are being checked"};
const struct machine_answer machine_no_memory = {.found = MACHINE_UNAVAILABLE, .reason = "no memory"};
const struct machine_answer machine_refused_live = {.found = MACHINE_REFUSED,
                                                    .reason = "the provider does not honour this token any more"};
static const struct machine_answer refused_opaque = {.found = MACHINE_REFUSED,
                                                     .reason = "the provider does not vouch for this token as ours"};
static const struct machine_answer refused_scope = {.found = MACHINE_REFUSED,
                                                    .reason = "an opaque token without the scope openid: nobody says who it is"};
static const struct machine_answer refused_password = {.found = MACHINE_REFUSED, .reason = "wrong user name or app password"};
static const struct machine_answer refused_ended = {.found = MACHINE_REFUSED, .reason = "its session has ended"};
static const struct machine_answer refused_unfit = {.found = MACHINE_REFUSED, .reason = "userinfo does not fit the token"};
static const char too_old[] = "its claims are older than session.refresh, and without the scope openid they cannot be renewed";

static void step(struct machine_asking *a);

/* ---- the end ---- */

static void asking_free(struct machine_asking *a)
{
    if (a->text != NULL)
        secret_wipe(a->text, a->n_text);
    free(a->text);
    secret_free(a->token);
    buf_deinit(&a->claims);
    machine_unref(a->known);
    free(a);
}

/* Takes it out of the list first: whoever is called may ask the same again. answer: borrowed, its machine too. */
static void settle(struct machine_asking *a, const struct machine_answer *answer)
{
    struct machines *ms = a->ms;
    if (a->prev != NULL)
        a->prev->next = a->next;
    else
        ms->askings = a->next;
    if (a->next != NULL)
        a->next->prev = a->prev;
    ms->n_askings--;
    if (answer->found == MACHINE_KNOWN && a->is_counted)
        machine_budget_give_back(ms, a->kind, view_at(a->text, a->n_text), &a->client);
    while (a->waiters != NULL) {
        struct waiter *w = a->waiters;
        a->waiters = w->next;
        ms->n_waiters--;
        if (answer->machine != NULL)
            machine_ref(answer->machine);
        w->fn(w->arg, answer);
        free(w);
    }
    asking_free(a);
}

/* By its own signature, type or claims: that costs nobody but us. */
static void settle_unfit(struct machine_asking *a, const char *reason)
{
    if (a->known != NULL)
        machine_end(a->ms, a->known);
    settle(a, &(struct machine_answer){.found = MACHINE_REFUSED, .reason = reason});
}

/* By the provider: not asked again for a while. */
static void settle_refused(struct machine_asking *a, const struct machine_answer *verdict)
{
    meter_inc(METER_MACHINE_REFUSED);
    if (a->known != NULL)
        machine_end(a->ms, a->known);
    machine_note_refusal(a->ms, a->id, verdict, MACHINE_REFUSED_S);
    settle(a, verdict);
}

static enum principal_via via_of(const struct machine_asking *a)
{
    return a->kind == MACHINE_PASSWORD ? PRINCIPAL_BASIC : PRINCIPAL_BEARER;
}

static void settle_known(struct machine_asking *a, struct machine *m, bool is_stale)
{
    struct machine_answer answer = machine_known(m, is_stale);
    settle(a, &answer);
    machine_unref(answer.machine);
}

/* A machine that others hold keeps its identity; one that ended meanwhile stays ended, and another takes its place. */
static struct machine *renew(struct machine_asking *a, const struct machine_facts *f)
{
    struct machine *m = a->known;
    if (m == NULL || m->is_ended)
        return machine_new(a->ms, a->id, f);
    struct principal *old = m->who;
    m->who = principal_ref(f->who);
    m->exp_s = principal_exp_s(f->who);
    m->iat_s = f->iat_s;
    m->as_of_s = f->as_of_s;
    m->keys_generation = f->provider->keys_generation;
    principal_unref(old);
    return machine_ref(m);
}

static void settle_believed(struct machine_asking *a, struct principal *who, int64_t as_of_s, bool is_stale)
{
    const struct machine_facts facts = {
        .provider = a->provider,
        .who = who,
        .iat_s = machine_issued_s(pack_root(a->claims.p)),
        .as_of_s = as_of_s,
        .is_signed = a->is_signed && a->kind == MACHINE_TOKEN,
    };
    struct machine *m = renew(a, &facts);
    if (m == NULL) {
        settle(a, &machine_no_memory);
        return;
    }
    m->retry_s = is_stale ? epoch_now_s() + MACHINE_RETRY_S : 0;
    if (!is_stale) {
        meter_inc(METER_MACHINE_CHECKED);
        a->ms->has_complained = false;
    }
    machine_remember(m);
    settle_known(a, m, is_stale);
    machine_unref(m);
}

static bool make_principal(const struct machine_asking *a, struct principal **ret_who)
{
    return principal_new(pack_root(a->claims.p), via_of(a), a->provider->is_repogate_requested, ret_who) == GW_OK;
}

/* What the token itself said serves for a while, as a session's claims would. */
static bool settle_by_old_claims(struct machine_asking *a)
{
    struct principal *who;
    if (a->known != NULL || !a->is_signed || a->claims.n == 0)
        return false;
    struct pack_val claims = pack_root(a->claims.p);
    if (!machine_is_bearable(a->ms, machine_issued_s(claims)) || !machine_is_trusted_unasked(a->ms, claims) ||
        !make_principal(a, &who))
        return false;
    settle_believed(a, who, machine_issued_s(claims), true);
    principal_unref(who);
    return true;
}

static void complain(struct machines *ms, const char *detail)
{
    if (!ms->has_complained)
        log_event(LOG_WARN, "the identity provider cannot be asked about programs' credentials",
                  LOG_KV("reason", view_of(detail)));
    ms->has_complained = true;
}

static void settle_unreachable(struct machine_asking *a, const char *detail)
{
    struct machine *known = a->known;
    meter_inc(METER_MACHINE_UNREACHABLE);
    complain(a->ms, detail);
    if (known != NULL && !known->is_ended && machine_is_bearable(a->ms, known->as_of_s)) {
        known->retry_s = epoch_now_s() + MACHINE_RETRY_S;
        settle_known(a, known, true);
    } else if (!settle_by_old_claims(a)) {
        machine_note_refusal(a->ms, a->id, &machine_away, MACHINE_AWAY_S);
        settle(a, &machine_away);
    }
}

/* ---- userinfo ---- */

/* The provider takes the token no more. Until it is so old that userinfo is asked in any case, its signature must not let it in:
 * what was refused can be pushed out of memory by others, what ended cannot. */
static void settle_dead(struct machine_asking *a)
{
    machine_note_ended(a->ms, a->id, INT64_MAX);
    settle_refused(a, &machine_refused_live);
}

static void on_userinfo(void *arg, const struct userinfo *u)
{
    struct machine_asking *a = arg;
    switch (u->result) {
    case USERINFO_GIVEN:
        /* A logout that came while we asked is later than the answer. */
        if (machine_was_ended(a->ms, pack_root(a->claims.p), a->n_endings))
            settle_refused(a, &refused_ended);
        else
            settle_believed(a, u->who, a->begun_s, false);
        break;
    case USERINFO_REFUSED:
        settle_dead(a);
        break;
    case USERINFO_UNFIT:
        settle_refused(a, &refused_unfit);
        break;
    case USERINFO_UNREACHABLE:
        settle_unreachable(a, u->detail);
        break;
    }
}

static struct view token_of(const struct machine_asking *a)
{
    return a->token != NULL ? view_of(a->token) : view_at(a->text, a->n_text);
}

static void ask_userinfo(struct machine_asking *a)
{
    struct buf claims = BUF(PACK_BYTES_MAX);
    enum gw_err err = provider_put_token_claims(pack_root(a->claims.p), &claims);
    a->begun_s = epoch_now_s();
    a->n_endings = a->ms->n_endings;
    if (err == GW_OK)
        err = provider_userinfo(a->provider, token_of(a), pack_root(claims.p), via_of(a), on_userinfo, a);
    buf_deinit(&claims);
    if (err != GW_OK)
        settle_unreachable(a, gw_err_name(err));
}

static bool has_openid(struct pack_val claims)
{
    struct view scopes = pack_string(pack_find(claims, VIEW("scope")));
    while (scopes.n > 0)
        if (view_eq(view_split(&scopes, ' '), VIEW("openid")))
            return true;
    return false;
}

/* claims: borrowed; verified, or vouched for. */
static void on_claims(struct machine_asking *a, struct pack_val claims)
{
    struct principal *who;
    buf_clear(&a->claims);
    buf_put(&a->claims, view_at((const char *)claims.p, pack_size(claims)));
    if (!buf_ok(&a->claims)) {
        settle(a, &machine_no_memory);
        return;
    }
    claims = pack_root(a->claims.p);
    int64_t issued_s = machine_issued_s(claims);
    if (a->is_signed && a->kind == MACHINE_TOKEN && a->known != NULL && !a->known->is_ended &&
        machine_is_fresh(a->ms, a->known->as_of_s)) {
        a->known->keys_generation = a->provider->keys_generation; /* it was only this that was in doubt */
        settle_known(a, a->known, false);
    } else if (a->is_signed && machine_is_fresh(a->ms, issued_s) && machine_is_trusted_unasked(a->ms, claims)) {
        if (make_principal(a, &who)) {
            settle_believed(a, who, issued_s, false);
            principal_unref(who);
        } else {
            settle_unfit(a, "claims are unfit");
        }
    } else if (has_openid(claims)) {
        ask_userinfo(a);
    } else if (a->is_signed) {
        settle_unfit(a, too_old);
    } else {
        settle_refused(a, &refused_scope);
    }
}

/* ---- tokens ---- */

static void on_provider(void *arg, enum gw_err err)
{
    (void)err; /* the step finds out by itself */
    step(arg);
}

/* Its metadata is needed first. */
static bool is_waiting_for_provider(struct machine_asking *a)
{
    if (provider_is_ready(a->provider) || a->has_waited)
        return false;
    a->has_waited = true;
    return provider_await(a->provider, PROVIDER_ATTEMPT_MIN_MS, on_provider, NULL, a) == GW_OK;
}

static void settle_unasked(struct machine_asking *a, enum gw_err err)
{
    settle_unreachable(a, provider_is_ready(a->provider) ? gw_err_name(err) : provider_trouble(a->provider));
}

static void on_introspected(void *arg, enum gw_err err, const char *detail, struct pack_val claims)
{
    struct machine_asking *a = arg;
    if (err == GW_OK)
        on_claims(a, claims);
    else if (err == GW_E_INVALID)
        settle_refused(a, &refused_opaque);
    else
        settle_unreachable(a, detail);
}

static void step_opaque(struct machine_asking *a)
{
    a->provider = a->ms->issuers[0];
    a->is_signed = false;
    if (is_waiting_for_provider(a))
        return;
    enum gw_err err = provider_introspect(a->provider, token_of(a), on_introspected, a);
    if (err == GW_E_NOTFOUND)
        settle_unfit(a, "the provider has no introspection endpoint");
    else if (err != GW_OK)
        settle_unasked(a, err);
}

static void on_keys(void *arg)
{
    step(arg);
}

/* No key with that kid: they may have been rotated. */
static void await_keys(struct machine_asking *a, const char *reason)
{
    struct provider *p = a->provider;
    enum gw_err err = GW_E_NOTFOUND;
    if (!a->has_waited) {
        a->has_waited = true;
        err = provider_await(p, provider_is_ready(p) ? PROVIDER_KEYS_MIN_MS : PROVIDER_ATTEMPT_MIN_MS, NULL, on_keys, a);
        if (err == GW_OK)
            return;
    }
    /* Read just now, and it is not among them; or they could not be read, and nobody can say. */
    if (err == GW_E_NOTFOUND && p->attempt_err == GW_OK && provider_is_ready(p))
        settle_unfit(a, reason);
    else
        settle_unasked(a, err == GW_E_NOTFOUND ? p->attempt_err : err);
}

static void step_token(struct machine_asking *a)
{
    struct pack_val claims;
    const char *reason = "iss is another issuer";
    struct view token = token_of(a);
    if (!machine_is_jwt(token)) {
        step_opaque(a);
        return;
    }
    a->is_signed = true;
    a->provider = a->kind == MACHINE_PASSWORD ? a->ms->issuers[0] : machine_find_issuer(a->ms, token);
    enum gw_err err = a->provider == NULL ? GW_E_INVALID : provider_verify_access(a->provider, token, &claims, &reason);
    if (err == GW_OK)
        on_claims(a, claims);
    else if (err == GW_E_NOTFOUND)
        await_keys(a, reason);
    else if (err == GW_E_NOMEM)
        settle(a, &machine_no_memory);
    else
        settle_unfit(a, reason);
}

/* ---- passwords ---- */

static void on_granted(void *arg, enum gw_err err, const char *detail, struct view token)
{
    struct machine_asking *a = arg;
    if (err == GW_E_INVALID) {
        settle_refused(a, &refused_password);
    } else if (err != GW_OK) {
        settle_unreachable(a, detail);
    } else if ((a->token = view_dup(token)) == NULL) {
        settle(a, &machine_no_memory);
    } else {
        a->has_waited = false;
        step(a);
    }
}

static void step_password(struct machine_asking *a)
{
    struct view password = view_at(a->text, a->n_text), username = view_split(&password, '\0');
    a->provider = a->ms->issuers[0];
    if (is_waiting_for_provider(a))
        return;
    enum gw_err err = provider_grant_app(a->provider, username, password, on_granted, a);
    if (err != GW_OK)
        settle_unasked(a, err);
}

static void step(struct machine_asking *a)
{
    if (a->kind == MACHINE_PASSWORD && a->token == NULL)
        step_password(a);
    else
        step_token(a);
}

/* ---- the beginning ---- */

static bool add_waiter(struct machine_asking *a, const struct machine_check *c)
{
    struct waiter *w = a->ms->n_waiters < MACHINE_WAITERS_MAX ? malloc(sizeof(*w)) : NULL;
    if (w == NULL)
        return false;
    *w = (struct waiter){a->waiters, c->fn, c->arg};
    a->waiters = w;
    a->ms->n_waiters++;
    return true;
}

/* Anybody can ask about much at once: that must not cost those who are known more than a provider that is away would. */
static void answer_overloaded(struct machines *ms, const struct machine_check *c, struct machine *known)
{
    bool may_serve = known != NULL && !known->is_ended && machine_is_bearable(ms, known->as_of_s) &&
                     (!known->is_signed || known->keys_generation == known->provider->keys_generation);
    struct machine_answer a = may_serve ? machine_known(known, true) : machine_overloaded;
    c->fn(c->arg, &a);
}

bool machine_ask_join(struct machines *ms, const struct machine_check *c)
{
    struct machine_asking *a = ms->askings;
    while (a != NULL && memcmp(a->id, c->id, DIGEST_BYTES) != 0)
        a = a->next;
    if (a == NULL)
        return false;
    if (!add_waiter(a, c))
        answer_overloaded(ms, c, a->known);
    return true;
}

static struct machine_asking *asking_new(struct machines *ms, const struct machine_check *c)
{
    struct machine_asking *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    *a = (struct machine_asking){.ms = ms, .kind = c->kind, .client = *c->client, .claims = BUF(PACK_BYTES_MAX)};
    a->text = malloc(c->text.n);
    a->n_text = a->text == NULL ? 0 : c->text.n;
    if (a->text == NULL || !add_waiter(a, c)) {
        asking_free(a);
        return NULL;
    }
    memcpy(a->text, c->text.p, c->text.n);
    memcpy(a->id, c->id, DIGEST_BYTES);
    return a;
}

void machine_ask(struct machines *ms, const struct machine_check *c, struct machine *known, bool is_counted)
{
    struct machine_asking *a = ms->n_askings < MACHINE_ASKING_MAX ? asking_new(ms, c) : NULL;
    if (a == NULL) {
        answer_overloaded(ms, c, known);
        return;
    }
    a->is_counted = is_counted;
    a->known = known == NULL ? NULL : machine_ref(known);
    a->next = ms->askings;
    if (a->next != NULL)
        a->next->prev = a;
    ms->askings = a;
    ms->n_askings++;
    step(a);
}
