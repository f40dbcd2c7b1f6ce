/* machine: programs that show a credential with each request: checked at first sight, remembered, and checked again in time.
 *
 * Shape: made once per worker thread over its provider. Three kinds of credentials:
 *   a signed access token   of the provider, or of one of the further issuers, each with a keyset of its own; the token's unverified
 *                           `iss` chooses whose rules it must meet and nothing else
 *   an opaque access token  the provider vouches for it (introspection), and says who stands behind it (userinfo)
 *   user and app password   exchanged for an access token (client_credentials), which is then verified like any other
 * The last two ask the provider about something that nobody has verified, so they exist only with `introspection`, and each
 * client address has a budget of attempts; one that succeeds costs nothing.
 * Freshness: claims are as old as the token's iat, or as the userinfo that came later. Younger than refresh_s they are believed;
 * after that userinfo is asked before anything is judged, a password is exchanged anew. Refused = forgotten, and remembered as
 * refused for as long as its signature alone would let it in again. Unreachable = the old claims serve, marked stale, up to
 * refresh_s + grace_s. A token whose claims cannot be renewed, for want of the scope openid, is refused once they are too old.
 * Memory: MACHINE_KNOWN_MAX credentials or MACHINE_KNOWN_BYTES of principals are remembered, those used longest ago go first;
 * MACHINE_REFUSED_MAX refusals; only a digest under a random key is kept of any credential.
 * Owns: machines borrow provider and throttle, which outlive them. A struct machine is counted.
 * Threads: all on the loop's own thread; once that has stopped, any.
 * Source: DESIGN 5; RFC 6750, RFC 7617, RFC 7662, RFC 9068; Authentik's grants.
 * Not here: reading Authorization (identify), status codes (reply). */
#pragma once

#include "identity/provider.h"
#include "store/throttle.h"

enum {
    MACHINE_KNOWN_MAX = 10000,
    MACHINE_KNOWN_BYTES = 32 * 1024 * 1024,
    MACHINE_REFUSED_MAX = 4096,
    MACHINE_REFUSED_S = 30, /* how long a refused credential is refused without asking again */
    MACHINE_RETRY_S = 5,    /* between two tries to renew claims while the provider is away */
    MACHINE_ENDED_MAX = 4096,
    MACHINE_ASKING_MAX = 1024,  /* credentials about which something is being asked */
    MACHINE_WAITERS_MAX = 4096, /* requests that wait for that */
    MACHINE_ISSUERS_MAX = 8,
    MACHINE_ATTEMPTS_PER_MINUTE = 30,     /* that fail, with an app password or opaque token, of an address */
    MACHINE_GUESSES_PER_MINUTE = 300,     /* of a user name, from many addresses: one address alone cannot use it up */
    MACHINE_BAD_TOKENS_PER_MINUTE = 1000, /* signed ones, of an address: they cost nobody but us */
    MACHINE_PASSWORD_MAX = 1024,          /* user name and password together */
};

struct machines;
struct machine;

struct machines_spec {
    struct provider *provider;
    const struct provider_spec *further; /* other issuers; client_id is the audience. Borrowed, as for provider_new() */
    size_t n_further;
    struct loop *loop;
    struct fetcher *fetcher;
    bool introspection;
    struct throttle *throttle;       /* shared by all workers; needed with introspection */
    struct throttle *name_throttle;  /* likewise, for the user names of app passwords */
    struct throttle *token_throttle; /* shared likewise, for signed tokens */
    int64_t refresh_s, grace_s;
};

/* GW_E_INVALID as provider_new(); GW_E_LIMIT more than MACHINE_ISSUERS_MAX; GW_E_IO no random bytes. */
enum gw_err machines_new(const struct machines_spec *spec, struct machines **ret_machines) GW_MUST_CHECK;
/* Discovery of the further issuers begins. */
void machines_start(struct machines *ms);
/* After provider_free(), which ends what waits for the provider. Who waits for another issuer is told MACHINE_UNAVAILABLE. A machine
 * that is held stays valid. */
void machines_free(struct machines *ms);

enum machine_found {
    MACHINE_UNAVAILABLE, /* the provider would have to be asked, and cannot be */
    MACHINE_REFUSED,
    MACHINE_LIMITED, /* too many attempts from this address */
    MACHINE_KNOWN,
};

struct machine_answer {
    enum machine_found found;
    struct machine *machine; /* KNOWN: a counted reference for the callee */
    const char *reason;      /* why not, in a few words, a constant */
    bool is_stale;           /* KNOWN by claims that could not be renewed in time */
};
typedef void (*machine_fn)(void *arg, const struct machine_answer *a);

/* fn is called exactly once, on this thread, often before the call returns. Views are borrowed for the call. */
void machines_check_token(struct machines *ms, struct view token, const struct ipaddr *client, machine_fn fn, void *arg);
void machines_check_password(struct machines *ms, struct view username, struct view password, const struct ipaddr *client,
                             machine_fn fn, void *arg);

struct machine_ending {
    struct view iss, name; /* name: a sid, or a sub */
    bool by_sub;
    int64_t issued_until_s; /* by sub: tokens issued by then; INT64_MAX: whenever */
};
/* A session ended, or everything of a person: their credentials are forgotten, and those not seen yet are asked about before they
 * are believed. */
void machines_forget(struct machines *ms, const struct machine_ending *e);

struct principal *
machine_who(const struct machine *m); /* borrowed from m until its claims are renewed: principal_ref() to keep */
/* For what goes on after the request, such as a WebSocket: its exp has passed, or it was refused or forgotten. */
bool machine_has_ended(const struct machine *m);
struct machine *machine_ref(struct machine *m);
void machine_unref(struct machine *m); /* NULL is fine */
