/* curl connects, with its CONNECT_ONLY, and hands the connection out: name resolution, certificates and TLS stay with the library that the
 * gateway's own back channels use, and what is written on it is ours to the byte. */
#include "net/rawcall.h"

#include "util/cleanup.h"
#include "util/epoch.h"

#include <curl/curl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

enum { CHUNK_BYTES = 16 * 1024 };

struct call {
    const struct rawcall_spec *spec;
    CURL *easy;
    int64_t until_us;
    char error[CURL_ERROR_SIZE];
};

GW_DEFINE_FREEP(easy_freep, CURL, curl_easy_cleanup)

static int left_ms(const struct call *c)
{
    int64_t left = (c->until_us - epoch_mono_us()) / 1000;
    return left > 0 ? (int)left : 0;
}

static bool set_options(struct call *c)
{
    bool ok = true;
#define SET(option, value) ok = ok && curl_easy_setopt(c->easy, (option), (value)) == CURLE_OK
    SET(CURLOPT_URL, c->spec->url);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)c->spec->timeout_ms);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_ERRORBUFFER, c->error);
    if (c->spec->ca_file != NULL)
        SET(CURLOPT_CAINFO, c->spec->ca_file);
#undef SET
    return ok;
}

static enum gw_err err_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return GW_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return GW_E_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return GW_E_NOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return GW_E_INVALID;
    default:
        return GW_E_UPSTREAM;
    }
}

/* False: no more time, or no socket. */
static bool wait_for(const struct call *c, short events)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD)
        return false;
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, left_ms(c)) > 0;
}

/* A peer that refuses early may close while we still write; what it said is read all the same. */
static void send_all(struct call *c)
{
    struct view rest = c->spec->bytes;
    while (rest.n > 0) {
        size_t n = 0;
        CURLcode code = curl_easy_send(c->easy, rest.p, rest.n, &n);
        if (code == CURLE_OK)
            rest = view_skip(rest, n);
        else if (code != CURLE_AGAIN || !wait_for(c, POLLOUT))
            return;
    }
}

static CURLcode receive_all(struct call *c, struct buf *answer)
{
    size_t before = answer->n;
    while (!c->spec->is_whole(c->spec->arg, view_at(answer->p + before, answer->n - before))) {
        char chunk[CHUNK_BYTES];
        size_t n = 0, room = answer->cap - answer->n;
        if (room == 0)
            return CURLE_OK;
        CURLcode code = curl_easy_recv(c->easy, chunk, room < sizeof(chunk) ? room : sizeof(chunk), &n);
        if (code == CURLE_AGAIN && wait_for(c, POLLIN))
            continue;
        if (code == CURLE_AGAIN)
            return CURLE_OPERATION_TIMEDOUT;
        if (code != CURLE_OK || n == 0)
            return code == CURLE_OK ? CURLE_GOT_NOTHING : code;
        buf_put(answer, view_at(chunk, n));
        if (!buf_ok(answer))
            return CURLE_OUT_OF_MEMORY;
    }
    return CURLE_OK;
}

enum gw_err rawcall(const struct rawcall_spec *spec, struct buf *answer, char detail[RAWCALL_DETAIL_MAX])
{
    GW_CLEANUP(easy_freep) CURL *easy = curl_easy_init();
    struct call c = {.spec = spec, .easy = easy, .until_us = epoch_mono_us() + spec->timeout_ms * 1000};
    size_t before = answer->n;

    signal(SIGPIPE, SIG_IGN);
    detail[0] = '\0';
    if (easy == NULL || !set_options(&c) || buf_reserve(answer, 1) == NULL)
        return GW_E_NOMEM;
    CURLcode code = curl_easy_perform(easy);
    if (code == CURLE_OK) {
        send_all(&c);
        code = receive_all(&c, answer);
        if (code != CURLE_OUT_OF_MEMORY && (code != CURLE_OPERATION_TIMEDOUT || answer->n > before))
            return GW_OK;
    }
    snprintf(detail, RAWCALL_DETAIL_MAX, "%s", c.error[0] != '\0' ? c.error : curl_easy_strerror(code));
    return err_of(code);
}
