#include "proxy/answer.h"

#include "http/header.h"

/* ---- head ---- */

enum answer_step answer_head_end(struct view bytes, size_t seen, size_t *ret_n, const char **ret_why)
{
    size_t n = bytes.n < RELAY_HEAD_MAX_BYTES ? bytes.n : RELAY_HEAD_MAX_BYTES;
    size_t at = seen;
    while (at < n) {
        const char *lf = memchr(bytes.p + at, '\n', n - at);
        if (lf == NULL)
            break;
        at = (size_t)(lf - bytes.p);
        if (at == 0 || bytes.p[at - 1] != '\r') {
            *ret_why = "a line of the answer's head ends without CR";
            return ANSWER_BAD;
        }
        at++;
        if (at >= 4 && memcmp(bytes.p + at - 4, "\r\n\r\n", 4) == 0) {
            *ret_n = at;
            return ANSWER_DONE;
        }
    }
    if (bytes.n < RELAY_HEAD_MAX_BYTES)
        return ANSWER_MORE;
    *ret_why = "the answer's head is too large";
    return ANSWER_BAD;
}

/* Takes one line without its CR LF from *rest, which ends with CR LF as answer_head_end() saw to. */
static struct view take_line(struct view *rest)
{
    const char *lf = memchr(rest->p, '\n', rest->n);
    size_t n = lf == NULL ? rest->n : (size_t)(lf - rest->p) + 1;
    struct view line = {rest->p, n < 2 ? 0 : n - 2};
    *rest = view_skip(*rest, n);
    return line;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK"; many servers leave out the blank before an empty reason, and RFC 9112 4 lets a client not mind. */
static const char *parse_status_line(struct view line, unsigned *ret_minor, int *ret_status)
{
    if (line.n < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || (line.p[7] != '0' && line.p[7] != '1') || line.p[8] != ' ')
        return "the answer is not HTTP/1.0 or HTTP/1.1";
    const char *s = line.p + 9;
    if (!is_digit(s[0]) || !is_digit(s[1]) || !is_digit(s[2]) || (line.n > 12 && s[3] != ' '))
        return "the answer's status is not three digits";
    int status = (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
    if (status < 100 || status > 599)
        return "the answer's status is outside 100 to 599";
    if (!header_value_is_clean(view_skip(line, 12)))
        return "the answer's status line holds a control byte";
    *ret_minor = (unsigned)(line.p[7] - '0');
    *ret_status = status;
    return NULL;
}

/* The fields that say where the body ends and what becomes of the connection. */
struct framing_seen {
    struct view length, coding;
    unsigned n_lengths, n_codings;
    struct view connection[8];
    size_t n_connections;
    bool upgrades_to_websocket;
};

static const char *note_field(struct framing_seen *seen, struct view name, struct view value)
{
    if (view_eq_ci(name, VIEW("content-length"))) {
        seen->length = value;
        seen->n_lengths++;
    } else if (view_eq_ci(name, VIEW("transfer-encoding"))) {
        seen->coding = value;
        seen->n_codings++;
    } else if (view_eq_ci(name, VIEW("connection"))) {
        if (seen->n_connections == sizeof(seen->connection) / sizeof(seen->connection[0]))
            return "the answer has too many Connection fields";
        seen->connection[seen->n_connections++] = value;
    } else if (view_eq_ci(name, VIEW("upgrade"))) {
        seen->upgrades_to_websocket = view_eq_ci(value, VIEW("websocket"));
    }
    return NULL;
}

static bool connection_has(const struct framing_seen *seen, struct view token)
{
    for (size_t i = 0; i < seen->n_connections; i++)
        if (header_list_has(seen->connection[i], token))
            return true;
    return false;
}

static const char *parse_fields(struct view rest, struct answer_head *h, struct framing_seen *seen)
{
    while (rest.n > 0) {
        struct view value = take_line(&rest);
        if (value.n == 0)
            return NULL; /* the empty line: answer_head_end() ended the head here */
        if (value.p[0] == ' ' || value.p[0] == '\t')
            return "a field of the answer is folded over two lines";
        if (memchr(value.p, ':', value.n) == NULL)
            return "a field of the answer has no colon";
        struct view name = view_split(&value, ':');
        value = view_trim(value);
        if (!header_is_token(name))
            return "a field name of the answer is not a token";
        if (!header_value_is_clean(value))
            return "a field value of the answer holds a control byte";
        if (h->n_headers == RELAY_HEADERS_MAX)
            return "the answer has too many fields";
        h->headers[h->n_headers++] = (struct relay_header){name, value};
        const char *why = note_field(seen, name, value);
        if (why != NULL)
            return why;
    }
    return NULL;
}

/* RFC 9112 6.3, but what it lets a recipient repair is refused. */
static const char *choose_framing(struct answer_head *h, struct answer_ask ask, unsigned minor, const struct framing_seen *seen)
{
    uint64_t length = 0;
    if (seen->n_lengths > 1)
        return "the answer has more than one Content-Length";
    if (seen->n_codings > 1)
        return "the answer has more than one Transfer-Encoding";
    if (seen->n_lengths == 1 && seen->n_codings == 1)
        return "the answer has both Content-Length and Transfer-Encoding";
    if (seen->n_lengths == 1 && (view_to_u64(seen->length, &length) != GW_OK || length > INT64_MAX))
        return "the answer's Content-Length is not a number";
    if (seen->n_codings == 1 && (minor == 0 || !view_eq_ci(seen->coding, VIEW("chunked"))))
        return "the answer's Transfer-Encoding is not chunked over HTTP/1.1";

    h->content_length = seen->n_lengths == 1 ? (int64_t)length : -1;
    if (ask.is_head || h->status < 200 || h->status == 204 || h->status == 304)
        h->framing = ANSWER_EMPTY;
    else if (seen->n_codings == 1)
        h->framing = ANSWER_CHUNKED;
    else if (seen->n_lengths == 1)
        h->framing = ANSWER_LENGTH;
    else
        h->framing = ANSWER_CLOSE;
    return NULL;
}

static bool is_for_this_hop(const struct framing_seen *seen, struct view name)
{
    return header_classify(name) == HEADER_HOP || view_eq_ci(name, VIEW("content-length")) ||
           view_eq_ci(name, VIEW("transfer-encoding")) || view_eq_ci(name, VIEW("trailer")) || connection_has(seen, name);
}

static void drop_hop_fields(struct answer_head *h, const struct framing_seen *seen)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->n_headers; i++)
        if (!is_for_this_hop(seen, h->headers[i].name))
            h->headers[kept++] = h->headers[i];
    h->n_headers = kept;
}

