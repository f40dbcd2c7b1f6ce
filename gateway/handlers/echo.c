#include "handlers/echo.h"

#include "handlers/handlers.h"
#include "handlers/reply.h"
#include "util/epoch.h"
#include "util/secret.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct note {
    int64_t at_ms;
    char id[RND_UUID_LEN + 1];
    const char *dialect;
    char method[16];
    char ip[IPADDR_TEXT_MAX + 1];
    char host[ECHO_NAME_MAX + 1];
    char username[ECHO_NAME_MAX + 1];
    char target[ECHO_TARGET_MAX + 1];
};

struct echo {
    atomic_size_t n_refused; /* questions */
    pthread_mutex_t lock;
    size_t n_noted; /* ever: the next note goes to n_noted % ECHO_NOTES_MAX */
    struct note notes[ECHO_NOTES_MAX];
};

enum gw_err echo_new(struct echo **ret_echo)
{
    struct echo *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return GW_E_NOMEM;
    pthread_mutex_init(&e->lock, NULL);
    *ret_echo = e;
    return GW_OK;
}

void echo_free(struct echo *e)
{
    if (e == NULL)
        return;
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* ---- notes ---- */

static bool copy_text(char *out, size_t size, struct view v)
{
    if (v.n >= size)
        return false;
    if (v.n > 0)
        memcpy(out, v.p, v.n);
    out[v.n] = '\0';
    return true;
}

static bool fill_note(const struct gate *g, struct note *note)
{
    const struct original *o = &g->original;
    struct view parts[] = {o->uri.path, o->uri.query.p == NULL ? VIEW_NONE : VIEW("?"), o->uri.query};
    struct view target = arena_join(&g->x->arena, parts, 3);
    *note = (struct note){.at_ms = g->now_ms, .dialect = original_dialect_name(g->dialect)};
    memcpy(note->id, g->id, sizeof(note->id));
    ipaddr_format(&o->client, note->ip);
    return target.p != NULL && copy_text(note->target, sizeof(note->target), target) &&
           copy_text(note->method, sizeof(note->method), o->method) &&
           copy_text(note->host, sizeof(note->host), o->uri.authority) &&
           copy_text(note->username, sizeof(note->username), principal_username(g->identify.who));
}

static void keep_note(struct echo *e, const struct note *note)
{
    pthread_mutex_lock(&e->lock);
    e->notes[e->n_noted++ % ECHO_NOTES_MAX] = *note;
    pthread_mutex_unlock(&e->lock);
}

static bool find_note(struct echo *e, struct view id, int64_t now_ms, struct note *ret_note)
{
    bool is_found = false;
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < ECHO_NOTES_MAX && !is_found; i++) {
        const struct note *n = &e->notes[i];
        is_found = n->at_ms + ECHO_KEEP_MS > now_ms && secret_eq(view_of(n->id), id);
        if (is_found)
            *ret_note = *n;
    }
    pthread_mutex_unlock(&e->lock);
    return is_found;
}

/* What a proxy takes off on the way to a workspace: the three segments of a repository. */
static struct view base_of(struct view path)
{
    size_t prefix = sizeof(ORIGINAL_ECHO_PREFIX) - 1;
    return view_at(path.p, prefix + view_index(view_skip(path, prefix), '/'));
}

/* Without a note the proxy names no upstream, and goes where it goes for a cold workspace: to the gateway's own route, which judges again. */
void echo_note(struct gate *g, bool names_upstream)
{
    struct exchange *x = g->x;
    struct note note;
    struct view local = names_upstream ? exchange_local(x) : VIEW_NONE;
    if (!fill_note(g, &note))
        return;
    keep_note(x->core->gateway->echo, &note);
    if (local.p == NULL)
        return;
    struct view parts[] = {VIEW("http://"), local};
    response_put(&x->response, "X-Repogate-Upstream", arena_join(&x->arena, parts, 2));
    response_put(&x->response, "X-Repogate-Upstream-Host", x->core->gateway->config->server.public_uri.authority);
}

void echo_count_refused(const struct gate *g)
{
    struct echo *e = g->x->core->gateway->echo;
    if (e != NULL && g->outcome == OUTCOME_MALFORMED)
        atomic_fetch_add_explicit(&e->n_refused, 1, memory_order_relaxed);
}

/* ---- what is told ---- */

static bool is_secret(struct view name)
{
    static const struct view secrets[] = {{"x-repogate-assertion", 20}, {"x-repogate-proxy-secret", 23}};
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
        if (header_is_alias(name, secrets[i]))
            return true;
    return header_classify(name) == HEADER_SECRET;
}

