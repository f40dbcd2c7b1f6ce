/* The server stands in the same loop as the fetcher, so every test is one thread and nothing depends on timing. */
#include "net/fetch.h"
#include "util/buf.h"
#include "util/cleanup.h"
#include "util/meter.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

enum { CONNS_MAX = 256, ANSWERS_MAX = 64 };

enum manner {
    MANNER_KEEP,  /* answers, keeps the connection */
    MANNER_CLOSE, /* answers, closes */
    MANNER_HANG,  /* reads, never answers */
    MANNER_DROP,  /* reads, closes without an answer */
    MANNER_DRIP,  /* answers one byte per turn of the loop */
    MANNER_FLOOD, /* answers, then repeats `flood` for ever */
};

struct conn {
    struct loop_fd lf;
    struct buf in;
    size_t sent;
    bool is_answering;
};

static struct loop *loop;
static struct fetcher *fetcher;
static struct loop_fd listener;
static struct conn conns[CONNS_MAX];
static size_t n_conns, n_requests;
static uint16_t port;
static enum manner manner;
static struct view reply, flood;
static struct buf last_request;

struct answer {
    enum gw_err err;
    enum fetch_trouble trouble;
    int64_t date_s;
    int status;
    char body[4096], content_type[128], retry_after[64], detail[256];
    size_t body_n;
    bool is_unsent;
};
static struct answer answers[ANSWERS_MAX];
static size_t n_answers, n_wanted;

/* ---- server ---- */

static void conn_close(struct conn *c)
{
    loop_fd_remove(loop, &c->lf);
    if (c->lf.fd >= 0)
        close(c->lf.fd);
    c->lf.fd = -1;
}

static bool request_is_whole(const struct buf *in)
{
    if (in->n > 0 && in->p[0] == 0x16) /* the greeting of TLS */
        return true;
    const char *end = in->n == 0 ? NULL : strstr(in->p, "\r\n\r\n");
    const char *length = in->n == 0 ? NULL : strstr(in->p, "Content-Length: ");
    if (end == NULL)
        return false;
    return length == NULL || in->n >= (size_t)(end + 4 - in->p) + strtoul(length + 16, NULL, 10);
}

