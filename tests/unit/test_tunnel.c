/* Both ends and the tunnel live in one loop; the ends act after each of its turns. Each test runs over TCP and over a pair of local
 * sockets, which report a hang-up where TCP still waits. */
#include "proxy/tunnel.h"

#include "support.h"
#include "util/meter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_S = 60, BIG_BYTES = 50 * 1024 * 1024, SOCKET_BYTES = 256 * 1024, KERNEL_BYTES = 16 * SOCKET_BYTES, KINDS = 2 };

struct end {
    int fd;
    size_t to_send, n_sent, n_got;
    bool reads, has_eof, is_broken, is_wrong;
    bool hangs_up; /* shuts down its writing side when all is sent */
};

static struct loop *loop;
static struct tunnel_pool *pool;
static struct end client, workspace;
static int client_inner, workspace_inner;
static struct loop_timer guard, turn;
static bool (*is_done)(void);
static size_t most_window_bytes, n_ticks;

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 31 + (i >> 8) + (i >> 16));
}

static void unblock(int fd)
{
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

/* A kernel that tunes its buffers would hold most of the body, and say nothing about ours. */
static void fix_buffers(int fd)
{
    int n = SOCKET_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
}

static void pair_over_tcp(int fds[2])
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(to);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    fix_buffers(listener); /* the accepted socket inherits them */
    ck_assert_int_eq(bind(listener, (struct sockaddr *)(void *)&to, n), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)(void *)&to, &n), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    fix_buffers(fds[0]);
    ck_assert_int_eq(connect(fds[0], (struct sockaddr *)(void *)&to, n), 0);
    fds[1] = accept(listener, NULL, NULL);
    ck_assert_int_ge(fds[1], 0);
    close(listener);
}

static void make_pair(int kind, struct end *e, int *ret_inner)
{
    int fds[2];
    if (kind == 0)
        pair_over_tcp(fds);
    else
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    unblock(fds[0]);
    unblock(fds[1]);
    *e = (struct end){.fd = fds[0], .reads = true};
    *ret_inner = fds[1];
}

static void send_more(struct end *e)
{
    char bytes[16 * 1024];
    while (e->n_sent < e->to_send) {
        size_t n = e->to_send - e->n_sent < sizeof(bytes) ? e->to_send - e->n_sent : sizeof(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)pattern(e->n_sent + i);
        ssize_t sent = send(e->fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0)
            e->is_broken |= errno != EAGAIN;
        if (sent <= 0)
            return;
        e->n_sent += (size_t)sent;
    }
    if (e->hangs_up)
        shutdown(e->fd, SHUT_WR);
    e->hangs_up = false;
}

static void read_more(struct end *e)
{
    char bytes[16 * 1024];
    for (int i = 0; e->reads && !e->has_eof && i < 8; i++) {
        ssize_t n = recv(e->fd, bytes, sizeof(bytes), 0);
        if (n == 0)
            e->has_eof = true;
        if (n < 0)
            e->is_broken |= errno != EAGAIN;
        if (n <= 0)
            return;
        for (ssize_t j = 0; j < n; j++)
            e->is_wrong |= (unsigned char)bytes[j] != pattern(e->n_got + (size_t)j);
        e->n_got += (size_t)n;
    }
}

static void after_turn(void *arg)
{
    (void)arg;
    struct end *const ends[] = {&client, &workspace};
    for (int i = 0; i < 2; i++)
        if (ends[i]->fd >= 0) {
            send_more(ends[i]);
            read_more(ends[i]);
        }
    size_t bytes = tunnel_pool_window_bytes(pool);
    if (bytes > most_window_bytes)
        most_window_bytes = bytes;
    if (is_done())
        loop_stop(loop);
}

static void on_turn(struct loop_timer *t)
{
    n_ticks++;
    ck_assert_int_eq(loop_timer_start(loop, t, 1), GW_OK); /* so that the ends act even when the tunnel is silent */
}

static void on_guard(struct loop_timer *t)
{
    (void)t;
    ck_abort_msg("nothing happened for %d s", WAIT_S);
}

static void run_until(bool (*fn)(void))
{
    is_done = fn;
    loop_set_after(loop, after_turn, NULL);
    ck_assert_int_eq(loop_timer_start(loop, &guard, WAIT_S * 1000), GW_OK);
    ck_assert_int_eq(loop_timer_start(loop, &turn, 0), GW_OK);
    loop_run(loop);
    loop_timer_stop(loop, &guard);
    loop_timer_stop(loop, &turn);
}

static void set_up(void)
{
    guard.fn = on_guard;
    turn.fn = on_turn;
    most_window_bytes = n_ticks = 0;
    client.fd = workspace.fd = -1;
    ck_assert_int_eq(loop_new(&loop), GW_OK);
    ck_assert_int_eq(tunnel_pool_new(loop, &pool), GW_OK);
}

static void tear_down(void)
{
    tunnel_pool_free(pool);
    loop_free(loop);
    if (client.fd >= 0)
        close(client.fd);
    if (workspace.fd >= 0)
        close(workspace.fd);
    ck_assert_int_eq(meter_value(METER_TUNNELS_OPEN), 0);
}