static void put_field(struct buf *out, bool is_first, struct view name, struct view value)
{
    buf_put(out, is_first ? VIEW("[") : VIEW(",["));
    buf_put_json(out, name);
    buf_puts(out, ",");
    if (is_secret(name))
        buf_printf(out, "\"(%zu bytes)\"", value.n);
    else
        buf_put_json(out, value);
    buf_puts(out, "]");
}

static void put_member(struct buf *out, struct view name, struct view value)
{
    buf_put(out, name);
    buf_put_json(out, value);
}

static void put_judged(struct buf *out, const struct note *note)
{
    put_member(out, VIEW(",\"judged\":{\"id\":"), view_of(note->id));
    put_member(out, VIEW(",\"dialect\":"), view_of(note->dialect));
    put_member(out, VIEW(",\"method\":"), view_of(note->method));
    put_member(out, VIEW(",\"host\":"), view_of(note->host));
    put_member(out, VIEW(",\"target\":"), view_of(note->target));
    put_member(out, VIEW(",\"base\":"), base_of(view_of(note->target)));
    put_member(out, VIEW(",\"ip\":"), view_of(note->ip));
    put_member(out, VIEW(",\"username\":"), view_of(note->username));
    buf_puts(out, "}");
}

static void put_arrived(struct buf *out, const struct request *r)
{
    char peer[IPADDR_TEXT_MAX + 1];
    ipaddr_format(&r->peer, peer);
    put_member(out, VIEW(",\"arrived\":{\"peer\":"), view_of(peer));
    put_member(out, VIEW(",\"method\":"), r->method);
    put_member(out, VIEW(",\"target\":"), r->target);
    buf_puts(out, ",\"headers\":[");
    for (size_t i = 0; i < r->n_headers; i++)
        put_field(out, i == 0, r->headers[i].name, r->headers[i].value);
    buf_puts(out, "]}");
}

/* What a workspace would have been sent by us. */
static void put_workspace(struct buf *out, const struct gate *g)
{
    const struct attribution_list *list = &g->attribution;
    buf_puts(out, ",\"workspace\":{\"headers\":[");
    for (size_t i = 0; i < list->n; i++)
        put_field(out, i == 0, list->items[i].name, list->items[i].value);
    buf_puts(out, "]}");
}

/* g: NULL if the proxy has asked, and routes. */
static void tell(struct exchange *x, const struct note *note, const struct gate *g)
{
    struct buf out = BUF(ECHO_BODY_MAX);
    put_member(&out, VIEW("{\"repogate_echo\":1,\"routed_by\":"), g == NULL ? VIEW("proxy") : VIEW("gateway"));
    buf_printf(&out, ",\"refused_questions\":%zu",
               atomic_load_explicit(&x->core->gateway->echo->n_refused, memory_order_relaxed));
    put_judged(&out, note);
    put_arrived(&out, &x->request);
    if (g != NULL)
        put_workspace(&out, g);
    buf_puts(&out, "}\n");
    reply_json(x, 200, VIEW("application/json"), &out);
}

/* ---- the request ---- */

static void reply_too_long(struct exchange *x)
{
    reply_problem(x, &(struct reply_problem){
                         .status = 414,
                         .reason = "malformed_request",
                         .title = text_of(TEXT_ECHO_TOO_LONG),
                         .text = text_of(TEXT_ECHO_CAP),
                     });
}

static void on_judged(struct gate *g)
{
    struct note note;
    g->x->state = g; /* may come before gate_begin() has returned */
    if (g->outcome != OUTCOME_ALLOWED)
        reply_outcome(g);
    else if (fill_note(g, &note))
        tell(g->x, &note, g);
    else
        reply_too_long(g->x);
}

static void end(struct exchange *x)
{
    if (x->state != NULL)
        gate_end(x->state);
}

/* One of several may be the proxy's and the others the client's. */
static bool find_decision(struct exchange *x, struct note *ret_note)
{
    const struct request *r = &x->request;
    for (size_t i = 0; r->peer_is_trusted && i < r->n_headers; i++)
        if (view_eq_ci(r->headers[i].name, VIEW("x-repogate-decision-id")) &&
            find_note(x->core->gateway->echo, r->headers[i].value, epoch_now_ms(), ret_note))
            return true;
    return false;
}

bool echo_expects(struct exchange *x)
{
    struct note note;
    return x->core->gateway->echo != NULL && find_decision(x, &note);
}

void handle_echo(struct exchange *x)
{
    struct note note;
    if (x->core->gateway->echo == NULL) {
        handle_nothing(x);
        return;
    }
    if (find_decision(x, &note)) {
        tell(x, &note, NULL);
        return;
    }
    x->on_done = end;
    x->state = gate_begin(x, DIALECT_OWN, on_judged, NULL);
    if (x->state == NULL)
        reply_defect(x);
}
