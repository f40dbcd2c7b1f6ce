#include "cli/version.h"

#include "cli/usage.h"
#include "util/buf.h"

#include <stdio.h>

#ifndef REPOGATE_VERSION
#define REPOGATE_VERSION "unknown"
#endif

static const char usage[] = "usage: repogate version [--json]\n"
                            "\n"
                            "Prints the version of repogate and of the libraries it runs with.\n"
                            "\n"
                            "  --json   as one JSON object\n"
                            "  --help   this text\n";

static struct {
    const struct cli_library *items;
    size_t n;
} libraries;

void cli_version_set_libraries(const struct cli_library *items, size_t n_libraries)
{
    libraries.items = items;
    libraries.n = n_libraries;
}

static void put_text(struct buf *out)
{
    buf_puts(out, "repogate " REPOGATE_VERSION "\n");
    for (size_t i = 0; i < libraries.n; i++)
        buf_printf(out, "%s\n", libraries.items[i].version());
}

static void put_json(struct buf *out)
{
    buf_puts(out, "{\"version\":\"" REPOGATE_VERSION "\",\"libraries\":{");
    for (size_t i = 0; i < libraries.n; i++) {
        struct view version = view_of(libraries.items[i].version()), name = view_split(&version, ' ');
        if (i > 0)
            buf_puts(out, ",");
        buf_put_json(out, name);
        buf_puts(out, ":");
        buf_put_json(out, version);
    }
    buf_puts(out, "}}\n");
}

int cli_version(int argc, char **argv)
{
    bool is_json = false;
    const struct cli_option options[] = {{"--json", NULL, &is_json}};
    const struct cli_spec spec = {.usage = usage, .options = options, .n_options = 1};
    struct buf out = BUF(16 * 1024);
    size_t n_args;
    int status;

    if (!cli_options_parse(&spec, argc, argv, &n_args, &status))
        return status;
    if (is_json)
        put_json(&out);
    else
        put_text(&out);
    status = buf_ok(&out) && fwrite(out.p, 1, out.n, stdout) == out.n ? CLI_OK : CLI_FAILED;
    buf_deinit(&out);
    return cli_finish(status);
}
