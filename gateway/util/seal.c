/* The key that encrypts is derived from the ring's key, the purpose and the context, so one purpose's text never opens as
 * another's, and a context that only the browser knows (its cookie) is needed beside the server's key. */
#include "util/seal.h"

#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/rnd.h"
#include "util/secret.h"

#include <openssl/evp.h>

enum { ID_BYTES = 4, NONCE_BYTES = 12, TAG_BYTES = 16, PURPOSE_MAX = 64 };

struct seal_ring {
    size_t n;
    uint8_t keys[SEAL_KEYS_MAX][SEAL_KEY_BYTES];
    uint8_t ids[SEAL_KEYS_MAX][ID_BYTES];
};

void seal_ring_free(struct seal_ring *ring)
{
    if (ring != NULL)
        secret_wipe(ring, sizeof(*ring));
    free(ring);
}

size_t seal_ring_count(const struct seal_ring *ring)
{
    return ring->n;
}

static struct view key_view(const struct seal_ring *ring, size_t i)
{
    return (struct view){(const char *)ring->keys[i], SEAL_KEY_BYTES};
}

enum gw_err seal_ring_new(const uint8_t (*keys)[SEAL_KEY_BYTES], size_t n_keys, struct seal_ring **ret_ring)
{
    if (n_keys == 0)
        return GW_E_INVALID;
    if (n_keys > SEAL_KEYS_MAX)
        return GW_E_LIMIT;
    GW_CLEANUP(seal_ring_freep) struct seal_ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL)
        return GW_E_NOMEM;
    ring->n = n_keys;
    for (size_t i = 0; i < n_keys; i++) {
        uint8_t id[DIGEST_BYTES];
        memcpy(ring->keys[i], keys[i], SEAL_KEY_BYTES);
        enum gw_err err = digest_hkdf(key_view(ring, i), VIEW("repogate key id"), id);
        if (err != GW_OK)
            return err;
        memcpy(ring->ids[i], id, ID_BYTES);
    }
    *ret_ring = GW_TAKE(ring);
    return GW_OK;
}

enum gw_err seal_ring_load(const char *path, struct seal_ring **ret_ring)
{
    GW_CLEANUP(secret_freep) char *text = NULL;
    uint8_t keys[SEAL_KEYS_MAX][SEAL_KEY_BYTES];
    size_t n = 0;
    enum gw_err err = secret_load(path, &text);
    if (err != GW_OK)
        return err;
    struct view rest = view_of(text);
    while (err == GW_OK && rest.p != NULL) {
        struct view line = view_trim(view_split(&rest, '\n'));
        size_t len;
        if (n == SEAL_KEYS_MAX)
            err = GW_E_LIMIT;
        else if (b64url_decode(line, keys[n], SEAL_KEY_BYTES, &len) != GW_OK || len != SEAL_KEY_BYTES)
            err = GW_E_INVALID;
        n++;
    }
    if (err == GW_OK)
        err = seal_ring_new(keys, n, ret_ring);
    secret_wipe(keys, sizeof(keys));
    return err;
}

enum gw_err seal_mac(const struct seal_ring *ring, size_t i, struct view purpose, struct view data, uint8_t out[32])
{
    uint8_t key[DIGEST_BYTES];
    if (i >= ring->n)
        return GW_E_NOTFOUND;
    enum gw_err err = digest_hkdf(key_view(ring, i), purpose, key);
    if (err == GW_OK)
        err = digest_hmac((struct view){(char *)key, sizeof(key)}, data, out);
    secret_wipe(key, sizeof(key));
    return err;
}

