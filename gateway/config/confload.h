/* confload: reads the values of a YAML text through libcyaml, against a schema made for this text.
 *
 * Why made at run time: libcyaml's schema knows fixed keys only, and `forges` and `policy.env` have names of their own; and a
 * second, hand-written schema could drift from the key table. So the schema has exactly the nodes that were found wanted.
 * Every scalar is read as text and parsed by confvalue: libcyaml takes any unknown word for a true boolean, and octal numbers.
 * Shape: in: the text and its scan, is_wanted set. Out: one slot per node.
 * Errors: GW_E_INVALID libcyaml disagrees with the scan (reported); GW_E_NOMEM. */
#pragma once

#include "config/confscan.h"
#include "util/arena.h"

enum { CONFLOAD_MEMBERS_MAX = 4 };

struct confslot {
    const char *text;   /* CONFNODE_TEXT, else NULL */
    const char **items; /* CONFNODE_LIST; of a list of maps all members of the first map, then of the second; NULL = absent */
    size_t n_items;     /* texts or maps */
};

/* slots: as many as the scan has nodes, filled on GW_OK with memory of the arena. */
enum gw_err confload_read(struct view text, const struct confscan *scan, struct confreport *report, struct arena *arena,
                          struct confslot *slots) GW_MUST_CHECK;
/* "libcyaml 1.3.1" */
const char *confload_library_version(void);
