/* Fetching an algorithm by name costs more than hashing a short text, so algorithm and context are kept per thread. */
#include "util/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t context_key;
static EVP_MD *sha256;

static void free_context(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

static void init(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (pthread_key_create(&context_key, free_context) != 0) {
        EVP_MD_free(sha256);
        sha256 = NULL;
    }
}

static EVP_MD_CTX *thread_context(void)
{
    pthread_once(&once, init);
    if (sha256 == NULL)
        return NULL;
    EVP_MD_CTX *ctx = pthread_getspecific(context_key);
    if (ctx != NULL)
        return ctx;
    ctx = EVP_MD_CTX_new();
    if (ctx != NULL && pthread_setspecific(context_key, ctx) != 0) {
        EVP_MD_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

enum gw_err digest_sha256_parts(const struct view *parts, size_t n_parts, uint8_t out[DIGEST_BYTES])
{
    EVP_MD_CTX *ctx = thread_context();
    if (ctx == NULL || EVP_DigestInit_ex2(ctx, sha256, NULL) != 1)
        return GW_E_IO;
    for (size_t i = 0; i < n_parts; i++)
        if (EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) != 1)
            return GW_E_IO;
    return EVP_DigestFinal_ex(ctx, out, NULL) == 1 ? GW_OK : GW_E_IO;
}

enum gw_err digest_sha256(struct view data, uint8_t out[DIGEST_BYTES])
{
    return digest_sha256_parts(&data, 1, out);
}

enum { HMAC_BLOCK_BYTES = 64 };

/* RFC 2104 2 over the kept context: the library's own HMAC fetches its algorithm each time. */
enum gw_err digest_hmac(struct view key, struct view data, uint8_t out[DIGEST_BYTES])
{
    uint8_t pad[HMAC_BLOCK_BYTES] = {0}, inner[DIGEST_BYTES];
    if (key.n > sizeof(pad)) {
        enum gw_err err = digest_sha256(key, pad);
        if (err != GW_OK)
            return err;
    } else if (key.n > 0) {
        memcpy(pad, key.p, key.n);
    }
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36;
    enum gw_err err = digest_sha256_parts((struct view[]){{(char *)pad, sizeof(pad)}, data}, 2, inner);
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36 ^ 0x5c;
    if (err == GW_OK)
        err = digest_sha256_parts((struct view[]){{(char *)pad, sizeof(pad)}, {(char *)inner, sizeof(inner)}}, 2, out);
    OPENSSL_cleanse(pad, sizeof(pad));
    return err;
}

enum gw_err digest_hkdf(struct view key, struct view info, uint8_t out[DIGEST_BYTES])
{
    static const uint8_t no_salt[DIGEST_BYTES];
    uint8_t prk[DIGEST_BYTES];
    char block[256];
    if (info.n >= sizeof(block))
        return GW_E_LIMIT;
    enum gw_err err = digest_hmac((struct view){(const char *)no_salt, sizeof(no_salt)}, key, prk);
    if (err != GW_OK)
        return err;
    if (info.n > 0)
        memcpy(block, info.p, info.n);
    block[info.n] = 1;
    err = digest_hmac((struct view){(char *)prk, sizeof(prk)}, (struct view){block, info.n + 1}, out);
    OPENSSL_cleanse(prk, sizeof(prk));
    return err;
}

const char *digest_library_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

void digest_hex(const uint8_t digest[DIGEST_BYTES], char out[DIGEST_HEX_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[DIGEST_HEX_LEN] = '\0';
}
