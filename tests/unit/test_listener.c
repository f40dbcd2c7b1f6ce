#include "server/listener.h"

#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One loop carries the listener and, beside it, the client. */

enum { PATIENCE_MS = 10000, PARTS = 5, SINK_STEP_BYTES = 1000, UPLOAD_BYTES = 100000 };

static struct loop *loop;
static struct listener *listener;
static uint16_t port;
static size_t n_handled, n_done;
static struct exchange *held; /* the request of /hold */

struct client {
    int fd;
    struct loop_fd lf;
    struct buf in;
    bool is_closed;
    size_t n_answers_wanted; /* 0: until it is closed */
};

/* ---- handlers ---- */

struct state {
    struct exchange *x;
    unsigned n_parts;
    size_t n_taken;
    bool is_full;
};

static void on_done(struct exchange *x)
{
    (void)x;
    n_done++;
}

static void post(loop_task_fn fn, void *arg)
{
    ck_assert_int_eq(loop_post(loop, fn, arg), GW_OK);
}

static void reply_with(struct exchange *x, struct view body)
{
    x->response.status = 200;
    x->response.body = body;
    exchange_reply(x);
}

static void reply_target(void *arg)
{
    struct exchange *x = arg;
    reply_with(x, x->request.target);
}

static void wake(void *arg)
{
    exchange_wake(arg);
}

static size_t read_parts(struct exchange *x, char *out, size_t n, bool *ret_end, bool *ret_failed)
{
    struct state *s = x->state;
    ck_assert_uint_ge(n, 6);
    *ret_failed = s->n_parts == 1 && view_eq(x->request.target, VIEW("/cut"));
    *ret_end = s->n_parts == PARTS;
    if (*ret_end || *ret_failed)
        return 0;
    s->is_full = !s->is_full; /* here: nothing yet */
    if (s->is_full) {
        post(wake, x);
        return 0;
    }
    memcpy(out, "part ", 5);
    out[5] = (char)('1' + s->n_parts++);
    return 6;
}

static size_t take_some(struct exchange *x, const char *p, size_t n)
{
    struct state *s = x->state;
    s->is_full = !s->is_full;
    if (s->is_full) {
        post(wake, x);
        return 0;
    }
    n = n < SINK_STEP_BYTES ? n : SINK_STEP_BYTES;
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(p[i], 'a' + (char)((s->n_taken + i) % 26));
    s->n_taken += n;
    return n;
}

static void count_taken(struct exchange *x)
{
    struct state *s = x->state;
    char *text = arena_get(&x->arena, 32);
    ck_assert_ptr_nonnull(text);
    reply_with(x, view_at(text, (size_t)snprintf(text, 32, "%zu", s->n_taken)));
}

static void on_upgraded(struct exchange *x, int fd, struct view early)
{
    (void)x;
    char more[64];
    ck_assert_int_eq(send(fd, early.p, early.n, MSG_NOSIGNAL), (ssize_t)early.n);
    ssize_t n = recv(fd, more, sizeof(more), MSG_DONTWAIT);
    if (n > 0)
        ck_assert_int_eq(send(fd, more, (size_t)n, MSG_NOSIGNAL), n);
    close(fd);
}

static void handle(struct exchange *x)
{
    static const struct exchange_source source = {read_parts, -1};
    static const struct exchange_sink sink = {take_some, count_taken};
    struct view target = x->request.target;
    struct state *s = arena_get(&x->arena, sizeof(*s));
    ck_assert_ptr_nonnull(s);
    *s = (struct state){.x = x};
    x->state = s;
    x->on_done = on_done;
    n_handled++;
    if (view_starts(target, VIEW("/later"))) {
        post(reply_target, x);
    } else if (view_eq(target, VIEW("/hold"))) {
        held = x;
        loop_stop(loop);
    } else if (view_eq(target, VIEW("/stream")) || view_eq(target, VIEW("/cut"))) {
        x->response.status = 200;
        exchange_stream(x, &source);
    } else if (view_eq(target, VIEW("/upload"))) {
        exchange_take_body(x, &sink);
    } else if (view_eq(target, VIEW("/upgrade"))) {
        x->response.status = 101;
        response_put(&x->response, "Upgrade", VIEW("websocket"));
        exchange_upgrade(x, on_upgraded);
    } else {
        reply_with(x, view_eq(target, VIEW("/form")) ? x->form : target);
    }
}

