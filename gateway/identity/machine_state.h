/* machine_state: what the two files of machine.h share; for them alone.
 *
 * machine.c decides what can be decided at once, from memory or by signature. machine_ask.c carries the rest through what must be
 * waited for (keys, introspection, a grant, userinfo), once per credential however many requests show it. */
#pragma once

#include "identity/machine.h"
#include "identity/provider_state.h"
#include "store/ttlmap.h"

enum { MACHINE_KEY_BYTES = 32, MACHINE_AWAY_S = 2 };

struct machine {
    uint32_t n_refs;
    bool is_ended;
    bool is_signed; /* by a key that may be withdrawn */
    uint8_t id[DIGEST_BYTES];
    struct machine *prev, *next; /* all that anybody holds, so that none is missed when a session ends */
    struct machines *ms;         /* NULL: that is gone */
    struct provider *provider;   /* whose token it is */
    uint32_t keys_generation;
    struct principal *who;
    int64_t exp_s, iat_s;
    int64_t as_of_s; /* when the claims were true */
    int64_t retry_s; /* not before that, after the provider could not be asked */
};

enum machine_kind { MACHINE_TOKEN = 't', MACHINE_PASSWORD = 'p' };

/* One request's question. */
struct machine_check {
    enum machine_kind kind;
    struct view text; /* the token; username NUL password */
    const struct ipaddr *client;
    uint8_t id[DIGEST_BYTES];
    machine_fn fn;
    void *arg;
};

struct machine_asking;

/* What ended, by digest: sessions, people, single tokens. */
struct machine_ended {
    int64_t issued_until_s;
    uint64_t n; /* which ending it was, counted */
};

struct machines {
    struct machines_spec spec;
    struct provider *issuers[1 + MACHINE_ISSUERS_MAX]; /* the first is borrowed */
    size_t n_issuers;
    uint8_t key[MACHINE_KEY_BYTES];
    struct ttlmap *known;   /* counted machines */
    struct ttlmap *refused; /* answers, constants */
    struct ttlmap *ended;   /* struct machine_ended */
    uint64_t n_endings;
    int64_t distrust_s; /* what was issued by then is asked about: an ending had to be let go early */
    struct machine *all;
    struct machine_asking *askings;
    size_t n_askings, n_waiters;
    struct buf scratch;
    uint8_t json[VERIFIER_TOKEN_MAX];
    bool has_complained;
};

extern const struct machine_answer machine_away, machine_overloaded, machine_no_memory, machine_refused_live;

/* What is known of a token whose claims were verified or vouched for. */
struct machine_facts {
    struct provider *provider;
    struct principal *who;
    int64_t iat_s, as_of_s;
    bool is_signed;
};
/* A counted reference; NULL without memory. */
struct machine *machine_new(struct machines *ms, const uint8_t id[DIGEST_BYTES], const struct machine_facts *f);
/* Past its exp, for the leeway, a token is verified each time. No memory: it is looked at again next time. */
void machine_remember(struct machine *m);
void machine_end(struct machines *ms, struct machine *m);
struct machine_answer machine_known(struct machine *m, bool is_stale);
void machine_note_ended(struct machines *ms, const uint8_t id[DIGEST_BYTES], int64_t issued_until_s);
void machine_note_refusal(struct machines *ms, const uint8_t id[DIGEST_BYTES], const struct machine_answer *verdict,
                          int64_t life_s);
/* Its session or person ended; since: by an ending after the so-manieth. */
bool machine_was_ended(struct machines *ms, struct pack_val claims, uint64_t since);
/* Claims are as old as the token: they were true when it was issued. Its clock may be ahead of ours. */
int64_t machine_issued_s(struct pack_val claims);
bool machine_is_fresh(const struct machines *ms, int64_t as_of_s);
bool machine_is_bearable(const struct machines *ms, int64_t as_of_s);
/* Neither it nor its person ended since it was issued, as far as anybody told us. */
bool machine_is_trusted_unasked(struct machines *ms, struct pack_val claims);
bool machine_is_jwt(struct view token);
/* Whose rules a token must meet; NULL: nobody's. Nothing of it is verified: what it says only chooses among our own entries. */
struct provider *machine_find_issuer(struct machines *ms, struct view token);

/* --- machine_ask.c --- */

/* True: the same credential is being asked about, and c waits with the others (or was told that too many wait). */
bool machine_ask_join(struct machines *ms, const struct machine_check *c);
/* known: whose claims are to be renewed, or NULL. is_counted: against the budgets, which get it back if it was right. c is answered in
 * any case, now or later. */
void machine_ask(struct machines *ms, const struct machine_check *c, struct machine *known, bool is_counted);

/* --- machine_budget.c --- */

/* Whether one more attempt with a credential that nobody has verified may be made; it is counted. Credentials that are known are not
 * asked about here, so nobody is locked out by others' guesses. */
bool machine_budget_take(struct machines *ms, const struct machine_check *c);
/* It was right. text: the credential. */
void machine_budget_give_back(struct machines *ms, enum machine_kind kind, struct view text, const struct ipaddr *client);
