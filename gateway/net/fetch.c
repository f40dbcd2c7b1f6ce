/* curl says which sockets and which one timer it wants; our loop watches them and calls back. Callers'
 * functions are never called from inside curl: an exchange that is done waits in curl's message queue until curl has returned. */
#include "net/fetch.h"

#include "util/buf.h"
#include "util/cleanup.h"
#include "util/meter.h"
#include "util/secret.h"
#include "util/uri.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { HOST_MAX = 255 };

struct exchange {
    struct fetcher *fetcher;
    struct exchange *prev, *next;
    CURL *easy;
    struct curl_slist *headers;
    char *sent; /* request body: often a secret, so it is ours to wipe */
    size_t sent_n;
    struct buf body;
    size_t head_bytes;
    bool head_is_whole; /* curl takes a head cut short by the connection's end for a whole one */
    bool head_is_enough;
    bool is_over; /* a cap of ours ended it */
    char detail[CURL_ERROR_SIZE];
    fetch_fn fn;
    void *arg;
};

struct fetcher {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer;
    struct exchange *active;
    size_t n_active;
    char *ca_file;
    bool is_closing;
};

struct watch {
    struct loop_fd lf;
    struct fetcher *fetcher;
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result;

static char library_version[64];

/* Not curl_version(): where curl was built with OpenLDAP that one looks up our host's name, and may wait for it. */
static void init_global(void)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    snprintf(library_version, sizeof(library_version), "libcurl/%s %s", info->version,
             info->ssl_version == NULL ? "without TLS" : info->ssl_version);
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

const char *fetch_library_version(void)
{
    return pthread_once(&global_once, init_global) == 0 ? library_version : "libcurl";
}

/* ---- what goes out is checked byte by byte: curl passes CR and LF on as they are ---- */

static bool is_token(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = view_lower_byte(v.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL)))
            return false;
    }
    return v.n > 0;
}

static bool is_clean_value(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return v.n <= FETCH_SPEC_VALUE_MAX;
}

static bool is_host(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = view_lower_byte(v.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._:[]", c) != NULL)))
            return false;
    }
    return v.n > 0 && v.n <= HOST_MAX;
}

