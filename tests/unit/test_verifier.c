#include "identity/verifier.h"

#include "util/cleanup.h"
#include "util/epoch.h"

#include "support.h"
#include "tokens.h"

#include <jansson.h>
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

#define NOW 1700000000
#define ISS "https://auth.example.org/application/o/repogate/"
#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef"

static struct token_key rsa, rsa_other, ec256, ec384, ec521, ed;

static void make_keys(void)
{
    rsa = token_key_rsa(2048, "rsa");
    rsa_other = token_key_rsa(2048, "rsa");
    ec256 = token_key_ec(SIGALG_ES256, "ec256");
    ec384 = token_key_ec(SIGALG_ES384, "ec384");
    ec521 = token_key_ec(SIGALG_ES512, "ec521");
    ed = token_key_ed25519("ed");
}

static void free_keys(void)
{
    struct token_key *const all[] = {&rsa, &rsa_other, &ec256, &ec384, &ec521, &ed};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        EVP_PKEY_free(all[i]->pkey);
}

static struct keyset *keys;
static struct verifier *verifier;

static void setup_with(bool hs256)
{
    const struct token_key *const all[] = {&rsa, &ec256, &ec384, &ec521, &ed};
    struct buf json = BUF(64 * 1024);
    struct verifier_spec spec = {.issuer = VIEW(ISS), .client_id = VIEW("repogate"), .secret = VIEW(SECRET)};
    epoch_fix_ms((int64_t)NOW * 1000);
    buf_puts(&json, "{\"keys\":[");
    for (size_t i = 0; i < 5; i++) {
        if (i > 0)
            buf_puts(&json, ",");
        token_put_jwk(&json, all[i], ",\"use\":\"sig\"");
    }
    buf_puts(&json, "]}");
    ck_assert_int_eq(keyset_parse(buf_view(&json), &keys), GW_OK);
    buf_deinit(&json);
    for (int a = SIGALG_NONE + 1; a < SIGALG_COUNT; a++)
        spec.is_alg_allowed[a] = a != SIGALG_HS256 || hs256;
    ck_assert_int_eq(verifier_new(&spec, &verifier), GW_OK);
}

static void setup(void)
{
    setup_with(false);
}

static void setup_hs256(void)
{
    setup_with(true);
}

static void teardown(void)
{
    verifier_free(verifier);
    keyset_free(keys);
    epoch_fix_ms(-1);
}

#define BASE "\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699999990"
#define ACCESS ",\"azp\":\"repogate\",\"uid\":\"r4nd0m\",\"scope\":\"openid profile\""
#define ACCESS_OK "{" BASE ACCESS ",\"exp\":1700003600}"
#define ID_OK "{" BASE ",\"exp\":1700003600,\"nonce\":\"n-1\"}"

static enum gw_err check(struct view jwt, enum verifier_purpose purpose)
{
    struct pack_val claims = {NULL};
    const char *reason = NULL;
    enum gw_err err = verifier_check(verifier, keys, jwt, purpose, VIEW("n-1"), &claims, &reason);
    ck_assert_ptr_nonnull(reason);
    ck_assert_msg((err == GW_OK) == (claims.p != NULL), "claims only with GW_OK");
    ck_assert_msg((err == GW_OK) == (*reason == '\0'), "a reason with each refusal");
    return err;
}

static enum gw_err check_payload(const char *payload, enum verifier_purpose purpose)
{
    struct buf jwt = BUF(1024 * 1024);
    token_put_plain(&jwt, view_of(payload), &rsa);
    enum gw_err err = check(buf_view(&jwt), purpose);
    buf_deinit(&jwt);
    return err;
}

START_TEST(accepts_each_algorithm_of_our_list)
{
    const struct token_key *const all[] = {&rsa, &ec256, &ec384, &ec521, &ed};
    struct buf jwt = BUF(64 * 1024);
    token_put_plain(&jwt, VIEW(ACCESS_OK), all[_i]);
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_OK);
    buf_clear(&jwt);
    token_put_plain(&jwt, VIEW(ID_OK), all[_i]);
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ID_TOKEN), GW_OK);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(refuses_an_algorithm_that_is_not_listed)
{
    struct verifier_spec spec = {.issuer = VIEW(ISS), .client_id = VIEW("repogate")};
    struct verifier *only_es256;
    struct pack_val claims;
    const char *reason;
    struct buf jwt = BUF(64 * 1024);
    spec.is_alg_allowed[SIGALG_ES256] = true;
    ck_assert_int_eq(verifier_new(&spec, &only_es256), GW_OK);
    token_put_plain(&jwt, VIEW(ACCESS_OK), &rsa);
    ck_assert_int_eq(verifier_check(only_es256, keys, buf_view(&jwt), VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason),
                     GW_E_INVALID);
    buf_clear(&jwt);
    token_put_plain(&jwt, VIEW(ACCESS_OK), &ec256);
    ck_assert_int_eq(verifier_check(only_es256, keys, buf_view(&jwt), VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason), GW_OK);
    verifier_free(only_es256);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(hands_out_the_claims)
{
    struct buf jwt = BUF(64 * 1024);
    struct pack_val claims;
    const char *reason;
    token_put_plain(&jwt, VIEW(ACCESS_OK), &ec256);
    ck_assert_int_eq(verifier_check(verifier, keys, buf_view(&jwt), VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason), GW_OK);
    ck_assert(view_eq(pack_string(pack_find(claims, VIEW("sub"))), VIEW("u1")));
    ck_assert_int_eq(pack_int(pack_find(claims, VIEW("exp"))), 1700003600);
    buf_deinit(&jwt);
}
END_TEST

/* --- headers and shapes, signed by the right key --- */

static const struct {
    const char *header;
    enum gw_err want;
} header_cases[] = {
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\"}", GW_OK},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"jwt\"}", GW_OK},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"at+jwt\"}", GW_OK},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"application/at+JWT\"}", GW_OK},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"logout+jwt\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"secevent+jwt\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":7}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":null}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"other\"}", GW_E_NOTFOUND},
    {"{\"alg\":\"RS256\",\"kid\":\"RSA\"}", GW_E_NOTFOUND},
    {"{\"alg\":\"RS256\"}", GW_E_NOTFOUND}, /* five keys: which one? */
    {"{\"alg\":\"RS256\",\"kid\":7}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":[\"rsa\"]}", GW_E_INVALID},
    {"{\"alg\":\"rs256\",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"Rs256\",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256 \",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"none\",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"PS256\",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"RS512\",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"ES256\",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"HS256\",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"ec256\"}", GW_E_INVALID},
    {"{\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":null,\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":[\"RS256\"],\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"rsa\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"crit\":[\"exp\"]}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"crit\":[]}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"b64\":false}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"b64\":true}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jku\":\"https://evil/jwks\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jwk\":{}}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x5u\":\"https://evil/\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x5c\":[]}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"zip\":\"DEF\"}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"enc\":\"A256GCM\"}", GW_E_INVALID},
    {"[]", GW_E_INVALID},
    {"\"RS256\"", GW_E_INVALID},
    {"null", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\"} ", GW_OK},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\"}x", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}", GW_E_INVALID},
    {"{\"alg\":\"RS256\",\"kid\":\"rsa\\u0000\"}", GW_E_INVALID},
};

