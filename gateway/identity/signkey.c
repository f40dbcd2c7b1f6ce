/* Signing is what an assertion costs, so the context for it is prepared once, as keyset does for verifying. */
#include "identity/signkey.h"

#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/secret.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

enum { COORDINATE_BYTES = 32, DER_MAX = 80 };

struct signkey {
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *sign;
    struct buf x, y, kid; /* base64url */
};

struct signkey_ring {
    size_t n;
    struct signkey keys[SIGNKEY_KEYS_MAX];
};

GW_DEFINE_FREEP(bio_freep, BIO, BIO_free_all)
GW_DEFINE_FREEP(bn_freep, BIGNUM, BN_free)
GW_DEFINE_FREEP(pkey_freep, EVP_PKEY, EVP_PKEY_free)
GW_DEFINE_FREEP(pkey_ctx_freep, EVP_PKEY_CTX, EVP_PKEY_CTX_free)
GW_DEFINE_FREEP(ecdsa_sig_freep, ECDSA_SIG, ECDSA_SIG_free)

/* ---- one key ---- */

static void key_deinit(struct signkey *k)
{
    EVP_PKEY_CTX_free(k->sign);
    EVP_PKEY_free(k->pkey);
    buf_deinit(&k->x);
    buf_deinit(&k->y);
    buf_deinit(&k->kid);
}

/* A private half that does not belong to the public one would sign what nobody can verify. */
static bool is_p256(EVP_PKEY *pkey)
{
    char group[32];
    size_t n;
    if (EVP_PKEY_is_a(pkey, "EC") != 1 || EVP_PKEY_get_group_name(pkey, group, sizeof(group), &n) != 1 ||
        strcmp(group, SN_X9_62_prime256v1) != 0)
        return false;
    GW_CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    return ctx != NULL && EVP_PKEY_private_check(ctx) == 1 && EVP_PKEY_pairwise_check(ctx) == 1;
}

static bool put_coordinate(const EVP_PKEY *pkey, const char *which, struct buf *out)
{
    uint8_t raw[COORDINATE_BYTES];
    BIGNUM *bn = NULL;
    bool is_fine = EVP_PKEY_get_bn_param(pkey, which, &bn) == 1 && BN_bn2binpad(bn, raw, sizeof(raw)) == sizeof(raw);
    BN_free(bn);
    if (is_fine)
        b64url_encode(out, raw, sizeof(raw));
    return is_fine && buf_ok(out);
}

static void put_members(const struct signkey *k, struct buf *out)
{
    /* The required members in lexicographic order and nothing else: RFC 7638 3.2. */
    buf_puts(out, "\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
    buf_put(out, buf_view(&k->x));
    buf_puts(out, "\",\"y\":\"");
    buf_put(out, buf_view(&k->y));
    buf_puts(out, "\"");
}

static bool put_thumbprint(const struct signkey *k, struct buf *out)
{
    uint8_t digest[DIGEST_BYTES];
    struct buf text = BUF(SIGNKEY_JWK_MAX);
    buf_puts(&text, "{");
    put_members(k, &text);
    buf_puts(&text, "}");
    bool is_fine = buf_ok(&text) && digest_sha256(buf_view(&text), digest) == GW_OK;
    buf_deinit(&text);
    if (is_fine)
        b64url_encode(out, digest, sizeof(digest));
    return is_fine && buf_ok(out);
}

/* Consumes pkey. */
static enum gw_err key_init(struct signkey *k, EVP_PKEY *pkey)
{
    *k = (struct signkey){.pkey = pkey, .x = BUF(SIGNKEY_KID_LEN), .y = BUF(SIGNKEY_KID_LEN), .kid = BUF(SIGNKEY_KID_LEN)};
    enum gw_err err = is_p256(pkey) ? GW_OK : GW_E_INVALID;
    if (err == GW_OK && (!put_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_X, &k->x) ||
                         !put_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &k->y) || !put_thumbprint(k, &k->kid)))
        err = GW_E_NOMEM;
    if (err == GW_OK) {
        k->sign = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
        err = k->sign != NULL && EVP_PKEY_sign_init(k->sign) == 1 ? GW_OK : GW_E_IO;
    }
    if (err != GW_OK)
        key_deinit(k);
    return err;
}

/* ---- PEM ---- */

/* One block of the file. Not PEM_read_bio_PrivateKey(): it passes over whatever it doesn't know, and asks the terminal for passwords. */
struct block {
    char *name, *header;
    uint8_t *data;
    long n;
};

static void block_deinit(struct block *b)
{
    OPENSSL_free(b->name);
    OPENSSL_free(b->header);
    OPENSSL_clear_free(b->data, b->n > 0 ? (size_t)b->n : 0);
}

static EVP_PKEY *block_key(const struct block *b)
{
    const uint8_t *p = b->data;
    if (b->header[0] != '\0')
        return NULL;
    if (strcmp(b->name, PEM_STRING_PKCS8INF) == 0)
        return d2i_AutoPrivateKey_ex(NULL, &p, b->n, NULL, NULL);
    if (strcmp(b->name, PEM_STRING_ECPRIVATEKEY) == 0)
        return d2i_PrivateKey_ex(EVP_PKEY_EC, NULL, &p, b->n, NULL, NULL);
    return NULL;
}

