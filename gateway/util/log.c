#include "util/log.h"

#include "util/buf.h"
#include "util/epoch.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192, MESSAGE_MAX_BYTES = 1024 };

static _Atomic int max_level = LOG_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

static bool is_plain(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= 0x20 || v.p[i] >= 0x7f || v.p[i] == '"' || v.p[i] == '=' || v.p[i] == '\\')
            return false;
    return v.n > 0;
}

/* Control bytes could rewrite an operator's terminal. */
static void put_message(struct buf *b, const char *message)
{
    for (const char *p = message; *p != '\0'; p++)
        buf_put_byte(b, (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char when[EPOCH_RFC3339_LEN + 1];
    struct buf line = BUF(LINE_MAX_BYTES);

    if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed))
        return;
    epoch_format(epoch_now_ms(), when);
    buf_put(&line, view_of(when));
    buf_put_byte(&line, ' ');
    buf_put(&line, view_of(names[level]));
    buf_put_byte(&line, ' ');
    put_message(&line, message);
    for (; fields != NULL && fields->key != NULL; fields++) {
        buf_put_byte(&line, ' ');
        buf_put(&line, view_of(fields->key));
        buf_put_byte(&line, '=');
        if (is_plain(fields->value))
            buf_put(&line, fields->value);
        else
            buf_put_json(&line, fields->value);
    }
    /* A field that did not fit is left out or cut; the line ends all the same. */
    line.failed = false;
    line.cap++;
    buf_put_byte(&line, '\n');
    /* An operators' message that cannot be written has nowhere else to go. */
    ssize_t ignored = line.n == 0 ? 0 : write(STDERR_FILENO, line.p, line.n);
    (void)ignored;
    buf_deinit(&line);
}

void log_printf(enum log_level level, const char *fmt, ...)
{
    char message[MESSAGE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    log_write(level, message, NULL);
}
