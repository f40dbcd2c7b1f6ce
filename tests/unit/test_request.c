#include "http/request.h"

#include <check.h>
#include <stdlib.h>

static struct request req;

static void begin(const char *method, const char *target)
{
    request_reset(&req);
    req.method = view_of(method);
    req.target = view_of(target);
    req.minor = 1;
}

static void add(const char *name, const char *value)
{
    ck_assert_int_eq(request_add_header(&req, view_of(name), view_of(value)), GW_OK);
}

/* Lines "Name: value\n…", so that tables stay readable; the blank after the colon is not part of the value. */
static void add_lines(const char *lines)
{
    struct view rest = view_of(lines);
    while (rest.n > 0) {
        struct view value = view_split(&rest, '\n'), name = view_split(&value, ':');
        ck_assert_int_eq(request_add_header(&req, name, value), GW_OK);
    }
}

START_TEST(accepts_an_ordinary_request)
{
    begin("GET", "/github/acme/site/?a=b");
    add_lines("Host: dev.example.org\nUser-Agent: x\nAccept: */*\nCookie: a=b\nX-Anything: \t v \n");
    ck_assert_int_eq(request_check(&req), REQUEST_FINE);
    ck_assert_int_eq(req.method_id, METHOD_GET);
    ck_assert(view_eq(req.uri.path, VIEW("/github/acme/site/")));
    ck_assert(view_eq(req.uri.query, VIEW("a=b")));
    ck_assert(!req.has_body && !req.is_chunked);
    ck_assert(view_eq(req.headers[4].value, VIEW("v")));
}
END_TEST

START_TEST(forgets_everything_at_reset)
{
    begin("POST", "/");
    add_lines("Host: h\nContent-Length: 3\nOrigin: null\n");
    ck_assert_int_eq(request_check(&req), REQUEST_FINE);
    ck_assert(req.has_body);
    ck_assert_uint_eq(req.content_length, 3);
    begin("GET", "/");
    ck_assert_uint_eq(req.n_headers, 0);
    for (size_t i = 0; i < HEADER_ID_COUNT; i++)
        ck_assert(req.slot[i] == 0 && req.seen[i] == 0);
    ck_assert(!req.has_body && req.content_length == 0 && req.peer.family == 0 && !req.peer_is_trusted);
    ck_assert_int_eq(request_check(&req), REQUEST_BAD_HOST);
}
END_TEST

static const struct {
    const char *method;
    enum request_fault fault;
    enum method id;
} methods[] = {
    {"GET", REQUEST_FINE, METHOD_GET},
    {"HEAD", REQUEST_FINE, METHOD_HEAD},
    {"POST", REQUEST_FINE, METHOD_POST},
    {"PUT", REQUEST_FINE, METHOD_PUT},
    {"PATCH", REQUEST_FINE, METHOD_PATCH},
    {"DELETE", REQUEST_FINE, METHOD_DELETE},
    {"OPTIONS", REQUEST_FINE, METHOD_OPTIONS},
    {"PROPFIND", REQUEST_FINE, METHOD_OTHER},
    {"PROPPATCH", REQUEST_FINE, METHOD_OTHER},
    {"REPORT", REQUEST_FINE, METHOD_OTHER},
    {"MKCOL", REQUEST_FINE, METHOD_OTHER},
    {"COPY", REQUEST_FINE, METHOD_OTHER},
    {"MOVE", REQUEST_FINE, METHOD_OTHER},
    {"LOCK", REQUEST_FINE, METHOD_OTHER},
    {"UNLOCK", REQUEST_FINE, METHOD_OTHER},
    {"SEARCH", REQUEST_FINE, METHOD_OTHER},
    {"CONNECT", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"TRACE", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"TRACK", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"PRI", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"FOO", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"get", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"Get", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"GETT", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"GE", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"G(T", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"GET ", REQUEST_BAD_METHOD, METHOD_OTHER},
    {" GET", REQUEST_BAD_METHOD, METHOD_OTHER},
    {"", REQUEST_BAD_METHOD, METHOD_OTHER},
};

