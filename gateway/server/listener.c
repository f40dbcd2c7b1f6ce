/* What this file rests on (libmicrohttpd 0.9.75):
 * - A response queued in the first handler call closes the connection; from the second call on it is kept. So requests without
 *   a body are answered in the second call, and requests whose announced body nobody wants in the first.
 * - A response can be queued in the first call, or when the whole body has been taken, but not in between.
 * - A suspended connection has no time-out and does not notice that its client left; it must be resumed before the daemon is stopped.
 * - The raw target comes from the URI log callback only, and for some requests no other callback follows: what it allocates belongs
 *   to the connection.
 * - After that callback the library parses the query, in the same text, into records of its own. If they don't fit, the connection is left
 *   for dead, unanswered, and stays even if its client closes it. So the callback leaves one argument only.
 * - An upgraded socket can be duplicated and given back at once, which frees the connection's slot and memory. */
#include "server/listener.h"

#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>

enum { BACKLOG = 1024, STREAM_BLOCK_BYTES = 32 * 1024, SWEEP_MS = 5000, RUN_MS = 1000, RUNS_MAX = 8 };

enum phase {
    PHASE_IDLE,     /* between requests */
    PHASE_HEAD,     /* first call: a response queued now closes the connection */
    PHASE_BODY,     /* taking the request's body */
    PHASE_COMPLETE, /* the whole request is in */
    PHASE_ANSWERED, /* a response is queued */
};

enum answer { ANSWER_NONE, ANSWER_PLAIN, ANSWER_STREAM, ANSWER_UPGRADE };

struct conn {
    struct exchange x;
    struct listener *listener;
    struct MHD_Connection *mhd;
    struct conn *next, **link; /* the listener's list, for the sweep */
    struct ipaddr peer;
    bool peer_is_trusted;
    struct view target; /* in x.arena */
    int64_t idle_since_us;

    enum phase phase;
    enum answer answer;
    enum listener_body body;
    bool is_handled, is_suspended, in_callback, body_ended, has_sink;
    size_t discarded;
    struct buf form;
    struct exchange_sink sink;
    struct exchange_source source;
    void (*upgraded)(struct exchange *x, int fd, struct view early);
};

struct listener {
    struct listener_spec spec;
    struct MHD_Daemon *daemon;
    struct loop_fd epoll;
    struct loop_timer sweep, run;
    struct conn *conns;
    atomic_size_t n_active;
    bool is_quiesced, needs_run;
    atomic_bool is_stopped;
};

static struct conn *conn_of(struct exchange *x)
{
    return GW_OWNER(x, struct conn, x);
}

/* ---- suspending ---- */

static void suspend(struct conn *c)
{
    if (c->is_suspended)
        return;
    c->is_suspended = true;
    MHD_suspend_connection(c->mhd);
}

static void run_later(void *arg);

static void run_soon(struct listener *l)
{
    if (l->needs_run)
        return;
    /* If the loop's queue is full its timer runs the daemon a moment later. */
    l->needs_run = loop_post(l->spec.loop, run_later, l) == GW_OK;
}

/* The library reads edge-triggered: a connection on which it has more to do is not reported by its epoll descriptor again, only by a
 * time-out of zero. */
static void run_daemon(struct listener *l)
{
    MHD_UNSIGNED_LONG_LONG left_ms;
    for (int i = 0; i < RUNS_MAX; i++) {
        MHD_run(l->daemon);
        if (MHD_get_timeout(l->daemon, &left_ms) != MHD_YES || left_ms > 0)
            return;
    }
    /* A stopping loop runs until no task is left: clients must not keep it going. */
    if (!atomic_load(&l->is_stopped))
        run_soon(l);
}

static void resume(struct conn *c)
{
    if (!c->is_suspended)
        return;
    c->is_suspended = false;
    MHD_resume_connection(c->mhd);
    run_soon(c->listener);
}

static void run_later(void *arg)
{
    struct listener *l = arg;
    l->needs_run = false;
    run_daemon(l);
}

/* ---- what handlers ask for ---- */

static void answer_with(struct conn *c, enum answer a)
{
    c->answer = a;
    if (!c->in_callback)
        resume(c);
}

static void op_reply(struct exchange *x)
{
    answer_with(conn_of(x), ANSWER_PLAIN);
}

