/* Times the verification of bearer tokens that were never seen before.
 *
 *   bearer_first make RS256|ES256 FILE    a key, and tokens signed with it, all different
 *   bearer_first time RS256|ES256 FILE    prints: bearer_first VERIFIED_PER_S ACCEPTED_PER_S
 *
 * VERIFIED is the verifier alone. ACCEPTED is all that such a token costs: looked for among those that are known, verified, made a
 * principal of, and remembered. */
#include "identity/machine.h"
#include "identity/verifier.h"
#include "store/ttlmap.h"
#include "util/b64url.h"
#include "util/cleanup.h"
#include "workload.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

enum { TOKENS = 4000, PASSES = 3, COORDINATE_BYTES = 32, SIGNATURE_MAX = 512, RSA_BITS = 2048 };

#define ISSUER "https://auth.example.org/application/o/repogate/"

static bool is_rsa(const char *alg)
{
    return strcmp(alg, "RS256") == 0;
}

/* ---- making ---- */

static void put_number(struct buf *out, const EVP_PKEY *key, const char *param, size_t n)
{
    uint8_t raw[SIGNATURE_MAX];
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key, param, &number) != 1)
        workload_fail("a key without its numbers");
    if (n == 0)
        n = (size_t)BN_num_bytes(number);
    if (BN_bn2binpad(number, raw, (int)n) != (int)n)
        workload_fail("a number that does not fit");
    b64url_encode(out, raw, n);
    BN_free(number);
}

static void put_keys(struct buf *out, const EVP_PKEY *key, const char *alg)
{
    buf_printf(out, "{\"keys\":[{\"kid\":\"k1\",\"use\":\"sig\",\"alg\":\"%s\",", alg);
    buf_put(out, is_rsa(alg) ? VIEW("\"kty\":\"RSA\",\"n\":\"") : VIEW("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\""));
    put_number(out, key, is_rsa(alg) ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_EC_PUB_X, is_rsa(alg) ? 0 : COORDINATE_BYTES);
    buf_put(out, is_rsa(alg) ? VIEW("\",\"e\":\"") : VIEW("\",\"y\":\""));
    put_number(out, key, is_rsa(alg) ? OSSL_PKEY_PARAM_RSA_E : OSSL_PKEY_PARAM_EC_PUB_Y, is_rsa(alg) ? 0 : COORDINATE_BYTES);
    buf_puts(out, "\"}]}\n");
}

/* r and s as JWS has them: RFC 7518 3.4. */
static size_t flatten(uint8_t *signature, size_t n)
{
    const uint8_t *der = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)n);
    if (pair == NULL)
        workload_fail("cannot sign");
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, COORDINATE_BYTES);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + COORDINATE_BYTES, COORDINATE_BYTES);
    ECDSA_SIG_free(pair);
    return (size_t)2 * COORDINATE_BYTES;
}

static void sign(struct buf *token, EVP_PKEY *key, const char *alg)
{
    uint8_t signature[SIGNATURE_MAX];
    size_t n = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) != 1 ||
        EVP_DigestSign(ctx, signature, &n, (const uint8_t *)token->p, token->n) != 1)
        workload_fail("cannot sign");
    EVP_MD_CTX_free(ctx);
    if (!is_rsa(alg))
        n = flatten(signature, n);
    buf_puts(token, ".");
    b64url_encode(token, signature, n);
}

/* An access token of Authentik's: the claims of the workload, and azp, uid and scope. */
static void put_token(struct buf *out, size_t i, EVP_PKEY *key, const char *alg)
{
    struct buf header = BUF(256), payload = BUF(WORKLOAD_TEXT_MAX);
    buf_printf(&header, "{\"alg\":\"%s\",\"kid\":\"k1\",\"typ\":\"JWT\"}", alg);
    workload_put_claims(&payload, i, VIEW(ISSUER));
    payload.n--;
    buf_printf(
        &payload,
        ",\"azp\":\"repogate\",\"uid\":\"uid%zu\",\"jti\":\"jti%zu\",\"scope\":\"openid profile email entitlements repogate\"}",
        i, i);
    b64url_encode(out, header.p, header.n);
    buf_puts(out, ".");
    b64url_encode(out, payload.p, payload.n);
    sign(out, key, alg);
    buf_puts(out, "\n");
    buf_deinit(&header);
    buf_deinit(&payload);
}

