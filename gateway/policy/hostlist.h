/* hostlist: bags (`u.attributes`, `u.claims`) and lists of strings, as rules see them (POLICY 3).
 *
 * Errors: raise Lua errors, so call protected. Threads: as the state. */
#pragma once

#include "policy/hostapi.h"

enum host_bag { HOST_BAG_ATTRIBUTES, HOST_BAG_CLAIMS };

void hostlist_open(lua_State *L, struct host *h);
/* Pushes a new bag object. */
void hostlist_push_bag(lua_State *L, enum host_bag which);
/* Pushes a new list object, empty. */
struct host_list *hostlist_push_list(lua_State *L);

/* True if a list entry names the repository: `owner/name`, `owner/star`, either after `forge:`, or an https URL. No allocation. */
bool hostlist_entry_names_repo(struct view entry, const struct repo *r);