/* Framing and Host are ours to write: a second one would let two servers read two requests. */
static bool is_ours(struct view name)
{
    static const char *const ours[] = {"Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (view_eq_ci(name, view_of(ours[i])))
            return true;
    return false;
}

static bool spec_is_sound(const struct fetch_spec *s)
{
    struct uri u;
    bool is_post = strcmp(s->method, "POST") == 0;
    if (!is_post && (strcmp(s->method, "GET") != 0 || s->body.n > 0))
        return false;
    if (s->n_headers > FETCH_SPEC_HEADERS_MAX || s->body.n > FETCH_SPEC_BODY_MAX || s->timeout_ms < 0)
        return false;
    if (uri_parse(s->url, &u) != GW_OK || (s->host.n > 0 && !is_host(s->host)))
        return false;
    for (size_t i = 0; i < s->n_headers; i++) {
        struct view name = view_of(s->headers[i].name);
        if (!is_token(name) || is_ours(name) || !is_clean_value(s->headers[i].value))
            return false;
    }
    return true;
}

/* ---- one exchange ---- */

static size_t on_head_line(char *p, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    n *= size;
    x->head_bytes += n;
    if (p[0] == '\r' || p[0] == '\n')
        x->head_is_whole = true;
    else if (view_starts(view_at(p, n), VIEW("HTTP/")))
        x->head_is_whole = false;
    if (x->head_bytes <= FETCH_HEAD_MAX_BYTES)
        return n;
    x->is_over = true;
    x->head_is_enough = false;
    return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t room = x->body.cap - x->body.n;
    n *= size;
    if (n > room) {
        x->is_over = true;
        buf_put(&x->body, view_at(p, room));
        return 0;
    }
    buf_put(&x->body, view_at(p, n));
    return buf_ok(&x->body) ? n : 0;
}

static void headers_free(struct curl_slist *headers)
{
    for (struct curl_slist *h = headers; h != NULL; h = h->next)
        secret_wipe(h->data, strlen(h->data));
    curl_slist_free_all(headers);
}

static void exchange_free(struct exchange *x)
{
    if (x == NULL)
        return;
    curl_easy_cleanup(x->easy);
    headers_free(x->headers);
    if (x->sent != NULL)
        secret_wipe(x->sent, x->sent_n);
    free(x->sent);
    if (x->body.p != NULL)
        secret_wipe(x->body.p, x->body.n);
    buf_deinit(&x->body);
    free(x);
}

GW_DEFINE_FREEP(exchange_freep, struct exchange, exchange_free)

static bool add_header(struct exchange *x, const char *name, struct view value)
{
    struct buf line = BUF(FETCH_SPEC_VALUE_MAX + 256);
    buf_put(&line, view_of(name));
    /* "Name:" would take the header out; "Name;" sends it empty. */
    if (value.n == 0) {
        buf_puts(&line, ";");
    } else {
        buf_puts(&line, ": ");
        buf_put(&line, value);
    }
    struct curl_slist *more = buf_ok(&line) ? curl_slist_append(x->headers, line.p) : NULL;
    if (more != NULL)
        x->headers = more;
    if (line.p != NULL)
        secret_wipe(line.p, line.n);
    buf_deinit(&line);
    return more != NULL;
}

static bool set_headers(struct exchange *x, const struct fetch_spec *s)
{
    bool ok = true, has_agent = false;
    if (s->host.n > 0)
        ok = add_header(x, "Host", s->host);
    for (size_t i = 0; ok && i < s->n_headers; i++) {
        ok = add_header(x, s->headers[i].name, s->headers[i].value);
        has_agent = has_agent || view_eq_ci(view_of(s->headers[i].name), VIEW("User-Agent"));
    }
    if (ok && !has_agent)
        ok = add_header(x, "User-Agent", VIEW("repogate"));
    if (ok) { /* no waiting for "100 Continue" */
        struct curl_slist *more = curl_slist_append(x->headers, "Expect:");
        ok = more != NULL;
        x->headers = ok ? more : x->headers;
    }
    return ok && curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers) == CURLE_OK;
}

static bool set_body(struct exchange *x, struct view body)
{
    x->sent = malloc(body.n + 1);
    if (x->sent == NULL)
        return false;
    x->sent_n = body.n;
    if (body.n > 0)
        memcpy(x->sent, body.p, body.n);
    return curl_easy_setopt(x->easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->sent) == CURLE_OK &&
           curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n) == CURLE_OK;
}

static bool set_options(struct exchange *x, const struct fetch_spec *s)
{
    bool ok = true;
    long timeout_ms = s->timeout_ms == 0 ? FETCH_TIMEOUT_MS : (long)s->timeout_ms;
    char *url = view_dup(s->url);
    if (url == NULL)
        return false;
#define SET(option, value) ok = ok && curl_easy_setopt(x->easy, (option), (value)) == CURLE_OK
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    /* An empty proxy keeps http_proxy and its kin out; netrc stays off. */
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    /* Without it, giving up on a name that does not resolve waits for the resolver's thread, and the whole loop with it. */
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_TIMEOUT_MS, timeout_ms);
    SET(CURLOPT_FRESH_CONNECT, s->is_sent_once ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (x->fetcher->ca_file != NULL)
        SET(CURLOPT_CAINFO, x->fetcher->ca_file);
    SET(CURLOPT_ERRORBUFFER, x->detail);
    SET(CURLOPT_HEADERFUNCTION, on_head_line);
    SET(CURLOPT_HEADERDATA, x);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, x);
    SET(CURLOPT_PRIVATE, x);
#undef SET
    free(url);
    return ok && set_headers(x, s) && (strcmp(s->method, "POST") != 0 || set_body(x, s->body));
}

static enum gw_err err_of(const struct exchange *x, CURLcode code)
{
    if (x->is_over)
        return x->head_is_enough ? GW_OK : GW_E_LIMIT;
    if (!buf_ok(&x->body))
        return GW_E_NOMEM;
    switch (code) {
    case CURLE_OK:
        return x->head_is_whole ? GW_OK : GW_E_UPSTREAM;
    case CURLE_OPERATION_TIMEDOUT:
        return GW_E_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return GW_E_NOMEM;
    default:
        return GW_E_UPSTREAM;
    }
}