START_TEST(T10_judges_headers_by_our_rules)
{
    struct buf jwt = BUF(64 * 1024);
    token_put(&jwt, view_of(header_cases[_i].header), VIEW(ACCESS_OK), &rsa);
    enum gw_err err = check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN);
    ck_assert_msg(err == header_cases[_i].want, "%s: %s", header_cases[_i].header, gw_err_name(err));
    buf_deinit(&jwt);
}
END_TEST

START_TEST(id_token_of_type_at_jwt_is_refused)
{
    struct buf jwt = BUF(64 * 1024);
    token_put(&jwt, VIEW("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"at+jwt\"}"), VIEW(ID_OK), &rsa);
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ID_TOKEN), GW_E_INVALID);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(T2_T10_refuses_alg_none_in_every_dress)
{
    static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{\"alg\":\"NONE\"}",
                                          "{\"alg\":\"nOnE\"}", "{\"alg\":\"\"}",     "{}"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct buf jwt = BUF(64 * 1024);
        token_put_unsigned(&jwt, view_of(headers[i]), VIEW(ACCESS_OK));
        ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_INVALID);
        buf_puts(&jwt, ".");
        ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_INVALID);
        buf_puts(&jwt, "AAAA");
        ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_INVALID);
        buf_deinit(&jwt);
    }
}
END_TEST

/* The public key in each form that an attacker can get, as HMAC secret (THREATS T1b, T2, T3). */
static void put_public(struct buf *out, int form)
{
    if (form == 0) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *p;
        ck_assert_int_eq(PEM_write_bio_PUBKEY(bio, rsa.pkey), 1);
        long n = BIO_get_mem_data(bio, &p);
        buf_put(out, view_at(p, (size_t)n));
        BIO_free(bio);
    } else if (form == 1) {
        unsigned char *der = NULL;
        int n = i2d_PUBKEY(rsa.pkey, &der);
        ck_assert_int_gt(n, 0);
        buf_put(out, view_at((const char *)der, (size_t)n));
        OPENSSL_free(der);
    } else if (form == 2) {
        token_put_jwk(out, &rsa, "");
    } else {
        token_put_bn(out, rsa.pkey, OSSL_PKEY_PARAM_RSA_N, 0);
    }
}

START_TEST(T1_T1b_T2_T3_public_key_is_no_hmac_secret)
{
    for (int with_hs256 = 0; with_hs256 < 2; with_hs256++) {
        if (with_hs256) {
            teardown();
            setup_with(true);
        }
        for (int form = 0; form < 5; form++) {
            struct buf secret = BUF(8192), jwt = BUF(64 * 1024);
            if (form < 4)
                put_public(&secret, form);
            token_put_hs256(&jwt, VIEW("{\"alg\":\"HS256\",\"kid\":\"rsa\",\"typ\":\"JWT\"}"), VIEW(ACCESS_OK),
                            form < 4 ? buf_view(&secret) : VIEW(""));
            ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_INVALID);
            buf_deinit(&secret);
            buf_deinit(&jwt);
        }
    }
}
END_TEST

