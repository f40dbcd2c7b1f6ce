#include "store/pglink.h"

#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/secret.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTIONS_MAX = 64, NAME_MAX_BYTES = 16, BIGINT_OID = 20, UNASKED_MAX = 16 };

struct pglink {
    PGconn *conn;
    uint32_t prepared; /* a bit per statement */
    bool is_told_off;  /* the server said that it ends the connection */
    char reason[PGLINK_REASON_MAX];
};

_Static_assert(PGLINK_STATEMENTS_MAX <= 32, "a bit for each");

/* libpq's messages have several lines. */
static void put_reason(char out[PGLINK_REASON_MAX], const char *text)
{
    size_t n = 0;
    for (; *text != '\0' && n < PGLINK_REASON_MAX - 1; text++)
        if (*text != '\n' && *text != '\t')
            out[n++] = *text;
        else if (n > 0 && out[n - 1] != ' ')
            out[n++] = ' ';
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

static enum gw_err fail(struct pglink *l, const char *reason)
{
    put_reason(l->reason, reason);
    return GW_E_IO;
}

const char *pglink_reason(const struct pglink *l)
{
    return l->reason;
}

/* ---- the connection string ---- */

struct options {
    PQconninfoOption *parsed; /* owned */
    const char *keys[OPTIONS_MAX], *values[OPTIONS_MAX];
    size_t n;
};

static void options_deinit(struct options *o)
{
    for (PQconninfoOption *i = o->parsed; i != NULL && i->keyword != NULL; i++)
        if (i->val != NULL)
            secret_wipe(i->val, strlen(i->val));
    PQconninfoFree(o->parsed);
}

static const char *find_option(const struct options *o, const char *key)
{
    for (size_t i = 0; i < o->n; i++)
        if (strcmp(o->keys[i], key) == 0)
            return o->values[i];
    return NULL;
}

static void put_option(struct options *o, const char *key, const char *value)
{
    if (find_option(o, key) != NULL || o->n == OPTIONS_MAX - 1)
        return;
    o->keys[o->n] = key;
    o->values[o->n++] = value;
}

static void put_defaults(struct options *o)
{
    static const char *const DEFAULTS[][2] = {
        {"sslmode", "verify-full"},
        {"gssencmode", "disable"}, /* else a Kerberos ticket lying about takes the place of TLS and of its checks */
        {"connect_timeout", "3"},
        {"keepalives_idle", "15"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "10000"},
        {"client_encoding", "UTF8"},
        {"fallback_application_name", "repogate"},
    };
    for (size_t i = 0; i < sizeof(DEFAULTS) / sizeof(DEFAULTS[0]); i++)
        put_option(o, DEFAULTS[i][0], DEFAULTS[i][1]);
}

static enum gw_err judge_options(const struct options *o, char reason[PGLINK_REASON_MAX])
{
    const char *sslmode = find_option(o, "sslmode"), *timeout = find_option(o, "connect_timeout");
    if (sslmode != NULL && (strcmp(sslmode, "allow") == 0 || strcmp(sslmode, "prefer") == 0)) {
        put_reason(reason, "its sslmode goes on without TLS when there is none: expected verify-full, or disable to say so");
        return GW_E_INVALID;
    }
    if (timeout != NULL && (atoi(timeout) <= 0 || atoi(timeout) > 30)) {
        put_reason(reason, "its connect_timeout is none: expected 1 to 30 seconds");
        return GW_E_INVALID;
    }
    return GW_OK;
}

/* Parse errors may quote the string, and with it the password, so libpq's words stay here. */
static enum gw_err read_options(const char *dsn, struct options *ret, char reason[PGLINK_REASON_MAX])
{
    struct options o = {.parsed = PQconninfoParse(dsn, NULL)};
    if (o.parsed == NULL) {
        put_reason(
            reason,
            "it is no PostgreSQL connection string: expected key=value pairs or postgresql://user@host/database?sslmode=verify-full");
        return GW_E_INVALID;
    }
    for (const PQconninfoOption *i = o.parsed; i->keyword != NULL; i++)
        if (i->val != NULL && i->val[0] != '\0')
            put_option(&o, i->keyword, i->val);
    enum gw_err err = judge_options(&o, reason);
    if (err != GW_OK) {
        options_deinit(&o);
        return err;
    }
    put_defaults(&o);
    *ret = o;
    return GW_OK;
}

enum gw_err pglink_check(const char *dsn, char reason[PGLINK_REASON_MAX])
{
    struct options o;
    enum gw_err err = read_options(dsn, &o, reason);
    if (err == GW_OK)
        options_deinit(&o);
    return err;
}

/* ---- opening ---- */

/* What the server says unasked. libpq would print it. */
static void on_notice(void *arg, const PGresult *r)
{
    struct pglink *l = arg;
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    l->is_told_off |= severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

static enum gw_err connect_to(struct pglink *l, const char *dsn, char reason[PGLINK_REASON_MAX])
{
    GW_CLEANUP(options_deinit) struct options o = {.n = 0};
    enum gw_err err = read_options(dsn, &o, reason);
    if (err != GW_OK)
        return err;
    l->conn = PQconnectdbParams(o.keys, o.values, 0);
    if (l->conn == NULL)
        return GW_E_NOMEM;
    PQsetNoticeReceiver(l->conn, on_notice, l);
    /* Lest closing wait for a peer that does not read. */
    if (PQstatus(l->conn) == CONNECTION_OK && PQsetnonblocking(l->conn, 1) == 0)
        return GW_OK;
    put_reason(reason, PQerrorMessage(l->conn));
    return GW_E_IO;
}

enum gw_err pglink_open(const char *dsn, const char *setup, struct pglink **ret_link, char reason[PGLINK_REASON_MAX])
{
    static const char ALWAYS[] = "SET statement_timeout = 4000; SET default_transaction_isolation = 'read committed';"
                                 " SET client_min_messages = error;";
    _Static_assert(PGLINK_SERVER_MS == 4000, "as set here");
    struct pglink *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return GW_E_NOMEM;
    enum gw_err err = connect_to(l, dsn, reason);
    if (err == GW_OK) {
        err = pglink_exec(l, ALWAYS, PGLINK_CALL_MS, NULL);
        if (err == GW_OK && setup != NULL)
            err = pglink_exec(l, setup, PGLINK_CALL_MS, NULL);
        if (err != GW_OK)
            put_reason(reason, l->reason);
    }
    if (err != GW_OK) {
        pglink_close(l);
        return err;
    }
    *ret_link = l;
    return GW_OK;
}

void pglink_close(struct pglink *l)
{
    if (l == NULL)
        return;
    PQfinish(l->conn);
    free(l);
}

bool pglink_is_alive(struct pglink *l)
{
    struct pollfd p = {.fd = PQsocket(l->conn), .events = POLLIN};
    for (int i = 0; i < UNASKED_MAX; i++) {
        if (p.fd < 0 || l->is_told_off || PQstatus(l->conn) != CONNECTION_OK)
            return false;
        if (poll(&p, 1, 0) == 0)
            return true;
        if (PQconsumeInput(l->conn) != 1 || PQisBusy(l->conn) != 0)
            return false;
    }
    return false;
}

int pglink_fd(const struct pglink *l)
{
    return PQsocket(l->conn);
}

/* ---- waiting ---- */

/* GW_E_IO when the time is over, too. */
static enum gw_err wait_for(struct pglink *l, short events, int64_t until_us)
{
    for (;;) {
        int64_t left_us = until_us - epoch_mono_us();
        struct pollfd p = {.fd = PQsocket(l->conn), .events = events};
        if (left_us <= 0)
            return fail(l, "no answer in time");
        int n = poll(&p, 1, (int)((left_us + 999) / 1000));
        if (n > 0)
            return GW_OK;
        if (n < 0 && errno != EINTR)
            return fail(l, strerror(errno));
    }
}

static enum gw_err send_all(struct pglink *l, int64_t until_us)
{
    for (;;) {
        int rc = PQflush(l->conn);
        if (rc == 0)
            return GW_OK;
        if (rc < 0)
            return fail(l, PQerrorMessage(l->conn));
        enum gw_err err = wait_for(l, POLLIN | POLLOUT, until_us);
        if (err != GW_OK)
            return err;
        if (PQconsumeInput(l->conn) != 1) /* a server that answers early must be read, or both wait */
            return fail(l, PQerrorMessage(l->conn));
    }
}

static enum gw_err next_result(struct pglink *l, int64_t until_us, PGresult **ret_result)
{
    while (PQisBusy(l->conn) != 0) {
        enum gw_err err = wait_for(l, POLLIN, until_us);
        if (err != GW_OK)
            return err;
        if (PQconsumeInput(l->conn) != 1)
            return fail(l, PQerrorMessage(l->conn));
    }
    *ret_result = PQgetResult(l->conn);
    return GW_OK;
}

static enum gw_err judge_result(struct pglink *l, const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY)
        return GW_OK;
    const char *code = PQresultErrorField(r, PG_DIAG_SQLSTATE), *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    if (code != NULL && strcmp(code, "53400") == 0) /* configuration_limit_exceeded */
        return GW_E_LIMIT;
    return fail(l, text != NULL ? text : PQerrorMessage(l->conn));
}

/* All the answers to what was sent; the last is kept, the first error counts. */
static enum gw_err receive(struct pglink *l, int64_t timeout_ms, PGresult **ret_result)
{
    int64_t until_us = epoch_mono_us() + timeout_ms * 1000;
    PGresult *last = NULL, *r = NULL;
    enum gw_err err = send_all(l, until_us), judged = GW_OK;
    while (err == GW_OK) {
        err = next_result(l, until_us, &r);
        if (err != GW_OK || r == NULL)
            break;
        if (judged == GW_OK)
            judged = judge_result(l, r);
        PQclear(last);
        last = r;
    }
    if (err == GW_OK)
        err = judged;
    if (err == GW_OK && ret_result != NULL) {
        *ret_result = last;
        return last == NULL ? fail(l, "no answer") : GW_OK;
    }
    PQclear(last);
    return err;
}

/* ---- asking ---- */

void pglink_args_bytes(struct pglink_args *a, const void *p, size_t n)
{
    a->values[a->n] = p == NULL ? "" : p;
    a->lengths[a->n++] = (int)n;
}

void pglink_args_int(struct pglink_args *a, int64_t n)
{
    for (int i = 0; i < 8; i++)
        a->ints[a->n][i] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
    a->values[a->n] = (const char *)a->ints[a->n];
    a->lengths[a->n++] = 8;
}

void pglink_args_null(struct pglink_args *a)
{
    a->values[a->n] = NULL;
    a->lengths[a->n++] = 0;
}

static enum gw_err prepare(struct pglink *l, unsigned id, const char *name, const char *sql)
{
    if ((l->prepared >> id & 1) != 0)
        return GW_OK;
    if (PQsendPrepare(l->conn, name, sql, 0, NULL) != 1)
        return fail(l, PQerrorMessage(l->conn));
    enum gw_err err = receive(l, PGLINK_CALL_MS, NULL);
    if (err == GW_OK)
        l->prepared |= UINT32_C(1) << id;
    return err;
}

static struct pglink_rows *of_result(PGresult *r)
{
    return (struct pglink_rows *)(void *)r;
}

static const PGresult *result_of(const struct pglink_rows *r)
{
    return (const PGresult *)(const void *)r;
}

enum gw_err pglink_call(struct pglink *l, unsigned id, const char *sql, const struct pglink_args *args,
                        struct pglink_rows **ret_rows)
{
    static const int BINARY[PGLINK_ARGS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    char name[NAME_MAX_BYTES];
    PGresult *r = NULL;
    snprintf(name, sizeof(name), "s%u", id);
    enum gw_err err = prepare(l, id, name, sql);
    if (err != GW_OK)
        return err;
    if (PQsendQueryPrepared(l->conn, name, args->n, args->values, args->lengths, BINARY, 1) != 1)
        return fail(l, PQerrorMessage(l->conn));
    err = receive(l, PGLINK_CALL_MS, ret_rows == NULL ? NULL : &r);
    if (err == GW_OK && ret_rows != NULL)
        *ret_rows = of_result(r);
    return err;
}

enum gw_err pglink_exec(struct pglink *l, const char *sql, int64_t timeout_ms, struct pglink_rows **ret_rows)
{
    PGresult *r = NULL;
    if (PQsendQuery(l->conn, sql) != 1)
        return fail(l, PQerrorMessage(l->conn));
    enum gw_err err = receive(l, timeout_ms, ret_rows == NULL ? NULL : &r);
    if (err == GW_OK && ret_rows != NULL)
        *ret_rows = of_result(r);
    return err;
}

size_t pglink_rows_count(const struct pglink_rows *r)
{
    return (size_t)PQntuples(result_of(r));
}

bool pglink_rows_bytes(const struct pglink_rows *r, size_t row, size_t column, struct view *ret_value)
{
    const PGresult *result = result_of(r);
    int i = (int)row, k = (int)column;
    if (row >= pglink_rows_count(r) || k >= PQnfields(result) || PQgetisnull(result, i, k) != 0)
        return false;
    *ret_value = view_at(PQgetvalue(result, i, k), (size_t)PQgetlength(result, i, k));
    return true;
}

bool pglink_rows_int(const struct pglink_rows *r, size_t row, size_t column, int64_t *ret_value)
{
    struct view v;
    uint64_t n = 0;
    if (!pglink_rows_bytes(r, row, column, &v) || PQftype(result_of(r), (int)column) != BIGINT_OID)
        return false;
    if (PQfformat(result_of(r), (int)column) == 0) {
        *ret_value = strtoll(v.p, NULL, 10);
        return true;
    }
    if (v.n != 8)
        return false;
    for (size_t i = 0; i < 8; i++)
        n = n << 8 | (uint8_t)v.p[i];
    *ret_value = (int64_t)n;
    return true;
}

void pglink_rows_free(struct pglink_rows *r)
{
    PQclear((PGresult *)(void *)r);
}

/* ---- listening ---- */

enum gw_err pglink_notices(struct pglink *l, void (*fn)(void *arg, struct view payload), void *arg)
{
    PGnotify *n;
    if (PQconsumeInput(l->conn) != 1)
        return fail(l, PQerrorMessage(l->conn));
    while ((n = PQnotifies(l->conn)) != NULL) {
        fn(arg, view_of(n->extra));
        PQfreemem(n);
    }
    return l->is_told_off ? fail(l, "the server ends the connection") : GW_OK;
}

const char *pglink_library_version(void)
{
    static char text[32];
    int v = PQlibVersion();
    snprintf(text, sizeof(text), "libpq %d.%d", v / 10000, v % 10000);
    return text;
}
