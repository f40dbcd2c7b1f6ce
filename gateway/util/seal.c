/* The key that encrypts is derived from the ring's key, the purpose and the context, so one purpose's text never opens as
 * another's, and a context that only the browser knows (its cookie) is needed beside the server's key. */
#include "util/seal.h"

#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/rnd.h"
#include "util/secret.h"

#include <openssl/evp.h>
#include <pthread.h>

enum { ID_BYTES = 4, NONCE_BYTES = 12, TAG_BYTES = 16, PURPOSE_MAX = 64 };

struct key {
    uint8_t bytes[SEAL_KEY_BYTES];
    uint8_t id[ID_BYTES];
};

struct keys {
    size_t n;
    struct key items[SEAL_KEYS_MAX];
};

/* Callers take a copy of the key that they work with, so nobody waits for another's cipher, and a replaced key lives no longer
 * than the call that began with it. */
struct shared {
    pthread_mutex_t lock;
    struct keys keys;
};

struct seal_ring {
    struct shared *shared; /* behind a pointer: its lock turns in a const ring too */
};

void seal_ring_free(struct seal_ring *ring)
{
    if (ring != NULL && ring->shared != NULL) {
        pthread_mutex_destroy(&ring->shared->lock);
        secret_wipe(ring->shared, sizeof(*ring->shared));
        free(ring->shared);
    }
    free(ring);
}

static void wipe_key(struct key *key)
{
    secret_wipe(key, sizeof(*key));
}

static void wipe_keys(struct keys *keys)
{
    secret_wipe(keys, sizeof(*keys));
}

static struct keys copy_keys(const struct seal_ring *ring)
{
    pthread_mutex_lock(&ring->shared->lock);
    struct keys keys = ring->shared->keys;
    pthread_mutex_unlock(&ring->shared->lock);
    return keys;
}

static bool copy_key(const struct seal_ring *ring, size_t i, struct key *ret_key)
{
    pthread_mutex_lock(&ring->shared->lock);
    bool is_there = i < ring->shared->keys.n;
    if (is_there)
        *ret_key = ring->shared->keys.items[i];
    pthread_mutex_unlock(&ring->shared->lock);
    return is_there;
}

static bool copy_key_by_id(const struct seal_ring *ring, const char *id, struct key *ret_key)
{
    bool is_there = false;
    pthread_mutex_lock(&ring->shared->lock);
    const struct keys *keys = &ring->shared->keys;
    for (size_t i = 0; i < keys->n && !is_there; i++) {
        is_there = memcmp(keys->items[i].id, id, ID_BYTES) == 0;
        if (is_there)
            *ret_key = keys->items[i];
    }
    pthread_mutex_unlock(&ring->shared->lock);
    return is_there;
}

size_t seal_ring_count(const struct seal_ring *ring)
{
    pthread_mutex_lock(&ring->shared->lock);
    size_t n = ring->shared->keys.n;
    pthread_mutex_unlock(&ring->shared->lock);
    return n;
}

static struct view key_view(const struct key *key)
{
    return view_at((const char *)key->bytes, SEAL_KEY_BYTES);
}

/* Bytes are there; gives them their ids. */
static enum gw_err name_keys(struct keys *keys)
{
    for (size_t i = 0; i < keys->n; i++) {
        uint8_t id[DIGEST_BYTES];
        enum gw_err err = digest_hkdf(key_view(&keys->items[i]), VIEW("repogate key id"), id);
        if (err != GW_OK)
            return err;
        memcpy(keys->items[i].id, id, ID_BYTES);
    }
    return keys->n == 0 ? GW_E_INVALID : GW_OK;
}

static enum gw_err ring_of(const struct keys *keys, struct seal_ring **ret_ring)
{
    GW_CLEANUP(seal_ring_freep) struct seal_ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL || (ring->shared = calloc(1, sizeof(*ring->shared))) == NULL)
        return GW_E_NOMEM;
    pthread_mutex_init(&ring->shared->lock, NULL);
    ring->shared->keys = *keys;
    *ret_ring = GW_TAKE(ring);
    return GW_OK;
}

enum gw_err seal_ring_new(const uint8_t (*keys)[SEAL_KEY_BYTES], size_t n_keys, struct seal_ring **ret_ring)
{
    GW_CLEANUP(wipe_keys) struct keys named = {.n = n_keys};
    if (n_keys > SEAL_KEYS_MAX)
        return GW_E_LIMIT;
    for (size_t i = 0; i < n_keys; i++)
        memcpy(named.items[i].bytes, keys[i], SEAL_KEY_BYTES);
    enum gw_err err = name_keys(&named);
    return err == GW_OK ? ring_of(&named, ret_ring) : err;
}

