/* The workspace is a thread with plain blocking sockets and a script; its waits are bounded by WAIT_S, as is the loop's run. */
#include "proxy/relay.h"

#include "support.h"
#include "util/cleanup.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_S = 60, BIG_BYTES = 50 * 1024 * 1024, KERNEL_BYTES = 24 * 1024 * 1024 };

enum where { NOWHERE, IN_HEAD, IN_READABLE, IN_WRITABLE, IN_FAILED };

static struct world {
    struct loop *loop;
    struct jobs *jobs;
    struct relay_pool *pool;
    struct relay *relay;
    int listener;
    char address[32];
    pthread_t server;
    bool has_server;
    struct loop_timer guard, turn;
    enum where free_in;
    bool reads_slowly, reads_nothing, stops_at_head, stops_at_writable;
    /* seen */
    int n_head, n_failed, n_writable, status;
    bool has_body, has_ended, body_is_wrong;
    int64_t content_length;
    char headers[512], body[4096];
    size_t n_body;
    enum gw_err err;
    char detail[128];
    /* sent */
    size_t upload_at, upload_n;
    size_t most_window_bytes;
} w;

/* What the server's script works with. */
static struct script {
    struct view answer;
    bool stays_open; /* after the answer */
    atomic_size_t n_sent, n_received;
    atomic_int n_accepted, n_requests;
    atomic_bool is_wrong;
    atomic_bool may_go; /* set by the caller; some scripts wait for it */
    char request[8192];
} s;

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 31 + (i >> 8) + (i >> 16));
}

/* ---- the workspace ---- */