static void conn_answer(struct conn *c)
{
    while (c->sent < reply.n) {
        ssize_t n = send(c->lf.fd, reply.p + c->sent, manner == MANNER_DRIP ? 1 : reply.n - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            return;
        c->sent += (size_t)n;
        if (manner == MANNER_DRIP && c->sent < reply.n)
            return;
    }
    if (manner == MANNER_FLOOD) {
        if (send(c->lf.fd, flood.p, flood.n, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
            conn_close(c);
        return;
    }
    c->is_answering = false;
    c->sent = 0;
    buf_clear(&c->in);
    if (manner == MANNER_CLOSE)
        conn_close(c);
    else
        ck_assert_int_eq(loop_fd_change(loop, &c->lf, EPOLLIN), GW_OK);
}

static void on_conn(struct loop_fd *lf, uint32_t events)
{
    struct conn *c = lf->arg;
    if (!c->is_answering) {
        char *p = buf_reserve(&c->in, 65536);
        ck_assert_ptr_nonnull(p);
        ssize_t n = recv(lf->fd, p, 65536, 0);
        if (n <= 0) {
            conn_close(c);
            return;
        }
        c->in.n += (size_t)n;
        c->in.p[c->in.n] = '\0';
        if (!request_is_whole(&c->in) || manner == MANNER_HANG)
            return;
        n_requests++;
        if (manner == MANNER_DROP) {
            conn_close(c);
            return;
        }
        buf_clear(&last_request);
        buf_put(&last_request, buf_view(&c->in));
        c->is_answering = true;
        ck_assert_int_eq(loop_fd_change(loop, lf, EPOLLOUT), GW_OK);
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        conn_close(c);
    } else {
        conn_answer(c);
    }
}

static void on_accept(struct loop_fd *lf, uint32_t events)
{
    (void)events;
    int fd = accept4(lf->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_lt(n_conns, CONNS_MAX);
    struct conn *c = &conns[n_conns++];
    *c = (struct conn){.in = BUF(1 << 20)};
    c->lf = (struct loop_fd){.fd = fd, .events = EPOLLIN, .fn = on_conn, .arg = c};
    ck_assert_int_eq(loop_fd_add(loop, &c->lf), GW_OK);
}

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, n), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(loop_new(&loop), GW_OK);
    ck_assert_int_eq(fetcher_new(loop, NULL, &fetcher), GW_OK);
    listener = (struct loop_fd){.fd = listen_somewhere(&port), .events = EPOLLIN, .fn = on_accept};
    ck_assert_int_eq(loop_fd_add(loop, &listener), GW_OK);
    last_request = BUF(1 << 20);
    n_conns = n_answers = n_requests = 0;
    n_wanted = 1;
    manner = MANNER_KEEP;
    reply = VIEW("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void teardown(void)
{
    fetcher_free(fetcher);
    for (size_t i = 0; i < n_conns; i++) {
        conn_close(&conns[i]);
        buf_deinit(&conns[i].in);
    }
    loop_fd_remove(loop, &listener);
    close(listener.fd);
    buf_deinit(&last_request);
    loop_free(loop);
}

/* ---- client ---- */

static void copy_text(char *out, size_t size, struct view v)
{
    snprintf(out, size, "%.*s", VIEW_FMT(v));
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
    struct answer *out = &answers[n_answers++ % ANSWERS_MAX];
    (void)arg;
    *out = (struct answer){.err = a->err,
                           .trouble = a->trouble,
                           .date_s = a->date_s,
                           .status = a->status,
                           .body_n = a->body.n,
                           .is_unsent = a->is_unsent};
    copy_text(out->body, sizeof(out->body), a->body);
    copy_text(out->content_type, sizeof(out->content_type), a->content_type);
    copy_text(out->retry_after, sizeof(out->retry_after), a->retry_after);
    ck_assert_ptr_nonnull(a->detail);
    copy_text(out->detail, sizeof(out->detail), view_of(a->detail));
    if (n_answers == n_wanted)
        loop_stop(loop);
}

static const char *url_of(const char *path)
{
    static char url[256];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
    return url;
}

static const struct answer *fetch(const struct fetch_spec *spec)
{
    n_answers = 0;
    ck_assert_int_eq(fetch_start(fetcher, spec, on_answer, NULL), GW_OK);
    ck_assert_uint_eq(n_answers, 0); /* later, never from inside */
    loop_run(loop);
    ck_assert_uint_eq(n_answers, 1);
    return &answers[0];
}

static const struct answer *get(const char *path)
{
    return fetch(&(struct fetch_spec){.method = "GET", .url = view_of(url_of(path))});
}

START_TEST(gives_status_body_and_headers)
{
    reply =
        VIEW("HTTP/1.1 503 Busy\r\nContent-Type: text/plain; charset=utf-8\r\nretry-after: 7\r\nContent-Length: 4\r\n\r\nbusy");
    const struct answer *a = get("/x?y=%2F&z");
    ck_assert_int_eq(a->err, GW_OK);
    ck_assert_int_eq(a->status, 503);
    ck_assert_str_eq(a->body, "busy");
    ck_assert_str_eq(a->content_type, "text/plain; charset=utf-8");
    ck_assert_str_eq(a->retry_after, "7");
    ck_assert(view_starts(buf_view(&last_request), VIEW("GET /x?y=%2F&z HTTP/1.1\r\n")));
}
END_TEST

START_TEST(gives_nothing_for_headers_that_are_absent)
{
    const struct answer *a = get("/");
    ck_assert_int_eq(a->status, 200);
    ck_assert_str_eq(a->content_type, "");
    ck_assert_str_eq(a->retry_after, "");
}
END_TEST

static const struct {
    const char *date;
    int64_t date_s;
} dates[] = {
    {"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 784111777},
    {"", 0},
    {"Date: \r\n", 0},
    {"Date: yesterday-ish\r\n", 0},
};

START_TEST(tells_the_servers_clock_if_it_is_said)
{
    char text[256];
    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n\r\n", dates[_i].date);
    reply = view_of(text);
    ck_assert_int_eq(get("/")->date_s, dates[_i].date_s);
}
END_TEST

START_TEST(sends_dot_segments_as_they_are)
{
    get("/a/../b/%2e%2e/c");
    ck_assert(view_starts(buf_view(&last_request), VIEW("GET /a/../b/%2e%2e/c HTTP/1.1\r\n")));
}
END_TEST

START_TEST(sends_headers_host_and_form_body)
{
    struct fetch_header headers[] = {
        {"Authorization", VIEW("Basic Zm9v")}, {"X-Empty", VIEW("")}, {"Accept", VIEW("application/json")}};
    fetch(&(struct fetch_spec){.method = "POST",
                               .url = view_of(url_of("/token")),
                               .host = VIEW("auth.example.org:8443"),
                               .headers = headers,
                               .n_headers = 3,
                               .body = VIEW("a=1&b=2")});
    ck_assert_ptr_nonnull(strstr(last_request.p, "POST /token HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(last_request.p, "\r\nHost: auth.example.org:8443\r\n"));
    ck_assert_ptr_null(strstr(last_request.p, "127.0.0.1"));
    ck_assert_ptr_nonnull(strstr(last_request.p, "\r\nAuthorization: Basic Zm9v\r\n"));
    ck_assert_ptr_nonnull(strstr(last_request.p, "\r\nX-Empty:\r\n"));
    ck_assert_ptr_nonnull(strstr(last_request.p, "\r\nAccept: application/json\r\n"));
    ck_assert_ptr_nonnull(strstr(last_request.p, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
    ck_assert_ptr_nonnull(strstr(last_request.p, "\r\nContent-Length: 7\r\n"));
    ck_assert_ptr_null(strstr(last_request.p, "Expect"));
    ck_assert(view_ends(buf_view(&last_request), VIEW("\r\n\r\na=1&b=2")));
}
END_TEST

START_TEST(sends_large_body_without_waiting_for_continue)
{
    static char body[100000];
    memset(body, 'x', sizeof(body));
    struct fetch_header type = {"Content-Type", VIEW("application/json")};
    const struct answer *a = fetch(&(struct fetch_spec){
        .method = "POST", .url = view_of(url_of("/")), .headers = &type, .n_headers = 1, .body = {body, sizeof(body)}});
    ck_assert_int_eq(a->err, GW_OK);
    ck_assert_ptr_nonnull(strstr(last_request.p, "\r\nContent-Type: application/json\r\n"));
    ck_assert_ptr_null(strstr(last_request.p, "urlencoded"));
    ck_assert(view_ends(buf_view(&last_request), (struct view){body, sizeof(body)}));
}
END_TEST

START_TEST(sends_empty_post)
{
    ck_assert_int_eq(fetch(&(struct fetch_spec){.method = "POST", .url = view_of(url_of("/"))})->err, GW_OK);
    ck_assert_ptr_nonnull(strstr(last_request.p, "\r\nContent-Length: 0\r\n"));
}
END_TEST

START_TEST(uses_one_connection_again)
{
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(get("/")->err, GW_OK);
    ck_assert_uint_eq(n_conns, 1);
}
END_TEST

START_TEST(survives_a_connection_closed_between_exchanges)
{
    get("/");
    conn_close(&conns[0]);
    ck_assert_int_eq(get("/")->err, GW_OK);
    ck_assert_uint_eq(n_conns, 2);
}
END_TEST

static enum gw_err post_over_a_kept_connection(bool is_sent_once)
{
    struct fetch_spec spec = {.method = "POST", .url = view_of(url_of("/")), .is_sent_once = is_sent_once};
    get("/");
    n_requests = 0;
    manner = MANNER_DROP;
    return fetch(&spec)->err;
}

/* That it is sent twice otherwise is what is_sent_once is for. */
START_TEST(sends_again_over_a_new_connection_unless_told_not_to)
{
    ck_assert_int_eq(post_over_a_kept_connection(_i == 1), GW_E_UPSTREAM);
    ck_assert_uint_eq(n_requests, _i == 1 ? 1 : 2);
}
END_TEST

START_TEST(a_request_that_was_read_counts_as_sent)
{
    static const enum manner manners[] = {MANNER_HANG, MANNER_DROP, MANNER_CLOSE, MANNER_KEEP};
    manner = manners[_i];
    if (manner == MANNER_CLOSE)
        reply = VIEW("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    const struct answer *a = fetch(&(struct fetch_spec){
        .method = "POST", .url = view_of(url_of("/")), .timeout_ms = manner == MANNER_HANG ? 50 : 0, .is_sent_once = true});
    ck_assert_int_eq(a->err == GW_OK, manner == MANNER_KEEP);
    ck_assert(!a->is_unsent);
}
END_TEST

START_TEST(a_request_held_back_by_tls_counts_as_unsent)
{
    char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", port);
    manner = _i == 0 ? MANNER_DROP : _i == 1 ? MANNER_KEEP : MANNER_HANG;
    const struct answer *a =
        fetch(&(struct fetch_spec){.method = "POST", .url = view_of(url), .timeout_ms = 200, .is_sent_once = true});
    ck_assert_int_ne(a->err, GW_OK);
    ck_assert(a->is_unsent);
}
END_TEST

START_TEST(carries_many_at_once)
{
    n_wanted = 200;
    struct fetch_spec spec = {.method = "GET", .url = view_of(url_of("/"))};
    for (size_t i = 0; i < n_wanted; i++)
        ck_assert_int_eq(fetch_start(fetcher, &spec, on_answer, NULL), GW_OK);
    loop_run(loop);
    ck_assert_uint_eq(n_answers, 200);
    for (size_t i = 0; i < ANSWERS_MAX; i++)
        ck_assert_int_eq(answers[i].err, GW_OK);
}
END_TEST

START_TEST(D7_L4_does_not_follow_redirects)
{
    reply = VIEW("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");
    ck_assert_int_eq(get("/first")->status, 302);
    ck_assert_ptr_nonnull(strstr(last_request.p, "/first"));
}
END_TEST

START_TEST(does_not_use_proxies_of_the_environment)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"};
    for (size_t i = 0; i < 4; i++)
        setenv(names[i], "http://127.0.0.1:1", 1);
    const struct answer *a = get("/");
    for (size_t i = 0; i < 4; i++)
        unsetenv(names[i]);
    ck_assert_int_eq(a->err, GW_OK);
}
END_TEST

START_TEST(keeps_no_cookies)
{
    reply = VIEW("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n");
    get("/");
    get("/");
    ck_assert_ptr_null(strstr(last_request.p, "Cookie"));
}
END_TEST

START_TEST(reads_answer_that_comes_byte_by_byte)
{
    manner = MANNER_DRIP;
    reply = VIEW("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    const struct answer *a = get("/");
    ck_assert_int_eq(a->err, GW_OK);
    ck_assert_str_eq(a->body, "abcde");
}
END_TEST

struct broken {
    const char *name;
    enum manner manner;
    const char *reply;
    enum gw_err err;
};
static const struct broken broken[] = {
    {"closed without a word", MANNER_CLOSE, "", GW_E_UPSTREAM},
    {"closed in the head", MANNER_CLOSE, "HTTP/1.1 200 OK\r\nContent-", GW_E_UPSTREAM},
    {"closed in the body", MANNER_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", GW_E_UPSTREAM},
    {"closed in a chunk", MANNER_CLOSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", GW_E_UPSTREAM},
    {"closed before the last chunk", MANNER_CLOSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
     GW_E_UPSTREAM},
    {"bad chunk length", MANNER_CLOSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
     GW_E_UPSTREAM},
    {"no HTTP", MANNER_CLOSE, "SSH-2.0-OpenSSH_9.2\r\n\r\nHello", GW_E_UPSTREAM},
    {"HTTP/0.9", MANNER_CLOSE, "<html>ok</html>", GW_E_UPSTREAM},
    {"negative length", MANNER_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", GW_E_UPSTREAM},
};

START_TEST(calls_a_broken_answer_upstream)
{
    const struct broken *b = &broken[_i];
    int64_t failed = meter_value(METER_FETCH_FAILED);
    manner = b->manner;
    reply = view_of(b->reply);
    const struct answer *a = get("/");
    ck_assert_msg(a->err == b->err, "%s: %s", b->name, gw_err_name(a->err));
    ck_assert_int_eq(a->status, 0);
    ck_assert_uint_eq(a->body_n, 0);
    ck_assert_str_ne(a->detail, "");
    ck_assert_int_eq(meter_value(METER_FETCH_FAILED), failed + 1);
}
END_TEST

START_TEST(takes_interim_answers_and_trailers)
{
    reply = VIEW(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
    const struct answer *a = get("/");
    ck_assert_int_eq(a->err, GW_OK);
    ck_assert_int_eq(a->status, 200);
    ck_assert_str_eq(a->body, "abc");
}
END_TEST

START_TEST(calls_a_refused_connection_upstream)
{
    loop_fd_remove(loop, &listener);
    close(listener.fd);
    const struct answer *a = get("/");
    ck_assert_int_eq(a->err, GW_E_UPSTREAM);
    ck_assert_int_eq(a->trouble, FETCH_UNCONNECTED);
    ck_assert(a->is_unsent);
    listener.fd = listen_somewhere(&port);
}
END_TEST

START_TEST(M5_stops_at_max_bytes_announced_or_not)
{
    static const char *const replies[] = {"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"};
    manner = MANNER_FLOOD;
    reply = view_of(replies[_i]);
    flood = VIEW("0123456789");
    const struct answer *a = fetch(&(struct fetch_spec){.method = "GET", .url = view_of(url_of("/")), .max_bytes = 100});
    ck_assert_int_eq(a->err, GW_E_LIMIT);
    ck_assert_uint_eq(a->body_n, 0);
    ck_assert_ptr_nonnull(strstr(a->detail, "too large"));
}
END_TEST

START_TEST(takes_a_body_of_exactly_max_bytes)
{
    reply = VIEW("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
    const struct answer *a = fetch(&(struct fetch_spec){.method = "GET", .url = view_of(url_of("/")), .max_bytes = 10});
    ck_assert_int_eq(a->err, GW_OK);
    ck_assert_str_eq(a->body, "0123456789");
}
END_TEST

START_TEST(M5_gives_status_of_an_endless_answer_when_the_head_is_enough)
{
    manner = MANNER_FLOOD;
    reply = VIEW("HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n\r\n");
    flood = VIEW("0123456789");
    const struct answer *a =
        fetch(&(struct fetch_spec){.method = "GET", .url = view_of(url_of("/")), .max_bytes = 25, .head_is_enough = true});
    ck_assert_int_eq(a->err, GW_OK);
    ck_assert_int_eq(a->status, 200);
    ck_assert_str_eq(a->content_type, "text/x");
    ck_assert_str_eq(a->body, "0123456789012345678901234");
}
END_TEST

START_TEST(M5_stops_an_endless_head_even_if_the_head_is_enough)
{
    static const char *const starts[] = {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"};
    static const char *const floods[] = {"X-Filler: 0123456789012345678901234567890123456789\r\n",
                                         "HTTP/1.1 103 Early Hints\r\n\r\n"};
    manner = MANNER_FLOOD;
    reply = view_of(starts[_i]);
    flood = view_of(floods[_i]);
    const struct answer *a = fetch(&(struct fetch_spec){.method = "GET", .url = view_of(url_of("/")), .head_is_enough = true});
    ck_assert_int_eq(a->err, GW_E_LIMIT);
}
END_TEST

START_TEST(gives_up_at_the_deadline)
{
    static const enum manner manners[] = {MANNER_HANG, MANNER_KEEP, MANNER_FLOOD};
    manner = manners[_i];
    reply = VIEW("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"); /* the rest never comes */
    if (manner == MANNER_FLOOD)
        reply = flood = VIEW("HTTP/1.1 1"); /* garbage that never ends a line */
    int64_t failed = meter_value(METER_FETCH_FAILED);
    const struct answer *a = fetch(&(struct fetch_spec){.method = "GET", .url = view_of(url_of("/")), .timeout_ms = 50});
    if (manner == MANNER_FLOOD)
        ck_assert(a->err == GW_E_TIMEOUT || a->err == GW_E_LIMIT || a->err == GW_E_UPSTREAM);
    else
        ck_assert_int_eq(a->err, GW_E_TIMEOUT);
    ck_assert_int_eq(meter_value(METER_FETCH_FAILED), failed + 1);
}
END_TEST

/* ---- names ---- */

static pthread_mutex_t resolver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolver_go = PTHREAD_COND_INITIALIZER;
static bool resolver_may_go, resolver_is_done;

/* Stands in for the system's resolver, which libcurl calls on a thread of its own: it never answers until the test says so. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    (void)node;
    (void)service;
    (void)hints;
    (void)res;
    pthread_mutex_lock(&resolver_lock);
    while (!resolver_may_go)
        pthread_cond_wait(&resolver_go, &resolver_lock);
    resolver_is_done = true;
    pthread_cond_broadcast(&resolver_go);
    pthread_mutex_unlock(&resolver_lock);
    return EAI_NONAME;
}

START_TEST(gives_up_at_the_deadline_while_a_name_is_resolved)
{
    const struct answer *a = fetch(&(struct fetch_spec){.method = "GET", .url = VIEW("http://never.test/"), .timeout_ms = 50});
    ck_assert_int_eq(a->err, GW_E_TIMEOUT);
    ck_assert(!resolver_is_done);
    ck_assert_int_eq(get("/")->err, GW_OK);
    pthread_mutex_lock(&resolver_lock);
    resolver_may_go = true;
    pthread_cond_broadcast(&resolver_go);
    while (!resolver_is_done)
        pthread_cond_wait(&resolver_go, &resolver_lock);
    pthread_mutex_unlock(&resolver_lock);
}
END_TEST

START_TEST(calls_an_unknown_name_upstream)
{
    resolver_may_go = true;
    const struct answer *a = fetch(&(struct fetch_spec){.method = "GET", .url = VIEW("http://nowhere.test/")});
    ck_assert_int_eq(a->err, GW_E_UPSTREAM);
    ck_assert_int_eq(a->trouble, FETCH_UNRESOLVED);
    ck_assert(a->is_unsent);
}
END_TEST

START_TEST(tells_that_a_server_speaks_no_tls)
{
    char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", port);
    manner = MANNER_CLOSE;
    reply = VIEW("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    const struct answer *a = fetch(&(struct fetch_spec){.method = "GET", .url = view_of(url)});
    ck_assert_int_eq(a->err, GW_E_UPSTREAM);
    ck_assert_int_eq(a->trouble, FETCH_NO_TLS);
}
END_TEST

/* ---- what could inject ---- */

static const char *const bad_urls[] = {
    "",
    "http://",
    "http:///x",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/x",
    "127.0.0.1/",
    "http://a:b@127.0.0.1/",
    "http://127.0.0.1/a b",
    "http://127.0.0.1/\r\nX: y",
    "http://127.0.0.1/\n",
    "http://127.0.0.1/\t",
    "http://127.0.0.1/\x7f",
    "http://127.0.0.1/\xc3\xa4",
    "http://127.0.0.1\\@x/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1/#x",
};

START_TEST(refuses_url_that_could_inject)
{
    struct fetch_spec spec = {.method = "GET", .url = view_of(bad_urls[_i])};
    ck_assert_int_ne(fetch_start(fetcher, &spec, on_answer, NULL), GW_OK);
    ck_assert_uint_eq(n_answers, 0);
}
END_TEST

START_TEST(refuses_url_with_nul)
{
    struct fetch_spec spec = {.method = "GET", .url = VIEW("http://127.0.0.1/\0x")};
    ck_assert_int_ne(fetch_start(fetcher, &spec, on_answer, NULL), GW_OK);
}
END_TEST

START_TEST(refuses_every_control_byte_in_a_value)
{
    char value[] = "a?b";
    struct fetch_header h = {"X-A", {value, 3}};
    struct fetch_spec spec = {.method = "GET", .url = view_of(url_of("/")), .headers = &h, .n_headers = 1};
    value[1] = (char)_i;
    bool is_control = (_i < 0x20 && _i != '\t') || _i == 0x7f;
    ck_assert_int_eq(fetch_start(fetcher, &spec, on_answer, NULL), is_control ? GW_E_INVALID : GW_OK);
}
END_TEST

START_TEST(refuses_every_byte_in_host_that_is_not_of_one)
{
    char host[] = "a?b";
    struct fetch_spec spec = {.method = "GET", .url = view_of(url_of("/")), .host = {host, 3}};
    host[1] = (char)_i;
    bool is_fine = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]", _i) != NULL && _i != 0;
    ck_assert_int_eq(fetch_start(fetcher, &spec, on_answer, NULL), is_fine ? GW_OK : GW_E_INVALID);
}
END_TEST

static const char *const bad_names[] = {"",           "A B",    "A:",     "A\r\nB",         "A\n",
                                        "\xc3\xa4",   "host",   "Host",   "CONTENT-LENGTH", "Transfer-Encoding",
                                        "Connection", "Expect", "Upgrade"};

START_TEST(refuses_header_name_that_is_no_token_or_not_the_callers)
{
    struct fetch_header h = {bad_names[_i], VIEW("1")};
    struct fetch_spec spec = {.method = "GET", .url = view_of(url_of("/")), .headers = &h, .n_headers = 1};
    ck_assert_int_eq(fetch_start(fetcher, &spec, on_answer, NULL), GW_E_INVALID);
}
END_TEST

START_TEST(refuses_other_methods_and_what_is_over_a_cap)
{
    static char big[FETCH_SPEC_BODY_MAX + 1];
    static struct fetch_header many[FETCH_SPEC_HEADERS_MAX + 1];
    for (size_t i = 0; i <= FETCH_SPEC_HEADERS_MAX; i++)
        many[i] = (struct fetch_header){"X-A", VIEW("1")};
    struct fetch_header large = {"X-A", {big, FETCH_SPEC_VALUE_MAX + 1}};
    memset(big, 'a', sizeof(big));
    struct view url = view_of(url_of("/"));
    const struct fetch_spec specs[] = {
        {.method = "PUT", .url = url},
        {.method = "get", .url = url},
        {.method = "GET\r\nX:", .url = url},
        {.method = "GET", .url = url, .body = VIEW("x")},
        {.method = "POST", .url = url, .body = {big, sizeof(big)}},
        {.method = "GET", .url = url, .headers = many, .n_headers = FETCH_SPEC_HEADERS_MAX + 1},
        {.method = "GET", .url = url, .headers = &large, .n_headers = 1},
        {.method = "GET", .url = url, .host = {big, 256}},
        {.method = "GET", .url = url, .timeout_ms = -1},
    };
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
        ck_assert_msg(fetch_start(fetcher, &specs[i], on_answer, NULL) == GW_E_INVALID, "spec %zu", i);
}
END_TEST

/* ---- life ---- */

static size_t n_ended;

static void on_end(void *arg, const struct fetch_answer *a)
{
    struct fetch_spec spec = {.method = "GET", .url = view_of(url_of("/"))};
    (void)arg;
    ck_assert_int_eq(a->err, GW_E_IO);
    ck_assert_int_eq(fetch_start(fetcher, &spec, on_end, NULL), GW_E_IO);
    n_ended++;
}

START_TEST(refuses_one_more_than_may_wait_and_ends_all_when_freed)
{
    struct fetch_spec spec = {.method = "GET", .url = view_of(url_of("/"))};
    for (size_t i = 0; i < FETCH_WAITING_MAX; i++)
        ck_assert_int_eq(fetch_start(fetcher, &spec, on_end, NULL), GW_OK);
    ck_assert_int_eq(fetch_start(fetcher, &spec, on_end, NULL), GW_E_LIMIT);
    fetcher_free(fetcher);
    ck_assert_uint_eq(n_ended, FETCH_WAITING_MAX);
    ck_assert_int_eq(fetcher_new(loop, NULL, &fetcher), GW_OK);
}
END_TEST

static void on_first(void *arg, const struct fetch_answer *a)
{
    struct fetch_spec spec = {.method = "GET", .url = view_of(url_of("/second"))};
    (void)arg;
    ck_assert_int_eq(a->err, GW_OK);
    ck_assert_int_eq(fetch_start(fetcher, &spec, on_answer, NULL), GW_OK);
}

START_TEST(may_be_started_again_from_a_callback)
{
    struct fetch_spec spec = {.method = "GET", .url = view_of(url_of("/first"))};
    ck_assert_int_eq(fetch_start(fetcher, &spec, on_first, NULL), GW_OK);
    loop_run(loop);
    ck_assert_uint_eq(n_answers, 1);
    ck_assert_ptr_nonnull(strstr(last_request.p, "/second"));
    ck_assert_uint_eq(n_conns, 1);
}
END_TEST

START_TEST(copies_what_it_is_given)
{
    char url[64], value[] = "one";
    struct fetch_header h = {"X-A", {value, 3}};
    char body[] = "body";
    snprintf(url, sizeof(url), "%s", url_of("/copied"));
    struct fetch_spec spec = {.method = "POST", .url = view_of(url), .headers = &h, .n_headers = 1, .body = {body, 4}};
    ck_assert_int_eq(fetch_start(fetcher, &spec, on_answer, NULL), GW_OK);
    memset(url, '!', sizeof(url));
    memset(value, '!', sizeof(value));
    memset(body, '!', sizeof(body));
    loop_run(loop);
    ck_assert_ptr_nonnull(strstr(last_request.p, "POST /copied"));
    ck_assert_ptr_nonnull(strstr(last_request.p, "X-A: one\r\n"));
    ck_assert_ptr_nonnull(strstr(last_request.p, "\r\n\r\nbody"));
}
END_TEST

START_TEST(counts_exchanges)
{
    int64_t started = meter_value(METER_FETCHES), failed = meter_value(METER_FETCH_FAILED);
    get("/");
    ck_assert_int_eq(meter_value(METER_FETCHES), started + 1);
    ck_assert_int_eq(meter_value(METER_FETCH_FAILED), failed);
}
END_TEST

/* The resolver above never answers: asking for the version must not look anything up. */
START_TEST(names_its_library_without_asking_the_network)
{
    ck_assert_ptr_nonnull(strstr(fetch_library_version(), "libcurl/"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fetch");
    TCase *t = tcase_create("fetch");
    SRunner *r = srunner_create(s);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, gives_status_body_and_headers);
    tcase_add_test(t, gives_nothing_for_headers_that_are_absent);
    tcase_add_loop_test(t, tells_the_servers_clock_if_it_is_said, 0, sizeof(dates) / sizeof(dates[0]));
    tcase_add_test(t, tells_that_a_server_speaks_no_tls);
    tcase_add_test(t, sends_dot_segments_as_they_are);
    tcase_add_test(t, sends_headers_host_and_form_body);
    tcase_add_test(t, sends_large_body_without_waiting_for_continue);
    tcase_add_test(t, sends_empty_post);
    tcase_add_test(t, uses_one_connection_again);
    tcase_add_test(t, survives_a_connection_closed_between_exchanges);
    tcase_add_loop_test(t, sends_again_over_a_new_connection_unless_told_not_to, 0, 2);
    tcase_add_loop_test(t, a_request_that_was_read_counts_as_sent, 0, 4);
    tcase_add_loop_test(t, a_request_held_back_by_tls_counts_as_unsent, 0, 3);
    tcase_add_test(t, carries_many_at_once);
    tcase_add_test(t, D7_L4_does_not_follow_redirects);
    tcase_add_test(t, does_not_use_proxies_of_the_environment);
    tcase_add_test(t, keeps_no_cookies);
    tcase_add_test(t, reads_answer_that_comes_byte_by_byte);
    tcase_add_loop_test(t, calls_a_broken_answer_upstream, 0, sizeof(broken) / sizeof(broken[0]));
    tcase_add_test(t, takes_interim_answers_and_trailers);
    tcase_add_test(t, calls_a_refused_connection_upstream);
    tcase_add_loop_test(t, M5_stops_at_max_bytes_announced_or_not, 0, 3);
    tcase_add_test(t, takes_a_body_of_exactly_max_bytes);
    tcase_add_test(t, M5_gives_status_of_an_endless_answer_when_the_head_is_enough);
    tcase_add_loop_test(t, M5_stops_an_endless_head_even_if_the_head_is_enough, 0, 2);
    tcase_add_loop_test(t, gives_up_at_the_deadline, 0, 3);
    tcase_add_test(t, gives_up_at_the_deadline_while_a_name_is_resolved);
    tcase_add_test(t, calls_an_unknown_name_upstream);
    tcase_add_loop_test(t, refuses_url_that_could_inject, 0, sizeof(bad_urls) / sizeof(bad_urls[0]));
    tcase_add_test(t, refuses_url_with_nul);
    tcase_add_loop_test(t, refuses_every_control_byte_in_a_value, 0, 256);
    tcase_add_loop_test(t, refuses_every_byte_in_host_that_is_not_of_one, 0, 256);
    tcase_add_loop_test(t, refuses_header_name_that_is_no_token_or_not_the_callers, 0, sizeof(bad_names) / sizeof(bad_names[0]));
    tcase_add_test(t, refuses_other_methods_and_what_is_over_a_cap);
    tcase_add_test(t, refuses_one_more_than_may_wait_and_ends_all_when_freed);
    tcase_add_test(t, may_be_started_again_from_a_callback);
    tcase_add_test(t, copies_what_it_is_given);
    tcase_add_test(t, counts_exchanges);
    tcase_add_test(t, names_its_library_without_asking_the_network);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    int n_failed = srunner_ntests_failed(r);
    srunner_free(r);
    return n_failed == 0 ? 0 : 1;
}
