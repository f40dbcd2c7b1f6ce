/* form: decodes query strings and application/x-www-form-urlencoded bodies (WHATWG URL 5.1).
 *
 * '+' is a blank. Broken percent-encoding or a NUL is GW_E_INVALID for the whole. Threads: any. */
#pragma once

#include "util/arena.h"
#include "util/buf.h"

enum form_found { FORM_ABSENT, FORM_ONE, FORM_REPEATED, FORM_INVALID };

/* The decoded value of the field, from the arena. FORM_REPEATED if it occurs twice. */
enum form_found form_get(struct view text, struct view name, struct arena *a, struct view *ret_value);
/* Appends name=value, percent-encoded, with '&' before it unless out ends with '?' or is empty. */
void form_put(struct buf *out, struct view name, struct view value);