static void op_stream(struct exchange *x, const struct exchange_source *source)
{
    conn_of(x)->source = *source;
    answer_with(conn_of(x), ANSWER_STREAM);
}

static void op_wake(struct exchange *x)
{
    struct conn *c = conn_of(x);
    if (!c->in_callback)
        resume(c);
}

static void op_take_body(struct exchange *x, const struct exchange_sink *sink)
{
    struct conn *c = conn_of(x);
    c->sink = *sink;
    c->has_sink = true;
    if (!c->in_callback)
        resume(c);
}

static void op_upgrade(struct exchange *x, void (*fn)(struct exchange *x, int fd, struct view early))
{
    conn_of(x)->upgraded = fn;
    answer_with(conn_of(x), ANSWER_UPGRADE);
}

static struct view op_local(struct exchange *x)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof(at);
    char text[IPADDR_TEXT_MAX + 1], port[8];
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn_of(x)->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == NULL || getsockname(info->connect_fd, (struct sockaddr *)&at, &n) != 0)
        return VIEW_NONE;
    struct ipaddr addr = ipaddr_from_sockaddr((struct sockaddr *)&at);
    in_port_t number = at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port : ((struct sockaddr_in *)&at)->sin_port;
    ipaddr_format(&addr, text);
    snprintf(port, sizeof(port), ":%u", ntohs(number));
    bool is_v6 = addr.family == 6;
    struct view parts[] = {is_v6 ? VIEW("[") : VIEW_NONE, view_of(text), is_v6 ? VIEW("]") : VIEW_NONE, view_of(port)};
    return addr.family == 0 ? VIEW_NONE : arena_join(&x->arena, parts, 4);
}

static const struct exchange_ops ops = {op_reply, op_stream, op_wake, op_take_body, op_upgrade, op_local};

/* ---- answers ---- */

static ssize_t read_source(void *cls, uint64_t pos, char *out, size_t n)
{
    struct conn *c = cls;
    bool is_end = false, has_failed = false;
    (void)pos;
    c->in_callback = true;
    size_t got = c->source.read(&c->x, out, n, &is_end, &has_failed);
    c->in_callback = false;
    if (has_failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (got > 0)
        return (ssize_t)got;
    if (is_end)
        return MHD_CONTENT_READER_END_OF_STREAM;
    suspend(c);
    return 0;
}

static void on_upgraded(void *cls, struct MHD_Connection *mhd, void *con_cls, const char *extra_in, size_t extra_in_size,
                        MHD_socket sock, struct MHD_UpgradeResponseHandle *urh)
{
    struct conn *c = cls;
    (void)mhd, (void)con_cls;
    int fd = fcntl(sock, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0)
        c->upgraded(&c->x, fd, (struct view){extra_in, extra_in_size});
    MHD_upgrade_action(urh, MHD_UPGRADE_ACTION_CLOSE);
}

/* An answer that only tells about a body: HEAD, 304. */
static bool is_bodiless(const struct conn *c)
{
    return c->x.request.method_id == METHOD_HEAD || c->x.response.status == 304;
}

/* Of unknown length the library would call it chunked, and send the last chunk, which the next answer's reader would take for its beginning.
 * In this mode it sends neither length nor chunks, and closes. */
static struct MHD_Response *make_stream(struct conn *c)
{
    uint64_t length = c->source.length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)c->source.length;
    struct MHD_Response *m = MHD_create_response_from_callback(length, STREAM_BLOCK_BYTES, read_source, c, NULL);
    if (m == NULL || length != MHD_SIZE_UNKNOWN || !is_bodiless(c))
        return m;
    if (MHD_set_response_options(m, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END) == MHD_YES)
        return m;
    MHD_destroy_response(m);
    return NULL;
}

static struct MHD_Response *make_response(struct conn *c)
{
    struct view body = c->x.response.body;
    /* A literal for the empty body: libmicrohttpd wants a pointer. */
    static char nothing[] = "";
    switch (c->answer) {
    case ANSWER_STREAM:
        return make_stream(c);
    case ANSWER_UPGRADE:
        return MHD_create_response_for_upgrade(on_upgraded, c);
    case ANSWER_PLAIN:
    case ANSWER_NONE:
        break;
    }
    if (body.n == 0)
        return MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    /* The arena outlives the response: it is reset when the request is completed. */
    return MHD_create_response_from_buffer(body.n, (char *)(uintptr_t)body.p, MHD_RESPMEM_PERSISTENT);
}

