/* The life of one exchange: connecting, awaiting the head, streaming, ended. Sending and receiving go on side by side, since a workspace
 * may answer before the request's body is through.
 *
 * Callbacks may free the relay. While one runs, `depth` keeps the memory, and `is_dead` tells whoever called it to let go. Nothing that
 * the caller calls in turn (relay_write, relay_read) calls back: a failure found there is told from the loop, through the timer. */
#include "proxy/relay.h"

#include "proxy/answer.h"
#include "proxy/question.h"
#include "proxy/upstream.h"
#include "proxy/window.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

_Static_assert((int)WINDOW_BYTES == (int)RELAY_WINDOW_BYTES, "one window each way");

enum {
    HEAD_READ_BYTES = 16 * 1024,
    CHUNK_SIZE_BYTES = 7,                            /* "10000" CR LF at most */
    CHUNK_OVERHEAD_BYTES = CHUNK_SIZE_BYTES + 2 + 5, /* with the CR LF behind it and room for the last chunk */
    RESUME_BYTES = RELAY_WINDOW_BYTES / 2,           /* free space from which on it is worth waking the other side */
};

enum phase { CONNECTING, AWAITING_HEAD, STREAMING, SWITCHED, ENDED, FAILED };

struct relay_pool {
    struct loop *loop;
    struct upstream_pool *upstreams;
    struct window_spares spares;
    struct relay_limits limits;
    size_t n_active;
};

struct relay {
    struct relay_pool *pool;
    struct relay_events ev;
    void *arg;
    enum phase phase;
    unsigned depth;
    bool is_dead;
    struct upstream *up;
    struct loop_timer timer; /* runs until ENDED, SWITCHED or FAILED */
    enum gw_err doom;        /* to be told when the body so far has been read */
    const char *doom_detail;

    struct buf question; /* kept whole until the answer begins, to be sent again */
    size_t question_sent;
    bool is_repeatable;
    size_t n_address;
    char address[UPSTREAM_ADDRESS_MAX];

    struct window upload;
    uint64_t upload_left; /* of a body with a length */
    bool upload_is_chunked, upload_has_ended;
    bool upload_is_broken; /* the workspace takes no more; it may still answer */
    bool wants_writable;

    struct answer_ask ask;
    struct buf in; /* the answer's head, and what came with it */
    size_t in_seen;
    size_t early_at; /* SWITCHED: where the other protocol's bytes begin in `in` */
    unsigned n_interim;
    bool has_bytes;
    struct answer_head head;
    struct answer_body body;
    struct window download;
};

/* ---- ends ---- */

/* Restarting a timer that runs takes no memory, and ours runs from relay_start() to the end; so this cannot fail. */
static void restart_timer(struct relay *r, int64_t delay_ms)
{
    enum gw_err err = loop_timer_start(r->pool->loop, &r->timer, delay_ms);
    assert(err == GW_OK);
    (void)err;
}

static void close_upstream(struct relay *r)
{
    upstream_close(r->up);
    r->up = NULL;
    window_release(&r->upload, &r->pool->spares);
}

static void fail(struct relay *r, enum gw_err err, const char *detail)
{
    close_upstream(r);
    loop_timer_stop(r->pool->loop, &r->timer);
    window_release(&r->download, &r->pool->spares);
    r->phase = FAILED;
    r->ev.failed(r->arg, err, detail);
}

/* From the loop, and not before the caller has read what came until now. */
static void fail_later(struct relay *r, enum gw_err err, const char *detail)
{
    if (r->doom != GW_OK || r->phase >= SWITCHED)
        return;
    r->doom = err;
    r->doom_detail = detail;
    close_upstream(r);
    if (r->download.n == 0)
        restart_timer(r, 0);
}

static bool request_is_complete(const struct relay *r)
{
    return r->upload_has_ended || (!r->upload_is_chunked && r->upload_left == 0);
}

static bool request_is_sent(const struct relay *r)
{
    return r->question_sent == r->question.n && r->upload.n == 0 && request_is_complete(r);
}

static void restart_wait(struct relay *r)
{
    const struct relay_limits *l = &r->pool->limits;
    restart_timer(r, r->phase == AWAITING_HEAD && request_is_sent(r) ? l->first_byte_ms : l->idle_ms);
}

static void on_timer(struct loop_timer *t)
{
    struct relay *r = t->arg;
    r->depth++;
    if (r->doom != GW_OK)
        fail(r, r->doom, r->doom_detail);
    else
        fail(r, GW_E_TIMEOUT, r->phase == STREAMING ? "the workspace's answer stopped" : "the workspace did not answer in time");
    if (--r->depth == 0 && r->is_dead)
        free(r);
}

