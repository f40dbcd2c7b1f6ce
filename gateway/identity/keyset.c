/* A provider's key checks thousands of tokens, so what OpenSSL prepares per operation (fetched digest, initialised context) is
 * kept with the key: EVP_DigestVerifyInit for each token costs as much again as a fifth of an RSA verification. */
#include "identity/keyset.h"

#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/pack.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

enum {
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192,
    RSA_EXPONENT_BYTES_MAX = 8, /* longer ones only slow the check down */
    COORDINATE_MAX = 66,
    POINT_MAX = 1 + 2 * COORDINATE_MAX,
    ED25519_BYTES = 32,
    DER_MAX = 2 * COORDINATE_MAX + 16,
};

struct keyset_key {
    struct view kid; /* owned; p == NULL: the key has none */
    enum sigalg alg;
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *verify; /* ready to verify digests; NULL for EdDSA */
    EVP_MD_CTX *md;
    EVP_MD *digest; /* NULL for EdDSA */
};

struct keyset {
    size_t n, n_skipped;
    struct keyset_key keys[KEYSET_KEYS_MAX];
};

static const struct curve {
    const char *crv;
    const char *group;
    enum sigalg alg;
    size_t coordinate_bytes;
} curves[] = {
    {"P-256", "P-256", SIGALG_ES256, 32},
    {"P-384", "P-384", SIGALG_ES384, 48},
    {"P-521", "P-521", SIGALG_ES512, 66},
};

static const char *const alg_names[SIGALG_COUNT] = {"none", "RS256", "ES256", "ES384", "ES512", "EdDSA", "HS256"};

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

GW_DEFINE_FREEP(bn_freep, BIGNUM, BN_free)
GW_DEFINE_FREEP(param_bld_freep, OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
GW_DEFINE_FREEP(params_freep, OSSL_PARAM, OSSL_PARAM_free)
GW_DEFINE_FREEP(pkey_ctx_freep, EVP_PKEY_CTX, EVP_PKEY_CTX_free)
GW_DEFINE_FREEP(ecdsa_sig_freep, ECDSA_SIG, ECDSA_SIG_free)

enum sigalg sigalg_from_name(struct view name)
{
    for (int a = SIGALG_NONE + 1; a < SIGALG_COUNT; a++)
        if (view_eq(name, view_of(alg_names[a])))
            return (enum sigalg)a;
    return SIGALG_NONE;
}

const char *sigalg_name(enum sigalg alg)
{
    return alg_names[alg];
}

static const char *digest_name(enum sigalg alg)
{
    switch (alg) {
    case SIGALG_RS256:
    case SIGALG_ES256:
        return "SHA256";
    case SIGALG_ES384:
        return "SHA384";
    case SIGALG_ES512:
        return "SHA512";
    case SIGALG_NONE:
    case SIGALG_EDDSA:
    case SIGALG_HS256:
    case SIGALG_COUNT:
        break;
    }
    return NULL;
}

/* --- a JWK becomes an EVP_PKEY --- */

static EVP_PKEY *pkey_from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *pkey = NULL;
    GW_CLEANUP(params_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    GW_CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        return NULL;
    return pkey;
}

static BIGNUM *bignum_of(struct view text, size_t bytes_max)
{
    uint8_t raw[RSA_BITS_MAX / 8];
    size_t n;
    if (b64url_decode(text, raw, bytes_max < sizeof(raw) ? bytes_max : sizeof(raw), &n) != GW_OK || n == 0)
        return NULL;
    return BN_bin2bn(raw, (int)n, NULL);
}

static EVP_PKEY *rsa_of(struct pack_val jwk)
{
    GW_CLEANUP(bn_freep) BIGNUM *n = bignum_of(pack_string(pack_find(jwk, VIEW("n"))), RSA_BITS_MAX / 8);
    GW_CLEANUP(bn_freep) BIGNUM *e = bignum_of(pack_string(pack_find(jwk, VIEW("e"))), RSA_EXPONENT_BYTES_MAX);
    if (n == NULL || e == NULL || BN_num_bits(n) < RSA_BITS_MIN || !BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e))
        return NULL;
    GW_CLEANUP(param_bld_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld == NULL || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) != 1)
        return NULL;
    return pkey_from_params("RSA", bld);
}

/* Decodes exactly n bytes: RFC 7518 6.2.1.2 wants coordinates at full length. */
static bool decode_exact(struct view text, uint8_t *out, size_t n)
{
    size_t got;
    return b64url_decode(text, out, n, &got) == GW_OK && got == n;
}

/* fromdata refuses a point that is not on the curve. */
static EVP_PKEY *ec_of(struct pack_val jwk, const struct curve *c)
{
    uint8_t point[POINT_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    size_t n = c->coordinate_bytes;
    if (!decode_exact(pack_string(pack_find(jwk, VIEW("x"))), point + 1, n) ||
        !decode_exact(pack_string(pack_find(jwk, VIEW("y"))), point + 1 + n, n))
        return NULL;
    GW_CLEANUP(param_bld_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld == NULL || OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, c->group, 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * n) != 1)
        return NULL;
    return pkey_from_params("EC", bld);
}

