/* packtext: pack_parse() for the way of a request: JSON text straight into packed values, in one pass.
 *
 * Why: through jansson's tree of small allocations a bearer token's claims took half as long to parse as its RSA signature to
 * verify.
 * Shape, errors: as pack_parse(), byte for byte the same result; only numbers over PACKTEXT_NUMBER_MAX characters are refused
 * (GW_E_LIMIT), and
 * a text that is both too deep and broken further on is GW_E_LIMIT here. The fuzz target holds one against the other.
 * Threads: any. Source: RFC 8259 (strings: 7), RFC 3629 4. */
#pragma once

#include "util/pack.h"

enum { PACKTEXT_NUMBER_MAX = 64 };

enum gw_err packtext_parse(struct view json, struct buf *out) GW_MUST_CHECK;
