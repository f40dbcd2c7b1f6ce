#include "identity/machine_state.h"

#include "util/b64url.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"
#include "util/packtext.h"
#include "util/rnd.h"
#include "util/secret.h"

#include <stdlib.h>

enum { KNOWN_OVERHEAD_BYTES = sizeof(struct machine) + TTLMAP_ENTRY_BYTES };

static const struct machine_answer too_many = {.found = MACHINE_LIMITED, .reason = "too many attempts from this address"};

/* ---- one machine ---- */

struct machine *machine_new(struct machines *ms, const uint8_t id[DIGEST_BYTES], const struct machine_facts *f)
{
    struct machine *m = malloc(sizeof(*m));
    if (m == NULL)
        return NULL;
    *m = (struct machine){
        .n_refs = 1,
        .is_signed = f->is_signed,
        .next = ms->all,
        .ms = ms,
        .provider = f->provider,
        .keys_generation = f->provider->keys_generation,
        .who = principal_ref(f->who),
        .exp_s = principal_exp_s(f->who),
        .iat_s = f->iat_s,
        .as_of_s = f->as_of_s,
    };
    memcpy(m->id, id, DIGEST_BYTES);
    if (ms->all != NULL)
        ms->all->prev = m;
    ms->all = m;
    return m;
}

static void unlink_machine(struct machine *m)
{
    if (m->prev != NULL)
        m->prev->next = m->next;
    else
        m->ms->all = m->next;
    if (m->next != NULL)
        m->next->prev = m->prev;
    m->prev = m->next = NULL;
    m->ms = NULL;
}

struct machine *machine_ref(struct machine *m)
{
    m->n_refs++;
    return m;
}

void machine_unref(struct machine *m)
{
    if (m == NULL || --m->n_refs > 0)
        return;
    if (m->ms != NULL)
        unlink_machine(m);
    principal_unref(m->who);
    free(m);
}

static void drop_machine(void *value)
{
    machine_unref(value);
}

struct principal *machine_who(const struct machine *m)
{
    return m->who;
}

bool machine_has_ended(const struct machine *m)
{
    return m->is_ended || epoch_now_s() >= m->exp_s;
}

struct machine_answer machine_known(struct machine *m, bool is_stale)
{
    return (struct machine_answer){.found = MACHINE_KNOWN, .machine = machine_ref(m), .reason = "", .is_stale = is_stale};
}

void machine_remember(struct machine *m)
{
    if (epoch_now_s() < m->exp_s)
        (void)!ttlmap_put(m->ms->known, m->id, machine_ref(m), principal_bytes(m->who) + KNOWN_OVERHEAD_BYTES, m->exp_s);
}

void machine_end(struct machines *ms, struct machine *m)
{
    m->is_ended = true;
    (void)ttlmap_remove(ms->known, m->id);
}

/* ---- birth and death of them all ---- */

static enum gw_err make_issuers(struct machines *ms)
{
    const struct machines_spec *spec = &ms->spec;
    ms->issuers[ms->n_issuers++] = spec->provider;
    if (spec->n_further > MACHINE_ISSUERS_MAX)
        return GW_E_LIMIT;
    for (size_t i = 0; i < spec->n_further; i++) {
        enum gw_err err = provider_new(&spec->further[i], spec->loop, spec->fetcher, &ms->issuers[ms->n_issuers]);
        if (err != GW_OK)
            return err;
        ms->n_issuers++;
    }
    return GW_OK;
}

static enum gw_err make_maps(struct machines *ms)
{
    const struct ttlmap_spec known = {MACHINE_KNOWN_MAX, MACHINE_KNOWN_BYTES, drop_machine},
                             refused = {MACHINE_REFUSED_MAX, 0, NULL}, ended = {MACHINE_ENDED_MAX, 0, free};
    enum gw_err err = ttlmap_new(&known, &ms->known);
    if (err == GW_OK)
        err = ttlmap_new(&refused, &ms->refused);
    if (err == GW_OK)
        err = ttlmap_new(&ended, &ms->ended);
    return err;
}