static const char *parse_head(struct view head, struct answer_ask ask, struct answer_head *h)
{
    struct framing_seen seen = {0};
    unsigned minor = 0;
    h->n_headers = 0;
    const char *why = parse_status_line(take_line(&head), &minor, &h->status);
    if (why == NULL)
        why = parse_fields(head, h, &seen);
    if (why == NULL)
        why = choose_framing(h, ask, minor, &seen);
    if (why != NULL)
        return why;
    if (h->status == 101 && (!ask.wants_upgrade || !seen.upgrades_to_websocket || minor == 0))
        return "the answer switches protocols unasked";
    h->is_keepalive = minor == 1 && h->framing != ANSWER_CLOSE && h->status != 101 && !connection_has(&seen, VIEW("close"));
    drop_hop_fields(h, &seen);
    return NULL;
}

enum gw_err answer_head_parse(struct view head, struct answer_ask ask, struct answer_head *ret_head, const char **ret_why)
{
    const char *why = parse_head(head, ask, ret_head);
    if (why == NULL)
        return GW_OK;
    *ret_why = why;
    return GW_E_UPSTREAM;
}

/* ---- body ---- */

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_BLANK,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_CR,
    CHUNK_LF,
    TRAILER_START,
    TRAILER_LINE,
    TRAILER_LF,
    TRAILER_END_LF
};

void answer_body_init(struct answer_body *b, const struct answer_head *head)
{
    *b = (struct answer_body){.framing = head->framing};
    if (head->framing == ANSWER_LENGTH)
        b->left = (uint64_t)head->content_length;
}