START_TEST(B6_H12_serves_only_methods_of_its_list)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        begin(methods[i].method, "/");
        add("Host", "h");
        ck_assert_msg(request_check(&req) == methods[i].fault, "%s", methods[i].method);
        ck_assert_msg(request_method_id(req.method) == methods[i].id, "%s", methods[i].method);
        ck_assert_msg(request_method_is_known(req.method) == (methods[i].fault == REQUEST_FINE), "%s", methods[i].method);
    }
}
END_TEST

START_TEST(speaks_only_http_1_0_and_1_1)
{
    static const struct {
        unsigned minor;
        enum request_fault fault;
    } cases[] = {
        {0, REQUEST_FINE}, {1, REQUEST_FINE}, {2, REQUEST_BAD_VERSION}, {9, REQUEST_BAD_VERSION}, {11, REQUEST_BAD_VERSION}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin("GET", "/");
        add("Host", "h");
        req.minor = cases[i].minor;
        ck_assert_msg(request_check(&req) == cases[i].fault, "HTTP/1.%u", cases[i].minor);
    }
}
END_TEST

START_TEST(B2_B4_refuses_targets_that_are_no_paths)
{
    static const char *const targets[] = {
        "",      "*",      "a/b",    "evil:443", "http://evil/p", "//evil/p", "/a\tb",   "/a\rb",     "/a b",
        "/a\\b", "/a#b",   "/a\x01", "/a\x7f",   "/\xc3\xa9",     "/%",       "/a?b#c",  "/a?\\..\\", "/a<b",
        "?a",    "/a?x y", "/%0",    "/%x0",     "\\a",           "/a\"",     "/a{b}/c", "/a`b"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        begin("GET", targets[i]);
        add("Host", "h");
        ck_assert_msg(request_check(&req) == REQUEST_BAD_TARGET, "%s", targets[i]);
    }
}
END_TEST

START_TEST(lets_queries_of_real_browsers_pass)
{
    static const char *const targets[] = {"/?a=b|c",           "/?x={\"k\":[1]}", "/?q=`^`", "/a|b[c]^d?e",
                                          "/?a/b?c:@!$'()*,;", "/a//b",           "/?%00"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        begin("GET", targets[i]);
        add("Host", "h");
        ck_assert_msg(request_check(&req) == REQUEST_FINE, "%s", targets[i]);
    }
}
END_TEST