/* The answer is complete; the connection is kept only if nothing about it is in doubt. */
static void end_answer(struct relay *r, bool has_surplus)
{
    bool keeps = r->head.is_keepalive && !has_surplus && !r->ask.wants_upgrade && !r->upload_is_broken && request_is_sent(r);
    r->phase = ENDED;
    loop_timer_stop(r->pool->loop, &r->timer);
    if (keeps) {
        upstream_put(r->up);
        r->up = NULL;
    }
    close_upstream(r);
}

/* ---- sending ---- */

static bool upload_is_dropped(const struct relay *r)
{
    return r->upload_is_broken || r->doom != GW_OK || r->phase >= SWITCHED;
}

static void flush(struct relay *r)
{
    struct iovec pieces[1 + WINDOW_PIECES];
    struct msghdr msg = {.msg_iov = pieces};
    size_t question_left = r->question.n - r->question_sent;
    if (question_left > 0)
        pieces[msg.msg_iovlen++] = (struct iovec){r->question.p + r->question_sent, question_left};
    msg.msg_iovlen += window_head(&r->upload, pieces + msg.msg_iovlen);
    if (msg.msg_iovlen == 0 || r->upload_is_broken)
        return;
    ssize_t n = sendmsg(upstream_fd(r->up), &msg, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        /* it may have answered before it closed, for example 413: the answer is still to be read */
        r->upload_is_broken = true;
        window_release(&r->upload, &r->pool->spares);
        return;
    }
    size_t of_question = (size_t)n < question_left ? (size_t)n : question_left;
    r->question_sent += of_question;
    window_taken(&r->upload, &r->pool->spares, (size_t)n - of_question);
    restart_wait(r);
}

static void watch(struct relay *r)
{
    uint32_t events = 0;
    if (r->up == NULL || r->phase == CONNECTING)
        return;
    if (r->phase == AWAITING_HEAD || (r->phase == STREAMING && window_room(&r->download) >= RESUME_BYTES))
        events |= EPOLLIN;
    if (!r->upload_is_broken && r->phase < SWITCHED && (r->question_sent < r->question.n || r->upload.n > 0))
        events |= EPOLLOUT;
    if (upstream_want(r->up, events) != GW_OK)
        fail_later(r, GW_E_IO, "the workspace's socket cannot be watched");
}

static bool is_told_writable(struct relay *r)
{
    if (!r->wants_writable || (window_room(&r->upload) < RESUME_BYTES && !upload_is_dropped(r)))
        return !r->is_dead;
    r->wants_writable = false;
    r->ev.writable(r->arg);
    return !r->is_dead;
}

static void flush_and_watch(struct relay *r)
{
    if (r->up == NULL || (r->phase != AWAITING_HEAD && r->phase != STREAMING))
        return;
    flush(r);
    watch(r);
}

/* ---- receiving ---- */

static void on_opened(void *arg, enum gw_err err, const char *detail);
static void on_ready(void *arg, uint32_t events);
static const struct upstream_events upstream_events = {on_opened, on_ready};

/* A kept connection may have been closed while the request was on its way; then nobody has acted on it (RFC 9112 9.3.1). */
static bool is_stale(const struct relay *r)
{
    return r->is_repeatable && !r->has_bytes && upstream_is_kept(r->up);
}

static void ask_again(struct relay *r)
{
    close_upstream(r);
    r->phase = CONNECTING;
    r->question_sent = 0;
    r->upload_is_broken = false;
    enum gw_err err =
        upstream_open(r->pool->upstreams, view_at(r->address, r->n_address), UPSTREAM_FRESH, &upstream_events, r, &r->up);
    if (err != GW_OK)
        fail(r, err, "no connection to the workspace");
}

static void on_closed_before_head(struct relay *r)
{
    if (is_stale(r))
        ask_again(r);
    else
        fail(r, GW_E_UPSTREAM, "the workspace closed the connection before it answered");
}

/* Takes received bytes, at p, as body. False if they are none. */
static bool take_body(struct relay *r, char *p, size_t n, size_t *ret_n)
{
    size_t used;
    enum answer_step step = answer_body_decode(&r->body, p, n, ret_n, &used);
    if (step == ANSWER_DONE)
        end_answer(r, used < n);
    return step != ANSWER_BAD;
}