START_TEST(E1_T4_signature_of_another_key_with_our_kid_is_refused)
{
    struct buf jwt = BUF(64 * 1024);
    token_put_plain(&jwt, VIEW(ACCESS_OK), &rsa_other);
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_INVALID);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(M4b_each_token_has_one_spelling)
{
    struct buf good = BUF(64 * 1024), jwt = BUF(64 * 1024);
    token_put_plain(&good, VIEW(ACCESS_OK), &ec256);
    ck_assert_int_eq(check(buf_view(&good), VERIFIER_ACCESS_TOKEN), GW_OK);
    static const char *const tails[] = {"=", "==", ".", " ", "\n", "A", "AA", "AAAA", "~", "%00", ".AAAA", "..", "\t", "+"};
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        buf_clear(&jwt);
        buf_put(&jwt, buf_view(&good));
        buf_put(&jwt, view_of(tails[i]));
        ck_assert_msg(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN) == GW_E_INVALID, "tail %s", tails[i]);
        ck_assert_msg(check(view_at(jwt.p, good.n), VERIFIER_ACCESS_TOKEN) == GW_OK, "without tail %s", tails[i]);
        buf_clear(&jwt);
        buf_put(&jwt, view_of(tails[i]));
        buf_put(&jwt, buf_view(&good));
        ck_assert_msg(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN) == GW_E_INVALID, "head %s", tails[i]);
    }
    /* 64 bytes leave four unused bits in the last of 86 characters: fifteen more spellings, all refused. */
    size_t n_good = 0;
    for (const char *c = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; *c != '\0'; c++) {
        buf_clear(&jwt);
        buf_put(&jwt, buf_view(&good));
        jwt.p[jwt.n - 1] = *c;
        n_good += check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN) == GW_OK;
    }
    ck_assert_uint_eq(n_good, 1);
    buf_deinit(&good);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(E1_T4_every_changed_byte_is_noticed)
{
    struct buf good = BUF(64 * 1024);
    token_put_plain(&good, VIEW(ACCESS_OK), &ed);
    for (size_t i = 0; i < good.n; i++) {
        char was = good.p[i];
        good.p[i] = was == 'A' ? 'B' : 'A';
        ck_assert_msg(check(buf_view(&good), VERIFIER_ACCESS_TOKEN) != GW_OK, "byte %zu", i);
        ck_assert_msg(check(view_at(good.p, i), VERIFIER_ACCESS_TOKEN) != GW_OK, "cut at %zu", i);
        good.p[i] = was;
    }
    buf_deinit(&good);
}
END_TEST

START_TEST(M4_M4b_T5_refuses_other_shapes)
{
    static const char *const shapes[] = {
        "",
        ".",
        "..",
        "...",
        "....",
        "a.b.c",
        "a.b",
        "a.b.c.d",
        "a.b.c.d.e",
        "..AAAA",
        "AAAA..AAAA",
        "AAAA.AAAA.",
        "e30.e30.e30",
        /* RFC 7516 A.1, a JWE: five parts */
        "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGe."
        "48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6ji.XFBoMYUZodetZdvTiFvSkQ",
        "{\"payload\":\"e30\",\"signatures\":[]}",
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        ck_assert_msg(check(view_of(shapes[i]), VERIFIER_ACCESS_TOKEN) == GW_E_INVALID, "%s", shapes[i]);
    ck_assert_int_eq(check(VIEW_NONE, VERIFIER_ACCESS_TOKEN), GW_E_INVALID);
}
END_TEST

START_TEST(M4_long_tokens_are_refused_unread)
{
    struct buf payload = BUF(4 * 1024 * 1024), jwt = BUF(4 * 1024 * 1024);
    static const size_t sizes[] = {14000, 2 * 1024 * 1024};
    for (size_t i = 0; i < 2; i++) {
        buf_clear(&payload);
        buf_clear(&jwt);
        buf_puts(&payload, "{" BASE ACCESS ",\"exp\":1700003600,\"pad\":\"");
        while (payload.n < sizes[i])
            buf_puts(&payload, "xxxxxxxx");
        buf_puts(&payload, "\"}");
        token_put_plain(&jwt, buf_view(&payload), &rsa);
        ck_assert_uint_gt(jwt.n, VERIFIER_TOKEN_MAX);
        ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_LIMIT);
    }
    /* ten thousand dots, a megabyte of dots */
    buf_clear(&jwt);
    while (jwt.n < 10000)
        buf_puts(&jwt, "..........");
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_INVALID);
    while (jwt.n < 1024 * 1024)
        buf_puts(&jwt, "..........");
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_LIMIT);
    buf_deinit(&payload);
    buf_deinit(&jwt);
}
END_TEST

/* --- claims --- */

static const struct {
    const char *payload;
    enum gw_err want;
} access_cases[] = {
    {ACCESS_OK, GW_OK},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"nbf\":1700000060}", GW_OK},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"nbf\":1700000061}", GW_E_EXPIRED},
    {"{" BASE ACCESS ",\"exp\":1699999941}", GW_OK},        /* 59 s ago */
    {"{" BASE ACCESS ",\"exp\":1699999940}", GW_E_EXPIRED}, /* 60 s: RFC 7519 4.1.4, "on or after" */
    {"{" BASE ACCESS ",\"exp\":1699999939}", GW_E_EXPIRED},
    {"{" BASE ACCESS ",\"exp\":1}", GW_E_EXPIRED},
    {"{" BASE ACCESS "}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":null}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":\"1700003600\"}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600.5}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600.0}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1.7e9}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1e300}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1e999}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":9223372036854775807}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":9223372036854775808}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":-9223372036854775808}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":253402300799}", GW_OK},
    {"{" BASE ACCESS ",\"exp\":253402300800}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":0}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":-1}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":true}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":[1700003600]}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"nbf\":\"1\"}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"nbf\":1e300}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"nbf\":-5}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"auth_time\":\"now\"}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"exp\":1700003600}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"sub\":\"u2\"}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"events\":null}", GW_E_INVALID},
    /* iat */
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600,\"iat\":1700000060}", GW_OK},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600,\"iat\":1700000061}", GW_E_EXPIRED},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600,\"iat\":\"x\"}", GW_E_INVALID},
    /* iss: exact, slash included */
    {"{\"iss\":\"https://auth.example.org/application/o/repogate\",\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS
     ",\"exp\":1700003600}",
     GW_E_INVALID},
    {"{\"iss\":\"https://evil-auth.example.org/application/o/repogate/\",\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS
     ",\"exp\":1700003600}",
     GW_E_INVALID},
    {"{\"iss\":\"" ISS "x\",\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"HTTPS://auth.example.org/application/o/repogate/\",\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS
     ",\"exp\":1700003600}",
     GW_E_INVALID},
    {"{\"iss\":\"\",\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":null,\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":[\"" ISS "\"],\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"sub\":\"u1\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    /* aud */
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":[\"repogate\"]" ACCESS ",\"exp\":1700003600}", GW_OK},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":[\"repogate\",\"other\"]" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":[\"other\",\"repogate\"]" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":[]" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":[[\"repogate\"]]" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":{\"repogate\":1}" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"other\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate2\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"Repogate\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    /* sub */
    {"{\"iss\":\"" ISS "\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":7,\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"\",\"aud\":\"repogate\"" ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    /* what makes it an access token of this client */
    {"{" BASE ",\"exp\":1700003600}", GW_E_INVALID},
    {ID_OK, GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"uid\":\"r\",\"scope\":\"openid\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"azp\":\"repogate\",\"scope\":\"openid\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"azp\":\"repogate\",\"uid\":\"r\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"azp\":\"other\",\"uid\":\"r\",\"scope\":\"openid\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"azp\":[\"repogate\"],\"uid\":\"r\",\"scope\":\"openid\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"azp\":\"repogate\",\"uid\":7,\"scope\":\"openid\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"azp\":\"repogate\",\"uid\":\"\",\"scope\":\"openid\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"azp\":\"repogate\",\"uid\":\"r\",\"scope\":[\"openid\"]}", GW_E_INVALID},
    /* no object */
    {"[" ACCESS_OK "]", GW_E_INVALID},
    {"[]", GW_E_INVALID},
    {"\"" ISS "\"", GW_E_INVALID},
    {"7", GW_E_INVALID},
    {"", GW_E_INVALID},
    {ACCESS_OK "x", GW_E_INVALID},
    {ACCESS_OK "{}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"x\":\"\xff\xfe\"}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"x\":\"\\ud800\"}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"x\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}", GW_E_INVALID},
};