static void make(const char *alg, const char *path)
{
    EVP_PKEY *key =
        is_rsa(alg) ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS) : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    struct buf line = BUF(WORKLOAD_TEXT_MAX);
    FILE *f = fopen(path, "we");
    if (key == NULL || f == NULL)
        workload_fail(path);
    put_keys(&line, key, alg);
    for (size_t i = 0; i <= TOKENS; i++) {
        if (!buf_ok(&line) || fwrite(line.p, 1, line.n, f) != line.n)
            workload_fail(path);
        buf_clear(&line);
        put_token(&line, i, key, alg);
    }
    if (fclose(f) != 0)
        workload_fail(path);
    buf_deinit(&line);
    EVP_PKEY_free(key);
}

/* ---- timing ---- */

static struct view tokens[TOKENS];

static struct pack_val verify(struct verifier *v, struct keyset *keys, struct view token)
{
    struct pack_val claims;
    const char *reason = "";
    if (verifier_check(v, keys, token, VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason) != GW_OK)
        workload_fail(reason);
    return claims;
}

static void drop(void *who)
{
    principal_unref(who);
}

static struct ttlmap *new_cache(void)
{
    const struct ttlmap_spec spec = {MACHINE_KNOWN_MAX, MACHINE_KNOWN_BYTES, drop};
    struct ttlmap *cache = NULL;
    workload_must(ttlmap_new(&spec, &cache), "ttlmap_new");
    return cache;
}

static void accept(struct ttlmap *cache, struct verifier *v, struct keyset *keys, struct view token)
{
    static const char key[32];
    const struct view parts[] = {view_at(key, sizeof(key)), token};
    uint8_t digest[DIGEST_BYTES];
    struct principal *who = NULL;
    workload_must(digest_sha256_parts(parts, 2, digest), "digest_sha256_parts");
    if (ttlmap_find(cache, digest, epoch_now_s()) != NULL)
        workload_fail("a token that was seen before");
    workload_must(principal_new(verify(v, keys, token), PRINCIPAL_BEARER, true, &who), "principal_new");
    workload_must(ttlmap_put(cache, digest, who, principal_bytes(who), principal_exp_s(who)), "ttlmap_put");
}

static double per_s(double from_s)
{
    return (double)PASSES * TOKENS / (workload_cpu_s() - from_s);
}

static void time_both(struct verifier *v, struct keyset *keys)
{
    struct ttlmap *cache = NULL;
    double from_s = workload_cpu_s();
    for (size_t i = 0; i < (size_t)PASSES * TOKENS; i++)
        verify(v, keys, tokens[i % TOKENS]);
    double verified = per_s(from_s);
    from_s = workload_cpu_s();
    for (size_t i = 0; i < (size_t)PASSES * TOKENS; i++) {
        if (i % TOKENS == 0) {
            ttlmap_free(cache);
            cache = new_cache();
        }
        accept(cache, v, keys, tokens[i % TOKENS]);
    }
    printf("bearer_first %.0f %.0f\n", verified, per_s(from_s));
    ttlmap_free(cache);
}

static struct view read_line(FILE *f)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n = getline(&line, &size, f);
    if (n <= 1)
        workload_fail("the file is too short");
    return view_at(line, (size_t)n - 1);
}

static void time_tokens(const char *alg, const char *path)
{
    GW_CLEANUP(keyset_freep) struct keyset *keys = NULL;
    GW_CLEANUP(verifier_freep) struct verifier *v = NULL;
    struct verifier_spec spec = {.issuer = VIEW(ISSUER), .client_id = VIEW("repogate")};
    FILE *f = fopen(path, "re");
    if (f == NULL)
        workload_fail(path);
    struct view jwks = read_line(f);
    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] = read_line(f);
    fclose(f);
    workload_must(keyset_parse(jwks, &keys), "keyset_parse");
    spec.is_alg_allowed[sigalg_from_name(view_of(alg))] = true;
    workload_must(verifier_new(&spec, &v), "verifier_new");
    time_both(v, keys);
    free((char *)(uintptr_t)jwks.p);
    for (size_t i = 0; i < TOKENS; i++)
        free((char *)(uintptr_t)tokens[i].p);
}

int main(int argc, char **argv)
{
    if (argc != 4 || sigalg_from_name(view_of(argv[2])) == SIGALG_NONE)
        workload_fail("usage: bearer_first make|time RS256|ES256 FILE");
    if (strcmp(argv[1], "make") == 0)
        make(argv[2], argv[3]);
    else
        time_tokens(argv[2], argv[3]);
    return 0;
}
