#include "proxy/answer.h"

#include "support.h"

#include <stdio.h>

/* ---- heads ---- */

static struct answer_head head;

/* The head must end with the text. */
static enum gw_err parse(struct view text, struct answer_ask ask, const char **ret_why)
{
    size_t n = 0;
    *ret_why = "";
    if (answer_head_end(text, 0, &n, ret_why) != ANSWER_DONE)
        return GW_E_UPSTREAM;
    ck_assert_uint_eq(n, text.n);
    return answer_head_parse(text, ask, &head, ret_why);
}

#define BAD(text)              \
    {                          \
        VIEW(text "\r\n\r\n"), \
        {                      \
            0                  \
        }                      \
    }
static const struct bad_case {
    struct view text;
    struct answer_ask ask;
} bad_heads[] = {
    BAD("HTTP/1.1 99 Low"),
    BAD("HTTP/1.1 099 Low"),
    BAD("HTTP/1.1 600 High"),
    BAD("HTTP/1.1 1000 High"),
    BAD("HTTP/1.1 20 OK"),
    BAD("HTTP/1.1 2x0 OK"),
    BAD("HTTP/1.1 +20 OK"),
    BAD("HTTP/1.1  200 OK"),
    BAD("HTTP/1.1\t200 OK"),
    BAD("HTTP/1.1 200OK"),
    BAD("HTTP/1.1 200 O\x01K"),
    BAD("HTTP/1.1 200 O\0K"),
    BAD("HTTP/1.1 "),
    BAD("HTTP/2 200 OK"),
    BAD("HTTP/1.2 200 OK"),
    BAD("HTTP/0.9 200 OK"),
    BAD("http/1.1 200 OK"),
    BAD(" HTTP/1.1 200 OK"),
    BAD("ICY 200 OK"),
    {VIEW("\r\n\r\n"), {0}},
    BAD("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5"),
    BAD("HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 6"),
    BAD("HTTP/1.1 200 OK\r\nContent-Length: 5, 5"),
    BAD("HTTP/1.1 200 OK\r\nContent-Length: +5"),
    BAD("HTTP/1.1 200 OK\r\nContent-Length: -1"),
    BAD("HTTP/1.1 200 OK\r\nContent-Length: 0x5"),
    BAD("HTTP/1.1 200 OK\r\nContent-Length:"),
    BAD("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808"),
    BAD("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616"),
    BAD("HTTP/1.1 204 No\r\nContent-Length: x"),
    BAD("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"),
    BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked"),
    BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked"),
    BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity"),
    BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked"),
    BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b"),
    BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding:"),
    BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    BAD("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked"),
    BAD("HTTP/1.1 200 OK\r\nNo colon"),
    BAD("HTTP/1.1 200 OK\r\n: empty"),
    BAD("HTTP/1.1 200 OK\r\nA b: c"),
    BAD("HTTP/1.1 200 OK\r\nA : c"),
    BAD("HTTP/1.1 200 OK\r\nA\xe9: c"),
    BAD("HTTP/1.1 200 OK\r\nA\0: c"),
    BAD("HTTP/1.1 200 OK\r\nA: b\0c"),
    BAD("HTTP/1.1 200 OK\r\nA: b\rc"),
    BAD("HTTP/1.1 200 OK\r\nA: b\x7f"),
    BAD("HTTP/1.1 200 OK\r\nA: b\r\n folded: c"),
    BAD("HTTP/1.1 200 OK\r\nA: b\r\n\tfolded"),
    BAD("HTTP/1.1 200 OK\r\n A: b"),
    BAD("HTTP/1.1 200 OK\nA: b"),
    BAD("HTTP/1.1 200 OK\r\nA: b\n"),
    BAD("HTTP/1.1 200 OK\r\nA: b\r\r\nB: c"),
    BAD("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket"),
    {VIEW("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n\r\n"), {.wants_upgrade = true}},
    {VIEW("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), {.wants_upgrade = true}},
    {VIEW("HTTP/1.0 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), {.wants_upgrade = true}},
};

START_TEST(H7_H10_refuses_head_that_two_parsers_could_read_differently)
{
    const struct bad_case *c = &bad_heads[_i];
    const char *why;
    ck_assert_msg(parse(c->text, c->ask, &why) == GW_E_UPSTREAM, "case %d was accepted: %.*s", _i, VIEW_FMT(c->text));
    ck_assert_msg(why[0] != '\0', "case %d has no reason", _i);
}
END_TEST

static const struct good_case {
    const char *text;
    struct answer_ask ask;
    int status;
    enum answer_framing framing;
    int64_t length;
    bool is_keepalive;
} good_heads[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", {0}, 200, ANSWER_LENGTH, 5, true},
    {"HTTP/1.1 200\r\nContent-Length:0\r\n\r\n", {0}, 200, ANSWER_LENGTH, 0, true},
    {"HTTP/1.1 200 \r\nContent-Length:\t 7 \t\r\n\r\n", {0}, 200, ANSWER_LENGTH, 7, true},
    {"HTTP/1.1 200 Gr\xc3\xbc\xc3\x9f\r\nContent-Length: 9223372036854775807\r\n\r\n", {0}, 200, ANSWER_LENGTH, INT64_MAX, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", {0}, 200, ANSWER_CHUNKED, -1, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", {0}, 200, ANSWER_CHUNKED, -1, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: foo, CLOSE\r\n\r\n", {0}, 200, ANSWER_LENGTH, 1, false},
    {"HTTP/1.1 200 OK\r\n\r\n", {0}, 200, ANSWER_CLOSE, -1, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", {0}, 200, ANSWER_LENGTH, 5, false},
    {"HTTP/1.1 204 No Content\r\n\r\n", {0}, 204, ANSWER_EMPTY, -1, true},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", {0}, 304, ANSWER_EMPTY, 99, true},
    {"HTTP/1.1 100 Continue\r\n\r\n", {0}, 100, ANSWER_EMPTY, -1, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n", {.is_head = true}, 200, ANSWER_EMPTY, 42, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", {.is_head = true}, 200, ANSWER_EMPTY, -1, true},
    {"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
     {.wants_upgrade = true},
     101,
     ANSWER_EMPTY,
     -1,
     false},
    {"HTTP/1.1 599 Odd\r\n\r\n", {0}, 599, ANSWER_CLOSE, -1, false},
};

START_TEST(chooses_framing_as_rfc9112_6_3_says)
{
    const struct good_case *c = &good_heads[_i];
    const char *why;
    ck_assert_msg(parse(view_of(c->text), c->ask, &why) == GW_OK, "case %d refused: %s", _i, why);
    ck_assert_int_eq(head.status, c->status);
    ck_assert_int_eq(head.framing, c->framing);
    ck_assert_int_eq(head.content_length, c->length);
    ck_assert_int_eq(head.is_keepalive, c->is_keepalive);
}
END_TEST

START_TEST(H6_leaves_out_hop_by_hop_and_nominated_fields)
{
    const char *why;
    ck_assert_int_eq(
        parse(VIEW("HTTP/1.1 200 OK\r\nA: 1\r\nConnection: X-Hop\r\nX-Hop: no\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n"
                   "Trailer: T\r\nUpgrade: h2c\r\nProxy-Authenticate: x\r\nB:\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"),
              (struct answer_ask){0}, &why),
        GW_OK);
    static const char *const names[] = {"A", "B", "Set-Cookie", "Set-Cookie"}, *const values[] = {"1", "", "a=1", "b=2"};
    ck_assert_uint_eq(head.n_headers, 4);
    for (size_t i = 0; i < head.n_headers; i++) {
        ck_assert(view_eq(head.headers[i].name, view_of(names[i])));
        ck_assert(view_eq(head.headers[i].value, view_of(values[i])));
    }
}
END_TEST

START_TEST(M5_refuses_more_fields_than_the_cap)
{
    for (int extra = 0; extra < 2; extra++) {
        struct buf text = BUF(RELAY_HEAD_MAX_BYTES);
        const char *why;
        buf_puts(&text, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < RELAY_HEADERS_MAX + extra; i++)
            buf_puts(&text, "A: b\r\n");
        buf_puts(&text, "\r\n");
        ck_assert_int_eq(parse(buf_view(&text), (struct answer_ask){0}, &why), extra == 0 ? GW_OK : GW_E_UPSTREAM);
        buf_deinit(&text);
    }
}
END_TEST

START_TEST(finds_the_end_of_a_head_whatever_the_pieces)
{
    struct view text = VIEW("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n");
    const char *why;
    for (size_t seen = 0; seen < 27; seen++)
        for (size_t n = seen; n <= text.n; n++) {
            size_t n_head = 0;
            enum answer_step step = answer_head_end(view_at(text.p, n), seen, &n_head, &why);
            ck_assert_int_eq(step, n < 25 || seen >= 25 ? ANSWER_MORE : ANSWER_DONE);
            if (step == ANSWER_DONE)
                ck_assert_uint_eq(n_head, 25);
            if (seen >= 25)
                break;
        }
}
END_TEST

START_TEST(M5_refuses_a_head_without_end)
{
    static char text[RELAY_HEAD_MAX_BYTES + 100];
    size_t n;
    const char *why;
    memset(text, 'a', sizeof(text));
    ck_assert_int_eq(answer_head_end(view_at(text, RELAY_HEAD_MAX_BYTES - 1), 0, &n, &why), ANSWER_MORE);
    ck_assert_int_eq(answer_head_end(view_at(text, RELAY_HEAD_MAX_BYTES), 0, &n, &why), ANSWER_BAD);
    memcpy(text + RELAY_HEAD_MAX_BYTES - 3, "\r\n\r\n", 4);
    ck_assert_int_eq(answer_head_end(view_at(text, sizeof(text)), 0, &n, &why), ANSWER_BAD);
}
END_TEST

/* ---- bodies ---- */

static enum answer_step decode_in_steps(struct answer_body b, struct view text, size_t step_bytes, char *out, size_t *ret_n,
                                        size_t *ret_used)
{
    enum answer_step step = ANSWER_MORE;
    size_t at = 0, total = 0;
    while (at < text.n && step == ANSWER_MORE) {
        char piece[512];
        size_t n = text.n - at < step_bytes ? text.n - at : step_bytes, n_body = 0, used = 0;
        memcpy(piece, text.p + at, n);
        step = answer_body_decode(&b, piece, n, &n_body, &used);
        ck_assert_uint_le(used, n);
        ck_assert_uint_le(n_body, used);
        memcpy(out + total, piece, n_body);
        total += n_body;
        at += used;
    }
    *ret_n = total;
    *ret_used = at;
    return step;
}

static const struct chunk_case {
    struct view text;
    enum answer_step step;
    const char *body;
    size_t surplus;
} chunk_cases[] = {
    {VIEW("0\r\n\r\n"), ANSWER_DONE, "", 0},
    {VIEW("5\r\nhello\r\n0\r\n\r\n"), ANSWER_DONE, "hello", 0},
    {VIEW("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), ANSWER_DONE, "hello world", 0},
    {VIEW("a\r\n0123456789\r\nA\r\nabcdefghij\r\n000\r\n\r\n"), ANSWER_DONE, "0123456789abcdefghij", 0},
    {VIEW("2;x=y;z=\"q\"\r\nab\r\n0;last\r\n\r\n"), ANSWER_DONE, "ab", 0},
    {VIEW("2  \r\nab\r\n0 ;a\r\n\r\n"), ANSWER_DONE, "ab", 0},
    {VIEW("2\r\n\r\n\r\n0\r\n\r\n"), ANSWER_DONE, "\r\n", 0},
    {VIEW("1\r\na\r\n0\r\nT: v\r\nU: w\r\n\r\n"), ANSWER_DONE, "a", 0},
    {VIEW("1\r\na\r\n0\r\n\r\nHTTP/1.1"), ANSWER_DONE, "a", 8},
    {VIEW("5\r\nhel"), ANSWER_MORE, "hel", 0},
    {VIEW("5\r\nhello\r\n0\r\n\r"), ANSWER_MORE, "hello", 0},
    {VIEW("\r\n"), ANSWER_BAD, "", 0},
    {VIEW(";a\r\n"), ANSWER_BAD, "", 0},
    {VIEW(" 5\r\nhello"), ANSWER_BAD, "", 0},
    {VIEW("-5\r\n"), ANSWER_BAD, "", 0},
    {VIEW("0x5\r\n"), ANSWER_BAD, "", 0},
    {VIEW("5 5\r\n"), ANSWER_BAD, "", 0},
    {VIEW("g\r\n"), ANSWER_BAD, "", 0},
    {VIEW("5\nhello"), ANSWER_BAD, "", 0},
    {VIEW("5\r\r\nhello"), ANSWER_BAD, "", 0},
    {VIEW("5;a\nb\r\nhello"), ANSWER_BAD, "", 0},
    {VIEW("5;\x01\r\nhello"), ANSWER_BAD, "", 0},
    {VIEW("5\r\nhelloX\r\n"), ANSWER_BAD, "hello", 0},
    {VIEW("5\r\nhello\n0\r\n\r\n"), ANSWER_BAD, "hello", 0},
    {VIEW("5\r\nhello\rX"), ANSWER_BAD, "hello", 0},
    {VIEW("8000000000000000\r\n"), ANSWER_BAD, "", 0},
    {VIEW("10000000000000000\r\n"), ANSWER_BAD, "", 0},
    {VIEW("1\r\na\r\n0\r\nT: v\n\r\n"), ANSWER_BAD, "a", 0},
    {VIEW("1\r\na\r\n0\r\n folded\r\n\r\n"), ANSWER_BAD, "a", 0},
    {VIEW("1\r\na\r\n0\r\nT: \0\r\n\r\n"), ANSWER_BAD, "a", 0},
    {VIEW("1\r\na\r\n0\r\n\rX"), ANSWER_BAD, "a", 0},
};

START_TEST(decodes_chunks_whatever_the_pieces)
{
    const struct chunk_case *c = &chunk_cases[_i];
    for (size_t step_bytes = 1; step_bytes <= c->text.n; step_bytes++) {
        struct answer_body b = {.framing = ANSWER_CHUNKED};
        char out[512];
        size_t n, used;
        enum answer_step step = decode_in_steps(b, c->text, step_bytes, out, &n, &used);
        ck_assert_int_eq(step, c->step);
        ck_assert(view_eq(view_at(out, n), view_of(c->body)));
        if (step == ANSWER_DONE)
            ck_assert_uint_eq(c->text.n - used, c->surplus);
        ck_assert(!answer_body_may_close(&b));
    }
}
END_TEST

static enum answer_step decode_flood(const char *start, char flood, size_t n_flood)
{
    struct answer_body b = {.framing = ANSWER_CHUNKED};
    char text[64];
    size_t n, used;
    enum answer_step step = ANSWER_MORE;
    snprintf(text, sizeof(text), "%s", start);
    step = answer_body_decode(&b, text, strlen(text), &n, &used);
    for (size_t i = 0; i < n_flood && step == ANSWER_MORE; i++) {
        char c = flood;
        step = answer_body_decode(&b, &c, 1, &n, &used);
    }
    return step;
}

START_TEST(H7_M5_bounds_what_lies_around_the_chunks)
{
    ck_assert_int_eq(decode_flood("1;", 'x', ANSWER_LINE_MAX_BYTES - 2), ANSWER_MORE);
    ck_assert_int_eq(decode_flood("1;", 'x', ANSWER_LINE_MAX_BYTES), ANSWER_BAD);
    ck_assert_int_eq(decode_flood("", '0', ANSWER_LINE_MAX_BYTES + 1), ANSWER_BAD);
    ck_assert_int_eq(decode_flood("0\r\n", 'x', ANSWER_TRAILER_MAX_BYTES), ANSWER_MORE);
    ck_assert_int_eq(decode_flood("0\r\n", 'x', ANSWER_TRAILER_MAX_BYTES + 1), ANSWER_BAD);
}
END_TEST

START_TEST(takes_a_length_and_leaves_the_surplus)
{
    struct answer_body b = {.framing = ANSWER_LENGTH, .left = 5};
    char text[] = "helloHTTP/1.1";
    size_t n, used;
    ck_assert_int_eq(answer_body_decode(&b, text, 3, &n, &used), ANSWER_MORE);
    ck_assert_uint_eq(n, 3);
    ck_assert(!answer_body_may_close(&b));
    ck_assert_int_eq(answer_body_decode(&b, text + 3, 10, &n, &used), ANSWER_DONE);
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(used, 2);
}
END_TEST

START_TEST(reads_until_close_only_where_nothing_else_was_said)
{
    struct answer_body b = {.framing = ANSWER_CLOSE};
    char text[] = "anything";
    size_t n, used;
    ck_assert_int_eq(answer_body_decode(&b, text, 8, &n, &used), ANSWER_MORE);
    ck_assert_uint_eq(n, 8);
    ck_assert(answer_body_may_close(&b));
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("answer");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, H7_H10_refuses_head_that_two_parsers_could_read_differently, 0, COUNT(bad_heads));
    tcase_add_loop_test(t, chooses_framing_as_rfc9112_6_3_says, 0, COUNT(good_heads));
    tcase_add_test(t, H6_leaves_out_hop_by_hop_and_nominated_fields);
    tcase_add_test(t, M5_refuses_more_fields_than_the_cap);
    tcase_add_test(t, finds_the_end_of_a_head_whatever_the_pieces);
    tcase_add_test(t, M5_refuses_a_head_without_end);
    tcase_add_loop_test(t, decodes_chunks_whatever_the_pieces, 0, COUNT(chunk_cases));
    tcase_add_test(t, H7_M5_bounds_what_lies_around_the_chunks);
    tcase_add_test(t, takes_a_length_and_leaves_the_surplus);
    tcase_add_test(t, reads_until_close_only_where_nothing_else_was_said);
    suite_add_tcase(s, t);
    return support_run(s);
}
