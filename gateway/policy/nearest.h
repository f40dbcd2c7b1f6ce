/* nearest: finds the name that was probably meant. Threads: values. */
#pragma once

#include "util/view.h"

enum { NEAREST_NAME_MAX = 64 };

struct nearest {
    struct view asked, best;
    size_t distance;
};

struct nearest nearest_begin(struct view asked);
void nearest_offer(struct nearest *n, struct view name);
/* " (did you mean 'x'?)" into out, or "" if nothing comes near. */
const char *nearest_format(const struct nearest *n, char *out, size_t cap);
/* All at once over a NULL-terminated list. */
const char *nearest_of(struct view asked, const char *const *names, char *out, size_t cap);