static const struct {
    const char *lines;
    enum request_fault fault;
} heads[] = {
    {"", REQUEST_BAD_HOST},
    {"Host: \n", REQUEST_BAD_HOST},
    {"Host: a b\n", REQUEST_BAD_HOST},
    {"Host: a/b\n", REQUEST_BAD_HOST},
    {"Host: a,b\n", REQUEST_BAD_HOST},
    {"Host: u@a\n", REQUEST_BAD_HOST},
    {"Host: a:\n", REQUEST_BAD_HOST},
    {"Host: a:0\n", REQUEST_BAD_HOST},
    {"Host: a:99999\n", REQUEST_BAD_HOST},
    {"Host: a\\b\n", REQUEST_BAD_HOST},
    {"Host: a%62\n", REQUEST_BAD_HOST},
    {"Host: \xc3\xa9\n", REQUEST_BAD_HOST},
    {"Host: a.\n", REQUEST_BAD_HOST},
    {"Host: [::1\n", REQUEST_BAD_HOST},
    {"Host: ::1\n", REQUEST_BAD_HOST},
    {"Host: [::1]:8080\n", REQUEST_FINE},
    {"Host: 10.0.0.1:80\n", REQUEST_FINE},
    {"Host: a\nHost: a\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nhOST: b\n", REQUEST_REPEATED_HEADER},
    {"H.o-s_t: a\nHost: a\n", REQUEST_REPEATED_HEADER},
    {"Ho-st: a\n", REQUEST_REPEATED_HEADER},
    /* framing: H10, LIBRARIES 1.3 */
    {"Host: a\nContent-Length: 3\n", REQUEST_FINE},
    {"Host: a\nContent-Length: 0\n", REQUEST_FINE},
    {"Host: a\nContent-Length: 3\nContent-Length: 3\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nContent-Length: 3\nContent-Length: 4\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nContent-Length: 3\nContent_Length: 4\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nContent_Length: 4\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nContentLength: 4\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nContent-Length: 3, 3\n", REQUEST_BAD_LENGTH},
    {"Host: a\nContent-Length: +3\n", REQUEST_BAD_LENGTH},
    {"Host: a\nContent-Length: -1\n", REQUEST_BAD_LENGTH},
    {"Host: a\nContent-Length: 0x3\n", REQUEST_BAD_LENGTH},
    {"Host: a\nContent-Length: 3 3\n", REQUEST_BAD_LENGTH},
    {"Host: a\nContent-Length: \n", REQUEST_BAD_LENGTH},
    {"Host: a\nContent-Length: 18446744073709551616\n", REQUEST_BAD_LENGTH},
    {"Host: a\nContent-Length : 3\n", REQUEST_BAD_HEADER_NAME},
    {"Host: a\nTransfer-Encoding: chunked\n", REQUEST_FINE},
    {"Host: a\nTransfer-Encoding: chunked\nContent-Length: 3\n", REQUEST_BAD_TRANSFER_ENCODING},
    {"Host: a\nContent-Length: 0\nTransfer-Encoding: chunked\n", REQUEST_BAD_TRANSFER_ENCODING},
    {"Host: a\nTransfer-Encoding: gzip, chunked\n", REQUEST_BAD_TRANSFER_ENCODING},
    {"Host: a\nTransfer-Encoding: chunked, chunked\n", REQUEST_BAD_TRANSFER_ENCODING},
    {"Host: a\nTransfer-Encoding: xchunked\n", REQUEST_BAD_TRANSFER_ENCODING},
    {"Host: a\nTransfer-Encoding: Chunked\n", REQUEST_BAD_TRANSFER_ENCODING},
    {"Host: a\nTransfer-Encoding: identity\n", REQUEST_BAD_TRANSFER_ENCODING},
    {"Host: a\nTransfer-Encoding: \n", REQUEST_BAD_TRANSFER_ENCODING},
    {"Host: a\nTransfer-Encoding: identity\nTransfer-Encoding: chunked\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nTransfer_Encoding: chunked\n", REQUEST_REPEATED_HEADER},
    /* who is asking */
    {"Host: a\nAuthorization: Bearer a\nAuthorization: Bearer b\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nAuthorization: Bearer a\nAuthori-zation: Bearer b\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nContent-Type: a/b\nContent.Type: c/d\n", REQUEST_REPEATED_HEADER},
    {"Host: a\nOrigin: null\nOrigin: null\n", REQUEST_REPEATED_HEADER},
    /* judged elsewhere: `cookie` and `original` */
    {"Host: a\nCookie: a=b\nCookie: c=d\n", REQUEST_FINE},
    {"Host: a\nX-Original-URL: a\nX_Original_URL: b\n", REQUEST_FINE},
    {"Host: a\nX-Forwarded-For: ::1\nX-Forwarded-For: ::1\n", REQUEST_FINE},
    {"Host: a\nAccept: a\nAccept: b\n", REQUEST_FINE},
    /* names and values */
    {"Host: a\n folded: b\n", REQUEST_BAD_HEADER_NAME},
    {"Host: a\nx y: b\n", REQUEST_BAD_HEADER_NAME},
    {"Host: a\nx\x01y: b\n", REQUEST_BAD_HEADER_NAME},
    {"Host: a\nx\xc3\xa9: b\n", REQUEST_BAD_HEADER_NAME},
    {"Host: a\n: b\n", REQUEST_BAD_HEADER_NAME},
    {"Host: a\nx: a\rb\n", REQUEST_BAD_HEADER_VALUE},
    {"Host: a\nx: b\r\n", REQUEST_BAD_HEADER_VALUE},
    {"Host: a\nx: a\x1b[31m\n", REQUEST_BAD_HEADER_VALUE},
    {"Host: a\nx: a\x7f\n", REQUEST_BAD_HEADER_VALUE},
    {"Host: a\nx: a\tb \xc3\xa9\n", REQUEST_FINE},
    {"Host: a\nx_y.z: b\n", REQUEST_FINE},
};