bool answer_body_may_close(const struct answer_body *b)
{
    return b->framing == ANSWER_CLOSE;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = view_lower_byte(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(char c)
{
    return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

/* The size of a chunk, its extensions (RFC 9112 7.1.1) and the blanks that some servers pad the size with. */
static bool take_size_byte(struct answer_body *b, char c)
{
    if (++b->line_bytes > ANSWER_LINE_MAX_BYTES)
        return false;
    int digit = b->state == CHUNK_SIZE ? hex_value(c) : -1;
    if (digit >= 0) {
        if (b->left > (uint64_t)INT64_MAX >> 4)
            return false;
        b->left = b->left << 4 | (uint64_t)digit;
        b->has_digit = true;
        return true;
    }
    if (!b->has_digit)
        return false;
    if (c == '\r')
        b->state = CHUNK_SIZE_LF;
    else if (c == ';')
        b->state = CHUNK_EXTENSION;
    else if (b->state != CHUNK_EXTENSION && (c == ' ' || c == '\t'))
        b->state = CHUNK_BLANK;
    else
        return b->state == CHUNK_EXTENSION && is_text(c);
    return true;
}

static bool take_trailer_byte(struct answer_body *b, char c)
{
    if (++b->trailer_bytes > ANSWER_TRAILER_MAX_BYTES)
        return false;
    if (c == '\r') {
        b->state = b->state == TRAILER_START ? TRAILER_END_LF : TRAILER_LF;
        return true;
    }
    bool is_fold = b->state == TRAILER_START && (c == ' ' || c == '\t');
    b->state = TRAILER_LINE;
    return is_text(c) && !is_fold;
}

/* One byte of what lies around the chunks' data. */
static enum answer_step take_chunk_byte(struct answer_body *b, char c)
{
    switch ((enum chunk_state)b->state) {
    case CHUNK_SIZE:
    case CHUNK_BLANK:
    case CHUNK_EXTENSION:
        return take_size_byte(b, c) ? ANSWER_MORE : ANSWER_BAD;
    case CHUNK_SIZE_LF:
        b->state = b->left == 0 ? TRAILER_START : CHUNK_DATA;
        break;
    case CHUNK_CR:
        b->state = CHUNK_LF;
        return c == '\r' ? ANSWER_MORE : ANSWER_BAD;
    case CHUNK_LF:
        b->state = CHUNK_SIZE;
        b->line_bytes = 0;
        b->has_digit = false;
        break;
    case TRAILER_START:
    case TRAILER_LINE:
        return take_trailer_byte(b, c) ? ANSWER_MORE : ANSWER_BAD;
    case TRAILER_LF:
        b->state = TRAILER_START;
        break;
    case TRAILER_END_LF:
        return c == '\n' ? ANSWER_DONE : ANSWER_BAD;
    case CHUNK_DATA:
        return ANSWER_BAD; /* decode_chunks() takes the data in runs */
    }
    return c == '\n' ? ANSWER_MORE : ANSWER_BAD;
}

static enum answer_step decode_chunks(struct answer_body *b, char *p, size_t n, size_t *ret_n, size_t *ret_used)
{
    enum answer_step step = ANSWER_MORE;
    size_t at = 0, out = 0;
    while (at < n && step == ANSWER_MORE) {
        if (b->state != CHUNK_DATA) {
            step = take_chunk_byte(b, p[at++]);
            continue;
        }
        size_t run = n - at < b->left ? n - at : (size_t)b->left;
        memmove(p + out, p + at, run);
        out += run;
        at += run;
        b->left -= run;
        if (b->left == 0)
            b->state = CHUNK_CR;
    }
    *ret_n = out;
    *ret_used = at;
    return step;
}

enum answer_step answer_body_decode(struct answer_body *b, char *p, size_t n, size_t *ret_n, size_t *ret_used)
{
    size_t run = n;
    switch (b->framing) {
    case ANSWER_EMPTY:
        *ret_n = *ret_used = 0;
        return ANSWER_DONE;
    case ANSWER_LENGTH:
        run = n < b->left ? n : (size_t)b->left;
        b->left -= run;
        break;
    case ANSWER_CHUNKED:
        return decode_chunks(b, p, n, ret_n, ret_used);
    case ANSWER_CLOSE:
        break;
    }
    *ret_n = *ret_used = run;
    return b->framing == ANSWER_LENGTH && b->left == 0 ? ANSWER_DONE : ANSWER_MORE;
}
