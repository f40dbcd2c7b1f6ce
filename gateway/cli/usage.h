/* usage: what all subcommands share: options, help, exit codes, and telling whether the output arrived.
 *
 * Shape: argv[0] is the subcommand's name. `--name value`, `--name=value` and flags in any order, `--` ends them; `--help` and
 * `-h` print the usage text. An unknown, repeated or incomplete option, or a surplus argument, is a usage error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

enum cli_exit {
    CLI_OK = 0,     /* yes, done */
    CLI_NO = 1,     /* a negative answer: denied, test failed */
    CLI_USAGE = 2,  /* usage or configuration error */
    CLI_FAILED = 3, /* could not be completed: I/O, network, memory */
};

struct cli_option {
    const char *name;  /* "--config" */
    const char **text; /* takes a value, set here; NULL for a flag */
    bool *flag;
};

struct cli_spec {
    const char *usage;
    const struct cli_option *options;
    size_t n_options;
    const char **args; /* room for n_args_max */
    size_t n_args_max;
};

/* True: go on. False: everything has been said, return *ret_exit. */
bool cli_options_parse(const struct cli_spec *spec, int argc, char **argv, size_t *ret_n_args, int *ret_exit) GW_MUST_CHECK;
/* Says on standard error what is wrong and how to get help; returns CLI_USAGE. */
int cli_usage_error(const char *command, const char *fmt, ...) GW_PRINTF(2, 3);
/* Flushes standard output: CLI_FAILED if not all of it arrived, else `status`. */
int cli_finish(int status) GW_MUST_CHECK;