static void tell_head(struct relay *r)
{
    struct relay_head told = {
        .status = r->head.status,
        .headers = r->head.headers,
        .n_headers = r->head.n_headers,
        .has_body = r->head.framing != ANSWER_EMPTY,
        .content_length = r->head.content_length,
    };
    bool is_switched = r->phase == SWITCHED;
    r->ev.head(r->arg, &told);
    if (!r->is_dead && !is_switched && (r->download.n > 0 || r->phase == ENDED))
        r->ev.readable(r->arg);
}

/* The final head is in; n_head bytes of `in`, and perhaps body behind it. */
static void begin_answer(struct relay *r, size_t n_head)
{
    size_t n_body = 0;
    bool is_sound = true;
    if (r->head.status == 101) {
        r->early_at = n_head;
        loop_timer_stop(r->pool->loop, &r->timer);
        r->phase = SWITCHED;
        watch(r);
    } else {
        r->phase = STREAMING;
        answer_body_init(&r->body, &r->head);
        is_sound = take_body(r, r->in.p + n_head, r->in.n - n_head, &n_body);
    }
    if (!is_sound)
        fail(r, GW_E_UPSTREAM, "the workspace's answer is broken: its chunks are malformed");
    else if (window_put(&r->download, &r->pool->spares, r->in.p + n_head, n_body) < n_body)
        fail(r, GW_E_NOMEM, "no memory for the workspace's answer");
    else
        tell_head(r);
}

/* Reads heads out of `in` until one is final, or more bytes are needed. */
static void parse_heads(struct relay *r)
{
    const char *why = "";
    size_t n_head = 0;
    for (;;) {
        enum answer_step step = answer_head_end(buf_view(&r->in), r->in_seen, &n_head, &why);
        r->in_seen = r->in.n;
        if (step == ANSWER_MORE)
            return;
        if (step == ANSWER_BAD || answer_head_parse(view_at(r->in.p, n_head), r->ask, &r->head, &why) != GW_OK) {
            fail(r, GW_E_UPSTREAM, why);
            return;
        }
        if (r->head.status >= 200 || r->head.status == 101) {
            begin_answer(r, n_head);
            return;
        }
        if (++r->n_interim > ANSWER_INTERIM_MAX) {
            fail(r, GW_E_UPSTREAM, "the workspace sends interim answers without end");
            return;
        }
        buf_consume(&r->in, n_head);
        r->in_seen = 0;
    }
}

static void receive_head(struct relay *r)
{
    char bytes[HEAD_READ_BYTES];
    ssize_t n = recv(upstream_fd(r->up), bytes, sizeof(bytes), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        on_closed_before_head(r);
        return;
    }
    r->has_bytes = true;
    restart_timer(r, r->pool->limits.idle_ms);
    buf_put(&r->in, view_at(bytes, (size_t)n));
    if (!buf_ok(&r->in))
        fail(r, GW_E_NOMEM, "no memory for the workspace's answer");
    else
        parse_heads(r);
}

static void on_end_of_stream(struct relay *r, bool is_reset)
{
    if (!is_reset && answer_body_may_close(&r->body))
        end_answer(r, false);
    else
        fail_later(r, GW_E_UPSTREAM, "the workspace's answer was cut off");
}

/* One read into the window; false when there is nothing more to do now. */
static bool receive_piece(struct relay *r)
{
    struct window_spares *spares = &r->pool->spares;
    size_t room, n_body;
    if (window_room(&r->download) == 0)
        return false;
    char *tail = window_tail(&r->download, spares, &room);
    if (tail == NULL) {
        fail_later(r, GW_E_NOMEM, "no memory for the workspace's answer");
        return false;
    }
    ssize_t n = recv(upstream_fd(r->up), tail, room, 0);
    if (n <= 0) {
        bool is_idle = n < 0 && (errno == EAGAIN || errno == EINTR);
        bool is_reset = n < 0;
        window_added(&r->download, spares, 0);
        if (!is_idle)
            on_end_of_stream(r, is_reset);
        return false;
    }
    restart_timer(r, r->pool->limits.idle_ms);
    bool is_sound = take_body(r, tail, (size_t)n, &n_body);
    window_added(&r->download, spares, n_body);
    if (!is_sound)
        fail_later(r, GW_E_UPSTREAM, "the workspace's answer is broken: its chunks are malformed");
    return is_sound && r->phase == STREAMING && (size_t)n == room;
}

static void receive_body(struct relay *r)
{
    size_t before = r->download.n;
    while (receive_piece(r))
        ;
    if (r->download.n > before || r->phase == ENDED)
        r->ev.readable(r->arg);
}

