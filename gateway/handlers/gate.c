#include "handlers/gate.h"

#include "handlers/ratelimit.h"
#include "handlers/recorder.h"
#include "handlers/stronger.h"
#include "http/cookie.h"
#include "util/epoch.h"
#include "util/meter.h"

/* ---- record ---- */

static struct view outcome_name(enum outcome o)
{
    switch (o) {
    case OUTCOME_ALLOWED:
        return VIEW("allowed");
    case OUTCOME_LOGIN:
        return VIEW("login_required");
    case OUTCOME_STEP_UP:
        return VIEW("step_up");
    case OUTCOME_DENIED:
        return VIEW("denied");
    case OUTCOME_MALFORMED:
    case OUTCOME_LIMITED:
        return VIEW("refused");
    case OUTCOME_UNAVAILABLE: /* the reason tells which */
    case OUTCOME_DEFECT:
        break;
    }
    return VIEW("error");
}

static struct view decision_name(enum outcome o)
{
    return o == OUTCOME_ALLOWED ? VIEW("allow") : o == OUTCOME_LOGIN || o == OUTCOME_STEP_UP ? VIEW("login") : VIEW("deny");
}

static void fill_policy(const struct gate *g, struct record_decision *r, struct view errors[DECISION_ERRORS_MAX])
{
    const struct decision *d = &g->decision;
    for (size_t i = 0; i < d->n_errors; i++)
        errors[i] = view_of(d->errors[i].text);
    r->revision = view_of(d->revision);
    r->rule = view_of(d->rule);
    r->file = view_of(d->file);
    r->line = d->line;
    r->matched = d->matched;
    r->n_matched = d->n_matched;
    r->errors = errors;
    r->n_errors = d->n_errors;
    r->instr = d->instructions;
    r->eval_bytes = d->host_bytes;
    r->eval_us = g->eval_us;
}

static void fill_request(const struct gate *g, struct record_decision *r, char ip[IPADDR_TEXT_MAX + 1])
{
    const struct gateway *gw = g->x->core->gateway;
    const struct original *o = &g->original;
    ipaddr_format(&o->client, ip);
    r->request_id = view_of(g->id);
    r->method = o->method;
    r->host = o->uri.authority;
    r->path = o->uri.path;
    r->query = o->uri.query;
    r->query_key = view_at((const char *)gw->query_key, sizeof(gw->query_key));
    if (o->client.family != 0)
        r->ip = view_of(ip);
    r->action = view_of(action_name(g->action));
    r->dialect = view_of(original_dialect_name(g->dialect));
    r->trace_id = view_at(g->traceparent + 3, 32);
}

static bool write_record(struct gate *g)
{
    struct core *core = g->x->core;
    struct record_decision r = {.id = view_of(g->id), .now_ms = g->now_ms};
    struct view errors[DECISION_ERRORS_MAX];
    char ip[IPADDR_TEXT_MAX + 1];
    struct buf groups = BUF(JOURNAL_LINE_MAX);

    r.decision = decision_name(g->outcome);
    /* Rules that erred deny as others do, but say nothing about the person. */
    r.outcome = outcome_name(strcmp(g->reason, "error") == 0 ? OUTCOME_DEFECT : g->outcome);
    r.reason = view_of(g->reason);
    r.reason_text = g->reason_text;
    r.subject = recorder_subject(g->identify.who, &groups);
    r.subject.is_stale = g->identify.is_stale;
    if (g->has_repo) {
        r.forge = view_of(g->repo.forge->name);
        r.owner = view_of(g->repo.owner);
        r.name = view_of(g->repo.name);
        r.visibility = view_of(visibility_name(g->visibility));
    }
    fill_request(g, &r, ip);
    fill_policy(g, &r, errors);
    buf_clear(&core->record);
    bool ok = recorder_append(core, record_put_decision(&core->record, &r));
    buf_deinit(&groups);
    return ok;
}

static void note_raw(struct gate *g)
{
    const struct config *c = g->x->core->gateway->config;
    original_note_raw(&g->x->request, g->dialect, c->server.trusted_proxies, c->server.n_trusted_proxies, &g->original);
}

bool gate_is_our_cookie(const struct gateway *gw, struct view name)
{
    return view_eq(name, view_of(gw->cookie_name)) || view_starts(name, view_of(gw->login_cookie_prefix)) ||
           view_starts(name, VIEW("authentik_proxy_"));
}

/* ---- the end ---- */

