#include "config/confreport.h"

#include <stdarg.h>
#include <stdio.h>

/* Findings quote what stands in the file, and go to terminals. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

GW_PRINTF(5, 0)
static void report(struct confreport *r, struct confplace at, const char *key, bool is_warning, const char *fmt, va_list args)
{
    char text[CONFREPORT_TEXT_MAX], printable_key[CONFREPORT_KEY_MAX];

    vsnprintf(text, sizeof(text), fmt, args);
    make_printable(text);
    snprintf(printable_key, sizeof(printable_key), "%s", key);
    make_printable(printable_key);
    if (!is_warning)
        r->n_errors++;
    r->fn(r->arg, &(struct config_finding){
                      .file = at.source,
                      .line = at.line,
                      .column = at.column,
                      .key = printable_key,
                      .text = text,
                      .is_warning = is_warning,
                  });
}

void confreport_error(struct confreport *r, struct confplace at, const char *key, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(r, at, key, false, fmt, args);
    va_end(args);
}

void confreport_warn(struct confreport *r, struct confplace at, const char *key, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(r, at, key, true, fmt, args);
    va_end(args);
}
