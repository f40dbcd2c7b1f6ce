#include "cli/doctorseen.h"

#include "proxy/answer.h"
#include "util/pack.h"

#include <stdio.h>

/* ---- HTTP ---- */

/* Where the final answer begins and its head is parsed. ANSWER_MORE: it is not there yet. */
static enum answer_step find_final(struct view bytes, struct answer_head *ret_head, size_t *ret_body, const char **ret_why)
{
    size_t at = 0;
    for (int i = 0; i <= ANSWER_INTERIM_MAX; i++) {
        size_t n = 0;
        struct view rest = view_skip(bytes, at);
        enum answer_step step = answer_head_end(rest, 0, &n, ret_why);
        if (step != ANSWER_DONE)
            return step;
        if (answer_head_parse(view_at(rest.p, n), (struct answer_ask){.wants_upgrade = true}, ret_head, ret_why) != GW_OK)
            return ANSWER_BAD;
        at += n;
        *ret_body = at;
        if (ret_head->status >= 200 || ret_head->status == 101)
            return ANSWER_DONE;
    }
    *ret_why = "too many interim answers";
    return ANSWER_BAD;
}

/* Takes the transfer coding off in place; false: more is to come. */
static bool decode_body(const struct answer_head *head, char *p, size_t n, struct view *ret_body)
{
    struct answer_body body;
    size_t n_out = 0, used = 0;
    answer_body_init(&body, head);
    enum answer_step step = answer_body_decode(&body, p, n, &n_out, &used);
    *ret_body = view_at(p, n_out);
    return step != ANSWER_MORE;
}

bool doctorseen_is_whole(struct view bytes)
{
    struct answer_head head;
    const char *why;
    size_t at = 0;
    struct buf copy = BUF(DOCTORSEEN_ANSWER_MAX);
    struct view body;
    enum answer_step step = find_final(bytes, &head, &at, &why);
    if (step != ANSWER_DONE)
        return step == ANSWER_BAD;
    buf_put(&copy, view_skip(bytes, at));
    bool is_whole = head.status == 101 || !buf_ok(&copy) || decode_body(&head, copy.p, copy.n, &body);
    buf_deinit(&copy);
    return is_whole;
}

static bool is_auth_header(struct view name)
{
    static const struct view theirs[] = {
        {"X-Repogate-Reason", 17}, {"X-Repogate-Decision-Id", 22}, {"X-Repogate-Upstream", 19}, {"X-authentik-username", 20}};
    for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
        if (view_eq_ci(name, theirs[i]))
            return true;
    return false;
}

static void note_head(struct seen *s, const struct answer_head *head)
{
    s->status = head->status;
    for (size_t i = 0; i < head->n_headers; i++) {
        struct view name = head->headers[i].name, value = head->headers[i].value;
        if (view_eq_ci(name, VIEW("Location")))
            s->location = value;
        else if (view_eq_ci(name, VIEW("Server")))
            s->server = value;
        s->is_auth_answer = s->is_auth_answer || is_auth_header(name);
    }
}

/* ---- the echo ---- */

static struct view text_of(struct pack_val map, const char *key)
{
    return pack_string(pack_find(map, view_of(key)));
}

static bool read_headers(struct pack_val list, struct seen_headers *out)
{
    struct pack_iter it, pair;
    if (pack_type(list) != PACK_LIST)
        return false;
    for (pack_iter_init(&it, list); pack_iter_next(&it);) {
        if (pack_count(it.val) != 2 || !pack_is_string_list(it.val) || out->n == DOCTORSEEN_HEADERS_MAX)
            return false;
        struct seen_header *h = &out->items[out->n++];
        pack_iter_init(&pair, it.val);
        if (pack_iter_next(&pair))
            h->name = pack_string(pair.val);
        if (pack_iter_next(&pair))
            h->value = pack_string(pair.val);
    }
    return true;
}

static bool read_echo(struct seen *s, struct pack_val root)
{
    struct pack_val judged = pack_find(root, VIEW("judged")), arrived = pack_find(root, VIEW("arrived"));
    struct view router = text_of(root, "routed_by");
    if (pack_int(pack_find(root, VIEW("repogate_echo"))) != 1)
        return false;
    s->judged.id = text_of(judged, "id");
    s->judged.dialect = text_of(judged, "dialect");
    s->judged.method = text_of(judged, "method");
    s->judged.host = text_of(judged, "host");
    s->judged.target = text_of(judged, "target");
    s->judged.base = text_of(judged, "base");
    s->judged.ip = text_of(judged, "ip");
    s->judged.username = text_of(judged, "username");
    s->method = text_of(arrived, "method");
    s->target = text_of(arrived, "target");
    s->n_refused_questions = pack_int(pack_find(root, VIEW("refused_questions")));
    s->is_by_proxy = view_eq(router, VIEW("proxy"));
    if (s->judged.id.n == 0 || s->judged.target.n == 0 || s->target.n == 0 ||
        !read_headers(pack_find(arrived, VIEW("headers")), &s->arrived))
        return false;
    return s->is_by_proxy || (view_eq(router, VIEW("gateway")) &&
                              read_headers(pack_find(pack_find(root, VIEW("workspace")), VIEW("headers")), &s->workspace));
}

static void read_body(struct seen *s, struct view body)
{
    if (body.n == 0 || body.p[0] != '{' || pack_parse(body, &s->packed) != GW_OK)
        return;
    struct pack_val root = pack_root(s->packed.p);
    s->reason = text_of(root, "reason");
    s->is_echo = s->status == 200 && read_echo(s, root);
}

enum gw_err doctorseen_read(struct seen *s, struct view bytes)
{
    struct answer_head head;
    const char *why = "the connection was closed without an answer";
    size_t at = 0;
    struct view body;
    s->bytes = BUF(DOCTORSEEN_ANSWER_MAX);
    s->packed = BUF(PACK_BYTES_MAX);
    buf_put(&s->bytes, bytes);
    if (!buf_ok(&s->bytes))
        return GW_E_NOMEM;
    if (bytes.n == 0 || find_final(buf_view(&s->bytes), &head, &at, &why) != ANSWER_DONE) {
        snprintf(s->detail, sizeof(s->detail), "%s", why);
        return GW_OK;
    }
    note_head(s, &head);
    (void)decode_body(&head, s->bytes.p + at, s->bytes.n - at, &body);
    read_body(s, body);
    return GW_OK;
}

void doctorseen_deinit(struct seen *s)
{
    buf_deinit(&s->bytes);
    buf_deinit(&s->packed);
}