/* The library takes no empty value; a blank is none of the value on the wire (RFC 9110 5.5). out: room for v.n + 2 bytes. */
static void copy_value(struct view v, char *out)
{
    if (v.n == 0)
        v = VIEW(" ");
    memcpy(out, v.p, v.n);
    out[v.n] = '\0';
}

static bool add_headers(const struct response *r, struct MHD_Response *m)
{
    char name[256];
    char small[1024];
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct header *h = &r->headers[i];
        GW_CLEANUP(gw_freep) char *large = NULL;
        char *value = small;
        if (h->name.n >= sizeof(name))
            return false;
        if (h->value.n + 2 > sizeof(small) && (value = large = malloc(h->value.n + 2)) == NULL)
            return false;
        memcpy(name, h->name.p, h->name.n);
        name[h->name.n] = '\0';
        copy_value(h->value, value);
        if (MHD_add_response_header(m, name, value) != MHD_YES)
            return false;
    }
    return true;
}

static enum MHD_Result queue_bare(struct conn *c, int status)
{
    struct MHD_Response *m = MHD_create_response_from_buffer(0, (char[]){""}, MHD_RESPMEM_MUST_COPY);
    if (m == NULL)
        return MHD_NO;
    enum MHD_Result ok = MHD_queue_response(c->mhd, (unsigned)status, m);
    MHD_destroy_response(m);
    return ok;
}

static enum MHD_Result queue_answer(struct conn *c)
{
    struct response *r = &c->x.response;
    c->phase = PHASE_ANSWERED;
    if (r->failed || r->status == 0) {
        log_printf(LOG_ERROR, "an answer could not be built; sent 500 instead");
        return queue_bare(c, 500);
    }
    struct MHD_Response *m = make_response(c);
    if (m == NULL)
        return MHD_NO;
    /* First, since the library forgets its date if this comes later. The upgrade's own is the library's business. */
    bool is_last = c->listener->is_quiesced && c->answer != ANSWER_UPGRADE;
    if ((is_last && MHD_add_response_header(m, "Connection", "close") != MHD_YES) || !add_headers(r, m)) {
        MHD_destroy_response(m);
        return queue_bare(c, 500);
    }
    enum MHD_Result ok = MHD_queue_response(c->mhd, (unsigned)r->status, m);
    MHD_destroy_response(m);
    return ok;
}

/* ---- requests ---- */

static unsigned minor_of(const char *version)
{
    if (strcmp(version, "HTTP/1.1") == 0)
        return 1;
    return strcmp(version, "HTTP/1.0") == 0 ? 0 : 99;
}

struct add_args {
    struct request *request;
    bool is_full;
};

static enum MHD_Result add_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_n, const char *value,
                                  size_t value_n)
{
    struct add_args *a = cls;
    (void)kind;
    if (request_add_header(a->request, (struct view){name, name_n}, (struct view){value, value == NULL ? 0 : value_n}) == GW_OK)
        return MHD_YES;
    a->is_full = true;
    return MHD_NO;
}

static enum request_fault fill_request(struct conn *c, const char *method, const char *version)
{
    struct request *r = &c->x.request;
    struct add_args args = {r, false};
    request_reset(r);
    r->method = view_of(method);
    r->target = c->target;
    r->minor = minor_of(version);
    r->peer = c->peer;
    r->peer_is_trusted = c->peer_is_trusted;
    MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, add_header, &args);
    if (args.is_full)
        return REQUEST_TOO_LARGE;
    return request_check(r);
}

static void handle(struct conn *c)
{
    c->is_handled = true;
    c->in_callback = true;
    c->listener->spec.handle(&c->x);
    c->in_callback = false;
}