static void limit_waits(int fd)
{
    struct timeval tv = {.tv_sec = WAIT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int accept_one(void)
{
    int fd = accept(w.listener, NULL, NULL);
    if (fd >= 0) {
        limit_waits(fd);
        s.n_accepted++;
    }
    return fd;
}

/* One request's head, byte by byte, so that nothing behind it is taken; "" when the peer has gone. */
static void read_head(int fd)
{
    size_t n = 0;
    while (n + 1 < sizeof(s.request) && recv(fd, s.request + n, 1, 0) == 1) {
        n++;
        if (n >= 4 && memcmp(s.request + n - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    s.request[n] = '\0';
    if (n > 0)
        s.n_requests++;
}

static bool send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
        s.n_sent += (size_t)sent;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

static void wait_for_go(void)
{
    for (int i = 0; i < WAIT_S * 1000 && !s.may_go; i++)
        poll(NULL, 0, 1);
}

static void wait_for_close(int fd)
{
    char sink[4096];
    while (recv(fd, sink, sizeof(sink), 0) > 0)
        ;
}

static void serve_answer(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    read_head(fd);
    send_all(fd, s.answer.p, s.answer.n);
    if (s.stays_open)
        wait_for_close(fd);
}

static void serve_in_single_bytes(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
    read_head(fd);
    for (size_t i = 0; i < s.answer.n; i++)
        send_all(fd, s.answer.p + i, 1);
}

static void *run_server(void *arg)
{
    void (*const *serve)(void) = arg;
    (*serve)();
    return NULL;
}

static void (*serve_now)(void);

static void start_server(void (*serve)(void))
{
    serve_now = serve;
    ck_assert_int_eq(pthread_create(&w.server, NULL, run_server, &serve_now), 0);
    w.has_server = true;
}

static void join_server(void)
{
    if (w.has_server)
        pthread_join(w.server, NULL);
    w.has_server = false;
}

/* ---- the caller ---- */

static void on_guard(struct loop_timer *t)
{
    (void)t;
    ck_abort_msg("nothing happened for %d s", WAIT_S);
}

static void let_go(enum where where)
{
    if (w.free_in != where)
        return;
    relay_free(w.relay);
    w.relay = NULL;
    loop_stop(w.loop);
}

static void note_windows(void)
{
    bool is_end;
    size_t bytes = relay_pool_window_bytes(w.pool);
    if (bytes > w.most_window_bytes)
        w.most_window_bytes = bytes;
    ck_assert_uint_le(relay_available(w.relay, &is_end), RELAY_WINDOW_BYTES);
}

static void take_body(size_t at_most)
{
    static char bytes[RELAY_WINDOW_BYTES];
    note_windows();
    size_t n = relay_read(w.relay, bytes, at_most, &w.has_ended);
    for (size_t i = 0; i < n; i++)
        w.body_is_wrong |= (unsigned char)bytes[i] != pattern(w.n_body + i);
    if (w.n_body + n < sizeof(w.body))
        memcpy(w.body + w.n_body, bytes, n);
    w.n_body += n;
    if (w.has_ended)
        loop_stop(w.loop);
}

static void on_head(void *arg, const struct relay_head *head)
{
    ck_assert_ptr_eq(arg, &w);
    w.n_head++;
    w.status = head->status;
    w.has_body = head->has_body;
    w.content_length = head->content_length;
    for (size_t i = 0; i < head->n_headers; i++) {
        size_t n = strlen(w.headers);
        snprintf(w.headers + n, sizeof(w.headers) - n, "%.*s=%.*s;", VIEW_FMT(head->headers[i].name),
                 VIEW_FMT(head->headers[i].value));
    }
    let_go(IN_HEAD);
    if (w.stops_at_head)
        loop_stop(w.loop);
}

static void on_turn(struct loop_timer *t)
{
    if (w.relay == NULL || w.has_ended || w.n_failed > 0)
        return;
    take_body(16 * 1024);
    if (!w.has_ended)
        ck_assert_int_eq(loop_timer_start(w.loop, t, 0), GW_OK);
}

static void on_readable(void *arg)
{
    (void)arg;
    if (w.free_in == IN_READABLE)
        let_go(IN_READABLE);
    else if (w.reads_slowly && w.turn.slot == 0)
        ck_assert_int_eq(loop_timer_start(w.loop, &w.turn, 0), GW_OK);
    else if (!w.reads_slowly && !w.reads_nothing)
        take_body(RELAY_WINDOW_BYTES);
}

static void upload_more(void)
{
    char bytes[24 * 1024];
    while (w.upload_at < w.upload_n) {
        size_t n = w.upload_n - w.upload_at < sizeof(bytes) ? w.upload_n - w.upload_at : sizeof(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)pattern(w.upload_at + i);
        size_t taken = relay_write(w.relay, bytes, n);
        note_windows();
        w.upload_at += taken;
        if (taken < n) {
            if (w.n_writable > 0)
                s.may_go = true; /* connected, and everything on the way is full */
            return;
        }
    }
    relay_write_end(w.relay);
}

static void on_writable(void *arg)
{
    (void)arg;
    w.n_writable++;
    let_go(IN_WRITABLE);
    if (w.relay != NULL)
        upload_more();
    if (w.stops_at_writable)
        loop_stop(w.loop);
}

static void on_failed(void *arg, enum gw_err err, const char *detail)
{
    (void)arg;
    w.n_failed++;
    w.err = err;
    snprintf(w.detail, sizeof(w.detail), "%s", detail);
    let_go(IN_FAILED);
    loop_stop(w.loop);
}

static const struct relay_events events = {on_head, on_readable, on_writable, on_failed};

static void set_up(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(to);
    memset(&w, 0, sizeof(w));
    memset(&s, 0, sizeof(s));
    w.guard.fn = on_guard;
    w.turn.fn = on_turn;
    w.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(w.listener, (struct sockaddr *)(void *)&to, n), 0);
    ck_assert_int_eq(listen(w.listener, 16), 0);
    limit_waits(w.listener);
    ck_assert_int_eq(getsockname(w.listener, (struct sockaddr *)(void *)&to, &n), 0);
    snprintf(w.address, sizeof(w.address), "127.0.0.1:%u", ntohs(to.sin_port));
    ck_assert_int_eq(loop_new(&w.loop), GW_OK);
    ck_assert_int_eq(jobs_new(1, 8, &w.jobs), GW_OK);
    ck_assert_int_eq(relay_pool_new(w.loop, w.jobs, &w.pool), GW_OK);
    ck_assert_int_eq(loop_timer_start(w.loop, &w.guard, WAIT_S * 1000), GW_OK);
}

static void tear_down(void)
{
    relay_free(w.relay);
    w.relay = NULL;
    ck_assert_uint_eq(relay_pool_window_bytes(w.pool), 0);
    relay_pool_free(w.pool);
    join_server();
    loop_timer_stop(w.loop, &w.guard);
    loop_timer_stop(w.loop, &w.turn);
    jobs_free(w.jobs);
    loop_free(w.loop);
    close(w.listener);
}

static struct relay_request request(const char *method)
{
    return (struct relay_request){
        .address = view_of(w.address),
        .method = view_of(method),
        .target = VIEW("/x/%2e%2e?q=%20"),
        .host = VIEW("ws.example.net"),
    };
}

static enum gw_err begin(const struct relay_request *req)
{
    relay_free(w.relay);
    w.relay = NULL;
    w.n_head = w.n_failed = 0;
    w.n_body = 0;
    w.has_ended = false;
    w.headers[0] = '\0';
    memset(w.body, 0, sizeof(w.body));
    return relay_start(w.pool, req, &events, &w, &w.relay);
}

static void exchange(const char *method)
{
    struct relay_request req = request(method);
    ck_assert_int_eq(begin(&req), GW_OK);
    ck_assert_int_eq(w.n_head, 0);
    loop_run(w.loop);
}

static void answer_with(const char *text)
{
    s.answer = view_of(text);
    start_server(serve_answer);
}

/* ---- answers ---- */

static const struct clean_case {
    const char *method, *text, *body, *headers;
    int status;
    bool has_body, stays_open;
    int64_t length;
    size_t n_idle; /* connections kept */
} clean_cases[] = {
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello", "hello", "A=b;", 200, true, true, 5, 1},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", "", 200, true, true, 0, 1},
    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x\r\n!\r\n0\r\nT: v\r\n\r\n", "hello!", "", 200,
     true, true, -1, 1},
    {"GET", "HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno", "no", "", 404, true, true, 2, 0},
    {"GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end", "", 200, true, false, -1, 0},
    {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", "", 200, true, true, 2, 0},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", "ok", "", 200, true, true, 2, 0},
    {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "", "", 200, false, true, 99, 1},
    {"GET", "HTTP/1.1 204 No Content\r\n\r\n", "", "", 204, false, true, -1, 1},
    {"GET", "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 7\r\n\r\n", "", "ETag=x;", 304, false, true, 7, 1},
    {"GET",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
     "ok", "", 200, true, true, 2, 1},
    {"GET", "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", "", "Location=http://elsewhere/;",
     302, true, true, 0, 1},
};

static void check_clean(const struct clean_case *c)
{
    exchange(c->method);
    ck_assert_msg(w.n_failed == 0, "failed: %s", w.detail);
    ck_assert_int_eq(w.n_head, 1);
    ck_assert_int_eq(w.status, c->status);
    ck_assert_int_eq(w.has_body, c->has_body);
    ck_assert_int_eq(w.content_length, c->length);
    ck_assert_str_eq(w.body, c->body);
    ck_assert_str_eq(w.headers, c->headers);
    ck_assert(w.has_ended);
    ck_assert_uint_eq(relay_pool_idle(w.pool), c->n_idle);
}

START_TEST(relays_an_answer_and_keeps_the_connection_only_if_it_is_sound)
{
    s.stays_open = clean_cases[_i].stays_open;
    answer_with(clean_cases[_i].text);
    check_clean(&clean_cases[_i]);
    ck_assert(strstr(s.request, " /x/%2e%2e?q=%20 HTTP/1.1\r\nHost: ws.example.net\r\n") != NULL);
}
END_TEST

START_TEST(relays_an_answer_that_comes_byte_by_byte)
{
    s.answer = view_of(clean_cases[_i].text);
    start_server(serve_in_single_bytes);
    exchange(clean_cases[_i].method);
    ck_assert_int_eq(w.n_failed, 0);
    ck_assert_str_eq(w.body, clean_cases[_i].body);
    ck_assert_str_eq(w.headers, clean_cases[_i].headers);
}
END_TEST

static const char *const broken_heads[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 99 Low\r\n\r\n",
    "HTTP/1.1 1000 High\r\n\r\n",
    "HTTP/1.1 200 OK\r\nBad name: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n",
    "",
};

START_TEST(H10_H11_refuses_a_broken_head)
{
    answer_with(broken_heads[_i]);
    exchange("GET");
    ck_assert_int_eq(w.n_head, 0);
    ck_assert_int_eq(w.n_failed, 1);
    ck_assert_int_eq(w.err, GW_E_UPSTREAM);
    ck_assert(w.detail[0] != '\0');
    ck_assert_uint_eq(relay_pool_idle(w.pool), 0);
}
END_TEST

START_TEST(refuses_a_head_with_nul)
{
    s.answer = VIEW("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n");
    start_server(serve_answer);
    exchange("GET");
    ck_assert_int_eq(w.err, GW_E_UPSTREAM);
}
END_TEST

static void serve_endless_head(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    read_head(fd);
    send_text(fd, "HTTP/1.1 200 OK\r\n");
    while (send_text(fd, "X-More: and more\r\n"))
        ;
}

static void serve_endless_interims(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    read_head(fd);
    while (send_text(fd, "HTTP/1.1 102 Processing\r\n\r\n"))
        ;
}

START_TEST(refuses_a_head_and_interim_answers_without_end)
{
    start_server(_i == 0 ? serve_endless_head : serve_endless_interims);
    exchange("GET");
    ck_assert_int_eq(w.n_head, 0);
    ck_assert_int_eq(w.err, GW_E_UPSTREAM);
}
END_TEST

static const struct cut_case {
    const char *text, *body;
} cut_bodies[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "hello"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", ""},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "hel"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "hello"},
};

START_TEST(reports_a_cut_body_as_failed_after_what_came)
{
    answer_with(cut_bodies[_i].text);
    exchange("GET");
    ck_assert_int_eq(w.n_head, 1);
    ck_assert_int_eq(w.n_failed, 1);
    ck_assert_int_eq(w.err, GW_E_UPSTREAM);
    ck_assert(!w.has_ended);
    ck_assert_str_eq(w.body, cut_bodies[_i].body);
}
END_TEST

static void serve_then_break_the_chunks(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    read_head(fd);
    send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    wait_for_go(); /* the head is with the caller before the rest goes */
    send_text(fd, "nonsense\r\n");
    wait_for_close(fd);
}

START_TEST(reports_chunks_that_break_midway)
{
    w.stops_at_head = true;
    start_server(serve_then_break_the_chunks);
    exchange("GET");
    s.may_go = true;
    loop_run(w.loop);
    ck_assert_int_eq(w.n_failed, 1);
    ck_assert_int_eq(w.err, GW_E_UPSTREAM);
    ck_assert(!w.has_ended);
    ck_assert_str_eq(w.body, "hello");
}
END_TEST

/* ---- streaming ---- */

static void send_pattern(int fd, size_t total, bool is_chunked)
{
    char bytes[32 * 1024 + 32], size[16];
    for (size_t at = 0; at < total;) {
        size_t n = total - at < 32 * 1024 ? total - at : 32 * 1024;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)pattern(at + i);
        snprintf(size, sizeof(size), "%zx\r\n", n);
        if ((is_chunked && !send_text(fd, size)) || !send_all(fd, bytes, n) || (is_chunked && !send_text(fd, "\r\n")))
            return;
        at += n;
    }
    if (is_chunked)
        send_text(fd, "0\r\n\r\n");
}

static void serve_big_length(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    char head[128];
    read_head(fd);
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG_BYTES);
    send_text(fd, head);
    send_pattern(fd, BIG_BYTES, false);
}

