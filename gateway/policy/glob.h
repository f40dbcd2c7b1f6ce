/* glob: `*` stands for any bytes but `/`, `**` for any bytes, `?` for one byte but `/`; all else for itself.
 *
 * No pattern can make it slow: at most pattern times text steps. A pattern over GLOB_PATTERN_MAX bytes matches nothing.
 * Threads: values. */
#pragma once

#include "util/view.h"

enum { GLOB_PATTERN_MAX = 512 };

/* fold: ASCII case does not matter. */
bool glob_matches(struct view pattern, struct view text, bool fold);
/* True if it has no `*` and no `?`. */
bool glob_is_literal(struct view pattern);
