/* router: a table of path, methods and handler.
 *
 * The auth endpoints are http/original's. Paths are compared byte for byte with the raw target: an encoded spelling of one of ours is another path. Threads: any. */
#pragma once

#include "http/exchange.h"

/* The public listener. */
void router_public(struct exchange *x);
/* The admin listener. */
void router_admin(struct exchange *x);

enum router_body { ROUTER_BODY_IGNORED, ROUTER_BODY_FORM, ROUTER_BODY_STREAMED };
/* What becomes of a public request's body. */
enum router_body router_public_body(const struct request *r);
enum router_body router_admin_body(const struct request *r);
