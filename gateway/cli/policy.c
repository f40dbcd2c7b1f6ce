#include "cli/policy.h"

#include <stdio.h>
#include <string.h>

#include "cli/usage.h"
#include "policy/loader.h"
#include "util/buf.h"
#include "util/cleanup.h"

enum { JSON_BYTES_MAX = 64 * 1024 * 1024 };

static const char usage[] =
    "usage: repogate policy test [DIR] [--json]\n"
    "\n"
    "Loads the policy files of DIR (default: policies) as the gateway would, and runs their tests, *_test.lua.\n"
    "Prints each mistake and each test that failed with file and line; the last line is `N passed, N failed`.\n"
    "\n"
    "  --json   as one JSON object\n"
    "  --help   this text\n"
    "\n"
    "Exit codes: 0 all passed, 1 something failed or there is no test, 2 usage, 3 DIR cannot be read.\n";

/* Tests speak of forges by the names that DESIGN 3 gives them. */
static const struct forge default_forges[] = {
    {.name = "github", .kind = FORGE_GITHUB, .url = "https://github.com"},
    {.name = "gitlab", .kind = FORGE_GITLAB, .url = "https://gitlab.com"},
    {.name = "bitbucket", .kind = FORGE_BITBUCKET, .url = "https://bitbucket.org"},
};

struct report {
    const char *dir;
    bool is_json;
    struct buf findings, tests; /* JSON, entries with a comma before all but the first */
    size_t n_passed, n_failed, n_findings;
};

static void report_deinit(struct report *r)
{
    buf_deinit(&r->findings);
    buf_deinit(&r->tests);
}

static void put_place(struct buf *out, const char *file, int line)
{
    buf_puts(out, "{\"file\":");
    buf_put_json(out, view_of(file));
    buf_printf(out, ",\"line\":%d", line);
}

static void on_finding(void *arg, const struct loader_finding *f)
{
    struct report *r = arg;

    if (!f->is_warning)
        r->n_findings++;
    if (r->is_json) {
        if (r->findings.n > 0)
            buf_put_byte(&r->findings, ',');
        put_place(&r->findings, f->file, f->line);
        buf_puts(&r->findings, ",\"text\":");
        buf_put_json(&r->findings, view_of(f->text));
        buf_printf(&r->findings, ",\"warning\":%s}", f->is_warning ? "true" : "false");
        return;
    }
    if (f->file[0] != '\0')
        printf("%s/%s:", r->dir, f->file);
    if (f->line > 0)
        printf("%d:", f->line);
    printf("%s%s%s\n", f->file[0] != '\0' ? " " : "", f->is_warning ? "warning: " : "", f->text);
    if (f->source_line[0] != '\0')
        printf("    %s\n", f->source_line);
}

static void on_result(void *arg, const struct loader_test_result *t)
{
    struct report *r = arg;

    if (t->passed)
        r->n_passed++;
    else
        r->n_failed++;
    if (r->is_json) {
        if (r->tests.n > 0)
            buf_put_byte(&r->tests, ',');
        put_place(&r->tests, t->file, t->line);
        buf_puts(&r->tests, ",\"name\":");
        buf_put_json(&r->tests, view_of(t->name));
        buf_printf(&r->tests, ",\"passed\":%s,\"text\":", t->passed ? "true" : "false");
        buf_put_json(&r->tests, view_of(t->text));
        buf_put_byte(&r->tests, '}');
    } else if (!t->passed) {
        printf("%s/%s:%d: %s: %s\n", r->dir, t->file, t->line, t->name, t->text);
    }
}

static void print_summary(const struct report *r, size_t n_failed)
{
    if (r->is_json)
        printf("{\"passed\":%zu,\"failed\":%zu,\"findings\":[%.*s],\"tests\":[%.*s]}\n", r->n_passed, n_failed,
               VIEW_FMT(buf_view(&r->findings)), VIEW_FMT(buf_view(&r->tests)));
    else
        printf("%zu passed, %zu failed\n", r->n_passed, n_failed);
}

/* A file that cannot be loaded counts as failed: nothing in it was tested. */
static int run_tests(const char *dir, bool is_json)
{
    GW_CLEANUP(report_deinit)
    struct report r = {.dir = dir, .is_json = is_json, .findings = BUF(JSON_BYTES_MAX), .tests = BUF(JSON_BYTES_MAX)};
    struct loader_spec spec = {.dir = dir,
                               .forges = default_forges,
                               .n_forges = sizeof(default_forges) / sizeof(default_forges[0]),
                               .require_tests = true};
    size_t n_passed = 0, n_failed = 0;
    enum gw_err err = loader_test(&spec, on_finding, on_result, &r, &n_passed, &n_failed);

    if (err != GW_OK && err != GW_E_POLICY) {
        fprintf(stderr, "repogate policy test: %s: %s\n", dir, err == GW_E_IO ? "cannot be read" : gw_err_name(err));
        return CLI_FAILED;
    }
    if (!buf_ok(&r.findings) || !buf_ok(&r.tests)) {
        fprintf(stderr, "repogate policy test: not enough memory\n");
        return CLI_FAILED;
    }
    n_failed = r.n_failed + r.n_findings;
    if (r.n_passed + n_failed == 0) {
        n_failed = 1;
        if (!is_json)
            printf("%s: there is no test (*_test.lua)\n", dir);
    }
    print_summary(&r, n_failed);
    return cli_finish(n_failed == 0 ? CLI_OK : CLI_NO);
}

static int policy_test(int argc, char **argv)
{
    bool is_json = false;
    const char *dir = NULL;
    const struct cli_option options[] = {{"--json", NULL, &is_json}};
    const struct cli_spec spec = {.usage = usage, .options = options, .n_options = 1, .args = &dir, .n_args_max = 1};
    size_t n_args;
    int status;

    if (!cli_options_parse(&spec, argc, argv, &n_args, &status))
        return status;
    return run_tests(n_args == 1 ? dir : "policies", is_json);
}

int cli_policy(int argc, char **argv)
{
    static const char *const later[] = {"explain", "who-can", "can", "matrix", "diff", "replay", "lint"};
    static char test_name[] = "policy test";

    if (argc < 2)
        return cli_usage_error("policy", "which one? test is built");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, stdout);
        return cli_finish(CLI_OK);
    }
    if (strcmp(argv[1], "test") == 0) {
        argv[1] = test_name; /* what usage errors call it */
        return policy_test(argc - 1, argv + 1);
    }
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
        if (strcmp(argv[1], later[i]) == 0)
            return cli_usage_error("policy", "%s is not built yet in this version", later[i]);
    return cli_usage_error("policy", "there is no subcommand %s", argv[1]);
}
