/* meter: the registry of counters and gauges, shown as Prometheus text.
 *
 * One X-macro table in meter.h is the whole list, so documentation and exposition cannot differ.
 * Labels never hold a user or a repository. Threads: any (relaxed atomics). */
#pragma once

#include "util/buf.h"

/* id, name, labels (or ""), type, help */
#define METER_TABLE(X)                                                                                                         \
    X(METER_REQUESTS, "repogate_requests_total", "", "counter", "Requests received.")                                          \
    X(METER_REQUESTS_REFUSED, "repogate_requests_refused_total", "", "counter", "Requests refused before routing.")            \
    X(METER_DECISION_ALLOW, "repogate_decisions_total", "outcome=\"allow\"", "counter", "Decisions by outcome.")               \
    X(METER_DECISION_DENY, "repogate_decisions_total", "outcome=\"deny\"", "counter", "Decisions by outcome.")                 \
    X(METER_DECISION_LOGIN, "repogate_decisions_total", "outcome=\"login\"", "counter", "Decisions by outcome.")               \
    X(METER_DECISION_ERROR, "repogate_decisions_total", "outcome=\"error\"", "counter", "Decisions by outcome.")               \
    X(METER_LOGIN_OK, "repogate_logins_total", "result=\"ok\"", "counter", "Logins by result.")                                \
    X(METER_LOGIN_FAILED, "repogate_logins_total", "result=\"failed\"", "counter", "Logins by result.")                        \
    X(METER_LOGIN_LIMITED, "repogate_logins_total", "result=\"limited\"", "counter", "Logins by result.")                      \
    X(METER_BACKCHANNEL_OK, "repogate_provider_logouts_total", "result=\"ok\"", "counter", "Back-channel logouts.")            \
    X(METER_BACKCHANNEL_REFUSED, "repogate_provider_logouts_total", "result=\"refused\"", "counter", "Back-channel logouts.")  \
    X(METER_BACKCHANNEL_FAILED, "repogate_provider_logouts_total", "result=\"failed\"", "counter", "Back-channel logouts.")    \
    X(METER_BEARER_VERIFIED, "repogate_bearer_verifications_total", "", "counter", "Bearer tokens verified by signature.")     \
    X(METER_ASSERTIONS_SIGNED, "repogate_assertions_signed_total", "", "counter",                                              \
      "Assertions signed; more are sent, since one is reused.")                                                                \
    X(METER_MACHINE_CHECKED, "repogate_credential_checks_total", "result=\"ok\"", "counter",                                   \
      "Questions to the provider about programs' credentials, by result.")                                                     \
    X(METER_MACHINE_REFUSED, "repogate_credential_checks_total", "result=\"refused\"", "counter",                              \
      "Questions to the provider about programs' credentials, by result.")                                                     \
    X(METER_MACHINE_UNREACHABLE, "repogate_credential_checks_total", "result=\"unreachable\"", "counter",                      \
      "Questions to the provider about programs' credentials, by result.")                                                     \
    X(METER_MACHINE_LIMITED, "repogate_credential_checks_total", "result=\"limited\"", "counter",                              \
      "Questions to the provider about programs' credentials, by result.")                                                     \
    X(METER_POLICY_ERRORS, "repogate_policy_errors_total", "", "counter", "Rules that erred.")                                 \
    X(METER_POLICY_RELOADS, "repogate_policy_reloads_total", "result=\"ok\"", "counter", "Policy reloads by result.")          \
    X(METER_POLICY_REJECTED, "repogate_policy_reloads_total", "result=\"rejected\"", "counter", "Policy reloads by result.")   \
    X(METER_AUDIT_LINES, "repogate_audit_lines_total", "", "counter", "Audit lines written.")                                  \
    X(METER_AUDIT_FAILED, "repogate_audit_failures_total", "", "counter", "Audit lines that could not be written.")            \
    X(METER_AUTH_BODY_ANNOUNCED, "repogate_auth_body_announced_total", "", "counter",                                          \
      "Auth requests that announced a body; each costs the proxy a connection.")                                               \
    X(METER_SESSIONS_CACHED, "repogate_sessions_cached", "", "gauge", "Sessions in memory.")                                   \
    X(METER_REFRESH_OK, "repogate_session_refreshes_total", "result=\"ok\"", "counter", "Refreshes by result.")                \
    X(METER_REFRESH_FAILED, "repogate_session_refreshes_total", "result=\"failed\"", "counter", "Refreshes by result.")        \
    X(METER_REFRESH_ENDED, "repogate_session_refreshes_total", "result=\"ended\"", "counter", "Refreshes by result.")          \
    X(METER_STALE, "repogate_stale_sessions_served_total", "", "counter",                                                      \
      "Requests judged by claims older than session.refresh, which could not be refreshed.")                                   \
    X(METER_JOBS_REFUSED, "repogate_jobs_refused_total", "", "counter", "Blocking jobs refused because the queue was full.")   \
    X(METER_SECRETS_RELOADED, "repogate_secret_reloads_total", "result=\"ok\"", "counter", "Changed secret files by result.")  \
    X(METER_SECRETS_REJECTED, "repogate_secret_reloads_total", "result=\"rejected\"", "counter",                               \
      "Changed secret files by result.")                                                                                       \
    X(METER_FETCHES, "repogate_backchannel_requests_total", "", "counter", "HTTP exchanges with the provider and the forges.") \
    X(METER_FETCH_FAILED, "repogate_backchannel_failures_total", "", "counter", "HTTP exchanges that failed.")                 \
    X(METER_PROBES, "repogate_visibility_probes_total", "", "counter", "Visibility probes sent to forges.")                    \
    X(METER_PROXIED, "repogate_proxied_requests_total", "", "counter", "Requests routed to workspaces.")                       \
    X(METER_PROXY_FAILED, "repogate_proxy_failures_total", "", "counter", "Requests whose workspace could not answer.")        \
    X(METER_TUNNELS_OPEN, "repogate_websockets_open", "", "gauge", "WebSockets carried now.")                                  \
    X(METER_CONNECTIONS, "repogate_connections_open", "", "gauge", "Client connections open now.")

enum meter_id {
#define X(id, name, labels, type, help) id,
    METER_TABLE(X)
#undef X
        METER_COUNT
};

void meter_add(enum meter_id id, int64_t n);
int64_t meter_value(enum meter_id id);
/* Prometheus text exposition format 0.0.4. */
void meter_format(struct buf *out);

/* The README's table of metrics, in Markdown. */
void meter_format_markdown(struct buf *out);

static inline void meter_inc(enum meter_id id)
{
    meter_add(id, 1);
}