static void serve_big_chunks(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    read_head(fd);
    send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    send_pattern(fd, BIG_BYTES, true);
}

static void serve_big_until_close(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    read_head(fd);
    send_text(fd, "HTTP/1.1 200 OK\r\n\r\n");
    send_pattern(fd, BIG_BYTES, false);
}

START_TEST(streams_50_mb_to_a_slow_reader_through_one_window)
{
    static void (*const servers[])(void) = {serve_big_length, serve_big_chunks, serve_big_until_close};
    w.reads_slowly = true;
    start_server(servers[_i]);
    exchange("GET");
    ck_assert_msg(w.n_failed == 0, "%s", w.detail);
    ck_assert(w.has_ended);
    ck_assert(!w.body_is_wrong);
    ck_assert_uint_eq(w.n_body, BIG_BYTES);
    ck_assert_uint_eq(w.most_window_bytes, RELAY_WINDOW_BYTES);
}
END_TEST

START_TEST(stops_the_workspace_when_nobody_reads)
{
    struct relay_request req = request("GET");
    struct relay_limits limits = RELAY_LIMITS;
    limits.idle_ms = 300; /* then the relay gives up: the sign that nothing moves any more */
    relay_pool_set_limits(w.pool, &limits);
    w.reads_nothing = true;
    start_server(serve_big_length);
    ck_assert_int_eq(begin(&req), GW_OK);
    loop_run(w.loop);
    ck_assert_int_eq(w.err, GW_E_TIMEOUT);
    ck_assert_uint_lt(s.n_sent, RELAY_WINDOW_BYTES + KERNEL_BYTES);
}
END_TEST