static struct view header_of(CURL *easy, const char *name)
{
    struct curl_header *h;
    return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? view_of(h->value) : VIEW_NONE;
}

static enum fetch_trouble trouble_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return FETCH_UNRESOLVED;
    case CURLE_COULDNT_CONNECT:
        return FETCH_UNCONNECTED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return FETCH_UNTRUSTED;
    case CURLE_SSL_CONNECT_ERROR:
        return FETCH_NO_TLS;
    default:
        return FETCH_FAILED_OTHERWISE;
    }
}

/* RFC 9110 6.6.1. */
static int64_t date_of(CURL *easy)
{
    struct view date = header_of(easy, "Date");
    time_t t = date.n == 0 ? -1 : curl_getdate(date.p, NULL);
    return t < 0 ? 0 : (int64_t)t;
}

static bool is_unsent(CURL *easy)
{
    long n_bytes = 0;
    return curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &n_bytes) == CURLE_OK && n_bytes == 0;
}

static void finish(struct exchange *x, enum gw_err err, CURLcode code, const char *detail)
{
    struct fetcher *f = x->fetcher;
    struct fetch_answer answer = {.err = err, .trouble = trouble_of(code), .detail = detail, .is_unsent = is_unsent(x->easy)};
    curl_multi_remove_handle(f->multi, x->easy);
    if (x->prev != NULL)
        x->prev->next = x->next;
    else
        f->active = x->next;
    if (x->next != NULL)
        x->next->prev = x->prev;
    f->n_active--;
    if (err == GW_OK) {
        long status = 0;
        curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (int)status;
        answer.body = buf_view(&x->body);
        answer.content_type = header_of(x->easy, "Content-Type");
        answer.retry_after = header_of(x->easy, "Retry-After");
        answer.date_s = date_of(x->easy);
    } else {
        meter_inc(METER_FETCH_FAILED);
    }
    x->fn(x->arg, &answer);
    exchange_free(x);
}

static void finish_all(struct fetcher *f, enum gw_err err, const char *detail)
{
    while (f->active != NULL)
        finish(f->active, err, CURLE_OK, detail);
}

static const char *detail_of(const struct exchange *x, enum gw_err err, CURLcode code)
{
    if (err == GW_OK)
        return "";
    if (x->is_over)
        return x->head_bytes > FETCH_HEAD_MAX_BYTES ? "the answer's head is too large" : "the answer is too large";
    if (code == CURLE_OK)
        return "the answer's head ended too early";
    return x->detail[0] != '\0' ? x->detail : curl_easy_strerror(code);
}

/* ---- curl in the loop ---- */

static void drive(struct fetcher *f, curl_socket_t fd, int mask)
{
    int n_running, n_left;
    CURLMcode code = curl_multi_socket_action(f->multi, fd, mask, &n_running);
    if (code != CURLM_OK) {
        /* A socket or timer could not be watched, so nothing would ever end; with none left, curl can begin anew. */
        finish_all(f, GW_E_IO, curl_multi_strerror(code));
        return;
    }
    for (CURLMsg *m; (m = curl_multi_info_read(f->multi, &n_left)) != NULL;) {
        struct exchange *x = NULL;
        CURLcode result = m->data.result;
        if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x) != CURLE_OK)
            continue;
        enum gw_err err = err_of(x, result);
        finish(x, err, result, detail_of(x, err, result));
    }
}

static void on_due(struct loop_timer *t)
{
    drive(t->arg, CURL_SOCKET_TIMEOUT, 0);
}

/* curl keeps every deadline of its own and asks for the nearest only: one timer in our loop for all exchanges. */
static int on_timer_wanted(CURLM *multi, long delay_ms, void *arg)
{
    struct fetcher *f = arg;
    (void)multi;
    if (delay_ms >= 0)
        return loop_timer_start(f->loop, &f->timer, delay_ms) == GW_OK ? 0 : -1;
    loop_timer_stop(f->loop, &f->timer);
    return 0;
}

