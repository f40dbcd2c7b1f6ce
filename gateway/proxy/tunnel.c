/* Each side is a socket and the window of bytes that came from it. A side is watched for reading while its window has room, and for
 * writing while the other side's window has bytes; watched for neither, it leaves the loop, since a hang-up would be reported for
 * ever. The idle timer is not restarted for each byte: it looks, when it fires, how long ago the last one was. */
#include "proxy/tunnel.h"

#include "proxy/window.h"
#include "util/epoch.h"
#include "util/meter.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert((int)WINDOW_BYTES == (int)TUNNEL_WINDOW_BYTES, "one window each way");

struct side {
    struct loop_fd lf;
    struct window in; /* came from this socket, goes to the other */
    bool has_ended;   /* nothing more comes from it */
    bool is_shut;     /* nothing more goes to it */
};

struct tunnel {
    struct tunnel_pool *pool;
    struct tunnel *next, **link;
    struct loop_timer timer;
    int64_t active_us;
    struct tunnel_guard guard;
    struct side sides[2]; /* client, workspace */
};

struct tunnel_pool {
    struct loop *loop;
    struct window_spares spares;
    struct tunnel *all;
    size_t n;
    int64_t idle_ms;
    struct loop_timer guard_timer; /* runs while there are tunnels */
};

static struct side *other(struct tunnel *t, const struct side *s)
{
    return s == &t->sides[0] ? &t->sides[1] : &t->sides[0];
}

static void end(struct tunnel *t)
{
    struct tunnel_pool *p = t->pool;
    for (int i = 0; i < 2; i++) {
        loop_fd_remove(p->loop, &t->sides[i].lf);
        shutdown(t->sides[i].lf.fd, SHUT_RDWR); /* the server may hold a second descriptor of the same connection for a while */
        close(t->sides[i].lf.fd);
        window_release(&t->sides[i].in, &p->spares);
    }
    loop_timer_stop(p->loop, &t->timer);
    *t->link = t->next;
    if (t->next != NULL)
        t->next->link = t->link;
    p->n--;
    if (p->n == 0)
        loop_timer_stop(p->loop, &p->guard_timer);
    meter_add(METER_TUNNELS_OPEN, -1);
    if (t->guard.release != NULL)
        t->guard.release(t->guard.arg);
    free(t);
}

/* False on an error of the socket. */
static bool receive(struct tunnel *t, struct side *from)
{
    size_t room;
    if (from->has_ended || window_room(&from->in) == 0)
        return true;
    char *tail = window_tail(&from->in, &t->pool->spares, &room);
    if (tail == NULL)
        return false;
    ssize_t n = recv(from->lf.fd, tail, room, 0);
    bool is_idle = n < 0 && (errno == EAGAIN || errno == EINTR);
    window_added(&from->in, &t->pool->spares, n > 0 ? (size_t)n : 0);
    if (n > 0)
        t->active_us = epoch_mono_us();
    from->has_ended = n == 0;
    return n >= 0 || is_idle;
}