START_TEST(F9_G5_G6_G14_I6_M3_judges_access_tokens)
{
    enum gw_err err = check_payload(access_cases[_i].payload, VERIFIER_ACCESS_TOKEN);
    ck_assert_msg(err == access_cases[_i].want, "%s: %s", access_cases[_i].payload, gw_err_name(err));
}
END_TEST

static const struct {
    const char *payload;
    enum gw_err want;
} id_cases[] = {
    {ID_OK, GW_OK},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"n-2\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"N-1\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"n-1 \"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":[\"n-1\"]}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":null}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600}", GW_E_INVALID},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"nonce\":\"n-1\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"n-1\",\"azp\":\"repogate\"}", GW_OK},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"n-1\",\"azp\":\"other\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"n-1\",\"uid\":\"r\"}", GW_OK},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"n-1\",\"scope\":\"openid\"}", GW_OK},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"n-1\",\"events\":{}}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"exp\":1700003600,\"nonce\":\"n-1\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1699999939,\"nonce\":\"n-1\"}", GW_E_EXPIRED},
};

START_TEST(G5_T9_T10_judges_id_tokens)
{
    enum gw_err err = check_payload(id_cases[_i].payload, VERIFIER_ID_TOKEN);
    ck_assert_msg(err == id_cases[_i].want, "%s: %s", id_cases[_i].payload, gw_err_name(err));
}
END_TEST

#define ASSERTION(times) "{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\"," times "}"

static const struct {
    const char *payload;
    enum gw_err want;
} assertion_cases[] = {
    {ASSERTION("\"iat\":1699999970,\"exp\":1700000030"), GW_OK},
    {ASSERTION("\"iat\":1700000005,\"exp\":1700000065"), GW_OK},
    {ASSERTION("\"iat\":1700000006,\"exp\":1700000066"), GW_E_EXPIRED}, /* from the future */
    {ASSERTION("\"iat\":1699999936,\"exp\":1699999996"), GW_OK},
    {ASSERTION("\"iat\":1699999935,\"exp\":1699999995"), GW_E_EXPIRED},
    {ASSERTION("\"iat\":1699999970,\"exp\":1700000030,\"nbf\":1700000006"), GW_E_EXPIRED},
    {ASSERTION("\"iat\":1699999970"), GW_E_INVALID},
    {ASSERTION("\"exp\":1700000030"), GW_E_INVALID},
    {ASSERTION("\"iat\":1699999970,\"exp\":\"1700000030\""), GW_E_INVALID},
    {ASSERTION("\"iat\":1699999970,\"exp\":1700000030,\"events\":{}"), GW_E_INVALID},
    {"{\"iss\":\"" ISS "x\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699999970,\"exp\":1700000030}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate2\",\"iat\":1699999970,\"exp\":1700000030}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"aud\":\"repogate\",\"iat\":1699999970,\"exp\":1700000030}", GW_E_INVALID},
};

START_TEST(F4_G15_judges_assertions)
{
    enum gw_err err = check_payload(assertion_cases[_i].payload, VERIFIER_ASSERTION);
    ck_assert_msg(err == assertion_cases[_i].want, "%s: %s", assertion_cases[_i].payload, gw_err_name(err));
}
END_TEST

START_TEST(an_assertion_says_that_it_is_a_jwt)
{
    struct buf jwt = BUF(64 * 1024);
    token_put(&jwt, VIEW("{\"alg\":\"RS256\",\"kid\":\"rsa\"}"), VIEW(ASSERTION("\"iat\":1699999970,\"exp\":1700000030")), &rsa);
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ASSERTION), GW_E_INVALID);
    buf_deinit(&jwt);
}
END_TEST