enum gw_err machines_new(const struct machines_spec *spec, struct machines **ret_machines)
{
    struct machines *ms = calloc(1, sizeof(*ms));
    if (ms == NULL)
        return GW_E_NOMEM;
    ms->spec = *spec;
    ms->scratch = BUF(PACK_BYTES_MAX);
    enum gw_err err = rnd_bytes(ms->key, sizeof(ms->key));
    if (err == GW_OK)
        err = make_maps(ms);
    if (err == GW_OK)
        err = make_issuers(ms);
    if (err != GW_OK) {
        machines_free(ms);
        return err;
    }
    *ret_machines = ms;
    return GW_OK;
}

void machines_start(struct machines *ms)
{
    for (size_t i = 1; i < ms->n_issuers; i++)
        provider_start(ms->issuers[i]);
}

void machines_free(struct machines *ms)
{
    if (ms == NULL)
        return;
    for (size_t i = 1; i < ms->n_issuers; i++)
        provider_free(ms->issuers[i]); /* ends what waits for it, through its own callbacks */
    ttlmap_free(ms->known);
    ttlmap_free(ms->refused);
    ttlmap_free(ms->ended);
    while (ms->all != NULL)
        unlink_machine(ms->all);
    buf_deinit(&ms->scratch);
    secret_wipe(ms->key, sizeof(ms->key));
    free(ms);
}

/* ---- names ---- */

static struct view key_of(const struct machines *ms)
{
    return view_at((const char *)ms->key, sizeof(ms->key));
}

/* Keyed, so that a digest is of no use to whoever sees one; the kind tells apart what is spelled alike. */
static enum gw_err name_credential(const struct machines *ms, enum machine_kind kind, struct view text,
                                   uint8_t ret_id[DIGEST_BYTES])
{
    const char tag = (char)kind;
    const struct view parts[] = {key_of(ms), view_at(&tag, 1), text};
    return digest_sha256_parts(parts, 3, ret_id);
}

/* An issuer is a URL and has no NUL. */
static enum gw_err name_ending(const struct machines *ms, bool by_sub, struct view iss, struct view name,
                               uint8_t ret_id[DIGEST_BYTES])
{
    const struct view parts[] = {key_of(ms), by_sub ? VIEW("sub") : VIEW("sid"), iss, view_at("", 1), name};
    return digest_sha256_parts(parts, 5, ret_id);
}

bool machine_is_jwt(struct view token)
{
    size_t n_dots = 0;
    for (size_t i = 0; i < token.n; i++)
        n_dots += token.p[i] == '.';
    return n_dots == 2;
}

struct provider *machine_find_issuer(struct machines *ms, struct view token)
{
    size_t n;
    struct view rest = token;
    if (ms->n_issuers == 1)
        return ms->issuers[0];
    (void)view_split(&rest, '.');
    buf_clear(&ms->scratch);
    if (b64url_decode(view_split(&rest, '.'), ms->json, sizeof(ms->json), &n) != GW_OK ||
        packtext_parse(view_at((const char *)ms->json, n), &ms->scratch) != GW_OK)
        return NULL;
    struct view iss = pack_string(pack_find(pack_root(ms->scratch.p), VIEW("iss")));
    for (size_t i = 0; i < ms->n_issuers; i++)
        if (view_eq(ms->issuers[i]->issuer, iss))
            return ms->issuers[i];
    return NULL;
}

/* ---- what ended ---- */

static bool has_room_for_ending(struct machines *ms, int64_t now_s)
{
    const uint8_t *id;
    void *value;
    if (ttlmap_count(ms->ended) == MACHINE_ENDED_MAX)
        for (size_t pos = 0; ttlmap_next(ms->ended, &pos, &id, &value);)
            (void)ttlmap_find(ms->ended, id, now_s); /* takes out what has expired */
    return ttlmap_count(ms->ended) < MACHINE_ENDED_MAX;
}

/* An ending that finds no room makes its rule everybody's: what was issued by now is asked about before it is believed. */
void machine_note_ended(struct machines *ms, const uint8_t id[DIGEST_BYTES], int64_t issued_until_s)
{
    int64_t now_s = epoch_now_s();
    struct machine_ended *e = has_room_for_ending(ms, now_s) ? malloc(sizeof(*e)) : NULL;
    ms->n_endings++;
    if (e != NULL) {
        *e = (struct machine_ended){issued_until_s, ms->n_endings};
        /* What is older than refresh_s is asked about in any case. */
        if (ttlmap_put(ms->ended, id, e, 0, now_s + ms->spec.refresh_s + 2 * VERIFIER_LEEWAY_S) == GW_OK)
            return;
    }
    ms->distrust_s = now_s + VERIFIER_LEEWAY_S;
}