static void refuse(struct exchange *x, enum request_fault fault)
{
    x->response.status = 400;
    x->response.body = view_of(request_fault_text(fault));
    exchange_reply(x);
}

static enum listener_body body_of(const struct request *r)
{
    if (view_eq(r->target, VIEW("/form")))
        return LISTENER_BODY_FORM;
    return view_eq(r->target, VIEW("/upload")) ? LISTENER_BODY_STREAMED : LISTENER_BODY_IGNORED;
}

/* ---- the listener and its client ---- */

static void setup(void)
{
    struct listener_spec spec = {.body = body_of, .handle = handle, .refuse = refuse};
    port = 0;
    n_handled = n_done = 0;
    held = NULL;
    ck_assert_int_eq(loop_new(&loop), GW_OK);
    ck_assert_int_eq(listener_bind("127.0.0.1", &port, &spec.fd), GW_OK);
    spec.loop = loop;
    ck_assert_int_eq(listener_new(&spec, &listener), GW_OK);
}

static void teardown(void)
{
    listener_free(listener);
    loop_free(loop);
}

static bool has_what_it_wants(const struct client *c)
{
    size_t n = 0;
    for (const char *p = c->in.p == NULL ? NULL : strstr(c->in.p, "HTTP/1.1 "); p != NULL; p = strstr(p + 1, "HTTP/1.1 "))
        n++;
    /* No body ends with a line break: then only the head is there. */
    return c->n_answers_wanted > 0 && n >= c->n_answers_wanted && strchr("\r\n", c->in.p[c->in.n - 1]) == NULL;
}

static void on_client(struct loop_fd *lf, uint32_t events)
{
    struct client *c = GW_OWNER(lf, struct client, lf);
    char bytes[4096];
    (void)events;
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0)
        buf_put(&c->in, view_at(bytes, (size_t)n));
    else if (n == 0 || errno != EAGAIN)
        c->is_closed = true;
    ck_assert(buf_ok(&c->in));
    if (c->is_closed)
        loop_fd_remove(loop, lf);
    if (c->is_closed || has_what_it_wants(c))
        loop_stop(loop);
}

static void on_too_late(struct loop_timer *t)
{
    (void)t;
    ck_abort_msg("the answer did not come");
}

static bool client_connect(struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .in = BUF(1024 * 1024)};
    c->lf = (struct loop_fd){.fd = c->fd, .events = EPOLLIN, .fn = on_client};
    return c->fd >= 0 && connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static void client_send(struct client *c, struct view bytes)
{
    ck_assert_int_eq(send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL), (ssize_t)bytes.n);
}

static void run(void)
{
    struct loop_timer limit = {.fn = on_too_late};
    ck_assert_int_eq(loop_timer_start(loop, &limit, PATIENCE_MS), GW_OK);
    loop_run(loop);
    loop_timer_stop(loop, &limit);
}

/* Until so many answers have come (0: until the listener closes), or the connection is closed. */
static void client_wait(struct client *c, size_t n_answers)
{
    c->n_answers_wanted = n_answers;
    ck_assert_int_eq(loop_fd_add(loop, &c->lf), GW_OK);
    run();
    loop_fd_remove(loop, &c->lf);
}

static void client_ask(struct client *c, const char *bytes, size_t n_answers)
{
    ck_assert(client_connect(c));
    client_send(c, view_of(bytes));
    client_wait(c, n_answers);
}

static void client_close(struct client *c)
{
    close(c->fd);
    buf_deinit(&c->in);
}

#define REQUEST(line) line " HTTP/1.1\r\nHost: a\r\n"
#define GET(target) REQUEST("GET " target) "\r\n"

/* ---- promises ---- */

START_TEST(answers_pipelined_requests_in_order_and_keeps_the_connection)
{
    struct client c;
    client_ask(&c, GET("/1") GET("/later2") GET("/3") GET("/later4"), 4);
    const char *at = c.in.p;
    static const char *const bodies[] = {"\r\n\r\n/1", "\r\n\r\n/later2", "\r\n\r\n/3", "\r\n\r\n/later4"};
    for (size_t i = 0; i < 4; i++)
        ck_assert_ptr_nonnull(at = strstr(at, bodies[i]));
    ck_assert(!c.is_closed);
    client_send(&c, VIEW(GET("/5")));
    client_wait(&c, 5);
    ck_assert_ptr_nonnull(strstr(c.in.p, "\r\n\r\n/5"));
    ck_assert(!c.is_closed);
    ck_assert_uint_eq(n_handled, 5);
    client_close(&c);
}
END_TEST

