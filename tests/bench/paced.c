/* Sends the requests of a file over kept-alive connections.
 *
 *   paced PORT FILE STATUS CONNECTIONS                  each request once, as fast as answers come
 *   paced PORT FILE STATUS CONNECTIONS RATE SECONDS     RATE a second, whatever the answers do; RATE 0: as fast as answers come
 *
 * Prints: paced ANSWERS BAD MICROSECONDS P50_US P99_US P999_US MAX_US. BAD are answers whose status is not STATUS. The percentiles are of
 * the first LATENCIES_MAX answers.
 *
 * At a fixed rate, each request has a moment at which it should leave, and its latency counts from then: if the server stalls,
 * what had to wait in line is counted as slow too, and not left out because it was never sent (coordinated omission).
 * The loop never sleeps, since a wake-up costs more than what is measured, and costs it the server, whose send() does the waking: it wants
 * a core of its own. */
#include "util/cleanup.h"
#include "workload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { CONNECTIONS_MAX = 1024, ANSWER_MAX = 16 * 1024, EVENTS = 64, PATIENCE_S = 10, LATENCIES_MAX = 10 * 1000 * 1000 };

struct connection {
    int fd;
    int64_t due_ns;
    char answer[ANSWER_MAX];
    size_t n;
};

struct load {
    struct view *requests;
    size_t n_requests, n_connections;
    int status, epoll_fd;
    struct connection *connections;
    size_t *idle, n_idle; /* places of connections without a request under way */
    uint32_t *latencies_us;
    size_t n_latencies;
    size_t n_total, n_sent, n_answered, n_bad;
    int64_t elapsed_ns;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *must_have(void *p)
{
    if (p == NULL)
        workload_fail("no memory");
    return p;
}

static void connect_one(struct load *l, size_t i, uint16_t port)
{
    struct connection *c = &l->connections[i];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        workload_fail("cannot connect");
    l->idle[l->n_idle++] = i;
}

static void send_next(struct load *l, int64_t due_ns)
{
    struct connection *c = &l->connections[l->idle[--l->n_idle]];
    struct view request = l->requests[l->n_sent++ % l->n_requests];
    c->due_ns = due_ns;
    c->n = 0;
    if (send(c->fd, request.p, request.n, MSG_NOSIGNAL) != (ssize_t)request.n)
        workload_fail("cannot send");
}

/* Length of the whole answer, 0 while its head is incomplete. */
static size_t answer_length(const struct connection *c)
{
    static const char field[] = "\r\ncontent-length:";
    const char *end = memmem(c->answer, c->n, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    for (const char *p = c->answer; p < end; p++)
        if (*p == '\r' && strncasecmp(p, field, sizeof(field) - 1) == 0)
            return (size_t)(end - c->answer) + 4 + strtoul(p + sizeof(field) - 1, NULL, 10);
    workload_fail("an answer without Content-Length");
}

static void note_answer(struct load *l, struct connection *c)
{
    int64_t us = (now_ns() - c->due_ns) / 1000;
    char status[4] = {0};
    memcpy(status, c->answer + sizeof("HTTP/1.1 ") - 1, 3);
    if (atoi(status) != l->status)
        l->n_bad++;
    if (l->n_latencies < LATENCIES_MAX)
        l->latencies_us[l->n_latencies++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    l->n_answered++;
    l->idle[l->n_idle++] = (size_t)(c - l->connections);
}

static void receive(struct load *l, struct connection *c)
{
    ssize_t n = recv(c->fd, c->answer + c->n, sizeof(c->answer) - 1 - c->n, 0);
    if (n <= 0)
        workload_fail(n == 0 ? "the server closed a connection" : "cannot receive");
    c->n += (size_t)n;
    c->answer[c->n] = '\0';
    size_t length = answer_length(c);
    if (length > sizeof(c->answer) - 1 || (length > 0 && c->n > length))
        workload_fail("an answer is too long");
    if (length > 0 && c->n == length)
        note_answer(l, c);
}

/* rate 0: as fast as answers come. Sends no more after limit_ns; what was sent is waited for. */
static void run(struct load *l, double rate, int64_t limit_ns)
{
    struct epoll_event events[EVENTS];
    int64_t start = now_ns(), heard = start;
    while (l->n_answered < l->n_total) {
        int64_t now = now_ns(), due = now;
        if (now - start >= limit_ns)
            l->n_total = l->n_sent;
        while (l->n_sent < l->n_total && l->n_idle > 0) {
            if (rate > 0)
                due = start + (int64_t)((double)l->n_sent * 1e9 / rate);
            if (due > now)
                break;
            send_next(l, due);
        }
        int n = epoll_wait(l->epoll_fd, events, EVENTS, 0);
        for (int i = 0; i < n; i++)
            receive(l, &l->connections[events[i].data.u64]);
        if (n > 0)
            heard = now;
        else if (now - heard > PATIENCE_S * 1000000000LL)
            workload_fail("the server answers no more");
    }
    l->elapsed_ns = now_ns() - start;
}

static void read_requests(struct load *l, const char *path)
{
    GW_CLEANUP(gw_freep) char *line = NULL;
    size_t size = 0, n_room = 0;
    struct buf one = BUF(WORKLOAD_TEXT_MAX);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        workload_fail(path);
    for (ssize_t n; (n = getline(&line, &size, f)) > 0;) {
        buf_put(&one, view_at(line, (size_t)n));
        if (n != 2) /* a head ends with an empty line */
            continue;
        if (l->n_requests == n_room) {
            n_room = n_room == 0 ? 1024 : n_room * 2;
            l->requests = must_have(realloc(l->requests, n_room * sizeof(*l->requests)));
        }
        l->requests[l->n_requests++] = (struct view){must_have(view_dup(buf_view(&one))), one.n};
        buf_clear(&one);
    }
    buf_deinit(&one);
    fclose(f);
    if (l->n_requests == 0)
        workload_fail("no requests in the file");
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t percentile(const struct load *l, double share)
{
    return l->latencies_us[(size_t)((double)(l->n_latencies - 1) * share)];
}

int main(int argc, char **argv)
{
    struct load l = {0};
    if (argc != 5 && argc != 7)
        workload_fail("usage: paced PORT FILE STATUS CONNECTIONS [RATE SECONDS]");
    double rate = argc == 7 ? atof(argv[5]) : 0, seconds = argc == 7 ? atof(argv[6]) : 0;
    read_requests(&l, argv[2]);
    l.status = atoi(argv[3]);
    l.n_connections = (size_t)atoi(argv[4]);
    l.n_total = rate > 0 ? (size_t)(rate * seconds) : seconds > 0 ? SIZE_MAX : l.n_requests;
    if (l.n_connections == 0 || l.n_connections > CONNECTIONS_MAX || l.n_total == 0)
        workload_fail("paced: numbers out of range");
    l.connections = must_have(calloc(l.n_connections, sizeof(*l.connections)));
    l.idle = must_have(calloc(l.n_connections, sizeof(*l.idle)));
    l.latencies_us = must_have(calloc(l.n_total < LATENCIES_MAX ? l.n_total : LATENCIES_MAX, sizeof(*l.latencies_us)));
    l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < l.n_connections; i++)
        connect_one(&l, i, (uint16_t)atoi(argv[1]));
    run(&l, rate, rate == 0 && seconds > 0 ? (int64_t)(seconds * 1e9) : INT64_MAX);
    if (l.n_latencies == 0)
        workload_fail("no answers");
    qsort(l.latencies_us, l.n_latencies, sizeof(*l.latencies_us), compare);
    printf("paced %zu %zu %lld %u %u %u %u\n", l.n_answered, l.n_bad, (long long)(l.elapsed_ns / 1000), percentile(&l, 0.5),
           percentile(&l, 0.99), percentile(&l, 0.999), percentile(&l, 1));
    for (size_t i = 0; i < l.n_requests; i++)
        free((char *)(uintptr_t)l.requests[i].p);
    free(l.requests);
    free(l.connections);
    free(l.idle);
    free(l.latencies_us);
    return 0;
}
