/* driver: finds the workspace of a person and a repository.
 *
 * Shape: driver_route() says where to connect, which Host to send and what to put before the rest of the path.
 * Errors: GW_E_INVALID the person or the repository cannot be put into this workspace's address; GW_E_NOMEM.
 * Owns: routes come from the arena or are borrowed from the driver, which outlives them. Threads: any. */
#pragma once

#include "forge/repo.h"
#include "identity/principal.h"
#include "util/arena.h"

struct driver;

struct driver_ask {
    const struct repo *repo;
    const struct principal *principal;
};

struct driver_route {
    struct view address;   /* host:port */
    struct view host;      /* Host header */
    struct view base_path; /* "" or "/…" without a slash at its end */
};

/* What a driver implements; it embeds struct driver as its first member. */
struct driver_ops {
    enum gw_err (*route)(const struct driver *d, const struct driver_ask *ask, struct arena *a, struct driver_route *ret_route);
    void (*free)(struct driver *d);
};

struct driver {
    const struct driver_ops *ops;
};

enum gw_err driver_route(const struct driver *d, const struct driver_ask *ask, struct arena *a, struct driver_route *ret_route)
    GW_MUST_CHECK;
void driver_free(struct driver *d);

enum { DRIVER_ID_LEN = 3 + 20 };
/* "ws-" and the first 10 bytes, in lower-case hexadecimal, of SHA-256 over iss NUL sub NUL repository: a DNS label that stands for this
 * person in this repository. NUL-terminated. It is the workspace's id, whatever the driver: {id} in addresses, `aud` in assertions. */
enum gw_err driver_format_id(const struct driver_ask *ask, char out[DRIVER_ID_LEN + 1]) GW_MUST_CHECK;