static void count(const struct gate *g)
{
    switch (g->outcome) {
    case OUTCOME_ALLOWED:
        meter_inc(METER_DECISION_ALLOW);
        break;
    case OUTCOME_LOGIN:
    case OUTCOME_STEP_UP:
        meter_inc(METER_DECISION_LOGIN);
        break;
    case OUTCOME_DENIED:
    case OUTCOME_MALFORMED:
    case OUTCOME_LIMITED:
        meter_inc(METER_DECISION_DENY);
        break;
    case OUTCOME_UNAVAILABLE:
    case OUTCOME_DEFECT:
        meter_inc(METER_DECISION_ERROR);
        break;
    }
    meter_add(METER_POLICY_ERRORS, (int64_t)g->decision.n_errors);
}

static void finish(struct gate *g, enum outcome outcome, const char *reason)
{
    g->outcome = outcome;
    g->reason = reason;
    if (!write_record(g) && outcome == OUTCOME_ALLOWED) {
        g->outcome = OUTCOME_UNAVAILABLE;
        g->reason = "audit_unavailable";
    }
    count(g);
    g->done(g);
}

static bool is_our_cookie(struct view name, void *arg)
{
    return gate_is_our_cookie(arg, name);
}

/* What the workspace can check by itself, whichever way the request reaches it. */
static enum gw_err assert_visitor(struct gate *g, struct view *ret_assertion)
{
    struct core *core = g->x->core;
    char id[DRIVER_ID_LEN + 1];
    if (core->assertions == NULL || !g->has_repo)
        return GW_OK;
    enum gw_err err = driver_format_id(&(struct driver_ask){&g->repo, g->identify.who}, id);
    if (err != GW_OK)
        return err;
    struct assertion_ask ask = {
        .who = g->identify.who,
        .audience = view_at(id, DRIVER_ID_LEN),
        .repo = view_of(g->repo.full),
        .max_bytes =
            g->dialect == DIALECT_OWN ? ATTRIBUTION_WORKSPACE_ASSERTION_MAX_BYTES : ATTRIBUTION_ANSWER_ASSERTION_MAX_BYTES,
    };
    return assertion_make(core->assertions, &ask, g->now_ms / 1000, &g->x->arena, ret_assertion);
}

static enum gw_err attribute(struct gate *g)
{
    struct exchange *x = g->x;
    struct gateway *gw = x->core->gateway;
    char ip[IPADDR_TEXT_MAX + 1];
    struct attribution_facts facts = {
        .principal = g->identify.who,
        .repo = g->has_repo ? &g->repo : NULL,
        .path = g->original.uri.path,
        .decision_id = view_of(g->id),
        .traceparent = view_of(g->traceparent),
    };
    enum gw_err err = assert_visitor(g, &facts.assertion);
    if (err != GW_OK)
        return err;
    if (g->dialect != DIALECT_OWN)
        return attribution_add(&g->attribution, ATTRIBUTION_ANSWER, &facts, &x->arena);
    ipaddr_format(&g->original.client, ip);
    facts.client_ip = arena_copy(&x->arena, view_of(ip));
    facts.proto = gw->config->server.public_uri.scheme;
    facts.host = gw->config->server.public_uri.authority;
    return attribution_for_workspace(&g->attribution, &x->request, &facts, is_our_cookie, gw, &x->arena);
}

static void finish_allowed(struct gate *g)
{
    enum gw_err err = attribute(g);
    if (err == GW_OK)
        finish(g, OUTCOME_ALLOWED, "allowed");
    else if (err == GW_E_LIMIT)
        finish(g, OUTCOME_UNAVAILABLE, "identity_too_large");
    else
        finish(g, OUTCOME_DEFECT, "error");
}

/* ---- a stronger login ---- */

static void on_remembered(void *arg, enum gw_err err)
{
    struct gate *g = arg;
    if (err == GW_OK)
        finish(g, OUTCOME_STEP_UP, "step_up");
    else if (err == GW_E_NOTFOUND)
        finish(g, OUTCOME_LOGIN, "login_required");
    else
        finish(g, OUTCOME_UNAVAILABLE, "store_unavailable");
}

/* The next thing that a browser asks for may be the login, of another replica: so the session remembers first, then comes the answer. */
static void remember_need(struct gate *g, int64_t need)
{
    struct view cookie;
    struct core *core = g->x->core;
    enum gw_err err = GW_E_NOTFOUND;
    if (cookie_get(&g->x->request, view_of(core->gateway->cookie_name), &cookie) == COOKIE_ONE)
        err = session_need(core->gateway->sessions, core->loop, cookie, need, on_remembered, g);
    if (err != GW_OK)
        on_remembered(g, err);
}

