/* answer: parses what a workspace answers, strictly, as pure functions over bytes.
 *
 * Shape: answer_head_end() finds the head, answer_head_parse() reads it, answer_body_decode() takes the transfer coding off in place.
 * Refused: anything that two parsers could read differently: a line end other than CR LF, obs-fold, a name that is no token, control
 * bytes, more than one Content-Length, Content-Length beside Transfer-Encoding, a coding other than chunked, a status outside 100 to 599,
 * an unasked 101. Chunk extensions and trailers are checked, then dropped.
 * Errors: ANSWER_BAD, with a reason for the operator. Owns: nothing; views borrow from the bytes given. Threads: any.
 * Source: RFC 9112 2.2, 4, 5, 6, 7; RFC 9110 5.5, 7.6.1, 15.2. */
#pragma once

#include "proxy/relay.h"

enum {
    ANSWER_LINE_MAX_BYTES = 1024,    /* of a chunk: its size and extensions */
    ANSWER_TRAILER_MAX_BYTES = 4096, /* of all trailers */
    ANSWER_INTERIM_MAX = 16,         /* 1xx before the final answer */
};

enum answer_step { ANSWER_BAD, ANSWER_MORE, ANSWER_DONE };
enum answer_framing { ANSWER_EMPTY, ANSWER_LENGTH, ANSWER_CHUNKED, ANSWER_CLOSE };

/* What was asked, as far as it changes how the answer is read. */
struct answer_ask {
    bool is_head;       /* method HEAD */
    bool wants_upgrade; /* a 101 is welcome */
};

struct answer_head {
    int status;
    bool is_keepalive; /* the connection may carry another request after this answer */
    enum answer_framing framing;
    int64_t content_length;                         /* -1 unknown */
    struct relay_header headers[RELAY_HEADERS_MAX]; /* hop-by-hop and framing fields left out */
    size_t n_headers;
};

/* In: the bytes received so far, the first `seen` of them looked at before. ANSWER_DONE: *ret_n bytes are the head with its empty line.
 * ANSWER_BAD: a line end that is not CR LF, or no end within RELAY_HEAD_MAX_BYTES. */
enum answer_step answer_head_end(struct view bytes, size_t seen, size_t *ret_n, const char **ret_why);

/* head: as found by answer_head_end(). GW_E_UPSTREAM with *ret_why set; *ret_head is then undefined. */
enum gw_err answer_head_parse(struct view head, struct answer_ask ask, struct answer_head *ret_head, const char **ret_why)
    GW_MUST_CHECK;

struct answer_body {
    enum answer_framing framing;
    uint64_t left; /* bytes to come: of the body, or of the chunk */
    uint8_t state; /* where in a chunk */
    unsigned line_bytes, trailer_bytes;
    bool has_digit;
};

void answer_body_init(struct answer_body *b, const struct answer_head *head);
/* Turns n received bytes at p into *ret_n bytes of body at p, using *ret_used of the received ones. ANSWER_MORE: all used, the body goes
 * on. ANSWER_DONE: this was the end; bytes not used are surplus. A body that ends with the connection is never done: the caller
 * sees the end of the stream and asks answer_body_may_close(). */
enum answer_step answer_body_decode(struct answer_body *b, char *p, size_t n, size_t *ret_n, size_t *ret_used);
/* Is the end of the stream here the end of the body, rather than a truncation? */
bool answer_body_may_close(const struct answer_body *b);