static EVP_PKEY *ed25519_of(struct pack_val jwk)
{
    uint8_t raw[ED25519_BYTES];
    if (!decode_exact(pack_string(pack_find(jwk, VIEW("x"))), raw, sizeof(raw)))
        return NULL;
    return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, raw, sizeof(raw));
}

static EVP_PKEY *pkey_of(struct pack_val jwk, enum sigalg *ret_alg)
{
    struct view kty = pack_string(pack_find(jwk, VIEW("kty"))), crv = pack_string(pack_find(jwk, VIEW("crv")));
    if (view_eq(kty, VIEW("RSA"))) {
        *ret_alg = SIGALG_RS256;
        return rsa_of(jwk);
    }
    if (view_eq(kty, VIEW("OKP")) && view_eq(crv, VIEW("Ed25519"))) {
        *ret_alg = SIGALG_EDDSA;
        return ed25519_of(jwk);
    }
    if (!view_eq(kty, VIEW("EC")))
        return NULL;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (view_eq(crv, view_of(curves[i].crv))) {
            *ret_alg = curves[i].alg;
            return ec_of(jwk, &curves[i]);
        }
    return NULL;
}

/* `use` and `key_ops` may restrict a key to something else (RFC 7517 4.2, 4.3). */
static bool is_for_signatures(struct pack_val jwk)
{
    struct pack_val use = pack_find(jwk, VIEW("use")), ops = pack_find(jwk, VIEW("key_ops"));
    return (use.p == NULL || view_eq(pack_string(use), VIEW("sig"))) && (ops.p == NULL || pack_list_has(ops, VIEW("verify")));
}

static enum gw_err key_prepare(struct keyset_key *key)
{
    const char *digest = digest_name(key->alg);
    key->md = EVP_MD_CTX_new();
    if (key->md == NULL)
        return GW_E_NOMEM;
    if (digest == NULL)
        return GW_OK;
    key->digest = EVP_MD_fetch(NULL, digest, NULL);
    key->verify = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (key->digest == NULL || key->verify == NULL || EVP_PKEY_verify_init(key->verify) != 1 ||
        (key->alg == SIGALG_RS256 && EVP_PKEY_CTX_set_rsa_padding(key->verify, RSA_PKCS1_PADDING) != 1) ||
        EVP_PKEY_CTX_set_signature_md(key->verify, key->digest) != 1)
        return GW_E_NOMEM;
    return GW_OK;
}

static void key_deinit(struct keyset_key *key)
{
    free((char *)(uintptr_t)key->kid.p);
    EVP_PKEY_CTX_free(key->verify);
    EVP_MD_CTX_free(key->md);
    EVP_MD_free(key->digest);
    EVP_PKEY_free(key->pkey);
}

/* GW_E_NOTFOUND: no key to check signatures with. */
static enum gw_err key_init(struct keyset_key *key, struct pack_val jwk)
{
    struct pack_val kid = pack_find(jwk, VIEW("kid")), alg = pack_find(jwk, VIEW("alg"));
    *key = (struct keyset_key){.kid = VIEW_NONE};
    if (!is_for_signatures(jwk) || (kid.p != NULL && pack_string(kid).n == 0))
        return GW_E_NOTFOUND;
    key->pkey = pkey_of(jwk, &key->alg);
    if (key->pkey == NULL || (alg.p != NULL && !view_eq(pack_string(alg), view_of(alg_names[key->alg])))) {
        key_deinit(key);
        return GW_E_NOTFOUND;
    }
    enum gw_err err = key_prepare(key);
    if (err == GW_OK && kid.p != NULL) {
        key->kid = view_at(view_dup(pack_string(kid)), pack_string(kid).n);
        err = key->kid.p == NULL ? GW_E_NOMEM : GW_OK;
    }
    if (err != GW_OK)
        key_deinit(key);
    return err;
}

/* --- the set --- */

static bool has_kid(const struct keyset *ks, struct view kid)
{
    for (size_t i = 0; i < ks->n; i++)
        if (view_eq(ks->keys[i].kid, kid))
            return true;
    return false;
}

static enum gw_err keyset_add(struct keyset *ks, struct pack_val jwk)
{
    if (pack_type(jwk) != PACK_MAP)
        return GW_E_INVALID;
    enum gw_err err = key_init(&ks->keys[ks->n], jwk);
    if (err == GW_E_NOTFOUND) {
        ks->n_skipped++;
        return GW_OK;
    }
    if (err != GW_OK)
        return err;
    struct view kid = ks->keys[ks->n].kid;
    if (kid.n > 0 && has_kid(ks, kid)) {
        key_deinit(&ks->keys[ks->n]);
        return GW_E_INVALID;
    }
    ks->n++;
    return GW_OK;
}