static void on_ready(void *arg, uint32_t events)
{
    struct relay *r = arg;
    r->depth++;
    if (r->phase == AWAITING_HEAD || r->phase == STREAMING)
        flush(r);
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        if (r->phase == AWAITING_HEAD)
            receive_head(r);
        else if (r->phase == STREAMING)
            receive_body(r);
    }
    if (!r->is_dead && r->phase != FAILED && is_told_writable(r))
        watch(r);
    if (--r->depth == 0 && r->is_dead)
        free(r);
}

static void on_opened(void *arg, enum gw_err err, const char *detail)
{
    struct relay *r = arg;
    r->depth++;
    if (err != GW_OK) {
        fail(r, err, detail);
    } else {
        r->phase = AWAITING_HEAD;
        restart_wait(r);
        flush_and_watch(r);
        (void)is_told_writable(r);
    }
    if (--r->depth == 0 && r->is_dead)
        free(r);
}

/* ---- interface: the exchange ---- */

static enum gw_err fill(struct relay *r, const struct relay_request *req)
{
    if (req->address.n > UPSTREAM_ADDRESS_MAX)
        return GW_E_INVALID;
    memcpy(r->address, req->address.p, req->address.n);
    r->n_address = req->address.n;
    r->is_repeatable = question_is_repeatable(req);
    r->ask = (struct answer_ask){.is_head = view_eq(req->method, VIEW("HEAD")), .wants_upgrade = req->wants_upgrade};
    r->upload_is_chunked = req->has_body && req->is_chunked;
    r->upload_left = req->has_body && !req->is_chunked ? req->content_length : 0;
    r->upload_has_ended = !req->has_body;
    return question_format(req, &r->question);
}

static enum gw_err start(struct relay *r, const struct relay_request *req)
{
    enum gw_err err = fill(r, req);
    if (err == GW_OK)
        err = loop_timer_start(r->pool->loop, &r->timer, r->pool->limits.idle_ms);
    if (err != GW_OK)
        return err;
    enum upstream_choice choice = req->wants_upgrade ? UPSTREAM_FRESH : r->is_repeatable ? UPSTREAM_KEPT : UPSTREAM_KEPT_CHECKED;
    err = upstream_open(r->pool->upstreams, req->address, choice, &upstream_events, r, &r->up);
    if (err != GW_OK || !upstream_is_kept(r->up))
        return err;
    r->phase = AWAITING_HEAD;
    restart_wait(r);
    flush_and_watch(r);
    return GW_OK;
}

enum gw_err relay_start(struct relay_pool *p, const struct relay_request *req, const struct relay_events *ev, void *arg,
                        struct relay **ret_relay)
{
    if (p->n_active >= p->limits.active_max)
        return GW_E_LIMIT;
    struct relay *r = malloc(sizeof(*r));
    if (r == NULL)
        return GW_E_NOMEM;
    memset(r, 0, offsetof(struct relay, head)); /* the table of fields is filled with the answer */
    r->body = (struct answer_body){0};
    r->download = (struct window){0};
    r->pool = p;
    r->ev = *ev;
    r->arg = arg;
    r->timer = (struct loop_timer){.fn = on_timer, .arg = r};
    r->question = BUF(RELAY_HEAD_MAX_BYTES);
    r->in = BUF(RELAY_HEAD_MAX_BYTES + HEAD_READ_BYTES);
    p->n_active++;
    enum gw_err err = start(r, req);
    if (err != GW_OK) {
        relay_free(r);
        return err;
    }
    *ret_relay = r;
    return GW_OK;
}

void relay_free(struct relay *r)
{
    if (r == NULL)
        return;
    close_upstream(r);
    loop_timer_stop(r->pool->loop, &r->timer);
    window_release(&r->download, &r->pool->spares);
    buf_deinit(&r->question);
    buf_deinit(&r->in);
    r->pool->n_active--;
    r->is_dead = true;
    if (r->depth == 0)
        free(r);
}

static size_t put_chunk(struct relay *r, const char *p, size_t n)
{
    struct window_spares *spares = &r->pool->spares;
    char size[CHUNK_SIZE_BYTES + 1];
    size_t room = window_room(&r->upload);
    if (room <= CHUNK_OVERHEAD_BYTES)
        return 0;
    n = n < room - CHUNK_OVERHEAD_BYTES ? n : room - CHUNK_OVERHEAD_BYTES;
    size_t n_size = (size_t)snprintf(size, sizeof(size), "%zx\r\n", n);
    /* without memory the first of these fails, and nothing has been put */
    if (window_put(&r->upload, spares, size, n_size) < n_size)
        return 0;
    (void)window_put(&r->upload, spares, p, n);
    (void)window_put(&r->upload, spares, "\r\n", 2);
    return n;
}

