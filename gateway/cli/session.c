#include "cli/session.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/usage.h"
#include "config/config.h"
#include "http/form.h"
#include "net/fetch.h"
#include "util/cleanup.h"
#include "util/pack.h"
#include "util/secret.h"

enum { URL_MAX = 8192, BODY_MAX = 8192, CELL_MAX = 40, AUTHORIZATION_MAX = SECRET_FILE_MAX + 16 };

static const char usage[] =
    "usage: repogate session list --config FILE [--user NAME] [--json]\n"
    "       repogate session revoke --config FILE (--id ID | --user NAME | --sub SUB | --sid SID) [--json]\n"
    "\n"
    "Asks the gateway that runs with this configuration, at its server.admin_listen, with the token of\n"
    "server.admin_token_file. Each use leaves a line in its audit log.\n"
    "\n"
    "  list            who is logged in: user name, address, times, id\n"
    "  revoke          ends sessions, in all gateways on the same store, and cuts their WebSockets within a second\n"
    "  --config FILE   the gateway's configuration\n"
    "  --id ID         one session, as `list` shows it\n"
    "  --user NAME     all of everybody who has a session under this user name\n"
    "  --sub SUB       all of a person, by their id at the identity provider\n"
    "  --sid SID       those of one session at the identity provider\n"
    "  --json          as one JSON object\n"
    "  --help          this text\n"
    "\n"
    "Exit codes: 0 done, 1 there was no such session, 2 usage or configuration, 3 the gateway could not be asked.\n";

/* ---- one exchange ---- */

struct client {
    struct config *config;
    char *token;
    struct loop *loop;
    struct fetcher *fetcher;
    struct buf base, authorization;
    struct buf block; /* the answer, packed */
    int status;
    bool is_answered; /* with JSON */
};

static void client_deinit(struct client *c)
{
    fetcher_free(c->fetcher);
    loop_free(c->loop);
    secret_free(c->token);
    config_free(c->config);
    buf_deinit(&c->base);
    if (c->authorization.p != NULL)
        secret_wipe(c->authorization.p, c->authorization.size);
    buf_deinit(&c->authorization);
    buf_deinit(&c->block);
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
    struct client *c = arg;
    buf_clear(&c->block);
    c->status = a->err == GW_OK ? a->status : 0;
    c->is_answered = a->err == GW_OK && pack_parse(a->body, &c->block) == GW_OK && pack_type(pack_root(c->block.p)) == PACK_MAP;
    if (a->err != GW_OK)
        fprintf(stderr, "repogate session: %s: %s\n", c->base.p, a->detail);
    loop_stop(c->loop);
}

/* CLI_OK, or what to exit with, said. */
static int ask(struct client *c, const char *method, struct view url, struct view body)
{
    const struct fetch_header header = {"Authorization", buf_view(&c->authorization)};
    struct fetch_spec spec = {.method = method, .url = url, .headers = &header, .n_headers = 1, .body = body};
    enum gw_err err = fetch_start(c->fetcher, &spec, on_answer, c);
    if (err != GW_OK) {
        fprintf(stderr, "repogate session: %s\n", gw_err_name(err));
        return CLI_FAILED;
    }
    loop_run(c->loop);
    if (c->status == 200 && c->is_answered)
        return CLI_OK;
    if (c->status == 401)
        fprintf(stderr, "repogate session: the gateway does not take this token: is it that of its server.admin_token_file?\n");
    else if (c->status == 404)
        fprintf(stderr, "repogate session: the gateway has no admin API: it runs without server.admin_token_file\n");
    else if (c->status != 0)
        fprintf(
            stderr, "repogate session: the gateway answered %d %.*s\n", c->status,
            VIEW_FMT(pack_string(c->is_answered ? pack_find(pack_root(c->block.p), VIEW("reason")) : (struct pack_val){NULL})));
    return c->status == 400 ? CLI_USAGE : CLI_FAILED;
}

/* ---- setting up ---- */

static void print_finding(void *arg, const struct config_finding *f)
{
    (void)arg;
    if (!f->is_warning)
        fprintf(stderr, "%s:%d: %s: %s\n", f->file, f->line, f->key, f->text);
}

