#include "cli/online_state.h"

#include "store/store.h"
#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/secret.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

void online_say(struct online *o, enum online_severity severity, const char *key, const char *fmt, ...)
{
    char text[ONLINE_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    o->report(o->arg, severity, key, text);
}

/* ---- one question ---- */

struct question {
    struct loop *loop;
    struct online_answer *answer;
};

static void on_answer(void *arg, const struct fetch_answer *a)
{
    struct question *q = arg;
    struct online_answer *out = q->answer;

    out->err = a->err;
    out->trouble = a->trouble;
    out->status = a->status;
    out->date_s = a->date_s;
    out->arrived_s = epoch_now_s();
    buf_put(&out->body, a->body);
    snprintf(out->detail, sizeof(out->detail), "%s", a->detail);
    loop_stop(q->loop);
}

static void wait_for(struct online *o, enum gw_err err, struct online_answer *answer)
{
    answer->err = err;
    if (err == GW_OK)
        loop_run(o->loop);
    else
        snprintf(answer->detail, sizeof(answer->detail), "%s", gw_err_name(err));
}

void online_get(struct online *o, struct uplink *u, struct view url, struct online_answer *answer)
{
    struct question q = {o->loop, answer};

    *answer = (struct online_answer){.body = BUF(FETCH_BYTES_MAX)};
    wait_for(o, uplink_get(u, url, VIEW_NONE, on_answer, &q), answer);
}

void online_post(struct online *o, struct uplink *u, struct view url, struct view form, struct online_answer *answer)
{
    struct question q = {o->loop, answer};

    *answer = (struct online_answer){.body = BUF(FETCH_BYTES_MAX)};
    wait_for(o, uplink_post(u, url, form, on_answer, &q), answer);
}

void online_answer_deinit(struct online_answer *a)
{
    buf_deinit(&a->body);
}

static const char *cure_of(const struct online_answer *a)
{
    switch (a->trouble) {
    case FETCH_UNRESOLVED:
        return "check the name; where only browsers know it, oidc.internal_url gives the address for back channels";
    case FETCH_UNCONNECTED:
        return "is it running, and may this host reach it? oidc.internal_url gives another address for back channels";
    case FETCH_UNTRUSTED:
        return "oidc.ca_file names the authority that signed its certificate, which must be for this name and in its time";
    case FETCH_NO_TLS:
        return "is it https there? A server of plain HTTP, or one without TLS 1.2, looks like this";
    case FETCH_FAILED_OTHERWISE:
        break;
    }
    return a->err == GW_E_TIMEOUT ? "a firewall in between may drop what we send, or it hangs: look at its own log"
                                  : "its own log, or that of a proxy in between, says more";
}

void online_say_unreachable(struct online *o, const char *key, struct view url, const struct online_answer *a)
{
    online_say(o, ONLINE_UNKNOWN, key, "%.*s cannot be asked: %s (%s)", VIEW_FMT(url), a->detail, cure_of(a));
}

/* ---- the session store ---- */

/* Whether its place can be written is no question of being online. */
static void check_database(struct online *o)
{
    const char *path = o->config->session.dsn_file;
    GW_CLEANUP(secret_freep) char *dsn = NULL;
    char reason[STORE_REASON_MAX] = "cannot be read";
    enum gw_err err = secret_load(path, &dsn);

    if (err == GW_OK)
        err = store_probe_postgres(dsn, reason);
    if (err != GW_OK)
        online_say(o, err == GW_E_INVALID ? ONLINE_WRONG : ONLINE_UNKNOWN, "session.dsn_file", "%s: %s", path, reason);
}

static void check_store(struct online *o)
{
    if (o->config->session.is_postgres) {
        check_database(o);
        return;
    }
    const char *path = o->config->session.path;

    switch (store_probe(path)) {
    case GW_OK:
        break;
    case GW_E_INVALID:
        online_say(o, ONLINE_WRONG, "session.path",
                   "%s is no session database, or one that a newer version wrote: give another path, or the newer version", path);
        break;
    default:
        online_say(o, ONLINE_UNKNOWN, "session.path", "%s cannot be read: run this as the user that the gateway runs as", path);
    }
}

/* ---- */

GW_DEFINE_FREEP(loop_freep, struct loop, loop_free)
GW_DEFINE_FREEP(fetcher_freep, struct fetcher, fetcher_free)

enum gw_err online_check(const struct config *c, online_report_fn report, void *arg)
{
    GW_CLEANUP(loop_freep) struct loop *l = NULL;
    GW_CLEANUP(fetcher_freep) struct fetcher *f = NULL;

    signal(SIGPIPE, SIG_IGN);
    enum gw_err err = loop_new(&l);
    if (err == GW_OK)
        err = fetcher_new(l, c->oidc.ca_file[0] == '\0' ? NULL : c->oidc.ca_file, &f);
    if (err != GW_OK)
        return err;
    struct online o = {.config = c, .loop = l, .fetcher = f, .report = report, .arg = arg};
    check_store(&o);
    return onlineprovider_check(&o);
}