/* OpenID Connect Core 12.2: without a nonce as a rule; otherwise all that an ID token must be. */
static const struct {
    const char *payload;
    enum gw_err want;
} refreshed_cases[] = {
    {"{" BASE ",\"exp\":1700003600}", GW_OK},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"n-2\"}", GW_OK},
    {"{" BASE ACCESS ",\"exp\":1700003600}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"azp\":\"other\"}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1700003600,\"events\":{}}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"other\",\"iat\":1699999990,\"exp\":1700003600}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "x\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699999990,\"exp\":1700003600}", GW_E_INVALID},
    {"{" BASE ",\"exp\":1699999939}", GW_E_EXPIRED},
};

START_TEST(judges_refreshed_id_tokens)
{
    enum gw_err err = check_payload(refreshed_cases[_i].payload, VERIFIER_REFRESHED_ID_TOKEN);
    ck_assert_msg(err == refreshed_cases[_i].want, "%s: %s", refreshed_cases[_i].payload, gw_err_name(err));
}
END_TEST

/* --- logout tokens --- */

#define EVENT "\"http://schemas.openid.net/event/backchannel-logout\":{}"
#define EVENTS ",\"events\":{" EVENT "}"
#define LOGOUT_BASE "\"iss\":\"" ISS "\",\"aud\":\"repogate\",\"iat\":1699999990,\"jti\":\"j-1\""
#define LOGOUT LOGOUT_BASE ",\"exp\":1700000120" EVENTS
#define LOGOUT_OK "{" LOGOUT ",\"sub\":\"u1\",\"sid\":\"s1\"}"
#define NO_EXP "{" LOGOUT_BASE EVENTS ",\"sid\":\"s1\"}"

static const struct {
    const char *payload;
    enum gw_err want;
} logout_cases[] = {
    {LOGOUT_OK, GW_OK},
    {"{" LOGOUT ",\"sid\":\"s1\"}", GW_OK},
    {"{" LOGOUT ",\"sub\":\"u1\"}", GW_OK},
    {"{" LOGOUT "}", GW_E_INVALID},
    {"{" LOGOUT ",\"sid\":\"\"}", GW_E_INVALID},
    {"{" LOGOUT ",\"sid\":null,\"sub\":\"u1\"}", GW_E_INVALID},
    {"{" LOGOUT ",\"sid\":7,\"sub\":\"u1\"}", GW_E_INVALID},
    {"{" LOGOUT ",\"sid\":\"s1\",\"sub\":[\"u1\"]}", GW_E_INVALID},
    /* events */
    {"{" LOGOUT_BASE ",\"exp\":1700000120,\"sid\":\"s1\"}", GW_E_INVALID},
    {"{" LOGOUT_BASE ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":{}}", GW_E_INVALID},
    {"{" LOGOUT_BASE ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":null}", GW_E_INVALID},
    {"{" LOGOUT_BASE ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":["
     "{" EVENT "}]}",
     GW_E_INVALID},
    {"{" LOGOUT_BASE ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":\"http://schemas.openid.net/event/backchannel-logout\"}",
     GW_E_INVALID},
    {"{" LOGOUT_BASE
     ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":true}}",
     GW_E_INVALID},
    {"{" LOGOUT_BASE ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":[]}}",
     GW_E_INVALID},
    {"{" LOGOUT_BASE
     ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":{\"https://schemas.openid.net/event/backchannel-logout\":{}}}",
     GW_E_INVALID},
    {"{" LOGOUT_BASE
     ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":{\"http://schemas.openid.net/event/backchannel-logout/\":{}}}",
     GW_E_INVALID},
    {"{" LOGOUT_BASE ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":{\"other\":{}," EVENT "}}", GW_OK},
    {"{" LOGOUT_BASE ",\"exp\":1700000120,\"sid\":\"s1\",\"events\":{" EVENT "," EVENT "}}", GW_E_INVALID},
    /* nonce: the mark of an ID token */
    {"{" LOGOUT ",\"sid\":\"s1\",\"nonce\":\"n-1\"}", GW_E_INVALID},
    {"{" LOGOUT ",\"sid\":\"s1\",\"nonce\":null}", GW_E_INVALID},
    /* the marks of an access token, by which a scope mapping that adds events gains nothing */
    {"{" LOGOUT ACCESS ",\"sid\":\"s1\"}", GW_E_INVALID},
    {"{" LOGOUT ",\"sid\":\"s1\",\"azp\":\"repogate\"}", GW_OK},
    /* iss, aud, times, jti */
    {"{\"iss\":\"https://auth.example.org/application/o/repogate\",\"aud\":\"repogate\",\"iat\":1699999990,\"jti\":\"j\",\"exp\":1700000120" EVENTS
     ",\"sid\":\"s1\"}",
     GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"aud\":\"other\",\"iat\":1699999990,\"jti\":\"j\",\"exp\":1700000120" EVENTS ",\"sid\":\"s1\"}",
     GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"aud\":[\"repogate\",\"other\"],\"iat\":1699999990,\"jti\":\"j\",\"exp\":1700000120" EVENTS
     ",\"sid\":\"s1\"}",
     GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"aud\":\"repogate\",\"jti\":\"j\",\"exp\":1700000120" EVENTS ",\"sid\":\"s1\"}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"aud\":\"repogate\",\"iat\":1700000061,\"jti\":\"j\",\"exp\":1700000120" EVENTS ",\"sid\":\"s1\"}",
     GW_E_EXPIRED},
    {"{\"iss\":\"" ISS "\",\"aud\":\"repogate\",\"iat\":1699999990,\"exp\":1700000120" EVENTS ",\"sid\":\"s1\"}", GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"aud\":\"repogate\",\"iat\":1699999990,\"jti\":\"\",\"exp\":1700000120" EVENTS ",\"sid\":\"s1\"}",
     GW_E_INVALID},
    {"{\"iss\":\"" ISS "\",\"aud\":\"repogate\",\"iat\":1699999990,\"jti\":7,\"exp\":1700000120" EVENTS ",\"sid\":\"s1\"}",
     GW_E_INVALID},
    {"{" LOGOUT_BASE ",\"exp\":1699999940" EVENTS ",\"sid\":\"s1\"}", GW_E_EXPIRED},
    {"{" LOGOUT_BASE ",\"exp\":1699999941" EVENTS ",\"sid\":\"s1\"}", GW_OK},
    {"{" LOGOUT_BASE ",\"exp\":\"1700000120\"" EVENTS ",\"sid\":\"s1\"}", GW_E_INVALID},
    {"{" LOGOUT_BASE ",\"exp\":null" EVENTS ",\"sid\":\"s1\"}", GW_E_INVALID},
    {NO_EXP, GW_OK},
};