/* Sends on what came from `from`, and then its end. False on an error of the socket. */
static bool pass_on(struct tunnel *t, struct side *from)
{
    struct side *to = other(t, from);
    struct iovec pieces[WINDOW_PIECES];
    struct msghdr msg = {.msg_iov = pieces, .msg_iovlen = window_head(&from->in, pieces)};
    if (msg.msg_iovlen > 0) {
        ssize_t n = sendmsg(to->lf.fd, &msg, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        window_taken(&from->in, &t->pool->spares, (size_t)n);
        t->active_us = epoch_mono_us();
    }
    if (from->has_ended && from->in.n == 0 && !to->is_shut) {
        to->is_shut = true;
        return shutdown(to->lf.fd, SHUT_WR) == 0;
    }
    return true;
}

static bool watch(struct tunnel *t, struct side *s)
{
    struct loop *l = t->pool->loop;
    uint32_t events = 0;
    if (!s->has_ended && window_room(&s->in) > 0)
        events |= EPOLLIN;
    if (other(t, s)->in.n > 0)
        events |= EPOLLOUT;
    if (events == 0) {
        loop_fd_remove(l, &s->lf);
        return true;
    }
    if (s->lf.is_added)
        return loop_fd_change(l, &s->lf, events) == GW_OK;
    s->lf.events = events;
    return loop_fd_add(l, &s->lf) == GW_OK;
}

static bool is_over(const struct tunnel *t)
{
    return t->sides[0].is_shut && t->sides[1].is_shut;
}

static void on_ready(struct loop_fd *lf, uint32_t events)
{
    struct tunnel *t = lf->arg;
    struct side *s = lf == &t->sides[0].lf ? &t->sides[0] : &t->sides[1];
    bool is_sound = true;
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        is_sound = receive(t, s);
    is_sound = is_sound && pass_on(t, s) && pass_on(t, other(t, s));
    if (!is_sound || is_over(t) || !watch(t, &t->sides[0]) || !watch(t, &t->sides[1]))
        end(t);
}

static void on_idle(struct loop_timer *timer)
{
    struct tunnel *t = timer->arg;
    int64_t left_ms = t->pool->idle_ms - (epoch_mono_us() - t->active_us) / 1000;
    if (left_ms <= 0 || loop_timer_start(t->pool->loop, timer, left_ms) != GW_OK)
        end(t);
}

/* Without the timer nobody could be cut any more, so then all are. */
static void on_guard_due(struct loop_timer *timer)
{
    struct tunnel_pool *p = timer->arg;
    bool is_lost = loop_timer_start(p->loop, timer, TUNNEL_GUARD_MS) != GW_OK;
    for (struct tunnel *t = p->all, *next; t != NULL; t = next) {
        next = t->next;
        if (is_lost || (t->guard.is_over != NULL && t->guard.is_over(t->guard.arg)))
            end(t);
    }
}

static struct tunnel *tunnel_new(struct tunnel_pool *p, const int fds[2], const struct tunnel_guard *guard)
{
    struct tunnel *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->pool = p;
    t->guard = *guard;
    t->timer = (struct loop_timer){.fn = on_idle, .arg = t};
    t->active_us = epoch_mono_us();
    for (int i = 0; i < 2; i++)
        t->sides[i].lf = (struct loop_fd){.fd = fds[i], .fn = on_ready, .arg = t};
    t->next = p->all;
    t->link = &p->all;
    if (t->next != NULL)
        t->next->link = &t->next;
    p->all = t;
    p->n++;
    meter_inc(METER_TUNNELS_OPEN);
    return t;
}

static enum gw_err begin(struct tunnel *t, const struct view early[2])
{
    struct tunnel_pool *p = t->pool;
    enum gw_err err = loop_timer_start(p->loop, &t->timer, p->idle_ms);
    if (err == GW_OK && p->guard_timer.slot == 0)
        err = loop_timer_start(p->loop, &p->guard_timer, TUNNEL_GUARD_MS);
    for (int i = 0; i < 2 && err == GW_OK; i++)
        if (window_put(&t->sides[i].in, &p->spares, early[i].p, early[i].n) < early[i].n)
            err = GW_E_NOMEM;
    if (err == GW_OK && (!watch(t, &t->sides[0]) || !watch(t, &t->sides[1])))
        err = GW_E_IO;
    return err;
}

enum gw_err tunnel_start(struct tunnel_pool *p, int client_fd, struct view client_early, int workspace_fd,
                         struct view workspace_early, const struct tunnel_guard *guard)
{
    const int fds[2] = {client_fd, workspace_fd};
    const struct view early[2] = {client_early, workspace_early};
    bool has_room = p->n < TUNNEL_MAX && client_early.n <= TUNNEL_WINDOW_BYTES && workspace_early.n <= TUNNEL_WINDOW_BYTES;
    struct tunnel *t = has_room ? tunnel_new(p, fds, guard) : NULL;
    if (t == NULL) {
        close(client_fd);
        close(workspace_fd);
        if (guard->release != NULL)
            guard->release(guard->arg);
        return has_room ? GW_E_NOMEM : GW_E_LIMIT;
    }
    enum gw_err err = begin(t, early);
    if (err != GW_OK)
        end(t);
    return err;
}

size_t tunnel_count(const struct tunnel_pool *p)
{
    return p->n;
}

size_t tunnel_pool_window_bytes(const struct tunnel_pool *p)
{
    return p->spares.n_out * WINDOW_BYTES;
}

void tunnel_pool_set_idle(struct tunnel_pool *p, int64_t idle_ms)
{
    p->idle_ms = idle_ms;
}

enum gw_err tunnel_pool_new(struct loop *l, struct tunnel_pool **ret_pool)
{
    struct tunnel_pool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return GW_E_NOMEM;
    p->loop = l;
    p->idle_ms = TUNNEL_IDLE_MS;
    p->guard_timer = (struct loop_timer){.fn = on_guard_due, .arg = p};
    *ret_pool = p;
    return GW_OK;
}

void tunnel_pool_free(struct tunnel_pool *p)
{
    if (p == NULL)
        return;
    while (p->all != NULL)
        end(p->all);
    window_spares_deinit(&p->spares);
    free(p);
}
