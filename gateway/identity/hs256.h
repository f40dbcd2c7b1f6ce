/* hs256: checks a JWT signed with the client's secret (Authentik without a signing key).
 *
 * Only for tokens whose text and header the verifier has found strict and whose algorithm the configuration lists; libjwt alone
 * would take any token with an empty key, so a secret under HS256_SECRET_MIN bytes verifies nothing.
 * Threads: any. Source: RFC 7518 3.2. */
#pragma once

#include "util/view.h"

enum { HS256_SECRET_MIN = 32 };

/* GW_E_INVALID wrong signature or unfit secret; GW_E_NOMEM. */
enum gw_err hs256_verify(struct view jwt, struct view secret) GW_MUST_CHECK;