/* Without a digest nobody can say no. */
static bool has_ended_since(struct machines *ms, bool by_sub, struct view iss, struct view name, int64_t iat_s, uint64_t since)
{
    uint8_t id[DIGEST_BYTES];
    if (name.n == 0 || ttlmap_count(ms->ended) == 0)
        return false;
    if (name_ending(ms, by_sub, iss, name, id) != GW_OK)
        return true;
    const struct machine_ended *e = ttlmap_find(ms->ended, id, epoch_now_s());
    return e != NULL && e->n > since && iat_s <= e->issued_until_s;
}

bool machine_was_ended(struct machines *ms, struct pack_val claims, uint64_t since)
{
    struct view iss = pack_string(pack_find(claims, VIEW("iss")));
    return has_ended_since(ms, false, iss, pack_string(pack_find(claims, VIEW("sid"))), INT64_MIN, since) ||
           has_ended_since(ms, true, iss, pack_string(pack_find(claims, VIEW("sub"))), machine_issued_s(claims), since);
}

void machines_forget(struct machines *ms, const struct machine_ending *e)
{
    uint8_t id[DIGEST_BYTES];
    int64_t until_s = e->by_sub ? e->issued_until_s : INT64_MAX;
    if (name_ending(ms, e->by_sub, e->iss, e->name, id) == GW_OK)
        machine_note_ended(ms, id, until_s);
    else
        ms->distrust_s = INT64_MAX;
    for (struct machine *m = ms->all, *next; m != NULL; m = next) {
        struct view name = e->by_sub ? principal_sub(m->who) : principal_sid(m->who);
        next = m->next;
        if (name.n > 0 && m->iat_s <= until_s && view_eq(name, e->name) && view_eq(principal_iss(m->who), e->iss))
            machine_end(ms, m);
    }
}

/* ---- how old ---- */

bool machine_is_fresh(const struct machines *ms, int64_t as_of_s)
{
    return epoch_now_s() - as_of_s <= ms->spec.refresh_s;
}

bool machine_is_bearable(const struct machines *ms, int64_t as_of_s)
{
    return epoch_now_s() - as_of_s <= ms->spec.refresh_s + ms->spec.grace_s;
}

int64_t machine_issued_s(struct pack_val claims)
{
    int64_t iat_s = pack_int(pack_find(claims, VIEW("iat"))), now_s = epoch_now_s();
    return iat_s > now_s ? now_s : iat_s;
}

bool machine_is_trusted_unasked(struct machines *ms, struct pack_val claims)
{
    return machine_issued_s(claims) > ms->distrust_s && !machine_was_ended(ms, claims, 0);
}

/* ---- deciding ---- */

void machine_note_refusal(struct machines *ms, const uint8_t id[DIGEST_BYTES], const struct machine_answer *verdict,
                          int64_t life_s)
{
    (void)!ttlmap_put(ms->refused, id, (void *)(uintptr_t)verdict, 0, epoch_now_s() + life_s);
}

static void answer(const struct machine_check *c, const struct machine_answer *a)
{
    c->fn(c->arg, a);
}

static void refuse(const struct machine_check *c, const char *reason)
{
    answer(c, &(struct machine_answer){.found = MACHINE_REFUSED, .reason = reason});
}

/* False: memory does not tell. */
static bool decide_by_memory(const struct machines *ms, struct machine *m, struct machine_answer *ret)
{
    if (m->is_signed && m->keys_generation != m->provider->keys_generation)
        return false;
    if (!machine_is_fresh(ms, m->as_of_s) && epoch_now_s() >= m->retry_s)
        return false;
    *ret = machine_is_bearable(ms, m->as_of_s) ? machine_known(m, !machine_is_fresh(ms, m->as_of_s)) : machine_away;
    return true;
}

