/* forget: makes every core forget the bearer tokens of a person, or of one of their sessions at the provider: cached verdicts go, and
 * sockets that such a token opened are cut. Threads: from any core's loop; the others are told by their loops. */
#pragma once

#include "handlers/core.h"

/* GW_E_NOMEM, GW_E_LIMIT: not all were told. */
enum gw_err forget_tokens(struct gateway *gw, bool by_sub, struct view iss, struct view name) GW_MUST_CHECK;
