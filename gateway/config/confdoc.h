/* confdoc: file, environment and defaults as one list of values, each with the place it comes from.
 *
 * The environment wins over the file, the file over the default. Findings here: unknown keys, wrong shapes, missing required
 * keys, unknown words, and what is not built yet. What the values mean is judged in config.
 * Owns: nothing; everything lies in the arena given. Threads: one at a time. */
#pragma once

#include "config/confkeys.h"
#include "config/confreport.h"
#include "util/arena.h"

struct conftext {
    const char *name;    /* of an entry in a map; else NULL */
    const char *text;    /* NULL = not given, or refused before */
    struct confplace at; /* source NULL = not given */
};

struct confvalue {
    struct conftext self; /* text of a scalar; of lists and maps the place only */
    struct conftext
        *items; /* of a list or map; of a list of maps the members of the first, then of the second, each in the key's order */
    size_t n_items; /* of a list of maps: how many maps */
    bool is_usable; /* false: a finding was reported, judge no further */
};

struct confforge {
    struct conftext self, kind, url; /* self.name is the forge's; its text stays NULL */
    bool is_usable;
};

struct confdoc {
    struct confvalue values[CONFKEYS_COUNT];
    struct confforge *forges;
    size_t n_forges;
};

/* GW_OK also with findings: see report->n_errors. GW_E_INVALID the text is no YAML we take; GW_E_NOMEM. */
enum gw_err confdoc_read(struct view text, char *const *environment, struct confreport *report, struct arena *arena,
                         struct confdoc *doc) GW_MUST_CHECK;