static bool is_over;
static int n_asked, n_released;

static bool ask_is_over(void *arg)
{
    ck_assert_ptr_eq(arg, &client);
    n_asked++;
    return is_over;
}

static void release(void *arg)
{
    ck_assert_ptr_eq(arg, &client);
    n_released++;
}

static const struct tunnel_guard tunnel_guard = {ask_is_over, release, &client};

static void open_tunnel(int kind, struct view client_early, struct view workspace_early)
{
    make_pair(kind, &client, &client_inner);
    make_pair(kind, &workspace, &workspace_inner);
    is_over = false;
    n_asked = n_released = 0;
    ck_assert_int_eq(tunnel_start(pool, client_inner, client_early, workspace_inner, workspace_early, &tunnel_guard), GW_OK);
    ck_assert_uint_eq(tunnel_count(pool), 1);
    ck_assert_int_eq(meter_value(METER_TUNNELS_OPEN), 1);
}

static bool all_has_come(void)
{
    return workspace.n_got == client.to_send && client.n_got == workspace.to_send;
}

static bool tunnel_is_over(void)
{
    return tunnel_count(pool) == 0;
}

static bool one_tunnel_is_left(void)
{
    return tunnel_count(pool) == 1;
}

START_TEST(carries_bytes_both_ways)
{
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    client.to_send = 5;
    workspace.to_send = 100000;
    run_until(all_has_come);
    ck_assert(!client.is_wrong && !workspace.is_wrong);
    ck_assert_uint_eq(tunnel_count(pool), 1);
    ck_assert_uint_eq(tunnel_pool_window_bytes(pool), 0);
}
END_TEST

static size_t n_from_client, n_from_workspace;

static bool early_has_come(void)
{
    return workspace.n_got == n_from_client && client.n_got == n_from_workspace;
}

START_TEST(sends_early_bytes_first)
{
    char early[1000];
    for (size_t i = 0; i < sizeof(early); i++)
        early[i] = (char)pattern(i);
    open_tunnel(_i, view_at(early, 1000), view_at(early, 3));
    n_from_client = 1000;
    n_from_workspace = 3;
    run_until(early_has_come);
    ck_assert(!client.is_wrong && !workspace.is_wrong);
    client.n_sent = 1000; /* the pattern goes on behind them */
    client.to_send = 5000;
    n_from_client = 5000;
    run_until(early_has_come);
    ck_assert(!workspace.is_wrong);
}
END_TEST

static bool workspace_has_eof(void)
{
    return workspace.has_eof;
}

START_TEST(passes_a_half_close_on_and_lets_the_rest_through)
{
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    client.to_send = 100000;
    client.hangs_up = true;
    run_until(workspace_has_eof);
    ck_assert_uint_eq(workspace.n_got, 100000);
    ck_assert(!client.has_eof);
    ck_assert_uint_eq(tunnel_count(pool), 1);
    workspace.to_send = 300000;
    workspace.hangs_up = true;
    run_until(tunnel_is_over);
    while (!client.has_eof)
        read_more(&client);
    ck_assert_uint_eq(client.n_got, 300000);
    ck_assert(!client.is_wrong && !client.is_broken);
}
END_TEST

/* Nothing could be sent for a while; if the machine was merely slow, the tests that ask see less, not something wrong. */
static bool workspace_is_stuck(void)
{
    static size_t last, since;
    if (workspace.n_sent != last || n_ticks < since)
        since = n_ticks;
    last = workspace.n_sent;
    return n_ticks > since + 50;
}

static bool client_has_eof(void)
{
    return client.has_eof;
}

START_TEST(stops_a_sender_whose_reader_does_not_read)
{
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    client.reads = false;
    workspace.to_send = BIG_BYTES;
    workspace.hangs_up = true;
    run_until(workspace_is_stuck);
    ck_assert_uint_lt(workspace.n_sent, TUNNEL_WINDOW_BYTES + KERNEL_BYTES);
    ck_assert_uint_le(tunnel_pool_window_bytes(pool), TUNNEL_WINDOW_BYTES);
    client.reads = true;
    client.hangs_up = true; /* from now on each side has ended but for what is under way */
    run_until(client_has_eof);
    ck_assert_uint_eq(client.n_got, BIG_BYTES);
    ck_assert(!client.is_wrong);
    ck_assert_uint_le(most_window_bytes, 2 * TUNNEL_WINDOW_BYTES);
    run_until(tunnel_is_over);
}
END_TEST

START_TEST(carries_50_mb_both_ways_through_two_windows)
{
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    client.to_send = workspace.to_send = BIG_BYTES;
    run_until(all_has_come);
    ck_assert(!client.is_wrong && !workspace.is_wrong);
    ck_assert_uint_le(most_window_bytes, 2 * TUNNEL_WINDOW_BYTES);
}
END_TEST

START_TEST(ends_both_sides_when_one_breaks)
{
    struct linger now = {.l_onoff = 1};
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    client.to_send = 10;
    run_until(all_has_come);
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)); /* a reset instead of an orderly end */
    close(client.fd);
    client.fd = -1;
    workspace.to_send = _i == 0 ? 0 : 1; /* a local socket has no reset: the next byte finds out */
    run_until(tunnel_is_over);
    run_until(workspace_has_eof);
}
END_TEST