/* First call: head only. */
static enum MHD_Result on_head(struct conn *c, const char *method, const char *version)
{
    if (atomic_load(&c->listener->is_stopped))
        return MHD_NO;
    c->phase = PHASE_HEAD;
    atomic_fetch_add_explicit(&c->listener->n_active, 1, memory_order_relaxed);
    response_reset(&c->x.response);
    meter_inc(METER_REQUESTS);
    enum request_fault fault = fill_request(c, method, version);
    if (fault != REQUEST_FINE) {
        meter_inc(METER_REQUESTS_REFUSED);
        c->is_handled = true;
        c->in_callback = true;
        c->listener->spec.refuse(&c->x, fault);
        c->in_callback = false;
        return queue_answer(c);
    }
    if (!c->x.request.has_body) {
        c->phase = PHASE_COMPLETE;
        return MHD_YES;
    }
    c->body = c->listener->spec.body(&c->x.request);
    if (c->body == LISTENER_BODY_FORM) {
        c->phase = PHASE_BODY;
        return MHD_YES;
    }
    handle(c);
    return MHD_YES;
}

/* After a handler has run on the head alone: answer (and close), go on to the body, or wait. */
static enum MHD_Result after_head(struct conn *c)
{
    if (c->answer != ANSWER_NONE)
        return queue_answer(c);
    if (c->has_sink)
        c->phase = PHASE_BODY;
    else
        suspend(c);
    return MHD_YES;
}

static enum MHD_Result discard(struct conn *c, size_t *n)
{
    c->discarded += *n;
    *n = 0;
    return c->discarded > LISTENER_DISCARD_MAX ? MHD_NO : MHD_YES;
}

/* A whole answer makes the rest of the body unwanted; one that still streams may be made of it. */
static bool sink_wants_more(const struct conn *c)
{
    return c->has_sink && (c->answer == ANSWER_NONE || c->answer == ANSWER_STREAM);
}

static enum MHD_Result on_form(struct conn *c, const char *p, size_t *n)
{
    buf_put(&c->form, (struct view){p, *n});
    if (!buf_ok(&c->form))
        return discard(c, n);
    *n = 0;
    return MHD_YES;
}

static enum MHD_Result on_body(struct conn *c, const char *p, size_t *n)
{
    if (!c->has_sink && c->answer == ANSWER_NONE)
        return on_form(c, p, n);
    /* Until it takes nothing: only then is it sure to wake us. */
    while (*n > 0 && sink_wants_more(c)) {
        c->in_callback = true;
        size_t taken = c->sink.write(&c->x, p, *n);
        c->in_callback = false;
        p += taken;
        *n -= taken;
        if (taken == 0 && sink_wants_more(c)) {
            suspend(c);
            return MHD_YES;
        }
    }
    return *n > 0 ? discard(c, n) : MHD_YES;
}

static void on_body_end(struct conn *c)
{
    c->body_ended = true;
    c->phase = PHASE_COMPLETE;
    if (!c->has_sink) {
        c->x.form = buf_ok(&c->form) ? buf_view(&c->form) : VIEW_NONE;
        return;
    }
    if (!sink_wants_more(c))
        return;
    c->in_callback = true;
    c->sink.end(&c->x);
    c->in_callback = false;
}

static enum MHD_Result on_complete(struct conn *c)
{
    if (!c->is_handled && atomic_load(&c->listener->is_stopped))
        return MHD_NO;
    if (!c->is_handled)
        handle(c);
    if (c->answer != ANSWER_NONE)
        return queue_answer(c);
    suspend(c);
    return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
                                  const char *upload_data, size_t *upload_data_size, void **con_cls)
{
    struct conn *c = *con_cls;
    (void)cls, (void)mhd, (void)url;
    if (c == NULL)
        return MHD_NO; /* no memory for the target */
    if (c->phase == PHASE_IDLE) {
        enum MHD_Result ok = on_head(c, method, version);
        return ok == MHD_YES && c->phase == PHASE_HEAD ? after_head(c) : ok;
    }
    if (c->phase == PHASE_HEAD) {
        enum MHD_Result ok = after_head(c);
        if (c->phase != PHASE_BODY || *upload_data_size == 0)
            return ok;
    }
    if (c->phase == PHASE_BODY && *upload_data_size > 0)
        return on_body(c, upload_data, upload_data_size);
    if (c->phase == PHASE_BODY)
        on_body_end(c);
    return c->phase == PHASE_COMPLETE ? on_complete(c) : MHD_YES;
}

