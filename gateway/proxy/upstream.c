/* A socket is registered with the loop once and stays so while it is used, kept and used again: the common request costs no epoll_ctl.
 * A kept socket that becomes readable is of no use any more: either the workspace closed it, or it talks out of turn. */
#include "proxy/upstream.h"

#include "proxy/names.h"
#include "util/epoch.h"
#include "util/ipaddr.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct upstream {
    struct upstream_pool *pool;
    struct loop_fd lf;       /* fd -1: no socket now */
    struct loop_timer timer; /* until it is open */
    struct upstream_events ev;
    void *arg;
    bool is_open, is_kept, is_idle;
    enum gw_err doom; /* known when it was opened, told from the loop */
    struct names_waiter waiter;
    struct names_list list;
    size_t next_address;
    uint16_t port;
    struct upstream *newer, *older; /* among the idle */
    int64_t idle_since_us;
    size_t n_address;
    char address[UPSTREAM_ADDRESS_MAX];
};

struct upstream_pool {
    struct loop *loop;
    struct names *names;
    struct upstream_limits limits;
    struct upstream *newest, *oldest;
    size_t n_idle, n_used;
    struct loop_timer timer; /* for the oldest */
};

/* ---- kept sockets ---- */

static void unlink_idle(struct upstream *u)
{
    struct upstream_pool *p = u->pool;
    *(u->newer == NULL ? &p->newest : &u->newer->older) = u->older;
    *(u->older == NULL ? &p->oldest : &u->older->newer) = u->newer;
    u->newer = u->older = NULL;
    u->is_idle = false;
    p->n_idle--;
    p->n_used++;
}

static void close_fd(struct upstream *u)
{
    if (u->lf.fd < 0)
        return;
    loop_fd_remove(u->pool->loop, &u->lf);
    close(u->lf.fd);
    u->lf.fd = -1;
}

void upstream_close(struct upstream *u)
{
    if (u == NULL)
        return;
    if (u->is_idle)
        unlink_idle(u);
    close_fd(u);
    names_drop(&u->waiter);
    loop_timer_stop(u->pool->loop, &u->timer);
    u->pool->n_used--;
    free(u);
}

static void drop_expired(struct loop_timer *t)
{
    struct upstream_pool *p = t->arg;
    int64_t now_us = epoch_mono_us();
    while (p->oldest != NULL && now_us - p->oldest->idle_since_us >= p->limits.idle_ms * 1000)
        upstream_close(p->oldest);
    if (p->oldest == NULL)
        return;
    int64_t left_us = p->oldest->idle_since_us + p->limits.idle_ms * 1000 - now_us;
    if (loop_timer_start(p->loop, &p->timer, (left_us + 999) / 1000) != GW_OK)
        while (p->oldest != NULL) /* nobody would ever close them */
            upstream_close(p->oldest);
}

void upstream_put(struct upstream *u)
{
    struct upstream_pool *p = u->pool;
    assert(u->is_open && !u->is_idle);
    if (p->limits.idle_max == 0 || upstream_want(u, EPOLLIN) != GW_OK ||
        (p->timer.slot == 0 && loop_timer_start(p->loop, &p->timer, p->limits.idle_ms) != GW_OK)) {
        upstream_close(u);
        return;
    }
    u->is_idle = true;
    u->idle_since_us = epoch_mono_us();
    u->older = p->newest;
    *(p->newest == NULL ? &p->oldest : &p->newest->newer) = u;
    p->newest = u;
    p->n_used--;
    if (++p->n_idle > p->limits.idle_max)
        upstream_close(p->oldest);
}