static int read_config(struct client *c, const char *path)
{
    enum gw_err err = config_load(path, print_finding, NULL, &c->config);
    if (err != GW_OK)
        return err == GW_E_INVALID ? CLI_USAGE : CLI_FAILED;
    if (c->config->server.admin_token_file[0] == '\0') {
        fprintf(stderr, "repogate session: %s has no server.admin_token_file, so its gateway has no admin API\n", path);
        return CLI_USAGE;
    }
    if (c->config->server.admin_listen_port == 0) {
        fprintf(stderr, "repogate session: server.admin_listen has port 0: set the one that the gateway picked, "
                        "REPOGATE__SERVER__ADMIN_LISTEN=host:port\n");
        return CLI_USAGE;
    }
    return CLI_OK;
}

static int set_up(struct client *c, const char *config_path)
{
    int code = read_config(c, config_path);
    if (code != CLI_OK)
        return code;
    const char *host = c->config->server.admin_listen_host;
    bool is_any = host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    bool is_v6 = !is_any && strchr(host, ':') != NULL;
    buf_printf(&c->base, "http://%s%s%s:%u", is_v6 ? "[" : "", is_any ? "127.0.0.1" : host, is_v6 ? "]" : "",
               c->config->server.admin_listen_port);
    enum gw_err err = secret_load(c->config->server.admin_token_file, &c->token);
    if (err == GW_OK) {
        buf_puts(&c->authorization, "Bearer ");
        buf_put(&c->authorization, view_of(c->token));
        err = buf_ok(&c->authorization) && buf_ok(&c->base) ? loop_new(&c->loop) : GW_E_NOMEM;
    }
    if (err == GW_OK)
        err = fetcher_new(c->loop, NULL, &c->fetcher);
    if (err != GW_OK)
        fprintf(stderr, "repogate session: %s\n", gw_err_name(err));
    return err == GW_OK ? CLI_OK : CLI_FAILED;
}

/* ---- list ---- */

/* Names come from the identity provider, and a terminal obeys control bytes. */
static void print_cell(struct view text, int width)
{
    int n = 0;
    for (size_t i = 0; i < text.n && n < CELL_MAX; i++) {
        uint8_t byte = (uint8_t)text.p[i];
        putchar(byte < 0x20 || byte == 0x7f || (byte >= 0x80 && byte < 0xa0 && (i == 0 || (uint8_t)text.p[i - 1] == 0xc2))
                    ? '?'
                    : byte);
        n += (byte & 0xc0) != 0x80;
    }
    printf("%*s  ", n < width ? width - n : 0, "");
}

static struct view member(struct pack_val map, const char *name)
{
    return pack_string(pack_find(map, view_of(name)));
}

static void print_row(struct pack_val s)
{
    print_cell(member(s, "username"), 20);
    print_cell(member(s, "ip"), 15);
    print_cell(member(s, "created"), 24);
    print_cell(member(s, "seen"), 24);
    print_cell(member(s, "expires"), 24);
    printf("%.*s\n", VIEW_FMT(member(s, "id")));
}

static enum gw_err print_json(struct pack_val s, bool is_first)
{
    struct buf out = BUF(PACK_BYTES_MAX);
    pack_format_json(s, &out);
    bool ok = buf_ok(&out);
    if (ok)
        printf("%s%.*s", is_first ? "" : ",", VIEW_FMT(buf_view(&out)));
    buf_deinit(&out);
    return ok ? GW_OK : GW_E_NOMEM;
}

static int print_page(struct client *c, bool is_json, size_t *n)
{
    struct pack_iter it;
    pack_iter_init(&it, pack_find(pack_root(c->block.p), VIEW("sessions")));
    for (; pack_iter_next(&it); (*n)++)
        if (!is_json)
            print_row(it.val);
        else if (print_json(it.val, *n == 0) != GW_OK)
            return CLI_FAILED;
    return CLI_OK;
}

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

