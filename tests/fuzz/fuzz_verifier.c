/* Input: a token as received; or a header and a payload, parted by a line break, which are signed here so that what lies behind
 * the signature is
 * reached. What is accepted has the claims that an accepted token must have. */
#include "identity/verifier.h"

#include "util/b64url.h"
#include "util/digest.h"
#include "util/epoch.h"

#include <stdlib.h>

#define SECRET VIEW("0123456789abcdef0123456789abcdef")
#define ISS VIEW("https://auth.example.org/application/o/repogate/")

static struct verifier *verifier;
static struct keyset *keys;

static void init(void)
{
    struct verifier_spec spec = {.issuer = ISS, .client_id = VIEW("repogate"), .secret = SECRET};
    for (int a = SIGALG_NONE + 1; a < SIGALG_COUNT; a++)
        spec.is_alg_allowed[a] = true;
    epoch_fix_ms(1700000000000);
    if (verifier_new(&spec, &verifier) != GW_OK ||
        keyset_parse(
            VIEW(
                "{\"keys\":[{\"kid\":\"ec\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
                "{\"kid\":\"ed\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
            &keys) != GW_OK)
        abort();
}

static void put_signed(struct buf *out, struct view header, struct view payload)
{
    uint8_t mac[DIGEST_BYTES];
    b64url_encode(out, header.p, header.n);
    buf_put_byte(out, '.');
    b64url_encode(out, payload.p, payload.n);
    if (digest_hmac(SECRET, buf_view(out), mac) != GW_OK)
        abort();
    buf_put_byte(out, '.');
    b64url_encode(out, mac, sizeof(mac));
}

static void check(struct view jwt, enum verifier_purpose purpose)
{
    struct pack_val claims = {NULL};
    const char *reason = NULL;
    enum gw_err err = verifier_check(verifier, keys, jwt, purpose, VIEW("n-1"), &claims, &reason);
    if (reason == NULL || (err == GW_OK) != (*reason == '\0') || (err == GW_OK) != (claims.p != NULL))
        abort();
    if (err != GW_OK)
        return;
    if (!view_eq(pack_string(pack_find(claims, VIEW("iss"))), ISS))
        abort();
    if (purpose == VERIFIER_LOGOUT_TOKEN) {
        if (pack_find(claims, VIEW("events")).p == NULL || pack_find(claims, VIEW("nonce")).p != NULL ||
            pack_string(pack_find(claims, VIEW("jti"))).n == 0)
            abort();
        return;
    }
    if (pack_string(pack_find(claims, VIEW("sub"))).n == 0 ||
        pack_int(pack_find(claims, VIEW("exp"))) <= 1700000000 - VERIFIER_LEEWAY_S ||
        pack_find(claims, VIEW("events")).p != NULL ||
        (pack_find(claims, VIEW("azp")).p != NULL) != (purpose == VERIFIER_ACCESS_TOKEN))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf jwt = BUF(64 * 1024);
    struct view payload = view_at((const char *)data, size), header;
    if (verifier == NULL)
        init();
    header = view_split(&payload, '\n');
    if (payload.p == NULL)
        buf_put(&jwt, header);
    else
        put_signed(&jwt, header, payload);
    if (buf_ok(&jwt)) {
        check(buf_view(&jwt), VERIFIER_ACCESS_TOKEN);
        check(buf_view(&jwt), VERIFIER_ID_TOKEN);
        check(buf_view(&jwt), VERIFIER_LOGOUT_TOKEN);
    }
    buf_deinit(&jwt);
    return 0;
}
