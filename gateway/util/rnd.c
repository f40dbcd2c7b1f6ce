#include "util/rnd.h"

#include <assert.h>
#include <openssl/rand.h>
#include <string.h>

enum { POOL_BYTES = 4096, UUID_BYTES = 16, UUID_TIME_BYTES = 6 };

enum gw_err rnd_bytes(void *out, size_t n)
{
    return RAND_bytes(out, (int)n) == 1 ? GW_OK : GW_E_IO;
}

enum gw_err rnd_pooled(void *out, size_t n)
{
    static _Thread_local uint8_t pool[POOL_BYTES];
    static _Thread_local size_t left;
    assert(n <= RND_POOLED_MAX);
    if (left < n) {
        enum gw_err err = rnd_bytes(pool, sizeof(pool));
        if (err != GW_OK)
            return err;
        left = sizeof(pool);
    }
    left -= n;
    memcpy(out, pool + left, n);
    memset(pool + left, 0, n); /* given out once */
    return GW_OK;
}

enum gw_err rnd_uuid7(int64_t now_ms, char out[RND_UUID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t id[UUID_BYTES];
    enum gw_err err = rnd_pooled(id + UUID_TIME_BYTES, sizeof(id) - UUID_TIME_BYTES);
    if (err != GW_OK)
        return err;
    for (size_t i = 0; i < UUID_TIME_BYTES; i++)
        id[i] = (uint8_t)((uint64_t)now_ms >> (40 - 8 * i));
    id[6] = (uint8_t)(0x70 | (id[6] & 0x0f));
    id[8] = (uint8_t)(0x80 | (id[8] & 0x3f));

    char *p = out;
    for (size_t i = 0; i < sizeof(id); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[id[i] >> 4];
        *p++ = hex[id[i] & 15];
    }
    *p = '\0';
    return GW_OK;
}