static int list(struct client *c, const char *user, bool is_json)
{
    GW_CLEANUP(buf_deinitp) struct buf url = BUF(URL_MAX);
    char after[128] = "";
    size_t n = 0;
    int code;
    if (is_json)
        printf("{\"sessions\":[");
    else
        printf("%-20s  %-15s  %-24s  %-24s  %-24s  %s\n", "USER", "ADDRESS", "SINCE", "LAST USED", "UNTIL", "ID");
    do {
        buf_clear(&url);
        buf_put(&url, buf_view(&c->base));
        buf_puts(&url, "/admin/sessions?");
        form_put(&url, VIEW("limit"), VIEW("100"));
        if (user != NULL)
            form_put(&url, VIEW("user"), view_of(user));
        if (after[0] != '\0')
            form_put(&url, VIEW("after"), view_of(after));
        code = buf_ok(&url) ? ask(c, "GET", buf_view(&url), VIEW_NONE) : CLI_USAGE;
        if (code == CLI_OK)
            code = print_page(c, is_json, &n);
        struct view next = code == CLI_OK ? member(pack_root(c->block.p), "next") : VIEW_NONE;
        snprintf(after, sizeof(after), "%.*s", (int)next.n, next.n > 0 ? next.p : "");
    } while (code == CLI_OK && after[0] != '\0');
    if (is_json && code == CLI_OK)
        printf("]}\n");
    return code != CLI_OK ? code : n == 0 && user != NULL ? CLI_NO : CLI_OK;
}

/* ---- revoke ---- */

static int revoke_sessions(struct client *c, const char *field, const char *value, bool is_json)
{
    GW_CLEANUP(buf_deinitp) struct buf url = BUF(URL_MAX), body = BUF(BODY_MAX);
    buf_put(&url, buf_view(&c->base));
    buf_puts(&url, "/admin/sessions/revoke");
    form_put(&body, view_of(field), view_of(value));
    if (!buf_ok(&url) || !buf_ok(&body))
        return cli_usage_error("session", "--%s is too long", field);
    int code = ask(c, "POST", buf_view(&url), buf_view(&body));
    if (code != CLI_OK)
        return code;
    long long n = (long long)pack_int(pack_find(pack_root(c->block.p), VIEW("ended")));
    if (is_json)
        printf("{\"ended\":%lld}\n", n);
    else
        printf("%lld session%s ended\n", n, n == 1 ? "" : "s");
    return n > 0 ? CLI_OK : CLI_NO;
}

/* ---- */

static int run(const char *action, const char *config, const char *const values[4], bool is_json)
{
    static const char *const fields[] = {"user", "id", "sub", "sid"};
    bool is_list = strcmp(action, "list") == 0;
    size_t n_given = 0, given = 0;
    for (size_t i = 0; i < 4; i++)
        if (values[i] != NULL) {
            n_given++;
            given = i;
        }
    if (is_list && n_given > 0 && (n_given > 1 || given != 0))
        return cli_usage_error("session", "list takes --user only");
    if (!is_list && n_given != 1)
        return cli_usage_error("session", "revoke takes one of --id, --user, --sub and --sid");
    GW_CLEANUP(client_deinit)
    struct client c = {.base = BUF(URL_MAX), .authorization = BUF(AUTHORIZATION_MAX), .block = BUF(PACK_BYTES_MAX)};
    int code = set_up(&c, config);
    if (code != CLI_OK)
        return code;
    return cli_finish(is_list ? list(&c, values[0], is_json) : revoke_sessions(&c, fields[given], values[given], is_json));
}

int cli_session(int argc, char **argv)
{
    const char *config = NULL, *values[4] = {NULL}, *args[1];
    bool is_json = false;
    const struct cli_option options[] = {
        {"--config", &config, NULL}, {"--user", &values[0], NULL}, {"--id", &values[1], NULL},
        {"--sub", &values[2], NULL}, {"--sid", &values[3], NULL},  {"--json", NULL, &is_json},
    };
    struct cli_spec spec = {usage, options, sizeof(options) / sizeof(options[0]), args, 1};
    size_t n_args;
    int code;
    if (!cli_options_parse(&spec, argc, argv, &n_args, &code))
        return code;
    if (n_args == 0 || (strcmp(args[0], "list") != 0 && strcmp(args[0], "revoke") != 0))
        return cli_usage_error("session", "expected list or revoke");
    if (config == NULL)
        return cli_usage_error("session", "--config is missing");
    signal(SIGPIPE, SIG_IGN);
    return run(args[0], config, values, is_json);
}
