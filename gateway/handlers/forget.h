/* forget: makes every core forget the credentials of a person's programs, or of one of their sessions at the provider; the sockets that
 * these opened are cut (cut.h). Threads: from any core's loop; the others are told by their loops. */
#pragma once

#include "handlers/core.h"

/* GW_E_NOMEM, GW_E_LIMIT: not all were told. */
enum gw_err forget_machines(struct gateway *gw, const struct machine_ending *e) GW_MUST_CHECK;