START_TEST(ends_when_a_paused_sender_breaks)
{
    struct linger now = {.l_onoff = 1};
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    client.reads = false;
    workspace.to_send = BIG_BYTES;
    run_until(workspace_is_stuck);
    setsockopt(workspace.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(workspace.fd);
    workspace.fd = -1;
    client.reads = true;
    run_until(client_has_eof);
    ck_assert(!client.is_wrong);
    client.hangs_up = true;
    run_until(tunnel_is_over);
}
END_TEST

START_TEST(cuts_what_is_open_with_the_pool)
{
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    tunnel_pool_free(pool);
    char c;
    ck_assert_int_eq(recv(client.fd, &c, 1, 0), 0);
    ck_assert_int_eq(recv(workspace.fd, &c, 1, 0), 0);
    ck_assert_int_eq(n_released, 1);
    ck_assert_int_eq(tunnel_pool_new(loop, &pool), GW_OK);
}
END_TEST

static bool guard_was_asked_twice(void)
{
    return n_asked == 2;
}

START_TEST(ends_while_bytes_flow_when_its_guard_says_so)
{
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    client.to_send = workspace.to_send = SIZE_MAX; /* never idle */
    run_until(guard_was_asked_twice);
    ck_assert_uint_eq(tunnel_count(pool), 1);
    is_over = true;
    run_until(tunnel_is_over);
    ck_assert_int_eq(n_asked, 3);
    ck_assert_int_eq(n_released, 1);
}
END_TEST

START_TEST(ends_the_connection_though_somebody_else_holds_its_descriptor_too)
{
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    int held[2] = {dup(client_inner), dup(workspace_inner)};
    is_over = true;
    run_until(tunnel_is_over);
    run_until(client_has_eof);
    run_until(workspace_has_eof);
    close(held[0]);
    close(held[1]);
}
END_TEST

START_TEST(goes_on_without_a_guard)
{
    static const struct tunnel_guard none;
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    struct end first_client = client, first_workspace = workspace;
    make_pair(_i, &client, &client_inner);
    make_pair(_i, &workspace, &workspace_inner);
    ck_assert_int_eq(tunnel_start(pool, client_inner, VIEW_NONE, workspace_inner, VIEW_NONE, &none), GW_OK);
    is_over = true;
    run_until(one_tunnel_is_left);
    client.to_send = workspace.to_send = 1000;
    run_until(all_has_come);
    ck_assert_int_eq(n_released, 1);
    close(first_client.fd);
    close(first_workspace.fd);
}
END_TEST

START_TEST(ends_after_the_idle_time)
{
    tunnel_pool_set_idle(pool, 20);
    open_tunnel(_i, VIEW_NONE, VIEW_NONE);
    run_until(tunnel_is_over);
    run_until(client_has_eof);
}
END_TEST

START_TEST(closes_both_sockets_when_it_cannot_start)
{
    static char early[TUNNEL_WINDOW_BYTES + 1];
    char c;
    make_pair(_i, &client, &client_inner);
    make_pair(_i, &workspace, &workspace_inner);
    n_released = 0;
    ck_assert_int_eq(tunnel_start(pool, client_inner, view_at(early, sizeof(early)), workspace_inner, VIEW_NONE, &tunnel_guard),
                     GW_E_LIMIT);
    ck_assert_int_eq(n_released, 1);
    ck_assert_int_eq(recv(client.fd, &c, 1, 0), 0);
    ck_assert_int_eq(recv(workspace.fd, &c, 1, 0), 0);
    ck_assert_uint_eq(tunnel_count(pool), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tunnel");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 3 * WAIT_S);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, carries_bytes_both_ways, 0, KINDS);
    tcase_add_loop_test(t, sends_early_bytes_first, 0, KINDS);
    tcase_add_loop_test(t, passes_a_half_close_on_and_lets_the_rest_through, 0, KINDS);
    tcase_add_loop_test(t, stops_a_sender_whose_reader_does_not_read, 0, KINDS);
    tcase_add_loop_test(t, carries_50_mb_both_ways_through_two_windows, 0, KINDS);
    tcase_add_loop_test(t, ends_both_sides_when_one_breaks, 0, KINDS);
    tcase_add_loop_test(t, ends_when_a_paused_sender_breaks, 0, KINDS);
    tcase_add_loop_test(t, cuts_what_is_open_with_the_pool, 0, KINDS);
    tcase_add_loop_test(t, ends_while_bytes_flow_when_its_guard_says_so, 0, KINDS);
    tcase_add_loop_test(t, ends_the_connection_though_somebody_else_holds_its_descriptor_too, 0, KINDS);
    tcase_add_loop_test(t, goes_on_without_a_guard, 0, KINDS);
    tcase_add_loop_test(t, ends_after_the_idle_time, 0, KINDS);
    tcase_add_loop_test(t, closes_both_sockets_when_it_cannot_start, 0, KINDS);
    suite_add_tcase(s, t);
    return support_run(s);
}