static void on_ready(struct loop_fd *lf, uint32_t events)
{
    struct watch *w = lf->arg;
    int mask = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) | ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
               ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
    drive(w->fetcher, lf->fd, mask);
}

static int watch_new(struct fetcher *f, curl_socket_t fd, uint32_t events)
{
    struct watch *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return -1;
    w->fetcher = f;
    w->lf = (struct loop_fd){.fd = fd, .events = events, .fn = on_ready, .arg = w};
    if (loop_fd_add(f->loop, &w->lf) == GW_OK && curl_multi_assign(f->multi, fd, w) == CURLM_OK)
        return 0;
    loop_fd_remove(f->loop, &w->lf);
    free(w);
    return -1;
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct fetcher *f = arg;
    struct watch *w = socket_arg;
    uint32_t events =
        ((what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) | ((what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL)
            loop_fd_remove(f->loop, &w->lf);
        free(w);
        return 0;
    }
    if (w == NULL)
        return watch_new(f, fd, events);
    return loop_fd_change(f->loop, &w->lf, events) == GW_OK ? 0 : -1;
}

/* ---- */

enum gw_err fetcher_new(struct loop *l, const char *ca_file, struct fetcher **ret_fetcher)
{
    bool ok = true;
    if (pthread_once(&global_once, init_global) != 0 || global_result != CURLE_OK)
        return GW_E_IO;
    struct fetcher *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return GW_E_NOMEM;
    f->loop = l;
    f->timer = (struct loop_timer){.fn = on_due, .arg = f};
    f->multi = curl_multi_init();
    f->ca_file = ca_file == NULL ? NULL : strdup(ca_file);
    if (f->multi == NULL || (ca_file != NULL && f->ca_file == NULL)) {
        fetcher_free(f);
        return GW_E_NOMEM;
    }
#define SET(option, value) ok = ok && curl_multi_setopt(f->multi, (option), (value)) == CURLM_OK
    SET(CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    SET(CURLMOPT_SOCKETDATA, f);
    SET(CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    SET(CURLMOPT_TIMERDATA, f);
    SET(CURLMOPT_MAXCONNECTS, (long)FETCH_IDLE_CONNECTIONS_MAX);
#undef SET
    if (!ok) {
        fetcher_free(f);
        return GW_E_IO;
    }
    *ret_fetcher = f;
    return GW_OK;
}

void fetcher_free(struct fetcher *f)
{
    if (f == NULL)
        return;
    f->is_closing = true;
    finish_all(f, GW_E_IO, "the gateway is stopping");
    curl_multi_cleanup(f->multi);
    loop_timer_stop(f->loop, &f->timer);
    free(f->ca_file);
    free(f);
}

enum gw_err fetch_start(struct fetcher *f, const struct fetch_spec *spec, fetch_fn fn, void *arg)
{
    if (f->is_closing)
        return GW_E_IO;
    if (f->n_active >= FETCH_WAITING_MAX)
        return GW_E_LIMIT;
    if (!spec_is_sound(spec))
        return GW_E_INVALID;
    GW_CLEANUP(exchange_freep) struct exchange *x = calloc(1, sizeof(*x));
    if (x == NULL)
        return GW_E_NOMEM;
    x->fetcher = f;
    x->head_is_enough = spec->head_is_enough;
    x->body = BUF(spec->max_bytes == 0 ? FETCH_BYTES_MAX : spec->max_bytes);
    x->fn = fn;
    x->arg = arg;
    x->easy = curl_easy_init();
    if (x->easy == NULL || !set_options(x, spec))
        return GW_E_NOMEM;
    if (curl_multi_add_handle(f->multi, x->easy) != CURLM_OK) {
        curl_multi_remove_handle(f->multi, x->easy);
        return GW_E_IO;
    }
    meter_inc(METER_FETCHES);
    x->next = f->active;
    if (f->active != NULL)
        f->active->prev = x;
    f->active = x;
    f->n_active++;
    GW_TAKE(x);
    return GW_OK;
}
