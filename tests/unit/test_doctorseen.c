#include "cli/doctorseen.h"

#include "support.h"

#define HEAD "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\n"
#define JUDGED                                                                                                             \
    "\"judged\":{\"id\":\"i\",\"dialect\":\"nginx\",\"method\":\"GET\",\"host\":\"h\",\"target\":\"/a?b\",\"ip\":\"::1\"," \
    "\"username\":\"u\"}"
#define ARRIVED "\"arrived\":{\"method\":\"GET\",\"target\":\"/a?b\",\"headers\":[[\"Host\",\"h\"],[\"X-One\",\"1\"]]}"
#define BY_PROXY "{\"repogate_echo\":1,\"routed_by\":\"proxy\",\"refused_questions\":3," JUDGED "," ARRIVED "}"
#define BY_GATEWAY \
    "{\"repogate_echo\":1,\"routed_by\":\"gateway\"," JUDGED "," ARRIVED ",\"workspace\":{\"headers\":[[\"X-Two\",\"2\"]]}}"

static struct seen seen;

static void set_up(void)
{
    seen = (struct seen){0};
}

static void tear_down(void)
{
    doctorseen_deinit(&seen);
}

static void read_text(struct view bytes)
{
    ck_assert_int_eq(doctorseen_read(&seen, bytes), GW_OK);
}

