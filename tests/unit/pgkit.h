/* pgkit: a real PostgreSQL server for one test program: made once, stopped by its pid. */
#pragma once

#include "support.h"

#include <errno.h>
#include <libpq-fe.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PGKIT_START_TRIES = 600, PGKIT_STEP_MS = 50, PGKIT_DSN_MAX = 256 };

struct pgkit {
    char dir[64];
    int port;
    pid_t pid;
};

static inline void pgkit_nap(void)
{
    poll(NULL, 0, PGKIT_STEP_MS);
}

static inline int pgkit_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return -1;
    close(fd);
    return ntohs(a.sin_port);
}

/* Over the socket in its directory; TLS does not come into it. */
static inline const char *pgkit_dsn(const struct pgkit *k)
{
    static _Thread_local char dsn[PGKIT_DSN_MAX];
    snprintf(dsn, sizeof(dsn), "host=%s port=%d user=postgres dbname=postgres", k->dir, k->port);
    return dsn;
}

/* From build/<variant>/tests, wherever that is called from. */
static inline void pgkit_script(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n < 0)
        n = 0;
    out[n] = '\0';
    for (int i = 0; i < 4; i++) {
        char *slash = strrchr(out, '/');
        if (slash != NULL)
            *slash = '\0';
    }
    strncat(out, "/scripts/lib/throwaway-postgres", PATH_MAX - strlen(out) - 1);
}

/* Begins, or begins again with the same data; false if it does not come to life. */
static inline bool pgkit_run(struct pgkit *k)
{
    char script[PATH_MAX], port[16];
    pgkit_script(script);
    snprintf(port, sizeof(port), "%d", k->port);
    k->pid = fork();
    if (k->pid == 0) {
        execl(script, script, k->dir, port, (char *)NULL);
        fprintf(stderr, "pgkit: %s: %s\n", script, strerror(errno));
        _exit(3);
    }
    for (int i = 0; i < PGKIT_START_TRIES; i++) {
        if (waitpid(k->pid, NULL, WNOHANG) == k->pid)
            return false;
        PGconn *conn = PQconnectdb(pgkit_dsn(k));
        bool is_there = PQstatus(conn) == CONNECTION_OK;
        PQfinish(conn);
        if (is_there)
            return true;
        pgkit_nap();
    }
    return false;
}

static inline bool pgkit_start(struct pgkit *k)
{
    *k = (struct pgkit){.dir = "/tmp/pgkit.XXXXXX", .port = pgkit_free_port()};
    return mkdtemp(k->dir) != NULL && k->port > 0 && pgkit_run(k);
}

/* how: SIGINT ends it in order, SIGQUIT at once. */
static inline void pgkit_halt(struct pgkit *k, int how)
{
    if (k->pid > 0 && kill(k->pid, how) == 0)
        waitpid(k->pid, NULL, 0);
    k->pid = 0;
}

static inline void pgkit_remove(struct pgkit *k)
{
    pgkit_halt(k, SIGQUIT); /* also if a test that failed left one of its processes stopped */
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", k->dir, (char *)NULL);
        _exit(3);
    }
    waitpid(pid, NULL, 0);
}

static inline PGconn *pgkit_connect(const struct pgkit *k)
{
    PGconn *conn = PQconnectdb(pgkit_dsn(k));
    ck_assert_msg(PQstatus(conn) == CONNECTION_OK, "%s", PQerrorMessage(conn));
    return conn;
}

/* The first value of the last answer, "" if there is none. */
static inline const char *pgkit_ask(PGconn *conn, const char *sql)
{
    static char value[128];
    PGresult *r = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(r);
    ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s: %s", sql, PQerrorMessage(conn));
    snprintf(value, sizeof(value), "%s", PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    return value;
}

static inline void pgkit_do(const struct pgkit *k, const char *sql)
{
    PGconn *conn = pgkit_connect(k);
    pgkit_ask(conn, sql);
    PQfinish(conn);
}

/* Until the query, asked on a connection of its own, answers so; the test's time limit is the limit. */
static inline void pgkit_wait(const struct pgkit *k, const char *sql, const char *answer)
{
    PGconn *conn = pgkit_connect(k);
    while (strcmp(pgkit_ask(conn, sql), answer) != 0)
        pgkit_nap();
    PQfinish(conn);
}
