/* Input: a byte of flags, a byte that says in what pieces the body comes, then what the workspace sends. However it is cut, the same body
 * must come out. */
#include "proxy/answer.h"

#include <stdlib.h>

static enum answer_step decode(struct answer_body b, const uint8_t *data, size_t size, size_t piece, uint8_t *out, size_t *ret_n)
{
    enum answer_step step = ANSWER_MORE;
    size_t total = 0, n, used;
    for (size_t at = 0; at < size && step == ANSWER_MORE; at += used) {
        size_t take = size - at < piece ? size - at : piece;
        memmove(out + total, data + at, take);
        step = answer_body_decode(&b, (char *)out + total, take, &n, &used);
        if (n > used || used > take || (step == ANSWER_MORE && used != take))
            abort();
        total += n;
    }
    *ret_n = total;
    return step;
}

static void check_body(const struct answer_head *head, const uint8_t *data, size_t size, size_t piece)
{
    uint8_t *whole = malloc(size + 1), *parts = malloc(size + 1);
    struct answer_body body;
    size_t n_whole, n_parts;
    answer_body_init(&body, head);
    if (whole == NULL || parts == NULL)
        abort();
    enum answer_step step = decode(body, data, size, size + 1, whole, &n_whole);
    if (decode(body, data, size, piece, parts, &n_parts) != step || n_whole != n_parts || memcmp(whole, parts, n_whole) != 0)
        abort();
    free(whole);
    free(parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct answer_head head;
    const char *why = NULL;
    size_t n = 0;
    if (size < 2)
        return 0;
    struct answer_ask ask = {.is_head = data[0] & 1, .wants_upgrade = data[0] & 2};
    struct view bytes = {(const char *)data + 2, size - 2};
    if (answer_head_end(bytes, 0, &n, &why) != ANSWER_DONE)
        return 0;
    if (answer_head_parse(view_at(bytes.p, n), ask, &head, &why) != GW_OK) {
        if (why == NULL)
            abort();
        return 0;
    }
    if (head.status < 100 || head.status > 599 || head.n_headers > RELAY_HEADERS_MAX ||
        (head.framing == ANSWER_LENGTH && head.content_length < 0))
        abort();
    check_body(&head, data + 2 + n, size - 2 - n, 1u + data[1] % 64);
    return 0;
}
