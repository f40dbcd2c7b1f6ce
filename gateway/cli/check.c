#include "cli/check.h"

#include "cli/online.h"
#include "cli/usage.h"
#include "config/config.h"
#include "config/confkeys.h"
#include "identity/signkey.h"
#include "policy/loader.h"
#include "store/store.h"
#include "util/meter.h"
#include "util/cleanup.h"
#include "util/seal.h"
#include "util/secret.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static const char usage[] = "usage: repogate check --config FILE [--online] [--json]\n"
                            "       repogate check --print-keys | --print-metrics\n"
                            "\n"
                            "Says everything that would keep the gateway from starting: the configuration, key files, policies\n"
                            "and their tests, directories. Run it as the user that the gateway runs as.\n"
                            "Each finding is printed as file:line: key: what is wrong and what was expected.\n"
                            "\n"
                            "  --config FILE   the configuration\n"
                            "  --online        asks the identity provider too: is it there, is it ours, does it offer what is\n"
                            "                  configured, does it know this client; and looks into the session store.\n"
                            "                  Nothing is changed by it, and a running gateway is not in its way\n"
                            "  --json          findings as one JSON object\n"
                            "  --print-keys    the reference of all keys, as Markdown (the README's table)\n"
                            "  --print-metrics the reference of all metrics, likewise\n"
                            "  --help          this text\n"
                            "\n"
                            "Exit: 0 ok, 1 the policies are wrong or fail their tests, or what was found online does not fit,\n"
                            "2 the configuration is wrong, 3 it could not be checked, or not all of it.\n";

enum { CHECK_OUTPUT_MAX = 4 * 1024 * 1024 };

struct checker {
    struct buf out;
    bool is_json, is_online;
    size_t n_config_errors, n_policy_errors, n_online_errors, n_unknown, n_warnings, n_findings;
    const struct config *config;
};

enum severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_UNKNOWN };

struct finding {
    const char *file, *key, *text, *source_line;
    int line, column;
    enum severity severity;
};

static const char *const severity_names[] = {"error", "warning", "unknown"}, *const severity_prefixes[] = {
                                                                                 "", "warning: ", "cannot tell: "};