static void end_request(struct conn *c)
{
    if (c->phase == PHASE_IDLE)
        return;
    if (c->x.on_done != NULL)
        c->x.on_done(&c->x);
    c->x.on_done = NULL;
    c->x.state = NULL;
    c->x.form = VIEW_NONE;
    buf_deinit(&c->form);
    c->phase = PHASE_IDLE;
    c->answer = ANSWER_NONE;
    c->is_handled = c->body_ended = c->has_sink = false;
    c->discarded = 0;
    atomic_fetch_sub_explicit(&c->listener->n_active, 1, memory_order_relaxed);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls, enum MHD_RequestTerminationCode why)
{
    struct conn *c = *con_cls;
    (void)cls, (void)mhd, (void)why;
    if (c == NULL)
        return;
    end_request(c);
    arena_reset(&c->x.arena);
    c->target = VIEW_NONE;
    c->idle_since_us = epoch_mono_us();
    *con_cls = NULL;
}

/* Of the library's copy; we have our own. */
static void hide_arguments(char *uri)
{
    char *query = strchr(uri, '?');
    for (char *p = query == NULL ? NULL : strchr(query, '&'); p != NULL; p = strchr(p, '&'))
        *p = '.';
}

static void *on_target(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct conn *c = info == NULL ? NULL : info->socket_context;
    (void)cls;
    if (c == NULL || uri == NULL)
        return NULL;
    arena_reset(&c->x.arena);
    c->target = arena_copy(&c->x.arena, view_of(uri));
    hide_arguments((char *)(uintptr_t)uri);
    return c->target.p == NULL ? NULL : c;
}

/* ---- connections ---- */

static struct conn *conn_new(struct listener *l, struct MHD_Connection *mhd)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info != NULL && info->client_addr != NULL)
        c->peer = ipaddr_from_sockaddr(info->client_addr);
    c->peer_is_trusted = ipnet_any_has(l->spec.trusted, l->spec.n_trusted, &c->peer);
    c->listener = l;
    c->mhd = mhd;
    c->x.core = l->spec.core;
    c->x.ops = &ops;
    c->x.arena = ARENA(EXCHANGE_ARENA_MAX);
    c->form = BUF(REQUEST_FORM_MAX_BYTES);
    c->idle_since_us = epoch_mono_us();
    c->next = l->conns;
    c->link = &l->conns;
    if (c->next != NULL)
        c->next->link = &c->next;
    l->conns = c;
    meter_inc(METER_CONNECTIONS);
    return c;
}

static void conn_free(struct conn *c)
{
    end_request(c);
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    arena_deinit(&c->x.arena);
    buf_deinit(&c->form);
    free(c);
    meter_add(METER_CONNECTIONS, -1);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context, enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = conn_new(cls, mhd);
    } else if (*socket_context != NULL) {
        conn_free(*socket_context);
        *socket_context = NULL;
    }
}

/* Nobody is known yet while these are read. */
static bool is_awaiting_client(const struct conn *c)
{
    return c->phase == PHASE_IDLE || (c->phase == PHASE_BODY && !c->has_sink && !c->is_handled);
}

/* libmicrohttpd's own time-out counts idle time, so a byte a second would hold a connection for ever. */
static void sweep_slow_clients(struct loop_timer *t)
{
    struct listener *l = t->arg;
    int64_t limit_us = epoch_mono_us() - (int64_t)LISTENER_IDLE_MS * 1000;
    for (struct conn *c = l->conns; c != NULL; c = c->next) {
        if (!is_awaiting_client(c) || c->idle_since_us > limit_us)
            continue;
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info != NULL)
            shutdown(info->connect_fd, SHUT_RDWR);
    }
    if (loop_timer_start(l->spec.loop, t, SWEEP_MS) != GW_OK)
        log_printf(LOG_ERROR, "the sweep of slow connections stopped: no memory");
}

/* ---- the listener ---- */

static void on_ready(struct loop_fd *lf, uint32_t events)
{
    struct listener *l = lf->arg;
    (void)events;
    run_daemon(l);
}

static void on_run_timer(struct loop_timer *t)
{
    struct listener *l = t->arg;
    run_daemon(l);
    if (loop_timer_start(l->spec.loop, t, RUN_MS) != GW_OK)
        log_printf(LOG_ERROR, "connection time-outs stopped: no memory");
}

