/* secret: compares in constant time, wipes, and reads secret files. */
#pragma once

#include "util/view.h"

enum { SECRET_FILE_MAX = 16384 };

/* Time depends on the lengths only. */
bool secret_eq(struct view a, struct view b);
void secret_wipe(void *p, size_t n);
/* Wipes and frees a NUL-terminated string; accepts NULL. */
void secret_free(char *s);
/* The file's text without its trailing line breaks; owned, for secret_free(). GW_E_IO unreadable, GW_E_LIMIT over
 * SECRET_FILE_MAX bytes, GW_E_INVALID empty or with a NUL inside. */
enum gw_err secret_load(const char *path, char **ret_text) GW_MUST_CHECK;

static inline void secret_freep(char **pp)
{
    secret_free(*pp);
}