/* Between two requests a workspace has nothing to say: silence is the only sign of life. */
static bool is_silent(const struct upstream *u)
{
    char c;
    return recv(u->lf.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static struct upstream *take_idle(struct upstream_pool *p, struct view address, enum upstream_choice choice)
{
    struct upstream *older;
    if (choice == UPSTREAM_FRESH)
        return NULL;
    for (struct upstream *u = p->newest; u != NULL; u = older) {
        older = u->older;
        if (!view_eq(view_at(u->address, u->n_address), address))
            continue;
        if (choice == UPSTREAM_KEPT_CHECKED && !is_silent(u)) {
            upstream_close(u);
            continue;
        }
        unlink_idle(u);
        return u;
    }
    return NULL;
}

/* ---- connecting ---- */

static void on_event(struct loop_fd *lf, uint32_t events);

static int start_connect(struct upstream *u, union names_sockaddr *to)
{
    bool is_v4 = to->sa.sa_family == AF_INET;
    int one = 1;
    if (is_v4)
        to->v4.sin_port = htons(u->port);
    else
        to->v6.sin6_port = htons(u->port);
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* small messages must not wait for the peer's delayed acknowledgement */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, &to->sa, is_v4 ? sizeof(to->v4) : sizeof(to->v6)) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Tries the addresses that are left until one begins to connect. */
static enum gw_err connect_next(struct upstream *u)
{
    close_fd(u);
    while (u->next_address < u->list.n) {
        int fd = start_connect(u, &u->list.items[u->next_address++]);
        if (fd < 0)
            continue;
        u->lf = (struct loop_fd){.fd = fd, .events = EPOLLOUT, .fn = on_event, .arg = u};
        if (loop_fd_add(u->pool->loop, &u->lf) == GW_OK)
            return GW_OK;
        close_fd(u);
    }
    return GW_E_UPSTREAM;
}

static void fail(struct upstream *u, enum gw_err err, const char *detail)
{
    close_fd(u);
    names_drop(&u->waiter);
    loop_timer_stop(u->pool->loop, &u->timer);
    u->ev.opened(u->arg, err, detail);
}

static const char *const text_refused = "the workspace refuses connections";

static void on_timer(struct loop_timer *t)
{
    struct upstream *u = t->arg;
    if (u->doom != GW_OK)
        fail(u, u->doom, text_refused);
    else
        fail(u, GW_E_TIMEOUT, "the workspace did not accept a connection in time");
}

static void on_connected(struct upstream *u)
{
    int error = 0;
    socklen_t n = sizeof(error);
    if (getsockopt(u->lf.fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0) {
        if (connect_next(u) != GW_OK)
            fail(u, GW_E_UPSTREAM, text_refused);
        return;
    }
    u->is_open = true;
    loop_timer_stop(u->pool->loop, &u->timer);
    u->ev.opened(u->arg, GW_OK, "");
}

static void on_event(struct loop_fd *lf, uint32_t events)
{
    struct upstream *u = lf->arg;
    if (u->is_idle)
        upstream_close(u);
    else if (!u->is_open)
        on_connected(u);
    else
        u->ev.ready(u->arg, events);
}

static void on_resolved(struct names_waiter *w, enum gw_err err, const struct names_list *list)
{
    struct upstream *u = GW_OWNER(w, struct upstream, waiter);
    if (err != GW_OK) {
        fail(u, err, "the workspace's name does not resolve");
        return;
    }
    u->list = *list;
    if (connect_next(u) != GW_OK)
        fail(u, GW_E_UPSTREAM, text_refused);
}

/* ---- addresses ---- */

/* A name that ends in a number would be read by getaddrinfo as an address of the old kind: 127.1, 0x7f000001. */
static bool is_host_name(struct view host)
{
    if (host.n == 0 || host.n > NAMES_TEXT_MAX)
        return false;
    size_t label = 0;
    for (size_t i = 0; i < host.n; i++) {
        char c = view_lower_byte(host.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
        if (c == '.' && i + 1 < host.n)
            label = i + 1;
    }
    return !(host.p[label] >= '0' && host.p[label] <= '9') && host.p[label] != '.';
}

static void list_one(const struct ipaddr *a, struct names_list *list)
{
    union names_sockaddr *to = &list->items[0];
    *to = (union names_sockaddr){0};
    to->sa.sa_family = a->family == 4 ? AF_INET : AF_INET6;
    if (a->family == 4)
        memcpy(&to->v4.sin_addr, a->bytes, 4);
    else
        memcpy(&to->v6.sin6_addr, a->bytes, 16);
    list->n = 1;
}

/* Fills the list for an IP address; for a name it stays empty and *ret_host is set. */
static enum gw_err parse_address(struct view address, struct names_list *ret_list, struct view *ret_host, uint16_t *ret_port)
{
    struct ipaddr ip;
    uint64_t port;
    struct view host = address;
    while (host.n > 0 && host.p[host.n - 1] != ':')
        host.n--;
    if (host.n < 2 || view_to_u64(view_skip(address, host.n), &port) != GW_OK || port == 0 || port > UINT16_MAX)
        return GW_E_INVALID;
    host.n--;
    bool is_bracketed = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    ret_list->n = 0;
    if (ipaddr_parse(is_bracketed ? view_at(host.p + 1, host.n - 2) : host, &ip) == GW_OK) {
        bool has_colon = view_index(host, ':') < host.n;
        if (has_colon != is_bracketed)
            return GW_E_INVALID;
        list_one(&ip, ret_list);
    } else if (!is_host_name(host)) {
        return GW_E_INVALID;
    }
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return GW_OK;
}

/* ---- interface ---- */

static enum gw_err begin(struct upstream *u, struct view host)
{
    struct upstream_pool *p = u->pool;
    const struct names_list *known = NULL;
    enum gw_err err = loop_timer_start(p->loop, &u->timer, p->limits.connect_ms);
    if (err != GW_OK)
        return err;
    if (u->list.n == 0) {
        err = names_find(p->names, host, p->limits.resolved_ms, &u->waiter, &known);
        if (err != GW_OK || known == NULL)
            return err;
        u->list = *known;
    }
    if (connect_next(u) == GW_OK)
        return GW_OK;
    u->doom = GW_E_UPSTREAM;
    return loop_timer_start(p->loop, &u->timer, 0);
}

enum gw_err upstream_open(struct upstream_pool *p, struct view address, enum upstream_choice choice,
                          const struct upstream_events *ev, void *arg, struct upstream **ret_upstream)
{
    struct view host;
    if (address.n > UPSTREAM_ADDRESS_MAX)
        return GW_E_INVALID;
    struct upstream *u = take_idle(p, address, choice);
    if (u != NULL) {
        u->ev = *ev;
        u->arg = arg;
        u->is_kept = true;
        *ret_upstream = u;
        return GW_OK;
    }
    u = calloc(1, sizeof(*u));
    if (u == NULL)
        return GW_E_NOMEM;
    *u = (struct upstream){.pool = p, .lf.fd = -1, .ev = *ev, .arg = arg, .waiter.fn = on_resolved, .n_address = address.n};
    u->timer = (struct loop_timer){.fn = on_timer, .arg = u};
    memcpy(u->address, address.p, address.n);
    p->n_used++;
    enum gw_err err = parse_address(address, &u->list, &host, &u->port);
    if (err == GW_OK)
        err = begin(u, host);
    if (err != GW_OK) {
        upstream_close(u);
        return err;
    }
    *ret_upstream = u;
    return GW_OK;
}

bool upstream_is_kept(const struct upstream *u)
{
    return u->is_kept;
}

int upstream_fd(const struct upstream *u)
{
    return u->lf.fd;
}

enum gw_err upstream_want(struct upstream *u, uint32_t events)
{
    struct loop *l = u->pool->loop;
    if (events == 0) {
        /* registered with no events, the kernel would still report a hang-up, again and again */
        loop_fd_remove(l, &u->lf);
        return GW_OK;
    }
    if (u->lf.is_added)
        return loop_fd_change(l, &u->lf, events);
    u->lf.events = events;
    return loop_fd_add(l, &u->lf);
}

int upstream_take_fd(struct upstream *u)
{
    int fd = u->lf.fd;
    loop_fd_remove(u->pool->loop, &u->lf);
    u->lf.fd = -1;
    upstream_close(u);
    return fd;
}

size_t upstream_pool_idle(const struct upstream_pool *p)
{
    return p->n_idle;
}

void upstream_pool_set_limits(struct upstream_pool *p, const struct upstream_limits *limits)
{
    p->limits = *limits;
}

enum gw_err upstream_pool_new(struct loop *l, struct jobs *resolver, struct upstream_pool **ret_pool)
{
    struct upstream_pool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return GW_E_NOMEM;
    *p = (struct upstream_pool){.loop = l};
    p->timer = (struct loop_timer){.fn = drop_expired, .arg = p};
    enum gw_err err = names_new(l, resolver, &p->names);
    if (err != GW_OK) {
        free(p);
        return err;
    }
    *ret_pool = p;
    return GW_OK;
}

void upstream_pool_free(struct upstream_pool *p)
{
    if (p == NULL)
        return;
    while (p->oldest != NULL)
        upstream_close(p->oldest);
    assert(p->n_used == 0);
    loop_timer_stop(p->loop, &p->timer);
    names_free(p->names);
    free(p);
}