/* Reads a body of BIG_BYTES that came with the head just read. */
static void check_upload(int fd, size_t total)
{
    static char bytes[64 * 1024];
    size_t at = 0;
    while (at < total) {
        ssize_t n = recv(fd, bytes, total - at < sizeof(bytes) ? total - at : sizeof(bytes), 0);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            if ((unsigned char)bytes[i] != pattern(at + (size_t)i))
                s.is_wrong = true;
        at += (size_t)n;
        s.n_received += (size_t)n;
    }
}

static size_t read_chunk_size(int fd)
{
    char line[16] = {0};
    for (size_t n = 0; n + 1 < sizeof(line) && recv(fd, line + n, 1, 0) == 1; n++)
        if (line[n] == '\n')
            break;
    return strtoul(line, NULL, 16);
}

static void check_chunked_upload(int fd)
{
    static char bytes[128 * 1024];
    size_t at = 0;
    for (size_t n; (n = read_chunk_size(fd)) > 0; at += n) {
        if (n + 2 > sizeof(bytes) || recv(fd, bytes, n + 2, MSG_WAITALL) != (ssize_t)(n + 2)) {
            s.is_wrong = true;
            return;
        }
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)bytes[i] != pattern(at + i))
                s.is_wrong = true;
        s.n_received += n;
    }
    if (recv(fd, bytes, 2, MSG_WAITALL) != 2)
        s.is_wrong = true;
}