static void step_up(struct gate *g)
{
    int64_t need = 0, now_s = g->now_ms / 1000;
    const struct stepup *what = &g->decision.need;
    struct arena *a = &g->x->arena;
    g->reason_text = stronger_explain(what, a);
    if (g->identify.session == NULL) {
        finish(g, OUTCOME_STEP_UP, "step_up");
        return;
    }
    switch (stronger_judge(what, g->identify.who, g->identify.session, now_s, &need)) {
    case STRONGER_HOPELESS:
        g->reason_text = stronger_explain_failure(what, g->identify.who, now_s, a);
        finish(g, OUTCOME_DENIED, "step_up_failed");
        break;
    case STRONGER_REMEMBER:
        remember_need(g, need);
        break;
    case STRONGER_ASK:
        finish(g, OUTCOME_STEP_UP, "step_up");
        break;
    }
}

/* ---- decide ---- */

static void judge(struct gate *g);

static void on_visibility(void *arg, enum visibility_value value)
{
    struct gate *g = arg;
    g->visibility = value == VISIBILITY_PENDING ? VISIBILITY_UNKNOWN : value;
    judge(g);
}

static struct view find_header(void *arg, struct view name)
{
    /* What a policy may read of the client's own words. */
    static const struct view allowed[] = {{"user-agent", 10}, {"accept-language", 15}, {"referer", 7}};
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if (view_eq_ci(allowed[i], name))
            return header_find(arg, name);
    return VIEW_NONE;
}

static void fill_input(struct gate *g)
{
    g->input = (struct policy_input){
        .user = g->identify.who,
        .session_stale = g->identify.is_stale,
        .repo = g->has_repo ? &g->repo : NULL,
        .visibility = g->visibility,
        .action = g->action,
        .method = g->original.method,
        .host = g->original.uri.host,
        .path = g->has_repo ? g->repo.rest : g->original.uri.path,
        .ip = g->original.client,
        .now_ms = g->now_ms,
        .request_id = view_of(g->id),
        .header = find_header,
        .header_arg = &g->x->request,
    };
}

static void judge(struct gate *g)
{
    struct core *core = g->x->core;
    if (core->engine == NULL) {
        finish(g, OUTCOME_UNAVAILABLE, "no_policy");
        return;
    }
    fill_input(g);
    int64_t from_us = epoch_mono_us();
    if (engine_eval(core->engine, &g->input, &g->decision) != GW_OK) {
        decision_deny(&g->decision, "error");
        finish(g, OUTCOME_DENIED, "error");
        return;
    }
    g->eval_us += epoch_mono_us() - from_us;
    if (g->decision.needs_visibility && g->has_repo && g->visibility == VISIBILITY_PENDING)
        visibility_ask(core->gateway->visibility, core->loop, core->fetcher, &g->repo, on_visibility, g);
    else if (g->decision.verdict == VERDICT_ALLOW && !g->decision.needs_visibility)
        finish_allowed(g);
    else if (g->decision.verdict == VERDICT_STEP_UP)
        step_up(g);
    else
        finish(g, OUTCOME_DENIED, g->decision.reason[0] == '\0' ? "error" : g->decision.reason);
}

/* ---- identify ---- */

static void on_identified(struct identify *i, enum identified found)
{
    struct gate *g = GW_OWNER(i, struct gate, identify);
    switch (found) {
    case IDENTIFIED_KNOWN:
        g->visibility = g->has_repo ? visibility_find(g->x->core->gateway->visibility, &g->repo) : VISIBILITY_UNKNOWN;
        judge(g);
        break;
    case IDENTIFIED_NOBODY:
        g->reason_text = view_of(i->why);
        if (ratelimit_admits_nobody(g->x, &g->original.client, &g->retry_s))
            finish(g, OUTCOME_LOGIN, "login_required");
        else
            finish(g, OUTCOME_LIMITED, "rate_limited");
        break;
    case IDENTIFIED_UNAVAILABLE:
        finish(g, OUTCOME_UNAVAILABLE, "store_unavailable");
        break;
    case IDENTIFIED_UNREACHABLE:
        g->reason_text = view_of(i->why);
        finish(g, OUTCOME_UNAVAILABLE, "provider_unavailable");
        break;
    case IDENTIFIED_LIMITED:
        g->retry_s = GATE_LIMITED_RETRY_S;
        g->reason_text = view_of(i->why);
        finish(g, OUTCOME_LIMITED, "rate_limited");
        break;
    }
}

/* ---- the beginning ---- */