static bool has_kid(const struct signkey_ring *ring, struct view kid)
{
    for (size_t i = 0; i < ring->n; i++)
        if (view_eq(buf_view(&ring->keys[i].kid), kid))
            return true;
    return false;
}

static enum gw_err add_block(struct signkey_ring *ring, const struct block *b)
{
    struct signkey key;
    if (strcmp(b->name, PEM_STRING_ECPARAMETERS) == 0) /* `openssl ecparam -genkey` writes it in front of the key */
        return GW_OK;
    if (ring->n == SIGNKEY_KEYS_MAX)
        return GW_E_LIMIT;
    EVP_PKEY *pkey = block_key(b);
    enum gw_err err = pkey == NULL ? GW_E_INVALID : key_init(&key, pkey);
    if (err != GW_OK)
        return err;
    if (has_kid(ring, buf_view(&key.kid))) {
        key_deinit(&key);
        return GW_E_INVALID;
    }
    ring->keys[ring->n++] = key;
    return GW_OK;
}

static enum gw_err add_blocks(struct signkey_ring *ring, struct view pem)
{
    GW_CLEANUP(bio_freep) BIO *bio = pem.n > SECRET_FILE_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
    if (bio == NULL)
        return pem.n > SECRET_FILE_MAX ? GW_E_LIMIT : GW_E_NOMEM;
    for (;;) {
        struct block b = {NULL, NULL, NULL, 0};
        ERR_clear_error();
        if (PEM_read_bio(bio, &b.name, &b.header, &b.data, &b.n) != 1)
            return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE && ring->n > 0 ? GW_OK : GW_E_INVALID;
        enum gw_err err = add_block(ring, &b);
        block_deinit(&b);
        if (err != GW_OK)
            return err;
    }
}

enum gw_err signkey_ring_parse(struct view pem, struct signkey_ring **ret_ring)
{
    GW_CLEANUP(signkey_ring_freep) struct signkey_ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL)
        return GW_E_NOMEM;
    enum gw_err err = add_blocks(ring, pem);
    ERR_clear_error();
    if (err == GW_OK)
        *ret_ring = GW_TAKE(ring);
    return err;
}

enum gw_err signkey_ring_load(const char *path, struct signkey_ring **ret_ring)
{
    GW_CLEANUP(secret_freep) char *text = NULL;
    enum gw_err err = secret_load(path, &text);
    return err == GW_OK ? signkey_ring_parse(view_of(text), ret_ring) : err;
}

void signkey_ring_free(struct signkey_ring *ring)
{
    if (ring == NULL)
        return;
    for (size_t i = 0; i < ring->n; i++)
        key_deinit(&ring->keys[i]);
    free(ring);
}

size_t signkey_ring_count(const struct signkey_ring *ring)
{
    return ring->n;
}

struct view signkey_kid(const struct signkey_ring *ring)
{
    return buf_view(&ring->keys[0].kid);
}

void signkey_put_jwks(const struct signkey_ring *ring, struct buf *out)
{
    buf_puts(out, "{\"keys\":[");
    for (size_t i = 0; i < ring->n; i++) {
        buf_put(out, i == 0 ? VIEW("{") : VIEW(",{"));
        put_members(&ring->keys[i], out);
        buf_puts(out, ",\"kid\":\"");
        buf_put(out, buf_view(&ring->keys[i].kid));
        buf_puts(out, "\",\"alg\":\"ES256\",\"use\":\"sig\"}");
    }
    buf_puts(out, "]}\n");
}

/* ---- signing ---- */

/* OpenSSL gives DER (RFC 3279 2.2.3). */
static bool raw_from_der(const uint8_t *der, size_t n, uint8_t out[SIGNKEY_SIGNATURE_BYTES])
{
    GW_CLEANUP(ecdsa_sig_freep) ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    return sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, COORDINATE_BYTES) == COORDINATE_BYTES &&
           BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + COORDINATE_BYTES, COORDINATE_BYTES) == COORDINATE_BYTES;
}

enum gw_err signkey_sign(struct signkey_ring *ring, struct view data, uint8_t out[SIGNKEY_SIGNATURE_BYTES])
{
    uint8_t digest[DIGEST_BYTES], der[DER_MAX];
    size_t n = sizeof(der);
    enum gw_err err = digest_sha256(data, digest);
    if (err != GW_OK)
        return err;
    if (EVP_PKEY_sign(ring->keys[0].sign, der, &n, digest, sizeof(digest)) == 1 && raw_from_der(der, n, out))
        return GW_OK;
    ERR_clear_error();
    return GW_E_IO;
}

/* ---- a new one ---- */

enum gw_err signkey_generate(struct buf *out)
{
    char *text;
    GW_CLEANUP(pkey_freep) EVP_PKEY *pkey = EVP_EC_gen("P-256");
    GW_CLEANUP(bio_freep) BIO *bio = BIO_new(BIO_s_secmem());
    if (pkey == NULL || bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1) {
        ERR_clear_error();
        return GW_E_IO;
    }
    long n = BIO_get_mem_data(bio, &text);
    buf_put(out, view_at(text, n > 0 ? (size_t)n : 0));
    return n > 0 && buf_ok(out) ? GW_OK : GW_E_NOMEM;
}