START_TEST(H8_H10_H11_refuses_heads_that_two_parsers_read_differently)
{
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        begin("POST", "/");
        add_lines(heads[i].lines);
        enum request_fault fault = request_check(&req);
        ck_assert_msg(fault == heads[i].fault, "%s gave: %s", heads[i].lines, request_fault_text(fault));
    }
}
END_TEST

START_TEST(tells_how_the_body_is_framed)
{
    begin("POST", "/");
    add_lines("Host: a\nTransfer-Encoding: chunked\n");
    ck_assert_int_eq(request_check(&req), REQUEST_FINE);
    ck_assert(req.has_body && req.is_chunked);
    begin("POST", "/");
    add_lines("Host: a\nContent-Length: 18446744073709551615\n");
    ck_assert_int_eq(request_check(&req), REQUEST_FINE);
    ck_assert(req.has_body && !req.is_chunked);
    ck_assert_uint_eq(req.content_length, UINT64_MAX);
    begin("POST", "/");
    add_lines("Host: a\nContent-Length: 0\n");
    ck_assert_int_eq(request_check(&req), REQUEST_FINE);
    ck_assert(!req.has_body);
}
END_TEST

START_TEST(refuses_chunked_in_http_1_0)
{
    begin("POST", "/");
    add_lines("Host: a\nTransfer-Encoding: chunked\n");
    req.minor = 0;
    ck_assert_int_eq(request_check(&req), REQUEST_BAD_TRANSFER_ENCODING);
}
END_TEST

START_TEST(M2_M9_holds_its_caps)
{
    char *big = malloc(REQUEST_HEAD_MAX_BYTES + 1);
    ck_assert_ptr_nonnull(big);
    memset(big, 'a', REQUEST_HEAD_MAX_BYTES + 1);
    big[0] = '/';

    begin("GET", "/");
    add("Host", "h");
    for (size_t i = 1; i < REQUEST_HEADERS_MAX; i++)
        add("Cookie", "a=b");
    ck_assert_int_eq(request_add_header(&req, VIEW("a"), VIEW("b")), GW_E_LIMIT);
    ck_assert_uint_eq(req.n_headers, REQUEST_HEADERS_MAX);
    ck_assert_int_eq(request_check(&req), REQUEST_FINE);

    begin("GET", "/");
    req.target = view_at(big, URI_MAX + 1);
    add("Host", "h");
    ck_assert_int_eq(request_check(&req), REQUEST_TOO_LARGE);

    for (size_t extra = 0; extra <= 1; extra++) {
        begin("GET", "/");
        add("Host", "h");
        ck_assert_int_eq(request_add_header(&req, VIEW("Cookie"), view_at(big, 4096)), GW_OK);
        ck_assert_int_eq(request_add_header(&req, VIEW("Cookie"), view_at(big, 4096 + extra)), GW_OK);
        ck_assert_int_eq(request_check(&req), extra == 0 ? REQUEST_FINE : REQUEST_TOO_LARGE);
    }

    for (size_t extra = 0; extra <= 1; extra++) {
        const size_t rest = strlen("GET/Host: h\r\nx: \r\n");
        begin("GET", "/");
        add("Host", "h");
        ck_assert_int_eq(request_add_header(&req, VIEW("x"), view_at(big, REQUEST_HEAD_MAX_BYTES - rest + extra)), GW_OK);
        ck_assert_int_eq(request_check(&req), extra == 0 ? REQUEST_FINE : REQUEST_TOO_LARGE);
    }
    free(big);
}
END_TEST

