#include "app.h"
#include "app_guard.h"
#include "cli/check.h"
#include "cli/doctor.h"
#include "cli/keygen.h"
#include "cli/policy.h"
#include "cli/session.h"
#include "cli/version.h"
#include "config/config.h"
#include "net/fetch.h"
#include "policy/sandbox.h"
#include "server/listener.h"
#include "store/store.h"
#include "util/digest.h"
#include "util/pack.h"

#include <stdio.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "Usage: repogate COMMAND [OPTIONS]\n"
    "\n"
    "Decides who may open which repository's development workspace, and takes them there.\n"
    "\n"
    "Commands:\n"
    "  serve --config F      run the gateway (SIGHUP reloads policies and reopens logs, SIGTERM drains and stops)\n"
    "  check --config F      check configuration, keys, policies and their tests\n"
    "  policy test [DIR]     run the tests of a policy directory\n"
    "  session list|revoke   who is logged in to a running gateway; end sessions\n"
    "  doctor URL            ask a deployed front door what a forger would ask\n"
    "  guard                 the front inside a workspace: lets in only what the gateway has signed for\n"
    "  keygen KIND           make keys\n"
    "  version               this program and what it is linked with\n"
    "\n"
    "repogate COMMAND --help tells more. Exit codes: 0 yes, 1 a negative answer, 2 wrong usage or configuration,\n"
    "3 could not be completed.\n";

static const char serve_usage[] =
    "Usage: repogate serve --config FILE\n"
    "\n"
    "Runs the gateway in the foreground. Logs to standard error, one line per event.\n"
    "  SIGHUP          reload the policies (a broken set changes nothing), read the secrets anew and reopen the audit log\n"
    "  SIGTERM, SIGINT finish the requests under way, then stop\n"
    "Exit codes: 0 stopped as asked, 2 the configuration is wrong, 3 something it needs could not be had.\n";

static int serve(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(serve_usage, stdout);
        return 0;
    }
    if (argc != 3 || strcmp(argv[1], "--config") != 0) {
        fputs(serve_usage, stderr);
        return EXIT_USAGE;
    }
    return app_serve(argv[2]);
}

static int version(int argc, char **argv)
{
    static const struct cli_library libraries[] = {
        {listener_library_version}, {fetch_library_version}, {digest_library_version}, {pack_library_version},  {sandbox_version},
        {store_library_version},    {store_client_version},  {config_library_version}, {config_parser_version},
    };
    cli_version_set_libraries(libraries, sizeof(libraries) / sizeof(libraries[0]));
    return cli_version(argc, argv);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", serve},       {"check", cli_check}, {"policy", cli_policy}, {"session", cli_session},
    {"doctor", cli_doctor}, {"guard", app_guard}, {"keygen", cli_keygen}, {"version", version},
};

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fputs(usage, stderr);
    return EXIT_USAGE;
}
