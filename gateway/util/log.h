/* log: operators' messages, one line each, on standard error.
 *
 * Shape: `2026-01-02T03:04:05.678Z level message key=value …`; values are quoted as JSON strings when they need it.
 * Control bytes never reach the terminal. Secrets never belong here.
 * Handle or forward, not both: log where the error is handled, once. Threads: any; a line is one write. */
#pragma once

#include "util/view.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_field {
    const char *key;
    struct view value;
};

#define LOG_FIELDS_END ((struct log_field){NULL, {NULL, 0}})

void log_set_level(enum log_level level);
/* fields: up to LOG_FIELDS_END, or NULL. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);
/* For a message made of parts; cut at 1 KiB. */
void log_printf(enum log_level level, const char *fmt, ...) GW_PRINTF(2, 3);

#define LOG_KV(k, v) ((struct log_field){(k), (v)})
#define log_event(level, message, ...) log_write((level), (message), (const struct log_field[]){__VA_ARGS__, LOG_FIELDS_END})