static enum gw_err keyset_fill(struct keyset *ks, struct pack_val set)
{
    struct pack_val keys = pack_find(set, VIEW("keys"));
    struct pack_iter it;
    if (pack_type(set) != PACK_MAP || (keys.p != NULL && pack_type(keys) != PACK_LIST))
        return GW_E_INVALID;
    if (pack_count(keys) > KEYSET_KEYS_MAX)
        return GW_E_LIMIT;
    for (pack_iter_init(&it, keys); pack_iter_next(&it);) {
        enum gw_err err = keyset_add(ks, it.val);
        if (err != GW_OK)
            return err;
    }
    return GW_OK;
}

enum gw_err keyset_parse(struct view json, struct keyset **ret_keyset)
{
    GW_CLEANUP(buf_deinitp) struct buf set = BUF(PACK_BYTES_MAX);
    if (json.n > KEYSET_BYTES_MAX)
        return GW_E_LIMIT;
    enum gw_err err = pack_parse(json, &set);
    if (err != GW_OK)
        return err;
    GW_CLEANUP(keyset_freep) struct keyset *ks = calloc(1, sizeof(*ks));
    if (ks == NULL)
        return GW_E_NOMEM;
    err = keyset_fill(ks, pack_root(set.p));
    ERR_clear_error(); /* broken keys leave their reasons in this thread's queue */
    if (err != GW_OK)
        return err;
    *ret_keyset = GW_TAKE(ks);
    return GW_OK;
}

void keyset_free(struct keyset *ks)
{
    if (ks == NULL)
        return;
    for (size_t i = 0; i < ks->n; i++)
        key_deinit(&ks->keys[i]);
    free(ks);
}

size_t keyset_count(const struct keyset *ks)
{
    return ks->n;
}

bool keyset_has_alg(const struct keyset *ks, const bool is_alg_allowed[SIGALG_COUNT])
{
    for (size_t i = 0; i < ks->n; i++)
        if (is_alg_allowed[ks->keys[i].alg])
            return true;
    return false;
}

size_t keyset_skipped(const struct keyset *ks)
{
    return ks->n_skipped;
}

struct keyset_key *keyset_find(struct keyset *ks, struct view kid)
{
    if (kid.n == 0)
        return ks->n == 1 ? &ks->keys[0] : NULL;
    for (size_t i = 0; i < ks->n; i++)
        if (view_eq(ks->keys[i].kid, kid))
            return &ks->keys[i];
    return NULL;
}

enum sigalg keyset_key_alg(const struct keyset_key *key)
{
    return key->alg;
}

/* --- signatures --- */

static size_t coordinate_bytes(enum sigalg alg)
{
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (curves[i].alg == alg)
            return curves[i].coordinate_bytes;
    return 0;
}

/* JWS has r and s side by side at full length (RFC 7518 3.4); OpenSSL wants DER. 0 on failure. */
static size_t der_from_raw(const uint8_t *raw, size_t n_coordinate, uint8_t der[DER_MAX])
{
    GW_CLEANUP(ecdsa_sig_freep) ECDSA_SIG *sig = ECDSA_SIG_new();
    GW_CLEANUP(bn_freep) BIGNUM *r = BN_bin2bn(raw, (int)n_coordinate, NULL);
    GW_CLEANUP(bn_freep) BIGNUM *s = BN_bin2bn(raw + n_coordinate, (int)n_coordinate, NULL);
    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1)
        return 0;
    r = s = NULL; /* now sig's */
    int n = i2d_ECDSA_SIG(sig, NULL);
    if (n <= 0 || n > DER_MAX)
        return 0;
    return (size_t)i2d_ECDSA_SIG(sig, &der);
}

static bool verify_digest(struct keyset_key *key, struct view data, const uint8_t *signature, size_t n_signature)
{
    uint8_t hash[EVP_MAX_MD_SIZE], der[DER_MAX];
    unsigned n_hash;
    size_t n_coordinate = coordinate_bytes(key->alg);
    if (n_coordinate > 0) {
        if (n_signature != 2 * n_coordinate || (n_signature = der_from_raw(signature, n_coordinate, der)) == 0)
            return false;
        signature = der;
    }
    return EVP_DigestInit_ex2(key->md, key->digest, NULL) == 1 && EVP_DigestUpdate(key->md, data.p, data.n) == 1 &&
           EVP_DigestFinal_ex(key->md, hash, &n_hash) == 1 &&
           EVP_PKEY_verify(key->verify, signature, n_signature, hash, n_hash) == 1;
}

static bool verify_whole(struct keyset_key *key, struct view data, const uint8_t *signature, size_t n_signature)
{
    return EVP_MD_CTX_reset(key->md) == 1 && EVP_DigestVerifyInit_ex(key->md, NULL, NULL, NULL, NULL, key->pkey, NULL) == 1 &&
           EVP_DigestVerify(key->md, signature, n_signature, (const uint8_t *)data.p, data.n) == 1;
}

bool keyset_key_verify(struct keyset_key *key, struct view data, const uint8_t *signature, size_t n_signature)
{
    bool is_good = key->alg == SIGALG_EDDSA ? verify_whole(key, data, signature, n_signature)
                                            : verify_digest(key, data, signature, n_signature);
    if (!is_good)
        ERR_clear_error();
    return is_good;
}
