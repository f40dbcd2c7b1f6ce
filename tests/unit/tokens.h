/* tokens: keys, JWKs and tokens for tests, made at run time. */
#pragma once

#include "identity/keyset.h"
#include "util/b64url.h"
#include "util/buf.h"

#include <check.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdlib.h>

struct token_key {
    EVP_PKEY *pkey;
    enum sigalg alg;
    const char *kid;
};

/* Keys are made before the tests run, where Check cannot fail. */
static inline struct token_key token_key_made(struct token_key k)
{
    if (k.pkey == NULL)
        abort();
    return k;
}

static inline struct token_key token_key_rsa(unsigned bits, const char *kid)
{
    struct token_key k = {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits), SIGALG_RS256, kid};
    return token_key_made(k);
}

static inline struct token_key token_key_ec(enum sigalg alg, const char *kid)
{
    const char *curve = alg == SIGALG_ES256 ? "P-256" : alg == SIGALG_ES384 ? "P-384" : "P-521";
    struct token_key k = {EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve), alg, kid};
    return token_key_made(k);
}

static inline struct token_key token_key_ed25519(const char *kid)
{
    struct token_key k = {EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), SIGALG_EDDSA, kid};
    return token_key_made(k);
}

static inline size_t token_coordinate_bytes(enum sigalg alg)
{
    return alg == SIGALG_ES256 ? 32 : alg == SIGALG_ES384 ? 48 : 66;
}

static inline void token_put_bn(struct buf *out, const EVP_PKEY *pkey, const char *param, size_t n)
{
    uint8_t raw[1024];
    BIGNUM *bn = NULL;
    ck_assert_int_eq(EVP_PKEY_get_bn_param(pkey, param, &bn), 1);
    if (n == 0)
        n = (size_t)BN_num_bytes(bn);
    ck_assert_int_eq(BN_bn2binpad(bn, raw, (int)n), (int)n);
    b64url_encode(out, raw, n);
    BN_free(bn);
}

/* The public key as a JWK; extra: further members with a leading comma, or "". */
static inline void token_put_jwk(struct buf *out, const struct token_key *k, const char *extra)
{
    if (k->alg == SIGALG_RS256) {
        buf_puts(out, "{\"kty\":\"RSA\",\"n\":\"");
        token_put_bn(out, k->pkey, OSSL_PKEY_PARAM_RSA_N, 0);
        buf_puts(out, "\",\"e\":\"");
        token_put_bn(out, k->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
    } else if (k->alg == SIGALG_EDDSA) {
        uint8_t raw[32];
        size_t n = sizeof(raw);
        ck_assert_int_eq(EVP_PKEY_get_raw_public_key(k->pkey, raw, &n), 1);
        buf_puts(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
        b64url_encode(out, raw, n);
    } else {
        size_t n = token_coordinate_bytes(k->alg);
        buf_printf(out, "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"", n == 32 ? "P-256" : n == 48 ? "P-384" : "P-521");
        token_put_bn(out, k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, n);
        buf_puts(out, "\",\"y\":\"");
        token_put_bn(out, k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, n);
    }
    buf_puts(out, "\"");
    if (k->kid != NULL)
        buf_printf(out, ",\"kid\":\"%s\"", k->kid);
    buf_put(out, view_of(extra));
    buf_puts(out, "}");
}

static inline void token_put_raw_ecdsa(struct buf *out, const uint8_t *der, size_t n_der, size_t n)
{
    uint8_t raw[132];
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n_der);
    ck_assert_ptr_nonnull(sig);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)n);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + n, (int)n);
    b64url_encode(out, raw, 2 * n);
    ECDSA_SIG_free(sig);
}

/* Appends the signature of out's text so far. */
static inline void token_put_signature(struct buf *out, const struct token_key *k)
{
    uint8_t sig[1024];
    size_t n = sizeof(sig);
    const char *digest = k->alg == SIGALG_EDDSA   ? NULL
                         : k->alg == SIGALG_ES384 ? "SHA384"
                         : k->alg == SIGALG_ES512 ? "SHA512"
                                                  : "SHA256";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ck_assert_int_eq(EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, k->pkey, NULL), 1);
    ck_assert_int_eq(EVP_DigestSign(ctx, sig, &n, (const uint8_t *)out->p, out->n), 1);
    EVP_MD_CTX_free(ctx);
    buf_puts(out, ".");
    if (k->alg == SIGALG_RS256 || k->alg == SIGALG_EDDSA)
        b64url_encode(out, sig, n);
    else
        token_put_raw_ecdsa(out, sig, n, token_coordinate_bytes(k->alg));
}

static inline void token_put_unsigned(struct buf *out, struct view header, struct view payload)
{
    b64url_encode(out, header.p, header.n);
    buf_puts(out, ".");
    b64url_encode(out, payload.p, payload.n);
}

static inline void token_put(struct buf *out, struct view header, struct view payload, const struct token_key *k)
{
    token_put_unsigned(out, header, payload);
    token_put_signature(out, k);
}

/* With the header that belongs to the key. */
static inline void token_put_plain(struct buf *out, struct view payload, const struct token_key *k)
{
    struct buf header = BUF(1024);
    buf_printf(&header, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}", sigalg_name(k->alg), k->kid);
    token_put(out, buf_view(&header), payload, k);
    buf_deinit(&header);
}

/* Into a text that already holds something. */
static inline void token_put_key(struct buf *out, const char *payload, const struct token_key *k)
{
    struct buf jwt = BUF(64 * 1024);
    token_put_plain(&jwt, view_of(payload), k);
    buf_put(out, buf_view(&jwt));
    buf_deinit(&jwt);
}

static inline void token_put_hs256(struct buf *out, struct view header, struct view payload, struct view secret)
{
    uint8_t mac[32];
    unsigned n = sizeof(mac);
    token_put_unsigned(out, header, payload);
    HMAC(EVP_sha256(), secret.p, (int)secret.n, (const uint8_t *)out->p, out->n, mac, &n);
    buf_puts(out, ".");
    b64url_encode(out, mac, n);
}
