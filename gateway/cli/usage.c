#include "cli/usage.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cli_usage_error(const char *command, const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "repogate %s: ", command);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nTry: repogate %s --help\n", command);
    return CLI_USAGE;
}

int cli_finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "repogate: standard output: %s\n", strerror(errno));
    return CLI_FAILED;
}

/* The option that arg names; *ret_value is what stands behind its '=', or NULL. */
static const struct cli_option *find_option(const struct cli_spec *spec, const char *arg, const char **ret_value)
{
    size_t n = strcspn(arg, "=");

    *ret_value = arg[n] == '=' ? arg + n + 1 : NULL;
    for (size_t i = 0; i < spec->n_options; i++)
        if (strlen(spec->options[i].name) == n && strncmp(spec->options[i].name, arg, n) == 0)
            return &spec->options[i];
    return NULL;
}

/* Takes the option at argv[*i]; CLI_OK or CLI_USAGE, said. */
static int take_option(const struct cli_spec *spec, int argc, char **argv, int *i)
{
    const char *value, *arg = argv[*i];
    const struct cli_option *o = find_option(spec, arg, &value);

    if (o == NULL)
        return cli_usage_error(argv[0], "unknown option %s", arg);
    if (o->text == NULL && value != NULL)
        return cli_usage_error(argv[0], "%s takes no value", o->name);
    if (o->text == NULL ? *o->flag : *o->text != NULL)
        return cli_usage_error(argv[0], "%s is given twice", o->name);
    if (o->text == NULL) {
        *o->flag = true;
        return CLI_OK;
    }
    if (value == NULL && *i + 1 < argc)
        value = argv[++*i];
    if (value == NULL || value[0] == '\0')
        return cli_usage_error(argv[0], "%s needs a value", o->name);
    *o->text = value;
    return CLI_OK;
}

bool cli_options_parse(const struct cli_spec *spec, int argc, char **argv, size_t *ret_n_args, int *ret_exit)
{
    size_t n_args = 0;
    bool takes_options = true;

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (takes_options && strcmp(arg, "--") == 0) {
            takes_options = false;
        } else if (takes_options && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            fputs(spec->usage, stdout);
            *ret_exit = cli_finish(CLI_OK);
            return false;
        } else if (takes_options && arg[0] == '-' && arg[1] != '\0') {
            if ((*ret_exit = take_option(spec, argc, argv, &i)) != CLI_OK)
                return false;
        } else if (n_args == spec->n_args_max) {
            *ret_exit = cli_usage_error(argv[0], "unexpected argument %s", arg);
            return false;
        } else {
            spec->args[n_args++] = arg;
        }
    }
    *ret_n_args = n_args;
    return true;
}