static bool is_hex(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (!((v.p[i] >= '0' && v.p[i] <= '9') || (v.p[i] >= 'a' && v.p[i] <= 'f')))
            return false;
    return true;
}

/* W3C Trace Context 1 2.2: version 00, and no all-zero identifier. */
static bool is_traceparent(struct view v)
{
    static const char zeroes[] = "00000000000000000000000000000000";
    return v.n == GATE_TRACEPARENT_LEN && view_starts(v, VIEW("00-")) && v.p[35] == '-' && v.p[52] == '-' &&
           is_hex(view_at(v.p + 3, 32)) && is_hex(view_at(v.p + 36, 16)) && is_hex(view_at(v.p + 53, 2)) &&
           memcmp(v.p + 3, zeroes, 32) != 0 && memcmp(v.p + 36, zeroes, 16) != 0;
}

static enum gw_err make_traceparent(struct gate *g)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t ids[24];
    char *p = g->traceparent;
    struct view sent = header_value(&g->x->request, HEADER_TRACEPARENT);
    enum gw_err err = rnd_pooled(ids, sizeof(ids));
    if (err != GW_OK)
        return err;
    memcpy(p, "00-", 3);
    for (size_t i = 0; i < sizeof(ids); i++) {
        char *at = p + 3 + i * 2 + (i >= 16);
        at[0] = hex[ids[i] >> 4];
        at[1] = hex[ids[i] & 15];
    }
    p[35] = '-';
    memcpy(p + 52, "-01", 4);
    /* A caller that we trust names the trace; the step within it is ours. */
    if (g->x->request.peer_is_trusted && is_traceparent(sent))
        memcpy(p + 3, sent.p + 3, 32);
    return GW_OK;
}

/* Time, identifiers, action: what every record has. */
static bool name_it(struct gate *g)
{
    const struct request *r = &g->x->request;
    g->now_ms = epoch_now_ms();
    g->action = request_is_websocket(r) || header_find(r, VIEW("sec-websocket-key")).n > 0 ? ACTION_CONNECT : ACTION_OPEN;
    return rnd_uuid7(g->now_ms, g->id) == GW_OK && make_traceparent(g) == GW_OK;
}

static void start(struct gate *g)
{
    struct gateway *gw = g->x->core->gateway;
    const struct config *c = gw->config;
    enum original_fault fault = original_find(&g->x->request, g->dialect, &c->server.public_uri, c->server.trusted_proxies,
                                              c->server.n_trusted_proxies, &g->original);
    g->is_echo = fault == ORIGINAL_FINE && original_is_echo_path(g->original.uri.path);
    if (g->is_echo && gw->echo == NULL)
        fault = ORIGINAL_OWN_PATH;
    if (fault != ORIGINAL_FINE) {
        note_raw(g);
        finish(g, OUTCOME_MALFORMED, original_fault_reason(fault));
        return;
    }
    if (g->original.is_websocket)
        g->action = ACTION_CONNECT;
    enum repo_found found =
        g->is_echo ? REPO_NONE : repo_parse_path(c->forges.items, c->forges.n, g->original.uri.path, &g->repo);
    switch (found) {
    case REPO_AMBIGUOUS:
        finish(g, OUTCOME_MALFORMED, original_fault_reason(ORIGINAL_AMBIGUOUS));
        return;
    case REPO_ONE:
        g->has_repo = true;
        break;
    case REPO_NONE:
        break;
    }
    /* A dialect that does not tell the address leaves all such clients one budget. */
    g->identify = (struct identify){.x = g->x, .done = on_identified, .client = g->original.client};
    identify_begin(&g->identify);
}

struct gate *gate_begin(struct exchange *x, enum dialect dialect, void (*done)(struct gate *g), void *owner)
{
    struct gate *g = arena_get(&x->arena, sizeof(*g));
    if (g == NULL)
        return NULL;
    memset(g, 0, offsetof(struct gate, attribution));
    g->attribution.n = 0;
    g->x = x;
    g->dialect = dialect;
    g->done = done;
    g->owner = owner;
    if (!name_it(g))
        finish(g, OUTCOME_DEFECT, "error");
    else
        start(g);
    return g;
}

bool gate_record_refused(struct exchange *x, enum dialect dialect, const char *reason, const char *text)
{
    struct gate g = {.x = x, .dialect = dialect, .outcome = OUTCOME_MALFORMED, .reason = reason, .reason_text = view_of(text)};
    note_raw(&g);
    return name_it(&g) && write_record(&g);
}

void gate_end(struct gate *g)
{
    identify_end(&g->identify);
}