START_TEST(T10_judges_logout_tokens)
{
    enum gw_err err = check_payload(logout_cases[_i].payload, VERIFIER_LOGOUT_TOKEN);
    ck_assert_msg(err == logout_cases[_i].want, "%s: %s", logout_cases[_i].payload, gw_err_name(err));
}
END_TEST

static const struct {
    const char *typ;
    enum gw_err want, want_without_exp;
} logout_types[] = {
    {",\"typ\":\"logout+jwt\"", GW_OK, GW_E_INVALID},
    {",\"typ\":\"Application/Logout+JWT\"", GW_OK, GW_E_INVALID},
    {",\"typ\":\"JWT\"", GW_OK, GW_OK},
    {",\"typ\":\"at+jwt\"", GW_E_INVALID, GW_E_INVALID},
    {",\"typ\":\"secevent+jwt\"", GW_E_INVALID, GW_E_INVALID},
    {",\"typ\":null", GW_E_INVALID, GW_E_INVALID},
    {"", GW_E_INVALID, GW_E_INVALID},
};

START_TEST(logout_token_says_in_its_header_what_it_is)
{
    struct buf header = BUF(1024), jwt = BUF(64 * 1024);
    buf_printf(&header, "{\"alg\":\"RS256\",\"kid\":\"rsa\"%s}", logout_types[_i].typ);
    token_put(&jwt, buf_view(&header), VIEW(LOGOUT_OK), &rsa);
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_LOGOUT_TOKEN), logout_types[_i].want);
    buf_clear(&jwt);
    token_put(&jwt, buf_view(&header), VIEW(NO_EXP), &rsa);
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_LOGOUT_TOKEN), logout_types[_i].want_without_exp);
    buf_deinit(&header);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(logout_token_without_exp_ages)
{
    epoch_fix_ms((int64_t)(1699999990 + VERIFIER_LOGOUT_AGE_S + VERIFIER_LEEWAY_S - 1) * 1000);
    ck_assert_int_eq(check_payload(NO_EXP, VERIFIER_LOGOUT_TOKEN), GW_OK);
    epoch_fix_ms((int64_t)(1699999990 + VERIFIER_LOGOUT_AGE_S + VERIFIER_LEEWAY_S) * 1000);
    ck_assert_int_eq(check_payload(NO_EXP, VERIFIER_LOGOUT_TOKEN), GW_E_EXPIRED);
}
END_TEST

/* Each kind passes as itself, and none as another, the kinds that could be two at once as neither. */
static const struct {
    const char *payload;
    unsigned passes_as; /* purposes, a bit each */
} kinds[] = {
    {ID_OK, 1 << VERIFIER_ID_TOKEN | 1 << VERIFIER_REFRESHED_ID_TOKEN},
    {ACCESS_OK, 1 << VERIFIER_ACCESS_TOKEN},
    {LOGOUT_OK, 1 << VERIFIER_LOGOUT_TOKEN},
    {"{" BASE ",\"exp\":1700003600,\"nonce\":\"n-1\",\"jti\":\"j\",\"sid\":\"s\"" EVENTS "}", 0},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"jti\":\"j\",\"sid\":\"s\"" EVENTS "}", 0},
    {"{" BASE ACCESS ",\"exp\":1700003600,\"nonce\":\"n-1\",\"jti\":\"j\",\"sid\":\"s\"" EVENTS "}", 0},
};

START_TEST(G11_no_token_passes_as_one_of_another_kind)
{
    for (int as = VERIFIER_ID_TOKEN; as <= VERIFIER_LOGOUT_TOKEN; as++) {
        enum gw_err err = check_payload(kinds[_i].payload, (enum verifier_purpose)as);
        ck_assert_msg((err == GW_OK) == (kinds[_i].passes_as >> as & 1), "%s as %d: %s", kinds[_i].payload, as, gw_err_name(err));
    }
}
END_TEST