static void serve_upload(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    read_head(fd);
    wait_for_go();
    if (strstr(s.request, "Transfer-Encoding: chunked\r\n") != NULL)
        check_chunked_upload(fd);
    else
        check_upload(fd, BIG_BYTES);
    send_text(fd, "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
    wait_for_close(fd);
}

static struct relay_request upload_request(bool is_chunked, size_t n)
{
    struct relay_request req = request("POST");
    req.has_body = true;
    req.is_chunked = is_chunked;
    req.content_length = is_chunked ? 0 : n;
    w.upload_n = n;
    return req;
}

START_TEST(streams_50_mb_up_through_one_window)
{
    struct relay_request req = upload_request(_i == 1, BIG_BYTES);
    start_server(serve_upload);
    ck_assert_int_eq(begin(&req), GW_OK);
    upload_more();
    loop_run(w.loop);
    ck_assert_msg(w.n_failed == 0, "%s", w.detail);
    ck_assert_int_eq(w.status, 201);
    ck_assert_str_eq(w.body, "ok");
    ck_assert(!s.is_wrong);
    ck_assert_uint_eq(s.n_received, BIG_BYTES);
    ck_assert_int_ge(w.n_writable, 2);
    ck_assert_uint_le(w.most_window_bytes, 2 * RELAY_WINDOW_BYTES);
    ck_assert_uint_eq(relay_pool_idle(w.pool), 1);
}
END_TEST

/* The window is full when the workspace has read all that was on its way, and the loop does not know yet. */
START_TEST(takes_more_when_the_workspace_has_read_all_before_the_loop_looks)
{
    struct relay_request req = upload_request(false, BIG_BYTES);
    start_server(serve_upload);
    w.stops_at_writable = true;
    ck_assert_int_eq(begin(&req), GW_OK);
    upload_more();
    loop_run(w.loop);
    ck_assert(s.may_go);
    for (int i = 0; i < WAIT_S * 1000 && s.n_received < w.upload_at - RELAY_WINDOW_BYTES; i++)
        poll(NULL, 0, 1);
    ck_assert_uint_eq(s.n_received, w.upload_at - RELAY_WINDOW_BYTES);
    w.stops_at_writable = false;
    upload_more();
    loop_run(w.loop);
    ck_assert_msg(w.n_failed == 0, "%s", w.detail);
    ck_assert_int_eq(w.status, 201);
    ck_assert(!s.is_wrong);
    ck_assert_uint_eq(s.n_received, BIG_BYTES);
}
END_TEST

static void serve_echo(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    char bytes[16 * 1024];
    read_head(fd);
    snprintf(bytes, sizeof(bytes), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG_BYTES);
    send_text(fd, bytes);
    for (size_t left = BIG_BYTES; left > 0;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        if (n <= 0 || !send_all(fd, bytes, (size_t)n))
            return;
        left -= (size_t)n;
    }
    wait_for_close(fd);
}

START_TEST(streams_both_ways_at_once)
{
    struct relay_request req = upload_request(false, BIG_BYTES);
    start_server(serve_echo);
    w.reads_slowly = true;
    ck_assert_int_eq(begin(&req), GW_OK);
    upload_more();
    loop_run(w.loop);
    ck_assert_int_eq(w.n_failed, 0);
    ck_assert_uint_eq(w.n_body, BIG_BYTES);
    ck_assert(!w.body_is_wrong);
    ck_assert_uint_le(w.most_window_bytes, 2 * RELAY_WINDOW_BYTES);
}
END_TEST

static void serve_early_refusal(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    read_head(fd);
    send_text(fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    wait_for_go(); /* and never reads the body */
}

static void serve_early_refusal_and_reset(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    read_head(fd);
    send_text(fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
}

START_TEST(gives_an_early_answer_and_drops_the_rest_of_the_upload)
{
    struct relay_request req = upload_request(_i % 2 == 1, BIG_BYTES);
    start_server(_i < 2 ? serve_early_refusal : serve_early_refusal_and_reset);
    ck_assert_int_eq(begin(&req), GW_OK);
    if (_i < 2)
        upload_more(); /* in the other cases only the head is under way when the workspace closes */
    loop_run(w.loop);
    ck_assert_msg(w.n_failed == 0, "%s", w.detail);
    ck_assert_int_eq(w.status, 413);
    ck_assert_str_eq(w.body, "big");
    ck_assert_uint_eq(relay_pool_idle(w.pool), 0);
    s.may_go = true;
    w.upload_at = 0;
    upload_more(); /* all taken, nobody waits */
    ck_assert_uint_eq(w.upload_at, BIG_BYTES);
}
END_TEST

START_TEST(fails_an_upload_longer_or_shorter_than_announced)
{
    struct relay_request req = upload_request(false, 10);
    start_server(serve_early_refusal);
    ck_assert_int_eq(begin(&req), GW_OK);
    ck_assert_uint_eq(relay_write(w.relay, "12345678", 8), 8);
    s.may_go = true;
    if (_i == 0)
        ck_assert_uint_eq(relay_write(w.relay, "GET / HTTP/1.1", 14), 14);
    else
        relay_write_end(w.relay);
    loop_run(w.loop);
    ck_assert_int_eq(w.n_head, 0);
    ck_assert_int_eq(w.err, GW_E_INVALID);
}
END_TEST

START_TEST(says_that_there_is_no_body_where_one_is_expected)
{
    s.stays_open = true;
    answer_with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    exchange("POST");
    ck_assert(strstr(s.request, "\r\nContent-Length: 0\r\n") != NULL);
}
END_TEST

/* ---- connections ---- */

static void serve_two_on_one(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    for (int i = 0; i < 2; i++) {
        read_head(fd);
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    wait_for_close(fd);
}

START_TEST(uses_a_kept_connection_again)
{
    static const char *const methods[] = {"GET", "POST"};
    start_server(serve_two_on_one);
    exchange("GET");
    ck_assert_uint_eq(relay_pool_idle(w.pool), 1);
    exchange(methods[_i]);
    ck_assert_str_eq(w.body, "ok");
    ck_assert_int_eq(s.n_accepted, 1);
    ck_assert_int_eq(s.n_requests, 2);
}
END_TEST

/* Answers the first request, hangs up on the second, and takes a third on another connection if one comes. */
static void serve_stale(void)
{
    int fd = accept_one();
    read_head(fd);
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    read_head(fd);
    close(fd);
    struct pollfd p = {.fd = w.listener, .events = POLLIN};
    if (s.stays_open && poll(&p, 1, WAIT_S * 1000) == 1) {
        fd = accept_one();
        read_head(fd);
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain");
        close(fd);
    }
}

START_TEST(sends_get_once_more_when_the_kept_connection_is_stale)
{
    s.stays_open = true;
    start_server(serve_stale);
    exchange("GET");
    exchange("GET");
    ck_assert_int_eq(w.n_failed, 0);
    ck_assert_str_eq(w.body, "again");
    ck_assert_int_eq(s.n_accepted, 2);
    ck_assert_int_eq(s.n_requests, 3);
}
END_TEST

START_TEST(does_not_send_post_twice)
{
    start_server(serve_stale);
    exchange("GET");
    exchange("POST");
    ck_assert_int_eq(w.n_failed, 1);
    ck_assert_int_eq(w.err, GW_E_UPSTREAM);
    join_server();
    ck_assert_int_eq(s.n_accepted, 1);
    ck_assert_int_eq(s.n_requests, 2);
}
END_TEST

START_TEST(does_not_send_get_again_on_a_fresh_connection)
{
    answer_with("");
    exchange("GET");
    ck_assert_int_eq(w.err, GW_E_UPSTREAM);
    join_server();
    ck_assert_int_eq(s.n_accepted, 1);
}
END_TEST

static void stop_when_none_idle(void *arg)
{
    (void)arg;
    if (relay_pool_idle(w.pool) == 0)
        loop_stop(w.loop);
}

START_TEST(forgets_a_kept_connection_that_the_workspace_closed)
{
    answer_with("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    exchange("GET");
    ck_assert_int_eq(w.n_failed, 0);
    loop_set_after(w.loop, stop_when_none_idle, NULL);
    loop_run(w.loop);
    ck_assert_uint_eq(relay_pool_idle(w.pool), 0);
}
END_TEST

START_TEST(closes_kept_connections_after_their_time)
{
    struct relay_limits limits = RELAY_LIMITS;
    limits.pool_idle_ms = 20;
    relay_pool_set_limits(w.pool, &limits);
    s.stays_open = true;
    answer_with("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    exchange("GET");
    loop_set_after(w.loop, stop_when_none_idle, NULL);
    loop_run(w.loop);
    join_server(); /* it saw the end */
    ck_assert_uint_eq(relay_pool_idle(w.pool), 0);
}
END_TEST

START_TEST(keeps_no_more_connections_than_the_cap)
{
    struct relay_limits limits = RELAY_LIMITS;
    limits.pool_idle_max = 0;
    relay_pool_set_limits(w.pool, &limits);
    s.stays_open = true;
    answer_with("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    exchange("GET");
    ck_assert_uint_eq(relay_pool_idle(w.pool), 0);
}
END_TEST

START_TEST(reports_a_refused_connection)
{
    close(w.listener); /* the port was ours a moment ago: nobody listens there */
    w.listener = -1;
    exchange("GET");
    ck_assert_int_eq(w.n_head, 0);
    ck_assert_int_eq(w.err, GW_E_UPSTREAM);
}
END_TEST

START_TEST(gives_up_on_a_workspace_that_does_not_accept)
{
    struct sockaddr_in to;
    socklen_t n = sizeof(to);
    int fillers[8];
    struct relay_limits limits = RELAY_LIMITS;
    limits.connect_ms = 50;
    relay_pool_set_limits(w.pool, &limits);
    /* a full backlog swallows further connections in silence */
    ck_assert_int_eq(listen(w.listener, 0), 0);
    ck_assert_int_eq(getsockname(w.listener, (struct sockaddr *)(void *)&to, &n), 0);
    for (int i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (struct sockaddr *)(void *)&to, n);
    }
    exchange("GET");
    ck_assert_int_eq(w.err, GW_E_TIMEOUT);
    for (int i = 0; i < 8; i++)
        close(fillers[i]);
}
END_TEST

START_TEST(gives_up_on_a_workspace_that_does_not_answer)
{
    static const char *const answers[] = {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"};
    struct relay_limits limits = RELAY_LIMITS;
    limits.first_byte_ms = limits.idle_ms = 50;
    relay_pool_set_limits(w.pool, &limits);
    s.stays_open = true;
    answer_with(answers[_i]);
    exchange("GET");
    ck_assert_int_eq(w.n_failed, 1);
    ck_assert_int_eq(w.err, GW_E_TIMEOUT);
    ck_assert_int_eq(w.n_head, _i == 2);
}
END_TEST

START_TEST(resolves_a_name_and_remembers_it)
{
    char address[64];
    struct relay_request req = request("GET");
    snprintf(address, sizeof(address), "localhost%s", strchr(w.address, ':'));
    req.address = view_of(address);
    for (int i = 0; i < 2; i++) {
        answer_with("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        ck_assert_int_eq(begin(&req), GW_OK);
        loop_run(w.loop);
        ck_assert_msg(w.n_failed == 0, "%s", w.detail);
        ck_assert_str_eq(w.body, "ok");
        join_server();
    }
}
END_TEST

START_TEST(lets_go_while_a_name_is_being_resolved)
{
    struct relay_request req = request("GET");
    req.address = VIEW("localhost:1");
    ck_assert_int_eq(begin(&req), GW_OK);
    relay_free(w.relay);
    w.relay = NULL;
    relay_pool_free(w.pool);
    jobs_free(w.jobs);
    loop_stop(w.loop);
    loop_run(w.loop); /* the job's end finds nobody */
    ck_assert_int_eq(jobs_new(1, 8, &w.jobs), GW_OK);
    ck_assert_int_eq(relay_pool_new(w.loop, w.jobs, &w.pool), GW_OK);
}
END_TEST

START_TEST(reports_a_name_that_does_not_resolve)
{
    struct relay_request req = request("GET");
    /* a label of 64 letters is no name: the resolver says so without asking anyone (RFC 1035 2.3.4) */
    req.address = VIEW("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid:80");
    ck_assert_int_eq(begin(&req), GW_OK);
    loop_run(w.loop);
    ck_assert_int_eq(w.err, GW_E_UPSTREAM);
}
END_TEST

static const char *const bad_addresses[] = {
    "",      "host",           "host:",    ":80",       "host:0", "host:65536",    "host:8o", "ho st:80", "host:80:80", "::1:80",
    "[::1]", "[127.0.0.1]:80", "127.1:80", "0x7f.1:80", "1:80",   "2130706433:80", "a@b:80",  "host/:80", "..:80",
};

START_TEST(refuses_an_address_of_another_form)
{
    struct relay_request req = request("GET");
    req.address = view_of(bad_addresses[_i]);
    ck_assert_msg(begin(&req) == GW_E_INVALID, "%s", bad_addresses[_i]);
}
END_TEST

/* ---- requests ---- */

START_TEST(refuses_a_request_that_could_inject)
{
    static const struct relay_header headers[] = {
        {{"A\r\nB", 4}, {"c", 1}},
        {{"A", 1}, {"b\r\nC: d", 7}},
        {{"A", 1}, {"b\0", 2}},
        {{"", 0}, {"b", 1}},
        {{"Host", 4}, {"evil", 4}},
        {{"content-length", 14}, {"5", 1}},
        {{"Transfer-Encoding", 17}, {"chunked", 7}},
        {{"Connection", 10}, {"close", 5}},
        {{"TE", 2}, {"trailers", 8}},
    };
    static const struct view bad[] = {{"", 0}, {"a b", 3}, {"a\r\nb", 4}, {"a\0b", 3}, {"\xff", 1}};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct relay_request req = request("GET");
        req.headers = &headers[i];
        req.n_headers = 1;
        ck_assert_msg(begin(&req) == GW_E_INVALID, "header %zu", i);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct relay_request req = request("GET");
        req.method = bad[i];
        ck_assert_msg(begin(&req) == GW_E_INVALID, "method %zu", i);
        req = request("GET");
        req.target = bad[i];
        ck_assert_msg(begin(&req) == GW_E_INVALID, "target %zu", i);
        req = request("GET");
        req.host = bad[i];
        ck_assert_msg(begin(&req) == GW_E_INVALID, "host %zu", i);
    }
    struct relay_request req = request("GET");
    req.target = VIEW("http://elsewhere/");
    ck_assert_int_eq(begin(&req), GW_E_INVALID);
}
END_TEST

START_TEST(refuses_a_head_past_the_cap)
{
    static char big[RELAY_HEAD_MAX_BYTES];
    struct relay_header header = {VIEW("A"), {big, sizeof(big)}};
    struct relay_request req = request("GET");
    memset(big, 'a', sizeof(big));
    req.headers = &header;
    req.n_headers = 1;
    ck_assert_int_eq(begin(&req), GW_E_LIMIT);
}
END_TEST

START_TEST(refuses_more_relays_than_the_cap)
{
    struct relay_limits limits = RELAY_LIMITS;
    struct relay_request req = request("GET");
    struct relay *second = NULL;
    limits.active_max = 1;
    relay_pool_set_limits(w.pool, &limits);
    ck_assert_int_eq(begin(&req), GW_OK);
    ck_assert_int_eq(relay_start(w.pool, &req, &events, &w, &second), GW_E_LIMIT);
    ck_assert_ptr_null(second);
}
END_TEST

/* ---- upgrades ---- */

static void serve_upgrade(void)
{
    GW_CLEANUP(gw_closep) int fd = accept_one();
    char bytes[5];
    read_head(fd);
    send_text(
        fd,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nearly");
    if (recv(fd, bytes, sizeof(bytes), MSG_WAITALL) != 5 || memcmp(bytes, "hello", 5) != 0)
        s.is_wrong = true;
    wait_for_close(fd);
}

START_TEST(hands_out_the_socket_after_101)
{
    struct relay_request req = request("GET");
    struct buf early = BUF(1024);
    req.wants_upgrade = true;
    w.stops_at_head = true;
    start_server(serve_upgrade);
    ck_assert_int_eq(begin(&req), GW_OK);
    loop_run(w.loop);
    ck_assert_int_eq(w.status, 101);
    ck_assert_str_eq(w.headers, "Sec-WebSocket-Accept=x;");
    ck_assert(strstr(s.request, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n") != NULL);
    int fd = relay_take_socket(w.relay, &early);
    ck_assert_int_ge(fd, 0);
    ck_assert(view_eq(buf_view(&early), VIEW("early")));
    ck_assert_int_eq(relay_take_socket(w.relay, &early), -1);
    ck_assert_int_eq(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
    close(fd);
    join_server();
    ck_assert(!s.is_wrong);
    buf_deinit(&early);
}
END_TEST

START_TEST(relays_a_refused_upgrade_and_keeps_no_connection)
{
    struct relay_request req = request("GET");
    req.wants_upgrade = true;
    s.stays_open = true;
    answer_with("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    ck_assert_int_eq(begin(&req), GW_OK);
    loop_run(w.loop);
    ck_assert_int_eq(w.status, 426);
    ck_assert_str_eq(w.body, "no");
    ck_assert_uint_eq(relay_pool_idle(w.pool), 0);
}
END_TEST

/* ---- letting go ---- */

START_TEST(can_be_freed_in_every_callback)
{
    static const enum where places[] = {IN_HEAD, IN_READABLE, IN_WRITABLE, IN_FAILED};
    struct relay_request req = request("GET");
    w.free_in = places[_i];
    s.may_go = true;
    if (w.free_in == IN_WRITABLE) {
        req = upload_request(false, BIG_BYTES);
        start_server(serve_upload);
    } else {
        s.stays_open = true;
        answer_with(w.free_in == IN_FAILED ? "nonsense\r\n\r\n" : "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    }
    ck_assert_int_eq(begin(&req), GW_OK);
    if (w.free_in == IN_WRITABLE)
        upload_more();
    loop_run(w.loop);
    ck_assert_ptr_null(w.relay);
    ck_assert_int_le(w.n_head, 1);
}
END_TEST

START_TEST(can_be_freed_when_connecting_fails)
{
    close(w.listener);
    w.listener = -1;
    w.free_in = IN_FAILED;
    exchange("GET");
    ck_assert_ptr_null(w.relay);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *suite = suite_create("relay");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 3 * WAIT_S);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, relays_an_answer_and_keeps_the_connection_only_if_it_is_sound, 0, COUNT(clean_cases));
    tcase_add_loop_test(t, relays_an_answer_that_comes_byte_by_byte, 0, COUNT(clean_cases));
    tcase_add_loop_test(t, H10_H11_refuses_a_broken_head, 0, COUNT(broken_heads));
    tcase_add_test(t, refuses_a_head_with_nul);
    tcase_add_loop_test(t, refuses_a_head_and_interim_answers_without_end, 0, 2);
    tcase_add_loop_test(t, reports_a_cut_body_as_failed_after_what_came, 0, COUNT(cut_bodies));
    tcase_add_test(t, reports_chunks_that_break_midway);
    tcase_add_loop_test(t, streams_50_mb_to_a_slow_reader_through_one_window, 0, 3);
    tcase_add_test(t, stops_the_workspace_when_nobody_reads);
    tcase_add_loop_test(t, streams_50_mb_up_through_one_window, 0, 2);
    tcase_add_test(t, takes_more_when_the_workspace_has_read_all_before_the_loop_looks);
    tcase_add_test(t, streams_both_ways_at_once);
    tcase_add_loop_test(t, gives_an_early_answer_and_drops_the_rest_of_the_upload, 0, 4);
    tcase_add_loop_test(t, fails_an_upload_longer_or_shorter_than_announced, 0, 2);
    tcase_add_test(t, says_that_there_is_no_body_where_one_is_expected);
    tcase_add_loop_test(t, uses_a_kept_connection_again, 0, 2);
    tcase_add_test(t, sends_get_once_more_when_the_kept_connection_is_stale);
    tcase_add_test(t, does_not_send_post_twice);
    tcase_add_test(t, does_not_send_get_again_on_a_fresh_connection);
    tcase_add_test(t, forgets_a_kept_connection_that_the_workspace_closed);
    tcase_add_test(t, closes_kept_connections_after_their_time);
    tcase_add_test(t, keeps_no_more_connections_than_the_cap);
    tcase_add_test(t, reports_a_refused_connection);
    tcase_add_test(t, gives_up_on_a_workspace_that_does_not_accept);
    tcase_add_loop_test(t, gives_up_on_a_workspace_that_does_not_answer, 0, 3);
    tcase_add_test(t, resolves_a_name_and_remembers_it);
    tcase_add_test(t, lets_go_while_a_name_is_being_resolved);
    tcase_add_test(t, reports_a_name_that_does_not_resolve);
    tcase_add_loop_test(t, refuses_an_address_of_another_form, 0, COUNT(bad_addresses));
    tcase_add_test(t, refuses_a_request_that_could_inject);
    tcase_add_test(t, refuses_a_head_past_the_cap);
    tcase_add_test(t, refuses_more_relays_than_the_cap);
    tcase_add_test(t, hands_out_the_socket_after_101);
    tcase_add_test(t, relays_a_refused_upgrade_and_keeps_no_connection);
    tcase_add_loop_test(t, can_be_freed_in_every_callback, 0, 4);
    tcase_add_test(t, can_be_freed_when_connecting_fails);
    suite_add_tcase(suite, t);
    return support_run(suite);
}