START_TEST(answers_a_request_whose_announced_body_never_comes)
{
    static const char *const heads[] = {"Content-Length: 11\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n",
                                        "Content-Length: 11\r\nExpect: 100-continue\r\n\r\n"};
    static const char *const lines[] = {REQUEST("POST /x"), REQUEST("POST /later")};
    char bytes[256];
    struct client c;
    snprintf(bytes, sizeof(bytes), "%s%s", lines[_i % 2], heads[_i / 2]);
    client_ask(&c, bytes, 0);
    ck_assert(c.is_closed);
    ck_assert(view_starts(buf_view(&c.in), VIEW("HTTP/1.1 200 ")));
    ck_assert_uint_eq(n_done, 1);
    client_close(&c);
}
END_TEST

START_TEST(H7_takes_no_body_for_a_request)
{
    struct client c;
    client_ask(&c, REQUEST("POST /x") "Content-Length: 28\r\n\r\n" GET("/smuggled") GET("/smuggled"), 0);
    ck_assert(c.is_closed);
    ck_assert_uint_eq(n_handled, 1);
    client_close(&c);
}
END_TEST

START_TEST(gives_a_form_as_a_whole)
{
    struct client c;
    client_ask(&c, REQUEST("POST /form") "Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n4\r\n&c=d\r\n0\r\n\r\n", 1);
    ck_assert_ptr_nonnull(strstr(c.in.p, "\r\n\r\na=b&c=d"));
    client_close(&c);
}
END_TEST

START_TEST(streams_what_comes_in_parts_with_waits_between)
{
    struct client c;
    client_ask(&c, REQUEST("GET /stream") "Connection: close\r\n\r\n", 0);
    for (char digit = '1'; digit < '1' + PARTS; digit++)
        ck_assert_ptr_nonnull(strstr(c.in.p, (char[]){'p', 'a', 'r', 't', ' ', digit, '\0'}));
    ck_assert(view_ends(buf_view(&c.in), VIEW("0\r\n\r\n")));
    client_close(&c);
}
END_TEST

START_TEST(cuts_a_stream_that_failed)
{
    struct client c;
    client_ask(&c, GET("/cut"), 0);
    ck_assert(c.is_closed);
    ck_assert_ptr_nonnull(strstr(c.in.p, "part 1"));
    ck_assert(!view_ends(buf_view(&c.in), VIEW("0\r\n\r\n")));
    client_close(&c);
}
END_TEST

START_TEST(pushes_a_body_no_faster_than_it_is_taken)
{
    struct client c;
    struct buf bytes = BUF(UPLOAD_BYTES + 256);
    buf_printf(&bytes, REQUEST("PUT /upload") "Content-Length: %d\r\n\r\n", UPLOAD_BYTES);
    for (int i = 0; i < UPLOAD_BYTES; i++)
        buf_put_byte(&bytes, (char)('a' + i % 26));
    ck_assert(buf_ok(&bytes));
    client_ask(&c, bytes.p, 1);
    ck_assert_ptr_nonnull(strstr(c.in.p, "\r\n\r\n100000"));
    buf_deinit(&bytes);
    client_close(&c);
}
END_TEST

START_TEST(hands_over_the_socket_with_what_came_early)
{
    struct client c;
    client_ask(&c, REQUEST("GET /upgrade") "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly bytes", 0);
    ck_assert(view_starts(buf_view(&c.in), VIEW("HTTP/1.1 101 ")));
    ck_assert(view_ends(buf_view(&c.in), VIEW("\r\n\r\nearly bytes")));
    ck_assert_uint_eq(n_done, 1);
    client_close(&c);
}
END_TEST

