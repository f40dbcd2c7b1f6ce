/* confreport: hands findings to whoever loads the configuration, and counts them. Threads: one at a time. */
#pragma once

#include "config/config.h"

enum { CONFREPORT_KEY_MAX = 256, CONFREPORT_TEXT_MAX = 512 };

struct confplace {
    const char *source; /* the file's name, or the environment variable's */
    int line, column;   /* 0 = none */
};

struct confreport {
    config_report_fn fn;
    void *arg;
    const char *file;
    size_t n_errors;
};

void confreport_error(struct confreport *r, struct confplace at, const char *key, const char *fmt, ...) GW_PRINTF(4, 5);
void confreport_warn(struct confreport *r, struct confplace at, const char *key, const char *fmt, ...) GW_PRINTF(4, 5);
