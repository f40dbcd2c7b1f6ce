/* doctorseen: what came back to one request of `repogate doctor`: bytes into an answer, and an echo's body into what was judged and what arrived.
 *
 * Shape: in: the bytes of one connection, final answer and interim ones. Out: struct seen. Bytes that are no answer, or a body that is no echo,
 * are no error: the request was then refused, or somebody else answered.
 * Owns: a seen owns all that its views point to. Threads: any. Source: handlers/echo.c for the echo, proxy/answer for HTTP. */
#pragma once

#include "util/buf.h"

enum { DOCTORSEEN_ANSWER_MAX = 256 * 1024, DOCTORSEEN_HEADERS_MAX = 128, DOCTORSEEN_DETAIL_MAX = 256 };

struct seen_header {
    struct view name, value;
};

struct seen_headers {
    struct seen_header items[DOCTORSEEN_HEADERS_MAX];
    size_t n;
};

struct seen {
    int status; /* 0 = no answer; detail says why */
    char detail[DOCTORSEEN_DETAIL_MAX];
    struct view location, server;
    struct view reason;  /* of problem details, "" otherwise */
    bool is_auth_answer; /* has headers that only an auth endpoint sends */
    bool is_echo;
    bool is_by_proxy; /* the proxy has asked, and routed */
    struct {
        struct view id, dialect, method, host, target, ip, username;
        struct view base; /* what a proxy takes off the target on the way to a workspace */
    } judged;
    int64_t n_refused_questions;   /* of the proxy, ever; by the gateway that answered */
    struct view method, target;    /* as they arrived */
    struct seen_headers arrived;   /* at the gateway: where the proxy routes, that is what a workspace gets */
    struct seen_headers workspace; /* what a workspace would have got, where the gateway routes */
    struct buf bytes, packed;      /* what all views point into */
};

/* s: all zero. bytes: copied. */
enum gw_err doctorseen_read(struct seen *s, struct view bytes) GW_MUST_CHECK;
/* Nothing more is needed: the answer is whole, or broken already. */
bool doctorseen_is_whole(struct view bytes);
void doctorseen_deinit(struct seen *s);
