/* attribution: says who is asking, and sees to it that nobody else can say so.
 *
 * Shape: one table names every header of ours and who receives it. Towards a workspace, the client's headers are passed on without
 * hop-by-hop ones (those that Connection names too), look-alikes of ours in any spelling, control headers, Authorization and our
 * cookies; ours are added afterwards, so that nothing the client sends can take one away. All of a receiver's are always
 * present, empty when there is no value.
 * Values: UTF-8 as it is; `%`, `|`, control bytes and blanks at the ends percent-encoded; lists joined by `|`. X-Request-Path, X-GitHub-Repo
 * and X-Repogate-Repo are as they were judged.
 * Errors: GW_E_LIMIT the identity is larger than the receiver's budget (never cut), or there are too many headers; GW_E_INVALID a value
 * that is not ours to encode holds a control byte; GW_E_NOMEM.
 * Owns: values come from the arena, or are borrowed from the request and the facts. Threads: any.
 * Not here: X-Policy-*, which are not sent yet; making the assertion (identity/assertion), which has a budget of its own.
 * Source: DESIGN 4; RFC 9110 7.6.1; PLATFORM 1.5, 3.3; RFC 6265 5.2. */
#pragma once

#include "forge/repo.h"
#include "http/request.h"
#include "identity/principal.h"
#include "proxy/relay.h"
#include "util/arena.h"

enum {
    ATTRIBUTION_HEADERS_MAX = RELAY_HEADERS_MAX,
    ATTRIBUTION_ANSWER_IDENTITY_MAX_BYTES = 1536,    /* names, values and what stands between, on the wire */
    ATTRIBUTION_WORKSPACE_IDENTITY_MAX_BYTES = 8192, /* half of what Node accepts as a whole head */
    /* Of the assertion itself, so that its whole field keeps to 1.5 KiB. */
    ATTRIBUTION_ANSWER_ASSERTION_MAX_BYTES = 1536 - (int)sizeof("X-Repogate-Assertion: \r\n") + 1,
    /* A longer path, or one for which the assertion leaves no room in its own budget, is left empty in an auth answer, whose head a proxy
     * reads into 4 KiB; the proxy has the path anyway. */
    ATTRIBUTION_ANSWER_PATH_MAX_BYTES = 512,
    ATTRIBUTION_WORKSPACE_ASSERTION_MAX_BYTES = 4096,
};

enum attribution_receiver {
    ATTRIBUTION_MINIMAL,   /* an answer that allows nothing: the decision's id and the trace */
    ATTRIBUTION_ANSWER,    /* an auth answer to the proxy in front */
    ATTRIBUTION_WORKSPACE, /* the workspace, when we route */
};

struct attribution_facts {
    const struct principal *principal; /* NULL: nobody */
    const struct repo *repo;           /* NULL: none */
    struct view path;                  /* of the original request, as judged */
    struct view decision_id, traceparent;
    struct view assertion;              /* for this receiver; empty without a key or a workspace */
    struct view client_ip, proto, host; /* as the client saw us; workspace only */
};

struct attribution_list {
    struct relay_header items[ATTRIBUTION_HEADERS_MAX];
    size_t n;
};

/* Is a cookie of this name ours, and never a workspace's business? */
typedef bool (*attribution_cookie_fn)(struct view name, void *arg);

/* Appends ours. */
enum gw_err attribution_add(struct attribution_list *list, enum attribution_receiver to, const struct attribution_facts *facts,
                            struct arena *a) GW_MUST_CHECK;
/* Appends what is left of the client's headers, then ours: what relay_request.headers wants. */
enum gw_err attribution_for_workspace(struct attribution_list *list, const struct request *r,
                                      const struct attribution_facts *facts, attribution_cookie_fn is_our_cookie, void *arg,
                                      struct arena *a) GW_MUST_CHECK;
/* May this header of a workspace's answer reach the browser (and the proxy on the way)? */
bool attribution_answer_passes(struct view name, struct view value, attribution_cookie_fn is_our_cookie, void *arg);
/* The target for the workspace: base path, then the rest byte for byte, or "/", then the query if query.p is set. p == NULL without memory. */
struct view attribution_target(struct view base_path, struct view rest, struct view query, struct arena *a);