static void on_library_log(void *cls, const char *fmt, va_list ap)
{
    char text[512];
    (void)cls;
    vsnprintf(text, sizeof(text), fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_DEBUG, "http", LOG_KV("detail", view_of(text)));
}

/* Decoding is left to our own parser. */
static size_t keep_encoded(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls, (void)mhd;
    return s == NULL ? 0 : strlen(s);
}

enum gw_err listener_bind(const char *host, uint16_t *port, int *ret_fd)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(*port), .sin6_addr = in6addr_any};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(*port)};
    bool is_v4 = inet_pton(AF_INET, host, &in.sin_addr) == 1;
    if (!is_v4 && host[0] != '\0' && inet_pton(AF_INET6, host, &in6.sin6_addr) != 1)
        return GW_E_INVALID;
    GW_CLEANUP(gw_closep) int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, off = 0;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
        return GW_E_IO;
    if (!is_v4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0)
        return GW_E_IO;
    const struct sockaddr *sa = is_v4 ? (const struct sockaddr *)&in : (const struct sockaddr *)&in6;
    if (bind(fd, sa, is_v4 ? sizeof(in) : sizeof(in6)) != 0 || listen(fd, BACKLOG) != 0)
        return GW_E_IO;
    socklen_t n = sizeof(in6);
    if (*port == 0 && getsockname(fd, (struct sockaddr *)&in6, &n) == 0)
        *port = ntohs(in6.sin6_port); /* at the same place in both families */
    *ret_fd = fd;
    fd = -1;
    return GW_OK;
}

static struct MHD_Daemon *start_daemon(struct listener *l)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG, 0, NULL, NULL,
                            on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET, l->spec.fd,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, l, MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
                            MHD_OPTION_URI_LOG_CALLBACK, on_target, l, MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, l,
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_HEAD_MAX_BYTES,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)LISTENER_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)LISTENER_STALL_S, MHD_OPTION_END);
}

enum gw_err listener_new(const struct listener_spec *spec, struct listener **ret_listener)
{
    struct listener *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return GW_E_NOMEM;
    l->spec = *spec;
    l->daemon = start_daemon(l);
    const union MHD_DaemonInfo *info = l->daemon == NULL ? NULL : MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        listener_free(l);
        return GW_E_IO;
    }
    l->epoll = (struct loop_fd){.fd = info->epoll_fd, .events = EPOLLIN, .fn = on_ready, .arg = l};
    l->sweep = (struct loop_timer){.fn = sweep_slow_clients, .arg = l};
    l->run = (struct loop_timer){.fn = on_run_timer, .arg = l};
    if (loop_fd_add(spec->loop, &l->epoll) != GW_OK || loop_timer_start(spec->loop, &l->sweep, SWEEP_MS) != GW_OK ||
        loop_timer_start(spec->loop, &l->run, RUN_MS) != GW_OK) {
        listener_free(l);
        return GW_E_IO;
    }
    *ret_listener = l;
    return GW_OK;
}

void listener_quiesce(struct listener *l)
{
    if (l->is_quiesced)
        return;
    l->is_quiesced = true;
    int fd = MHD_quiesce_daemon(l->daemon);
    if (fd >= 0)
        close(fd);
}

void listener_stop(struct listener *l)
{
    atomic_store(&l->is_stopped, true);
}

size_t listener_active(const struct listener *l)
{
    return atomic_load_explicit(&l->n_active, memory_order_relaxed);
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    loop_timer_stop(l->spec.loop, &l->sweep);
    loop_timer_stop(l->spec.loop, &l->run);
    loop_fd_remove(l->spec.loop, &l->epoll);
    /* The library aborts on a suspended connection: its request is over for us, whatever it waited for. */
    for (struct conn *c = l->conns; c != NULL; c = c->next)
        resume(c);
    if (l->daemon != NULL)
        MHD_stop_daemon(l->daemon);
    else
        close(l->spec.fd);
    free(l);
}

const char *listener_library_version(void)
{
    static char text[64];
    snprintf(text, sizeof(text), "libmicrohttpd %s", MHD_get_version());
    return text;
}