/* A key per line. */
static enum gw_err parse_keys(struct view text, struct keys *ret_keys)
{
    GW_CLEANUP(wipe_keys) struct keys keys = {0};
    struct view rest = text;
    while (rest.p != NULL) {
        struct view line = view_trim(view_split(&rest, '\n'));
        size_t len;
        if (keys.n == SEAL_KEYS_MAX)
            return GW_E_LIMIT;
        if (b64url_decode(line, keys.items[keys.n].bytes, SEAL_KEY_BYTES, &len) != GW_OK || len != SEAL_KEY_BYTES)
            return GW_E_INVALID;
        keys.n++;
    }
    enum gw_err err = name_keys(&keys);
    if (err == GW_OK)
        *ret_keys = keys;
    return err;
}

enum gw_err seal_ring_load(const char *path, struct seal_ring **ret_ring)
{
    GW_CLEANUP(secret_freep) char *text = NULL;
    GW_CLEANUP(wipe_keys) struct keys keys = {0};
    enum gw_err err = secret_load(path, &text);
    if (err == GW_OK)
        err = parse_keys(view_of(text), &keys);
    return err == GW_OK ? ring_of(&keys, ret_ring) : err;
}

enum gw_err seal_ring_replace(struct seal_ring *ring, struct view text)
{
    GW_CLEANUP(wipe_keys) struct keys keys = {0};
    enum gw_err err = parse_keys(text, &keys);
    if (err != GW_OK)
        return err;
    pthread_mutex_lock(&ring->shared->lock);
    ring->shared->keys = keys;
    pthread_mutex_unlock(&ring->shared->lock);
    return GW_OK;
}

static enum gw_err mac_with(const struct key *k, struct view purpose, struct view data, uint8_t out[DIGEST_BYTES])
{
    uint8_t key[DIGEST_BYTES];
    enum gw_err err = digest_hkdf(key_view(k), purpose, key);
    if (err == GW_OK)
        err = digest_hmac(view_at((char *)key, sizeof(key)), data, out);
    secret_wipe(key, sizeof(key));
    return err;
}

enum gw_err seal_mac_all(const struct seal_ring *ring, struct view purpose, struct view data, uint8_t out[SEAL_KEYS_MAX][32],
                         size_t *ret_n)
{
    GW_CLEANUP(wipe_keys) struct keys keys = copy_keys(ring);
    for (size_t i = 0; i < keys.n; i++) {
        enum gw_err err = mac_with(&keys.items[i], purpose, data, out[i]);
        if (err != GW_OK)
            return err;
    }
    *ret_n = keys.n;
    return GW_OK;
}

enum gw_err seal_mac(const struct seal_ring *ring, size_t i, struct view purpose, struct view data, uint8_t out[32])
{
    GW_CLEANUP(wipe_key) struct key key = {{0}, {0}};
    return copy_key(ring, i, &key) ? mac_with(&key, purpose, data, out) : GW_E_NOTFOUND;
}

static enum gw_err derive(const struct key *k, struct view purpose, struct view context, uint8_t out[DIGEST_BYTES])
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
    err = digest_hmac(key_view(k), context, key);
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
    GW_CLEANUP(wipe_key) struct key sealing = {{0}, {0}};
    uint8_t key[DIGEST_BYTES];
    int len = 0, tail = 0;
    if (!copy_key(ring, 0, &sealing))
        return GW_E_NOTFOUND;
    enum gw_err err = derive(&sealing, purpose, context, key);
    if (err != GW_OK)
        return err;
    uint8_t *o = (uint8_t *)buf_reserve(out, plain.n + SEAL_OVERHEAD_BYTES);
    GW_CLEANUP(free_cipher) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (o == NULL || c == NULL || plain.n > INT32_MAX) {
        secret_wipe(key, sizeof(key));
        return GW_E_NOMEM;
    }
    memcpy(o, sealing.id, ID_BYTES);
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
    GW_CLEANUP(wipe_key) struct key opening = {{0}, {0}};
    uint8_t key[DIGEST_BYTES];
    if (sealed.n < SEAL_OVERHEAD_BYTES || sealed.n > INT32_MAX || !copy_key_by_id(ring, sealed.p, &opening))
        return GW_E_INVALID;
    enum gw_err err = derive(&opening, purpose, context, key);
    if (err == GW_OK)
        err = open_with(key, sealed, out);
    secret_wipe(key, sizeof(key));
    return err;
}
