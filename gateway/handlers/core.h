/* core: what one core has, and what all cores share; the handlers' world.
 *
 * Owns: nothing; app makes and frees everything. Threads: a core belongs to its loop; what `gateway` points to is either
 * immutable or locks by itself. */
#pragma once

#include "audit/journal.h"
#include "config/config.h"
#include "forge/visibility.h"
#include "http/exchange.h"
#include "identity/assertion.h"
#include "identity/machine.h"
#include "net/fetch.h"
#include "policy/engine.h"
#include "proxy/relay.h"
#include "proxy/tunnel.h"
#include "store/session.h"
#include "store/throttle.h"
#include "util/seal.h"
#include "util/secretfile.h"
#include "workspace/driver.h"

#include <stdatomic.h>

enum { GATEWAY_CORES_MAX = 64, CORE_RECORD_MAX = JOURNAL_LINE_MAX, CORE_QUERY_KEY_BYTES = 32 };

struct logo;

struct gateway {
    const struct config *config;
    struct jobs *jobs;
    struct store *store;
    struct sessions *sessions;
    const struct seal_ring *ring;
    struct throttle *login_throttle;
    struct throttle *machine_throttle; /* attempts with credentials that nobody has verified */
    struct throttle *name_throttle;    /* likewise, by user name */
    struct throttle *token_throttle;   /* signed ones */
    struct throttle *nobody_throttle;  /* requests of nobody known */
    struct secretfile *proxy_secret;   /* NULL = none is asked for */
    struct journal *journal;
    struct visibility *visibility;
    const struct driver *driver;
    struct echo *echo;                       /* NULL = there is none (doctor.enabled); handlers/echo.h */
    uint8_t query_key[CORE_QUERY_KEY_BYTES]; /* for the digests of query strings in the log */
    struct throttle *bad_tokens;             /* logout tokens and admin tokens that are none, per client address */
    const struct logo *logo;                 /* NULL = none */
    struct secretfile *admin_token;          /* NULL = no admin API */
    struct core *cores[GATEWAY_CORES_MAX];   /* all of them, once they run */
    size_t n_cores;
    const char *cookie_name;         /* __Host-repogate, or repogate over http */
    const char *login_cookie_prefix; /* one cookie per login attempt */
    atomic_bool is_draining;
    atomic_bool has_policy;
};

struct echo;
struct guard; /* handlers/guard.h */

struct core {
    struct gateway *gateway; /* NULL in a guard */
    struct guard *guard;     /* NULL in a gateway */
    struct loop *loop;
    struct fetcher *fetcher;
    struct provider *provider;
    struct machines *machines;
    struct relay_pool *relays;
    struct tunnel_pool *tunnels;
    struct assertion_maker *assertions; /* NULL = no key: nothing is asserted */
    struct engine *engine;              /* NULL = no policy: everything is denied with no_policy */
    struct buf record;                  /* the audit line being built */
};