START_TEST(id_token_needs_a_nonce_to_compare_with)
{
    struct buf jwt = BUF(64 * 1024);
    struct pack_val claims;
    const char *reason;
    token_put_plain(&jwt, VIEW("{" BASE ",\"exp\":1700003600,\"nonce\":\"\"}"), &rsa);
    ck_assert_int_eq(verifier_check(verifier, keys, buf_view(&jwt), VERIFIER_ID_TOKEN, VIEW_NONE, &claims, &reason),
                     GW_E_INVALID);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(rejects_token_one_second_past_leeway)
{
    struct buf jwt = BUF(64 * 1024);
    token_put_plain(&jwt, VIEW("{" BASE ACCESS ",\"exp\":1700000000}"), &rsa);
    epoch_fix_ms((int64_t)1700000059 * 1000);
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_OK);
    epoch_fix_ms((int64_t)1700000061 * 1000);
    ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_EXPIRED);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(without_keys_every_kid_is_unknown)
{
    struct buf jwt = BUF(64 * 1024);
    struct pack_val claims;
    const char *reason;
    token_put_plain(&jwt, VIEW(ACCESS_OK), &rsa);
    ck_assert_int_eq(verifier_check(verifier, NULL, buf_view(&jwt), VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason),
                     GW_E_NOTFOUND);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(E7_T2_a_short_secret_stops_the_start)
{
    struct verifier_spec spec = {.issuer = VIEW(ISS), .client_id = VIEW("c"), .secret = VIEW("0123456789abcdef0123456789abcde")};
    struct verifier *v = NULL;
    spec.is_alg_allowed[SIGALG_HS256] = true;
    ck_assert_int_eq(verifier_new(&spec, &v), GW_E_INVALID);
    spec.secret = VIEW_NONE;
    ck_assert_int_eq(verifier_new(&spec, &v), GW_E_INVALID);
    ck_assert_ptr_null(v);
}
END_TEST

/* --- HS256, where it is listed --- */

START_TEST(T1_T2_hs256_counts_only_with_our_secret)
{
    static const struct {
        const char *header, *secret;
        enum gw_err want;
    } cases[] = {
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", SECRET, GW_OK},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"any\"}", SECRET, GW_OK},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", SECRET "x", GW_E_INVALID},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "", GW_E_INVALID},
        {"{\"alg\":\"hs256\",\"typ\":\"JWT\"}", SECRET, GW_E_INVALID},
        {"{\"alg\":\"HS512\",\"typ\":\"JWT\"}", SECRET, GW_E_INVALID},
        {"{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"rsa\"}", SECRET, GW_E_INVALID},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", SECRET, GW_E_INVALID},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf jwt = BUF(64 * 1024);
        token_put_hs256(&jwt, view_of(cases[i].header), VIEW(ACCESS_OK), view_of(cases[i].secret));
        enum gw_err err = check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN);
        ck_assert_msg(err == cases[i].want, "%zu: %s", i, gw_err_name(err));
        buf_puts(&jwt, "=");
        ck_assert_int_eq(check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN), GW_E_INVALID);
        buf_deinit(&jwt);
    }
}
END_TEST

/* --- the published examples --- */