static size_t put_body(struct relay *r, const char *p, size_t n)
{
    if (r->upload_is_chunked)
        return put_chunk(r, p, n);
    size_t taken = window_put(&r->upload, &r->pool->spares, p, n);
    r->upload_left -= taken;
    return taken;
}

size_t relay_write(struct relay *r, const char *p, size_t n)
{
    if (n == 0 || upload_is_dropped(r) || r->upload_has_ended)
        return n;
    if (!r->upload_is_chunked && n > r->upload_left) {
        fail_later(r, GW_E_INVALID, "the request's body is longer than announced");
        return n;
    }
    size_t done = 0;
    while (done < n) {
        bool was_empty = r->upload.n == 0;
        size_t step = put_body(r, p + done, n - done);
        if (step == 0 && was_empty) {
            fail_later(r, GW_E_NOMEM, "no memory for the request's body");
            return n;
        }
        done += step;
        flush_and_watch(r);
        if (upload_is_dropped(r))
            return n;
        if (step == 0 && r->upload.n > 0)
            break;
    }
    r->wants_writable = done < n; /* then the window is full, and the loop will empty it */
    return done;
}

void relay_write_end(struct relay *r)
{
    if (upload_is_dropped(r) || r->upload_has_ended)
        return;
    if (r->upload_left > 0) {
        fail_later(r, GW_E_INVALID, "the request's body is shorter than announced");
        return;
    }
    if (r->upload_is_chunked && window_put(&r->upload, &r->pool->spares, "0\r\n\r\n", 5) < 5) {
        fail_later(r, GW_E_NOMEM, "no memory for the request's body");
        return;
    }
    r->upload_has_ended = true;
    flush_and_watch(r);
}

size_t relay_read(struct relay *r, char *out, size_t n, bool *ret_is_end)
{
    size_t taken = window_get(&r->download, &r->pool->spares, out, n);
    *ret_is_end = r->phase == ENDED && r->download.n == 0;
    if (r->phase != STREAMING)
        return taken;
    if (r->doom != GW_OK && r->download.n == 0)
        restart_timer(r, 0);
    else
        watch(r);
    return taken;
}

size_t relay_available(const struct relay *r, bool *ret_is_end)
{
    *ret_is_end = r->phase == ENDED;
    return r->download.n;
}

int relay_take_socket(struct relay *r, struct buf *early)
{
    if (r->phase != SWITCHED || r->up == NULL)
        return -1;
    buf_put(early, view_skip(buf_view(&r->in), r->early_at));
    if (!buf_ok(early))
        return -1;
    int fd = upstream_take_fd(r->up);
    r->up = NULL;
    r->phase = ENDED;
    return fd;
}

/* ---- interface: the pool ---- */

void relay_pool_set_limits(struct relay_pool *p, const struct relay_limits *limits)
{
    p->limits = *limits;
    upstream_pool_set_limits(p->upstreams, &(struct upstream_limits){
                                               .connect_ms = limits->connect_ms,
                                               .idle_ms = limits->pool_idle_ms,
                                               .idle_max = limits->pool_idle_max,
                                               .resolved_ms = limits->resolved_ttl_ms,
                                           });
}

size_t relay_pool_window_bytes(const struct relay_pool *p)
{
    return p->spares.n_out * WINDOW_BYTES;
}

size_t relay_pool_idle(const struct relay_pool *p)
{
    return upstream_pool_idle(p->upstreams);
}

enum gw_err relay_pool_new(struct loop *l, struct jobs *resolver, struct relay_pool **ret_pool)
{
    struct relay_pool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return GW_E_NOMEM;
    p->loop = l;
    enum gw_err err = upstream_pool_new(l, resolver, &p->upstreams);
    if (err != GW_OK) {
        free(p);
        return err;
    }
    relay_pool_set_limits(p, &RELAY_LIMITS);
    *ret_pool = p;
    return GW_OK;
}

void relay_pool_free(struct relay_pool *p)
{
    if (p == NULL)
        return;
    assert(p->n_active == 0);
    upstream_pool_free(p->upstreams);
    window_spares_deinit(&p->spares);
    free(p);
}
