/* exchangekit: a provider on the other side, for the tests of identity/: each request is recorded, and answered by the test in the order
 * that it likes. fetcher_new() and the rest stand in for net/fetch. */
#pragma once

#include "identity/provider.h"
#include "util/epoch.h"
#include "util/log.h"

#include "support.h"
#include "tokens.h"

#include <stdio.h>
#include <string.h>

#define NOW 1700000000
#define BASE_URL "https://auth.example.org/application/o"
#define ISS BASE_URL "/repogate/"
#define SECRET "0123456789abcdef0123456789abcdef"

enum { EXCHANGES_MAX = 2100 };

struct exchange {
    char method[8], url[512], host[128], proto[16], authorization[8192];
    char body[4096];
    fetch_fn fn;
    void *arg;
    bool is_sent_once, is_answered;
};

struct fetcher {
    struct exchange *list[EXCHANGES_MAX];
    size_t n;
    enum gw_err refuse_with;
};

static struct fetcher fake;

static inline void copy(char *out, size_t size, struct view v)
{
    ck_assert_uint_lt(v.n, size);
    snprintf(out, size, "%.*s", VIEW_FMT(v));
}

enum gw_err fetcher_new(struct loop *l, const char *ca_file, struct fetcher **ret_fetcher)
{
    (void)l, (void)ca_file;
    *ret_fetcher = &fake;
    return GW_OK;
}

void fetcher_free(struct fetcher *f)
{
    for (size_t i = 0; i < f->n; i++) {
        struct exchange *x = f->list[i];
        if (!x->is_answered)
            x->fn(x->arg, &(struct fetch_answer){.err = GW_E_IO, .detail = "gone"});
        free(x);
    }
    f->n = 0;
}

enum gw_err fetch_start(struct fetcher *f, const struct fetch_spec *spec, fetch_fn fn, void *arg)
{
    if (f->refuse_with != GW_OK)
        return f->refuse_with;
    ck_assert_uint_lt(f->n, EXCHANGES_MAX);
    struct exchange *x = calloc(1, sizeof(*x));
    f->list[f->n++] = x;
    x->fn = fn;
    x->arg = arg;
    x->is_sent_once = spec->is_sent_once;
    copy(x->method, sizeof(x->method), view_of(spec->method));
    copy(x->url, sizeof(x->url), spec->url);
    copy(x->host, sizeof(x->host), spec->host);
    copy(x->body, sizeof(x->body), spec->body);
    for (size_t i = 0; i < spec->n_headers; i++) {
        if (strcmp(spec->headers[i].name, "Authorization") == 0)
            copy(x->authorization, sizeof(x->authorization), spec->headers[i].value);
        if (strcmp(spec->headers[i].name, "X-Forwarded-Proto") == 0)
            copy(x->proto, sizeof(x->proto), spec->headers[i].value);
    }
    return GW_OK;
}

static inline struct exchange *last(void)
{
    ck_assert_uint_gt(fake.n, 0);
    return fake.list[fake.n - 1];
}

static inline size_t n_waiting(void)
{
    size_t n = 0;
    for (size_t i = 0; i < fake.n; i++)
        n += !fake.list[i]->is_answered;
    return n;
}

/* Answers the last request, which must be the one that the test expects. */
static inline void answer_typed(const char *url, int status, const char *type, struct view body)
{
    struct exchange *x = last();
    ck_assert_msg(!x->is_answered, "nothing waits; the last was %s", x->url);
    ck_assert_str_eq(x->url, url);
    x->is_answered = true;
    x->fn(x->arg, &(struct fetch_answer){.status = status, .body = body, .content_type = view_of(type), .detail = ""});
}

static inline void answer(const char *url, int status, const char *body)
{
    answer_typed(url, status, "application/json", view_of(body));
}

static inline void answer_error_when(enum gw_err err, bool is_unsent)
{
    struct exchange *x = last();
    ck_assert(!x->is_answered);
    x->is_answered = true;
    x->fn(x->arg, &(struct fetch_answer){.err = err, .detail = "connection refused", .is_unsent = is_unsent});
}

static inline void answer_error(enum gw_err err)
{
    answer_error_when(err, false);
}

#define METADATA_URL ISS ".well-known/openid-configuration"
#define JWKS_URL BASE_URL "/repogate/jwks/"
#define TOKEN_URL BASE_URL "/token/"
#define USERINFO_URL BASE_URL "/userinfo/"

static const char metadata[] =
    "{\"issuer\":\"" ISS "\",\"authorization_endpoint\":\"" BASE_URL "/authorize/\",\"token_endpoint\":\"" TOKEN_URL "\","
    "\"userinfo_endpoint\":\"" USERINFO_URL "\",\"end_session_endpoint\":\"" BASE_URL "/repogate/end-session/\","
    "\"jwks_uri\":\"" JWKS_URL "\"}";

static inline void answer_keys(const struct token_key *k)
{
    struct buf json = BUF(8192);
    buf_puts(&json, "{\"keys\":[");
    if (k != NULL)
        token_put_jwk(&json, k, ",\"use\":\"sig\",\"alg\":\"ES256\"");
    buf_puts(&json, "]}");
    answer(JWKS_URL, 200, json.p);
    buf_deinit(&json);
}

static inline void now_is(int64_t ms_later)
{
    epoch_fix_ms((int64_t)NOW * 1000 + ms_later);
}

/* What a callback was told, counted. */
struct heard {
    int n;
    enum gw_err err;
};

static inline void hear(void *arg, enum gw_err err)
{
    struct heard *h = arg;
    h->n++;
    h->err = err;
}

static inline void hear_again(void *arg)
{
    struct heard *h = arg;
    h->n++;
}