/* RFC 7515 A.3 (ES256) and A.4 (ES512): the signatures hold; the payload has no exp of ours, so only that is complained about. */
START_TEST(signature_of_rfc7515_a_3_holds)
{
    struct keyset *ks;
    ck_assert_int_eq(
        keyset_parse(VIEW("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                          "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"),
                     &ks),
        GW_OK);
    struct view jwt = VIEW(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
    struct verifier_spec spec = {.issuer = VIEW("joe"), .client_id = VIEW("c")};
    struct verifier *v;
    struct pack_val claims;
    const char *reason;
    spec.is_alg_allowed[SIGALG_ES256] = true;
    ck_assert_int_eq(verifier_new(&spec, &v), GW_OK);
    ck_assert_int_eq(verifier_check(v, ks, jwt, VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason), GW_E_INVALID);
    ck_assert_str_eq(reason, "aud is not this client");
    verifier_free(v);
    keyset_free(ks);
}
END_TEST

/* RFC 7515 A.1: HS256 with its key as secret. */
START_TEST(signature_of_rfc7515_a_1_holds)
{
    uint8_t secret[64];
    size_t n;
    ck_assert_int_eq(b64url_decode(VIEW("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
                                   secret, sizeof(secret), &n),
                     GW_OK);
    struct verifier_spec spec = {.issuer = VIEW("joe"), .client_id = VIEW("c"), .secret = view_at((const char *)secret, n)};
    struct verifier *v;
    struct pack_val claims;
    const char *reason;
    spec.is_alg_allowed[SIGALG_HS256] = true;
    ck_assert_int_eq(verifier_new(&spec, &v), GW_OK);
    ck_assert_int_eq(
        verifier_check(v, NULL,
                       VIEW("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
                            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
                       VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason),
        GW_E_INVALID);
    ck_assert_str_eq(reason, "aud is not this client");
    verifier_free(v);
}
END_TEST

/* RFC 8037 A.4: Ed25519; its payload is no JSON, which is found only behind a good signature. */
START_TEST(signature_of_rfc8037_a_4_holds)
{
    struct keyset *ks;
    ck_assert_int_eq(
        keyset_parse(
            VIEW("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
            &ks),
        GW_OK);
    struct view jwt = VIEW("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
                           "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
    struct pack_val claims;
    const char *reason;
    ck_assert_int_eq(verifier_check(verifier, ks, jwt, VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason), GW_E_INVALID);
    ck_assert_str_eq(reason, "payload is no JSON object");
    keyset_free(ks);
}
END_TEST

/* --- a second opinion --- */

static void put_pem(struct buf *out, const struct token_key *k)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    ck_assert_int_eq(PEM_write_bio_PUBKEY(bio, k->pkey), 1);
    long n = BIO_get_mem_data(bio, &p);
    buf_put(out, view_at(p, (size_t)n));
    BIO_free(bio);
}

/* What we accept, libjwt accepts with the same claims. */
START_TEST(libjwt_agrees_on_valid_tokens)
{
    struct buf jwt = BUF(64 * 1024), key = BUF(8192), json = BUF(64 * 1024);
    struct pack_val claims;
    const char *reason;
    jwt_t *other;
    if (_i < 2) {
        const struct token_key *k = _i == 0 ? &rsa : &ec256;
        token_put_plain(&jwt, VIEW(ACCESS_OK), k);
        put_pem(&key, k);
    } else {
        token_put_hs256(&jwt, VIEW("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), VIEW(ACCESS_OK), VIEW(SECRET));
        buf_puts(&key, SECRET);
    }
    ck_assert_int_eq(verifier_check(verifier, keys, buf_view(&jwt), VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason), GW_OK);
    ck_assert_int_eq(jwt_decode(&other, jwt.p, (const unsigned char *)key.p, (int)key.n), 0);
    pack_format_json(claims, &json);
    char *theirs = jwt_get_grants_json(other, NULL);
    json_t *a = json_loadb(json.p, json.n, 0, NULL), *b = json_loads(theirs, 0, NULL);
    ck_assert_ptr_nonnull(a);
    ck_assert_msg(json_equal(a, b), "%.*s / %s", VIEW_FMT(buf_view(&json)), theirs);
    json_decref(a);
    json_decref(b);
    free(theirs);
    jwt_free(other);
    buf_deinit(&jwt);
    buf_deinit(&key);
    buf_deinit(&json);
}
END_TEST

/* Whatever one byte of a token is changed to: what libjwt refuses, we refuse. */
START_TEST(what_libjwt_refuses_we_refuse)
{
    struct buf jwt = BUF(64 * 1024), key = BUF(8192);
    const struct token_key *k = _i == 0 ? &rsa : &ec256;
    struct pack_val claims;
    const char *reason;
    size_t n_refused = 0;
    token_put_plain(&jwt, VIEW(ACCESS_OK), k);
    put_pem(&key, k);
    for (size_t i = 0; i < jwt.n; i++) {
        jwt_t *other = NULL;
        jwt.p[i] ^= 1;
        bool is_theirs = jwt_decode(&other, jwt.p, (const unsigned char *)key.p, (int)key.n) == 0;
        bool is_ours =
            verifier_check(verifier, keys, buf_view(&jwt), VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, &reason) == GW_OK;
        ck_assert_msg(!is_ours || is_theirs, "byte %zu: %s", i, jwt.p);
        n_refused += !is_theirs;
        jwt_free(other);
        jwt.p[i] ^= 1;
    }
    ck_assert_uint_gt(n_refused, jwt.n / 2);
    buf_deinit(&jwt);
    buf_deinit(&key);
}
END_TEST

int main(void)
{
    make_keys();
    Suite *s = suite_create("verifier");
    TCase *t = tcase_create("listed keys");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, accepts_each_algorithm_of_our_list, 0, 5);
    tcase_add_test(t, refuses_an_algorithm_that_is_not_listed);
    tcase_add_test(t, hands_out_the_claims);
    tcase_add_loop_test(t, T10_judges_headers_by_our_rules, 0, (int)(sizeof(header_cases) / sizeof(header_cases[0])));
    tcase_add_test(t, id_token_of_type_at_jwt_is_refused);
    tcase_add_test(t, T2_T10_refuses_alg_none_in_every_dress);
    tcase_add_test(t, T1_T1b_T2_T3_public_key_is_no_hmac_secret);
    tcase_add_test(t, E1_T4_signature_of_another_key_with_our_kid_is_refused);
    tcase_add_test(t, M4b_each_token_has_one_spelling);
    tcase_add_test(t, E1_T4_every_changed_byte_is_noticed);
    tcase_add_test(t, M4_M4b_T5_refuses_other_shapes);
    tcase_add_test(t, M4_long_tokens_are_refused_unread);
    tcase_add_loop_test(t, F9_G5_G6_G14_I6_M3_judges_access_tokens, 0, (int)(sizeof(access_cases) / sizeof(access_cases[0])));
    tcase_add_loop_test(t, G5_T9_T10_judges_id_tokens, 0, (int)(sizeof(id_cases) / sizeof(id_cases[0])));
    tcase_add_loop_test(t, judges_refreshed_id_tokens, 0, (int)(sizeof(refreshed_cases) / sizeof(refreshed_cases[0])));
    tcase_add_loop_test(t, T10_judges_logout_tokens, 0, (int)(sizeof(logout_cases) / sizeof(logout_cases[0])));
    tcase_add_loop_test(t, logout_token_says_in_its_header_what_it_is, 0, (int)(sizeof(logout_types) / sizeof(logout_types[0])));
    tcase_add_test(t, logout_token_without_exp_ages);
    tcase_add_loop_test(t, G11_no_token_passes_as_one_of_another_kind, 0, (int)(sizeof(kinds) / sizeof(kinds[0])));
    tcase_add_test(t, id_token_needs_a_nonce_to_compare_with);
    tcase_add_loop_test(t, F4_G15_judges_assertions, 0, (int)(sizeof(assertion_cases) / sizeof(assertion_cases[0])));
    tcase_add_test(t, an_assertion_says_that_it_is_a_jwt);
    tcase_add_test(t, rejects_token_one_second_past_leeway);
    tcase_add_test(t, without_keys_every_kid_is_unknown);
    tcase_add_test(t, E7_T2_a_short_secret_stops_the_start);
    tcase_add_test(t, signature_of_rfc7515_a_3_holds);
    tcase_add_test(t, signature_of_rfc7515_a_1_holds);
    tcase_add_test(t, signature_of_rfc8037_a_4_holds);
    suite_add_tcase(s, t);
    TCase *h = tcase_create("HS256 listed");
    tcase_add_checked_fixture(h, setup_hs256, teardown);
    tcase_add_test(h, T1_T2_hs256_counts_only_with_our_secret);
    tcase_add_loop_test(h, libjwt_agrees_on_valid_tokens, 0, 3);
    tcase_add_loop_test(h, what_libjwt_refuses_we_refuse, 0, 2);
    suite_add_tcase(s, h);
    int status = support_run(s);
    free_keys();
    return status;
}