static enum gw_err derive(const struct seal_ring *ring, size_t i, struct view purpose, struct view context,
                          uint8_t out[DIGEST_BYTES])
{
    uint8_t context_digest[DIGEST_BYTES];
    char info[PURPOSE_MAX + 1 + DIGEST_BYTES];
    if (purpose.n > PURPOSE_MAX)
        return GW_E_LIMIT;
    enum gw_err err = digest_sha256(context, context_digest);
    if (err != GW_OK)
        return err;
    memcpy(info, purpose.p, purpose.n);
    info[purpose.n] = '\0';
    memcpy(info + purpose.n + 1, context_digest, DIGEST_BYTES);
    /* A context that is a secret must not be replaceable by its digest: it is mixed into the key itself. */
    uint8_t key[DIGEST_BYTES];
    err = digest_hmac(key_view(ring, i), context, key);
    if (err == GW_OK)
        err = digest_hkdf((struct view){(char *)key, sizeof(key)}, (struct view){info, purpose.n + 1 + DIGEST_BYTES}, out);
    secret_wipe(key, sizeof(key));
    return err;
}

static void free_cipher(EVP_CIPHER_CTX **c)
{
    EVP_CIPHER_CTX_free(*c);
}

enum gw_err seal_put(const struct seal_ring *ring, struct view purpose, struct view context, struct view plain, struct buf *out)
{
    uint8_t key[DIGEST_BYTES];
    int len = 0, tail = 0;
    enum gw_err err = derive(ring, 0, purpose, context, key);
    if (err != GW_OK)
        return err;
    uint8_t *o = (uint8_t *)buf_reserve(out, plain.n + SEAL_OVERHEAD_BYTES);
    GW_CLEANUP(free_cipher) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (o == NULL || c == NULL || plain.n > INT32_MAX) {
        secret_wipe(key, sizeof(key));
        return GW_E_NOMEM;
    }
    memcpy(o, ring->ids[0], ID_BYTES);
    err = rnd_bytes(o + ID_BYTES, NONCE_BYTES);
    uint8_t *text = o + ID_BYTES + NONCE_BYTES;
    bool ok = err == GW_OK && EVP_EncryptInit_ex2(c, EVP_aes_256_gcm(), key, o + ID_BYTES, NULL) == 1 &&
              EVP_EncryptUpdate(c, text, &len, (const uint8_t *)plain.p, (int)plain.n) == 1 &&
              EVP_EncryptFinal_ex(c, text + len, &tail) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, text + plain.n) == 1;
    secret_wipe(key, sizeof(key));
    if (!ok)
        return GW_E_IO;
    out->n += plain.n + SEAL_OVERHEAD_BYTES;
    out->p[out->n] = '\0';
    return GW_OK;
}

static enum gw_err open_with(const uint8_t key[DIGEST_BYTES], struct view sealed, struct buf *out)
{
    const uint8_t *in = (const uint8_t *)sealed.p;
    size_t n = sealed.n - SEAL_OVERHEAD_BYTES;
    uint8_t tag[TAG_BYTES];
    int len = 0, tail = 0;
    uint8_t *o = (uint8_t *)buf_reserve(out, n);
    GW_CLEANUP(free_cipher) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (o == NULL || c == NULL)
        return GW_E_NOMEM;
    memcpy(tag, in + sealed.n - TAG_BYTES, TAG_BYTES);
    bool ok = EVP_DecryptInit_ex2(c, EVP_aes_256_gcm(), key, in + ID_BYTES, NULL) == 1 &&
              EVP_DecryptUpdate(c, o, &len, in + ID_BYTES + NONCE_BYTES, (int)n) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 && EVP_DecryptFinal_ex(c, o + len, &tail) == 1;
    if (!ok) {
        secret_wipe(o, n);
        return GW_E_INVALID;
    }
    out->n += n;
    out->p[out->n] = '\0';
    return GW_OK;
}

enum gw_err seal_open(const struct seal_ring *ring, struct view purpose, struct view context, struct view sealed, struct buf *out)
{
    if (sealed.n < SEAL_OVERHEAD_BYTES || sealed.n > INT32_MAX)
        return GW_E_INVALID;
    for (size_t i = 0; i < ring->n; i++) {
        uint8_t key[DIGEST_BYTES];
        if (memcmp(ring->ids[i], sealed.p, ID_BYTES) != 0)
            continue;
        enum gw_err err = derive(ring, i, purpose, context, key);
        if (err == GW_OK)
            err = open_with(key, sealed, out);
        secret_wipe(key, sizeof(key));
        return err;
    }
    return GW_E_INVALID;
}