static const struct {
    const char *method, *lines;
    bool is_navigation, wants_html, is_websocket;
} kinds[] = {
    {"GET", "Accept: text/html,*/*\n", true, true, false},
    {"GET", "Accept: */*\n", false, false, false},
    {"GET", "", false, false, false},
    {"HEAD", "Accept: text/html\n", false, true, false},
    {"POST", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\n", false, true, false},
    {"GET", "Accept: text/html\nX-Requested-With: XMLHttpRequest\n", false, false, false},
    {"GET", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\n", true, true, false},
    {"GET", "Sec-Fetch-Mode: navigate\n", true, false, false},
    {"GET", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe\n", false, true, false},
    {"GET", "Accept: text/html\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty\n", false, true, false},
    {"GET", "Accept: text/html\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image\n", false, true, false},
    {"GET", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Mode: navigate\n", false, true, false},
    {"GET", "Accept: text/html\nSec_Fetch_Mode: navigate\n", false, true, false},
    {"GET", "Accept: text/html\nConnection: Upgrade\nUpgrade: websocket\n", false, true, true},
    {"GET", "Connection: keep-alive, Upgrade\nUpgrade: WebSocket\nSec-Fetch-Mode: websocket\n", false, false, true},
    {"GET", "Connection: keep-alive\nUpgrade: websocket\n", false, false, false},
    {"GET", "Connection: Upgrade\nUpgrade: h2c\n", false, false, false},
    {"GET", "Connection: Upgrade\nUpgrade: websocket, h2c\n", false, false, false},
    {"GET", "Connection: Upgrade\nUpgrade: websocket\nUpgrade: websocket\n", false, false, false},
    {"POST", "Connection: Upgrade\nUpgrade: websocket\n", false, false, false},
};

START_TEST(F12_tells_navigations_programs_and_websockets_apart)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        begin(kinds[i].method, "/");
        add("Host", "h");
        add_lines(kinds[i].lines);
        ck_assert_int_eq(request_check(&req), REQUEST_FINE);
        ck_assert_msg(request_is_navigation(&req) == kinds[i].is_navigation, "navigation: %s %s", kinds[i].method,
                      kinds[i].lines);
        ck_assert_msg(request_wants_html(&req) == kinds[i].wants_html, "html: %s %s", kinds[i].method, kinds[i].lines);
        ck_assert_msg(request_is_websocket(&req) == kinds[i].is_websocket, "websocket: %s %s", kinds[i].method, kinds[i].lines);
    }
    begin("GET", "/");
    req.minor = 0;
    add_lines("Host: h\nConnection: Upgrade\nUpgrade: websocket\n");
    ck_assert_int_eq(request_check(&req), REQUEST_FINE);
    ck_assert(!request_is_websocket(&req));
}
END_TEST

START_TEST(has_a_text_for_every_fault)
{
    for (int f = REQUEST_BAD_VERSION; f <= REQUEST_TOO_LARGE; f++)
        ck_assert_uint_gt(strlen(request_fault_text((enum request_fault)f)), 0);
    ck_assert_str_eq(request_fault_text(REQUEST_FINE), "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("request");
    TCase *tc = tcase_create("request");
    tcase_add_test(tc, accepts_an_ordinary_request);
    tcase_add_test(tc, forgets_everything_at_reset);
    tcase_add_test(tc, B6_H12_serves_only_methods_of_its_list);
    tcase_add_test(tc, speaks_only_http_1_0_and_1_1);
    tcase_add_test(tc, B2_B4_refuses_targets_that_are_no_paths);
    tcase_add_test(tc, lets_queries_of_real_browsers_pass);
    tcase_add_test(tc, H8_H10_H11_refuses_heads_that_two_parsers_read_differently);
    tcase_add_test(tc, tells_how_the_body_is_framed);
    tcase_add_test(tc, refuses_chunked_in_http_1_0);
    tcase_add_test(tc, M2_M9_holds_its_caps);
    tcase_add_test(tc, F12_tells_navigations_programs_and_websockets_apart);
    tcase_add_test(tc, has_a_text_for_every_fault);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