static void read_body(const char *body)
{
    struct buf bytes = BUF(DOCTORSEEN_ANSWER_MAX);
    buf_printf(&bytes, HEAD "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    read_text(buf_view(&bytes));
    buf_deinit(&bytes);
}

START_TEST(reads_an_echo_that_the_proxy_has_routed)
{
    read_body(BY_PROXY);
    ck_assert_int_eq(seen.status, 200);
    ck_assert(seen.is_echo && seen.is_by_proxy && !seen.is_auth_answer);
    ck_view_eq(seen.server, "nginx");
    ck_view_eq(seen.judged.id, "i");
    ck_view_eq(seen.judged.dialect, "nginx");
    ck_view_eq(seen.judged.target, "/a?b");
    ck_view_eq(seen.judged.ip, "::1");
    ck_view_eq(seen.judged.username, "u");
    ck_view_eq(seen.target, "/a?b");
    ck_assert_int_eq(seen.n_refused_questions, 3);
    ck_assert_uint_eq(seen.arrived.n, 2);
    ck_view_eq(seen.arrived.items[1].name, "X-One");
    ck_view_eq(seen.arrived.items[1].value, "1");
    ck_assert_uint_eq(seen.workspace.n, 0);
}
END_TEST

START_TEST(reads_an_echo_that_the_gateway_has_routed)
{
    read_body(BY_GATEWAY);
    ck_assert(seen.is_echo && !seen.is_by_proxy);
    ck_assert_uint_eq(seen.workspace.n, 1);
    ck_view_eq(seen.workspace.items[0].name, "X-Two");
}
END_TEST

START_TEST(reads_an_echo_in_chunks_behind_interim_answers)
{
    read_text(
        VIEW("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"));
    ck_assert_int_eq(seen.status, 200);
    ck_assert(!seen.is_echo);
}
END_TEST

/* Anything but the whole of it is no echo: it might be somebody else's. */
static const char *const no_echoes[] = {
    "",
    "{}",
    "[]",
    "nonsense",
    "{\"repogate_echo\":1}",
    "{\"repogate_echo\":2,\"routed_by\":\"proxy\"," JUDGED "," ARRIVED "}",
    "{\"repogate_echo\":true,\"routed_by\":\"proxy\"," JUDGED "," ARRIVED "}",
    "{\"repogate_echo\":1," JUDGED "," ARRIVED "}",
    "{\"repogate_echo\":1,\"routed_by\":\"someone\"," JUDGED "," ARRIVED "}",
    "{\"repogate_echo\":1,\"routed_by\":\"gateway\"," JUDGED "," ARRIVED "}",
    "{\"repogate_echo\":1,\"routed_by\":\"proxy\"," ARRIVED "}",
    "{\"repogate_echo\":1,\"routed_by\":\"proxy\"," JUDGED "}",
    "{\"repogate_echo\":1,\"routed_by\":\"proxy\"," JUDGED ",\"arrived\":{\"method\":\"GET\",\"target\":\"/\"}}",
    "{\"repogate_echo\":1,\"routed_by\":\"proxy\"," JUDGED
    ",\"arrived\":{\"method\":\"GET\",\"target\":\"/\",\"headers\":[[\"A\"]]}}",
    "{\"repogate_echo\":1,\"routed_by\":\"proxy\"," JUDGED
    ",\"arrived\":{\"method\":\"GET\",\"target\":\"/\",\"headers\":[[\"A\",1]]}}",
    "{\"repogate_echo\":1,\"routed_by\":\"proxy\"," JUDGED
    ",\"arrived\":{\"method\":\"GET\",\"target\":\"/\",\"headers\":{\"A\":\"b\"}}}",
    "{\"repogate_echo\":1,\"routed_by\":\"proxy\",\"routed_by\":\"proxy\"," JUDGED "," ARRIVED "}",
    " " BY_PROXY,
};

START_TEST(takes_nothing_else_for_an_echo)
{
    read_body(no_echoes[_i]);
    ck_assert_int_eq(seen.status, 200);
    ck_assert(!seen.is_echo);
}
END_TEST

START_TEST(an_echo_has_status_200)
{
    struct buf bytes = BUF(DOCTORSEEN_ANSWER_MAX);
    buf_printf(&bytes, "HTTP/1.1 403 Forbidden\r\nContent-Length: %zu\r\n\r\n%s", sizeof(BY_PROXY) - 1, BY_PROXY);
    read_text(buf_view(&bytes));
    buf_deinit(&bytes);
    ck_assert_int_eq(seen.status, 403);
    ck_assert(!seen.is_echo);
}
END_TEST

START_TEST(reads_why_it_was_refused)
{
    read_text(VIEW("HTTP/1.1 404 Not Found\r\nContent-Length: 22\r\n\r\n{\"reason\":\"not_found\"}"));
    ck_assert_int_eq(seen.status, 404);
    ck_view_eq(seen.reason, "not_found");
}
END_TEST

static const struct view auth_headers[] = {{"X-Repogate-Reason: own_path", 27},
                                           {"x-repogate-decision-id: i", 25},
                                           {"X-Repogate-Upstream: http://a", 29},
                                           {"X-AUTHENTIK-USERNAME: u", 23}};

START_TEST(knows_an_auth_endpoint_by_its_headers)
{
    struct buf bytes = BUF(DOCTORSEEN_ANSWER_MAX);
    buf_printf(&bytes, "HTTP/1.1 403 Forbidden\r\n%.*s\r\nContent-Length: 0\r\n\r\n", VIEW_FMT(auth_headers[_i]));
    read_text(buf_view(&bytes));
    buf_deinit(&bytes);
    ck_assert(seen.is_auth_answer);
}
END_TEST

static const struct view no_answers[] = {VIEW_NONE,
                                         {"x", 1},
                                         {"HTTP/1.1 200 OK\r\n", 17},
                                         {"HTTP/1.1 200 OK\n\n", 17},
                                         {"HTTP/2 200 OK\r\n\r\n", 17},
                                         {"<html></html>\r\n\r\n", 17}};

START_TEST(says_that_there_is_no_answer)
{
    read_text(no_answers[_i]);
    ck_assert_int_eq(seen.status, 0);
    ck_assert_str_ne(seen.detail, "");
}
END_TEST

static const struct {
    const char *bytes;
    bool is_whole;
} ends[] = {
    {"HTTP/1.1 200 OK\r\n", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
    {"HTTP/1.1 204 No Content\r\n\r\n", true},
    {"HTTP/1.1 100 Continue\r\n\r\n", false},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", true},
    {"HTTP/1.1 200 OK\r\n\r\nuntil it closes", false},
    {"nonsense\n", true},
};

START_TEST(knows_when_an_answer_is_whole)
{
    ck_assert_int_eq(doctorseen_is_whole(view_of(ends[_i].bytes)), ends[_i].is_whole);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("doctorseen");
    TCase *tc = tcase_create("doctorseen");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, reads_an_echo_that_the_proxy_has_routed);
    tcase_add_test(tc, reads_an_echo_that_the_gateway_has_routed);
    tcase_add_test(tc, reads_an_echo_in_chunks_behind_interim_answers);
    tcase_add_loop_test(tc, takes_nothing_else_for_an_echo, 0, COUNT(no_echoes));
    tcase_add_test(tc, an_echo_has_status_200);
    tcase_add_test(tc, reads_why_it_was_refused);
    tcase_add_loop_test(tc, knows_an_auth_endpoint_by_its_headers, 0, COUNT(auth_headers));
    tcase_add_loop_test(tc, says_that_there_is_no_answer, 0, COUNT(no_answers));
    tcase_add_loop_test(tc, knows_when_an_answer_is_whole, 0, COUNT(ends));
    suite_add_tcase(s, tc);
    return support_run(s);
}
