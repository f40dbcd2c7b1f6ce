/* headervalue: a claim as Authentik's headers carry it.
 *
 * Shape: UTF-8 as it is; `%`, `|`, control bytes and blanks at the ends percent-encoded; the entries of a list joined by `|`.
 * Threads: any. Source: DESIGN 4. */
#pragma once

#include "util/pack.h"

/* Length of v in a header. v.n if it stands there as it is. */
size_t headervalue_length(struct view v);
/* out: headervalue_length() bytes. Returns where they end. */
char *headervalue_put(char *out, struct view v);
/* Length of the list in a header, counted until it is past max; 0 for a list that is empty or absent. */
size_t headervalue_list_length(struct pack_val list, size_t max);
/* out: headervalue_list_length() bytes, for a list whose length is not past max. */
void headervalue_put_list(char *out, struct pack_val list);
