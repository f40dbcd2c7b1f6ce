/* rnd: random bytes and identifiers. Threads: any. Source: RFC 9562 5.7 (UUIDv7). */
#pragma once

#include "util/err.h"

#include <stddef.h>
#include <stdint.h>

enum { RND_UUID_LEN = 36, RND_POOLED_MAX = 32 };

/* From the system's generator; GW_E_IO if it cannot answer. */
enum gw_err rnd_bytes(void *out, size_t n) GW_MUST_CHECK;
/* The same, at most RND_POOLED_MAX bytes, drawn in batches per thread: for identifiers on the hot path, not for keys. */
enum gw_err rnd_pooled(void *out, size_t n) GW_MUST_CHECK;
/* A UUIDv7 as text with NUL: 48 bits of Unix time in milliseconds, the rest random (pooled). */
enum gw_err rnd_uuid7(int64_t now_ms, char out[RND_UUID_LEN + 1]) GW_MUST_CHECK;