/* Findings quote files that anyone may have written, and go to a terminal. */
static void put_printable(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        buf_put_byte(out, (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void put_text(struct buf *out, const struct finding *f)
{
    put_printable(out, f->file);
    if (f->line > 0)
        buf_printf(out, ":%d", f->line);
    buf_puts(out, ": ");
    buf_put(out, view_of(severity_prefixes[f->severity]));
    if (f->key[0] != '\0') {
        put_printable(out, f->key);
        buf_puts(out, ": ");
    }
    put_printable(out, f->text);
    buf_puts(out, "\n");
    if (f->source_line[0] != '\0') {
        buf_puts(out, "    ");
        put_printable(out, f->source_line);
        buf_puts(out, "\n");
    }
}

static void put_member(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "\"%s\":", name);
    buf_put_json(out, view_of(text));
    buf_puts(out, ",");
}

static void put_json(struct buf *out, const struct finding *f, bool is_first)
{
    buf_put(out, is_first ? VIEW("{") : VIEW(",{"));
    put_member(out, "file", f->file);
    put_member(out, "key", f->key);
    put_member(out, "text", f->text);
    put_member(out, "source_line", f->source_line);
    buf_printf(out, "\"line\":%d,\"column\":%d,\"severity\":\"%s\"}", f->line, f->column, severity_names[f->severity]);
}

static void put_finding(struct checker *ch, const struct finding *f)
{
    if (ch->is_json)
        put_json(&ch->out, f, ch->n_findings == 0);
    else
        put_text(&ch->out, f);
    ch->n_findings++;
    ch->n_warnings += f->severity == SEVERITY_WARNING ? 1 : 0;
}

static enum severity severity_of(bool is_warning)
{
    return is_warning ? SEVERITY_WARNING : SEVERITY_ERROR;
}

static void on_config(void *arg, const struct config_finding *f)
{
    struct checker *ch = arg;

    put_finding(ch, &(struct finding){f->file, f->key, f->text, "", f->line, f->column, severity_of(f->is_warning)});
    ch->n_config_errors += f->is_warning ? 0 : 1;
}

static void on_policy(void *arg, const struct loader_finding *f)
{
    struct checker *ch = arg;
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", ch->config->policy.dir, f->file);
    put_finding(ch, &(struct finding){path, "", f->text, f->source_line, f->line, 0, severity_of(f->is_warning)});
    ch->n_policy_errors += f->is_warning ? 0 : 1;
}

/* A finding about a key whose value was well-formed, at the line where it stands. */
GW_PRINTF(4, 5)
static void refuse(struct checker *ch, const struct config *c, const char *key, const char *fmt, ...)
{
    struct finding f = {.key = key, .source_line = ""};
    char text[PATH_MAX + 256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    f.text = text;
    f.file = config_source(c, key, &f.line);
    put_finding(ch, &f);
    ch->n_config_errors++;
}

static void check_keys(struct checker *ch, const struct config *c)
{
    GW_CLEANUP(seal_ring_freep) struct seal_ring *ring = NULL;
    const char *path = c->session.key_file;

    switch (seal_ring_load(path, &ring)) {
    case GW_OK:
        return;
    case GW_E_IO:
        refuse(ch, c, "session.key_file", "%s cannot be read: make it with `repogate keygen session --out %s`", path, path);
        return;
    case GW_E_LIMIT:
        refuse(ch, c, "session.key_file", "%s holds too many keys: expected at most %d", path, SEAL_KEYS_MAX);
        return;
    default:
        refuse(ch, c, "session.key_file", "%s holds a line that is no key: expected lines of `repogate keygen session`", path);
    }
}

static void check_assertion_keys(struct checker *ch, const struct config *c)
{
    GW_CLEANUP(signkey_ring_freep) struct signkey_ring *ring = NULL;
    const char *path = c->assertion.key_file;

    enum gw_err err = path[0] == '\0' ? GW_OK : signkey_ring_load(path, &ring);
    if (err == GW_E_IO)
        refuse(ch, c, "assertion.key_file", "%s cannot be read: make it with `repogate keygen assertion --out %s`", path, path);
    else if (err == GW_E_LIMIT)
        refuse(ch, c, "assertion.key_file", "%s holds too many keys: expected at most %d", path, SIGNKEY_KEYS_MAX);
    else if (err != GW_OK)
        refuse(ch, c, "assertion.key_file",
               "%s holds something else than P-256 keys of `repogate keygen assertion`, or one twice", path);
}

static void check_directory(struct checker *ch, const struct config *c, const char *key, const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        refuse(ch, c, key, "%s: %s: expected a directory that can be written", path, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        refuse(ch, c, key, "%s is no directory", path);
    else if (access(path, W_OK | X_OK) != 0)
        refuse(ch, c, key, "%s: %s: expected a directory that can be written", path, strerror(errno));
}

/* The file may be missing, its directory not. */
static void check_file(struct checker *ch, const struct config *c, const char *key, const char *path)
{
    char copy[PATH_MAX];
    struct stat st;

    if ((size_t)snprintf(copy, sizeof(copy), "%s", path) >= sizeof(copy)) {
        refuse(ch, c, key, "the path is too long");
        return;
    }
    if (stat(path, &st) != 0 && errno == ENOENT)
        check_directory(ch, c, key, dirname(copy));
    else if (access(path, W_OK) != 0)
        refuse(ch, c, key, "%s: %s: expected a file that can be written", path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        refuse(ch, c, key, "%s is a directory: expected a file", path);
}

/* GW_OK with findings too. */
static enum gw_err check_policies(struct checker *ch, const struct config *c, size_t *ret_n_rules)
{
    GW_CLEANUP(gw_freep) struct loader_env *env = calloc(c->policy.n_env + 1, sizeof(*env));
    struct engine *engine = NULL;

    if (env == NULL)
        return GW_E_NOMEM;
    for (size_t i = 0; i < c->policy.n_env; i++)
        env[i] = (struct loader_env){c->policy.env[i].name, c->policy.env[i].value};
    const struct loader_spec spec = {
        .dir = c->policy.dir,
        .forges = c->forges.items,
        .n_forges = c->forges.n,
        .env = env,
        .n_env = c->policy.n_env,
        .require_tests = c->policy.require_tests,
        .n_engines = 1,
    };
    enum gw_err err = loader_load(&spec, on_policy, ch, &engine);
    if (err == GW_E_IO)
        refuse(ch, c, "policy.dir", "%s cannot be read: expected a directory of policies", c->policy.dir);
    else if (err == GW_E_POLICY)
        ch->n_policy_errors += ch->n_policy_errors == 0 ? 1 : 0;
    else if (err != GW_OK)
        return err;
    if (err == GW_OK)
        *ret_n_rules = engine_rule_count(engine);
    engine_free(engine);
    return GW_OK;
}

static void on_online(void *arg, enum online_severity severity, const char *key, const char *text)
{
    struct checker *ch = arg;
    struct finding f = {.key = key, .text = text, .source_line = ""};

    f.file = config_source(ch->config, key, &f.line);
    f.severity = severity == ONLINE_WARNING ? SEVERITY_WARNING : severity == ONLINE_UNKNOWN ? SEVERITY_UNKNOWN : SEVERITY_ERROR;
    put_finding(ch, &f);
    ch->n_online_errors += severity == ONLINE_WRONG ? 1 : 0;
    ch->n_unknown += severity == ONLINE_UNKNOWN ? 1 : 0;
}

static void check_session_store(struct checker *ch, const struct config *c)
{
    GW_CLEANUP(secret_freep) char *dsn = NULL;
    char reason[STORE_REASON_MAX];

    if (!c->session.is_postgres)
        check_file(ch, c, "session.path", c->session.path);
    else if (secret_load(c->session.dsn_file, &dsn) == GW_OK && store_check_dsn(dsn, reason) != GW_OK)
        refuse(ch, c, "session.dsn_file", "%s: %s", c->session.dsn_file, reason);
}

static enum gw_err check_all(struct checker *ch, const char *path, size_t *ret_n_rules)
{
    GW_CLEANUP(config_freep) struct config *c = NULL;

    enum gw_err err = config_load(path, on_config, ch, &c);
    if (err != GW_OK)
        return err == GW_E_INVALID ? GW_OK : err;
    ch->config = c;
    check_keys(ch, c);
    check_assertion_keys(ch, c);
    check_session_store(ch, c);
    check_directory(ch, c, "policy.state_dir", c->policy.state_dir);
    if (strcmp(c->audit.path, "-") != 0)
        check_file(ch, c, "audit.path", c->audit.path);
    err = check_policies(ch, c, ret_n_rules);
    if (err == GW_OK && ch->is_online && ch->n_config_errors == 0)
        err = online_check(c, on_online, ch);
    return err;
}

static int status_of(const struct checker *ch, enum gw_err err)
{
    if (err != GW_OK)
        return CLI_FAILED;
    if (ch->n_config_errors > 0)
        return CLI_USAGE;
    if (ch->n_policy_errors > 0 || ch->n_online_errors > 0)
        return CLI_NO;
    return ch->n_unknown > 0 ? CLI_FAILED : CLI_OK;
}

static void put_summary(struct checker *ch, const char *path, int status, size_t n_rules)
{
    struct buf *out = &ch->out;

    if (ch->is_json) {
        buf_printf(out, "],\"ok\":%s,\"rules\":%zu}\n", status == CLI_OK ? "true" : "false", n_rules);
    } else if (status == CLI_OK) {
        put_printable(out, path);
        buf_printf(out, ": ok, %zu %s, %zu %s\n", n_rules, n_rules == 1 ? "rule" : "rules", ch->n_warnings,
                   ch->n_warnings == 1 ? "warning" : "warnings");
    } else if (status == CLI_FAILED) {
        put_printable(out, path);
        buf_put(out, ch->n_unknown > 0 ? VIEW(": could not be checked in full\n") : VIEW(": could not be checked\n"));
    } else {
        size_t n = ch->n_config_errors + ch->n_policy_errors + ch->n_online_errors;
        put_printable(out, path);
        buf_printf(out, ": %zu %s\n", n, n == 1 ? "error" : "errors");
    }
}

static int print(struct buf *out, int status)
{
    if (!buf_ok(out)) {
        fputs("repogate check: more findings than can be shown, or no memory\n", stderr);
        status = CLI_FAILED;
    } else {
        fwrite(out->p, 1, out->n, stdout);
    }
    buf_deinit(out);
    return cli_finish(status);
}

int cli_check(int argc, char **argv)
{
    const char *path = NULL;
    bool prints_keys = false, prints_metrics = false;
    struct checker ch = {.out = BUF(CHECK_OUTPUT_MAX)};
    const struct cli_option options[] = {{"--config", &path, NULL},
                                         {"--online", NULL, &ch.is_online},
                                         {"--json", NULL, &ch.is_json},
                                         {"--print-keys", NULL, &prints_keys},
                                         {"--print-metrics", NULL, &prints_metrics}};
    const struct cli_spec spec = {.usage = usage, .options = options, .n_options = sizeof(options) / sizeof(options[0])};
    size_t n_args, n_rules = 0;
    int status;

    if (!cli_options_parse(&spec, argc, argv, &n_args, &status))
        return status;
    if (prints_keys || prints_metrics) {
        if (prints_keys)
            confkeys_format_markdown(&ch.out);
        else
            meter_format_markdown(&ch.out);
        return print(&ch.out, CLI_OK);
    }
    if (path == NULL)
        return cli_usage_error("check", "expected --config FILE");
    if (ch.is_json)
        buf_puts(&ch.out, "{\"findings\":[");
    status = status_of(&ch, check_all(&ch, path, &n_rules));
    put_summary(&ch, path, status, n_rules);
    return print(&ch.out, status);
}