START_TEST(H7_H10_refuses_what_is_ambiguous_and_closes)
{
    static const char *const requests[] = {
        REQUEST("GET /x") "Host: b\r\n\r\n" GET("/smuggled"),
        REQUEST("POST /x") "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" GET("/smuggled"),
        REQUEST("POST /x") "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc" GET("/smuggled"),
        REQUEST("GET x") "\r\n" GET("/smuggled"),
    };
    struct client c;
    client_ask(&c, requests[_i], 0);
    ck_assert(c.is_closed);
    ck_assert(view_starts(buf_view(&c.in), VIEW("HTTP/1.1 400 ")));
    ck_assert_uint_eq(n_handled, 0);
    client_close(&c);
}
END_TEST

START_TEST(answers_a_query_of_very_many_arguments)
{
    struct client c;
    struct buf bytes = BUF(16 * 1024);
    buf_puts(&bytes, "GET /many?");
    for (int i = 0; i < 3000; i++)
        buf_puts(&bytes, "a&");
    buf_puts(&bytes, "z HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert(buf_ok(&bytes));
    client_ask(&c, bytes.p, 1);
    ck_assert(view_starts(buf_view(&c.in), VIEW("HTTP/1.1 200 ")));
    ck_assert_ptr_nonnull(strstr(c.in.p, "\r\n\r\n/many?a&a&"));
    buf_deinit(&bytes);
    client_close(&c);
}
END_TEST

START_TEST(lets_a_handler_finish_whose_client_has_left)
{
    struct client c;
    ck_assert(client_connect(&c));
    client_send(&c, VIEW(GET("/hold")));
    run();
    client_close(&c);
    ck_assert_ptr_nonnull(held);
    ck_assert_uint_eq(n_done, 0);
    reply_with(held, VIEW("too late"));
    client_ask(&c, GET("/x"), 1);
    ck_assert_uint_eq(n_done, 2);
    client_close(&c);
}
END_TEST

START_TEST(ends_each_connection_with_its_answer_while_draining)
{
    struct client c, late;
    ck_assert(client_connect(&c));
    client_send(&c, VIEW(GET("/hold")));
    run();
    listener_quiesce(listener);
    ck_assert(!client_connect(&late));
    ck_assert_uint_eq(listener_active(listener), 1);
    reply_with(held, VIEW("held"));
    client_wait(&c, 0);
    ck_assert(c.is_closed);
    ck_assert_ptr_nonnull(strstr(c.in.p, "Connection: close\r\n"));
    ck_assert_uint_eq(listener_active(listener), 0);
    client_close(&c);
    client_close(&late);
}
END_TEST

START_TEST(begins_no_request_once_stopped)
{
    struct client c;
    client_ask(&c, GET("/1"), 1);
    listener_stop(listener);
    client_send(&c, VIEW(GET("/2")));
    client_wait(&c, 0);
    ck_assert(c.is_closed);
    ck_assert_uint_eq(n_handled, 1);
    client_close(&c);
}
END_TEST

START_TEST(ends_requests_that_still_wait_when_freed)
{
    struct client c;
    ck_assert(client_connect(&c));
    client_send(&c, VIEW(GET("/hold")));
    run();
    listener_free(listener);
    ck_assert_uint_eq(n_done, 1);
    listener = NULL;
    client_close(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("listener");
    TCase *t = tcase_create("listener");
    tcase_set_timeout(t, 30);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, answers_pipelined_requests_in_order_and_keeps_the_connection);
    tcase_add_loop_test(t, answers_a_request_whose_announced_body_never_comes, 0, 6);
    tcase_add_test(t, H7_takes_no_body_for_a_request);
    tcase_add_test(t, gives_a_form_as_a_whole);
    tcase_add_test(t, streams_what_comes_in_parts_with_waits_between);
    tcase_add_test(t, cuts_a_stream_that_failed);
    tcase_add_test(t, pushes_a_body_no_faster_than_it_is_taken);
    tcase_add_test(t, hands_over_the_socket_with_what_came_early);
    tcase_add_loop_test(t, H7_H10_refuses_what_is_ambiguous_and_closes, 0, 4);
    tcase_add_test(t, answers_a_query_of_very_many_arguments);
    tcase_add_test(t, lets_a_handler_finish_whose_client_has_left);
    tcase_add_test(t, ends_each_connection_with_its_answer_while_draining);
    tcase_add_test(t, begins_no_request_once_stopped);
    tcase_add_test(t, ends_requests_that_still_wait_when_freed);
    suite_add_tcase(s, t);
    return support_run(s);
}