/* What is known without asking the provider anything; NULL: nothing. */
static const struct machine_answer *find_refusal(struct machines *ms, const uint8_t id[DIGEST_BYTES])
{
    int64_t now_s = epoch_now_s();
    const struct machine_answer *refusal = ttlmap_find(ms->refused, id, now_s);
    return refusal == NULL && ttlmap_find(ms->ended, id, now_s) != NULL ? &machine_refused_live : refusal;
}

/* A token whose signature is all that it takes. False: something must be asked. */
static bool decide_by_signature(struct machines *ms, const struct machine_check *c, struct machine_answer *ret)
{
    struct pack_val claims;
    struct machine_facts f = {.provider = machine_find_issuer(ms, c->text), .is_signed = true};
    *ret = (struct machine_answer){.found = MACHINE_REFUSED, .reason = "iss is another issuer"};
    if (f.provider == NULL)
        return true;
    enum gw_err err = provider_verify_access(f.provider, c->text, &claims, &ret->reason);
    if (err != GW_OK)
        return err != GW_E_NOTFOUND;
    f.iat_s = f.as_of_s = machine_issued_s(claims);
    if (!machine_is_fresh(ms, f.as_of_s) || !machine_is_trusted_unasked(ms, claims))
        return false;
    ret->reason = "claims are unfit";
    if (principal_new(claims, PRINCIPAL_BEARER, f.provider->is_repogate_requested, &f.who) != GW_OK)
        return true;
    struct machine *m = machine_new(ms, c->id, &f);
    principal_unref(f.who);
    if (m == NULL) {
        *ret = machine_no_memory;
        return true;
    }
    machine_remember(m);
    *ret = machine_known(m, false);
    machine_unref(m);
    return true;
}

static void decide(struct machines *ms, struct machine_check *c)
{
    struct machine_answer decided;
    const struct machine_answer *refusal;
    if (name_credential(ms, c->kind, c->text, c->id) != GW_OK) {
        answer(c, &machine_no_memory);
        return;
    }
    bool is_jwt = c->kind == MACHINE_TOKEN && machine_is_jwt(c->text);
    struct machine *known = ttlmap_find(ms->known, c->id, epoch_now_s());
    if (known != NULL && decide_by_memory(ms, known, &decided))
        answer(c, &decided);
    else if (machine_ask_join(ms, c))
        return;
    else if (known != NULL)
        machine_ask(ms, c, known, false);
    else if ((refusal = find_refusal(ms, c->id)) != NULL)
        answer(c, refusal);
    else if (!machine_budget_take(ms, c))
        answer(c, &too_many);
    else if (is_jwt && decide_by_signature(ms, c, &decided)) {
        if (decided.found != MACHINE_REFUSED)
            machine_budget_give_back(ms, c->kind, c->text, c->client);
        answer(c, &decided);
    } else
        machine_ask(ms, c, NULL, true);
}

void machines_check_token(struct machines *ms, struct view token, const struct ipaddr *client, machine_fn fn, void *arg)
{
    struct machine_check c = {.kind = MACHINE_TOKEN, .text = token, .client = client, .fn = fn, .arg = arg};
    if (token.n == 0)
        refuse(&c, "no token");
    else if (token.n > VERIFIER_TOKEN_MAX)
        refuse(&c, "token too long");
    else if (!ms->spec.introspection && !machine_is_jwt(token))
        refuse(&c, "not three parts");
    else
        decide(ms, &c);
}

void machines_check_password(struct machines *ms, struct view username, struct view password, const struct ipaddr *client,
                             machine_fn fn, void *arg)
{
    char text[MACHINE_PASSWORD_MAX + 1];
    struct machine_check c = {.kind = MACHINE_PASSWORD, .client = client, .fn = fn, .arg = arg};
    if (!ms->spec.introspection) {
        refuse(&c, "HTTP Basic is switched off (oidc.introspection)");
    } else if (username.n == 0 || password.n == 0 || username.n + password.n > MACHINE_PASSWORD_MAX ||
               memchr(username.p, '\0', username.n) != NULL) {
        refuse(&c, "no user name or no password, or too long");
    } else {
        memcpy(text, username.p, username.n);
        text[username.n] = '\0';
        memcpy(text + username.n + 1, password.p, password.n);
        c.text = view_at(text, username.n + 1 + password.n);
        decide(ms, &c);
        secret_wipe(text, sizeof(text));
    }
}
