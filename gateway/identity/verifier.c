#include "identity/verifier.h"

#include "identity/hs256.h"
#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/packtext.h"

/* Decoded bytes of the longest token. */
enum { JSON_MAX = VERIFIER_TOKEN_MAX / 4 * 3, HEADER_JSON_MAX = 4096 };

/* The end of the year 9999: later times are mistakes or attacks, and sums with them cannot overflow. */
static const int64_t time_max_s = 253402300799;

struct verifier {
    struct verifier_spec spec;
    struct buf header, claims; /* packed */
    uint8_t json[JSON_MAX];
};

struct parts {
    struct view header, payload, signature, signed_text;
};

enum gw_err verifier_new(const struct verifier_spec *spec, struct verifier **ret_verifier)
{
    if (spec->issuer.n == 0 || spec->client_id.n == 0 ||
        (spec->is_alg_allowed[SIGALG_HS256] && spec->secret.n < HS256_SECRET_MIN))
        return GW_E_INVALID;
    struct verifier *v = calloc(1, sizeof(*v));
    if (v == NULL)
        return GW_E_NOMEM;
    v->spec = *spec;
    v->header = BUF(PACK_BYTES_MAX);
    v->claims = BUF(PACK_BYTES_MAX);
    *ret_verifier = v;
    return GW_OK;
}

void verifier_free(struct verifier *v)
{
    if (v == NULL)
        return;
    buf_deinit(&v->header);
    buf_deinit(&v->claims);
    free(v);
}

void verifier_set_secret(struct verifier *v, struct view secret)
{
    v->spec.secret = secret;
}

static enum gw_err refuse(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return GW_E_INVALID;
}

static bool split(struct view jwt, struct parts *ret)
{
    struct view rest = jwt;
    ret->header = view_split(&rest, '.');
    ret->payload = view_split(&rest, '.');
    ret->signature = rest;
    ret->signed_text = view_at(jwt.p, ret->header.n + 1 + ret->payload.n);
    return ret->header.n > 0 && ret->payload.n > 0 && rest.n > 0 && view_index(rest, '.') == rest.n;
}

/* Decodes and parses one part into *out. */
static enum gw_err read_object(struct verifier *v, struct view part, size_t json_max, struct buf *out)
{
    size_t n;
    enum gw_err err = b64url_decode(part, v->json, json_max, &n);
    if (err != GW_OK)
        return err;
    buf_clear(out);
    err = packtext_parse(view_at((const char *)v->json, n), out);
    if (err == GW_OK && pack_type(pack_root(out->p)) != PACK_MAP)
        return GW_E_INVALID;
    return err;
}

static bool is_typ_logout(struct pack_val typ)
{
    struct view t = pack_string(typ);
    return view_eq_ci(t, VIEW("logout+jwt")) || view_eq_ci(t, VIEW("application/logout+jwt"));
}

/* RFC 8725 3.11: a token made for something else says so in typ. */
static bool is_typ_fit(struct pack_val typ, enum verifier_purpose purpose)
{
    struct view t = pack_string(typ);
    if (purpose == VERIFIER_LOGOUT_TOKEN)
        return view_eq_ci(t, VIEW("JWT")) || is_typ_logout(typ);
    if (typ.p == NULL)
        return purpose != VERIFIER_ASSERTION; /* ours always say it */
    if (view_eq_ci(t, VIEW("JWT")))
        return true;
    return purpose == VERIFIER_ACCESS_TOKEN && (view_eq_ci(t, VIEW("at+jwt")) || view_eq_ci(t, VIEW("application/at+jwt")));
}

/* Members by which a token would bring its own key, or change what is signed. */
static enum gw_err check_header(struct pack_val header, enum verifier_purpose purpose, const char **ret_reason)
{
    static const struct {
        struct view name;
        const char *reason;
    } banned[] = {
        {{"crit", 4}, "header has crit"}, {{"b64", 3}, "header has b64"}, {{"jku", 3}, "header has jku"},
        {{"jwk", 3}, "header has jwk"},   {{"x5u", 3}, "header has x5u"}, {{"x5c", 3}, "header has x5c"},
        {{"zip", 3}, "header has zip"},   {{"enc", 3}, "header has enc"},
    };
    for (size_t i = 0; i < sizeof(banned) / sizeof(banned[0]); i++)
        if (pack_find(header, banned[i].name).p != NULL)
            return refuse(ret_reason, banned[i].reason);
    return is_typ_fit(pack_find(header, VIEW("typ")), purpose) ? GW_OK : refuse(ret_reason, "typ is for another purpose");
}

static enum gw_err check_with_key(struct keyset *ks, enum sigalg alg, struct view kid, const struct parts *p,
                                  const char **ret_reason)
{
    uint8_t signature[KEYSET_SIGNATURE_MAX];
    size_t n;
    if (b64url_decode(p->signature, signature, sizeof(signature), &n) != GW_OK)
        return refuse(ret_reason, "signature is no base64url");
    struct keyset_key *key = ks == NULL ? NULL : keyset_find(ks, kid);
    if (key == NULL) {
        *ret_reason = "no key with this kid";
        return GW_E_NOTFOUND;
    }
    if (keyset_key_alg(key) != alg)
        return refuse(ret_reason, "alg is not that of the key");
    return keyset_key_verify(key, p->signed_text, signature, n) ? GW_OK : refuse(ret_reason, "wrong signature");
}

static enum gw_err check_with_secret(const struct verifier *v, struct view jwt, const struct parts *p, const char **ret_reason)
{
    uint8_t signature[KEYSET_SIGNATURE_MAX];
    size_t n;
    if (b64url_decode(p->signature, signature, sizeof(signature), &n) != GW_OK)
        return refuse(ret_reason, "signature is no base64url");
    enum gw_err err = hs256_verify(jwt, v->spec.secret);
    return err == GW_E_INVALID ? refuse(ret_reason, "wrong signature") : err;
}

static enum gw_err check_signature(struct verifier *v, struct keyset *ks, struct view jwt, const struct parts *p,
                                   enum verifier_purpose purpose, const char **ret_reason)
{
    if (read_object(v, p->header, HEADER_JSON_MAX, &v->header) != GW_OK)
        return refuse(ret_reason, "header is no JSON object");
    struct pack_val header = pack_root(v->header.p), kid = pack_find(header, VIEW("kid"));
    enum gw_err err = check_header(header, purpose, ret_reason);
    if (err != GW_OK)
        return err;
    enum sigalg alg = sigalg_from_name(pack_string(pack_find(header, VIEW("alg"))));
    if (alg == SIGALG_NONE || !v->spec.is_alg_allowed[alg])
        return refuse(ret_reason, "alg is not allowed");
    if (kid.p != NULL && pack_string(kid).n == 0)
        return refuse(ret_reason, "kid is no text");
    if (alg == SIGALG_HS256)
        return check_with_secret(v, jwt, p, ret_reason);
    return check_with_key(ks, alg, pack_string(kid), p, ret_reason);
}

/* --- claims --- */

/* Sorted, as pack_find_sorted() wants them. */
enum claim {
    C_AUD,
    C_AUTH_TIME,
    C_AZP,
    C_EVENTS,
    C_EXP,
    C_IAT,
    C_ISS,
    C_JTI,
    C_NBF,
    C_NONCE,
    C_SCOPE,
    C_SID,
    C_SUB,
    C_UID,
    CLAIM_COUNT
};
static const struct view claim_names[CLAIM_COUNT] = {
    {"aud", 3}, {"auth_time", 9}, {"azp", 3},   {"events", 6}, {"exp", 3}, {"iat", 3}, {"iss", 3},
    {"jti", 3}, {"nbf", 3},       {"nonce", 5}, {"scope", 5},  {"sid", 3}, {"sub", 3}, {"uid", 3},
};

static bool is_text(struct pack_val v, struct view want)
{
    return pack_type(v) == PACK_STRING && view_eq(pack_string(v), want);
}

static bool is_just(struct pack_val v, struct view want)
{
    struct pack_iter it;
    if (pack_type(v) == PACK_STRING)
        return is_text(v, want);
    if (pack_type(v) != PACK_LIST || pack_count(v) != 1)
        return false;
    pack_iter_init(&it, v);
    return pack_iter_next(&it) && is_text(it.val, want);
}

/* A whole number of seconds in a sane range; absent is fine and leaves *ret_s alone. */
static bool read_time(struct pack_val v, int64_t *ret_s)
{
    if (v.p == NULL)
        return true;
    if (pack_type(v) != PACK_INT || pack_int(v) <= 0 || pack_int(v) > time_max_s)
        return false;
    *ret_s = pack_int(v);
    return true;
}

/* can_lack_exp: the age of iat counts instead. */
static enum gw_err check_times(const struct pack_val *c, enum verifier_purpose purpose, bool can_lack_exp,
                               const char **ret_reason)
{
    int64_t exp_s = 0, nbf_s = 0, iat_s = 0, auth_time_s = 0, now_s = epoch_now_s();
    int64_t leeway_s = purpose == VERIFIER_ASSERTION ? VERIFIER_ASSERTION_LEEWAY_S : VERIFIER_LEEWAY_S;
    if (!read_time(c[C_EXP], &exp_s) || !read_time(c[C_NBF], &nbf_s) || !read_time(c[C_IAT], &iat_s) ||
        !read_time(c[C_AUTH_TIME], &auth_time_s))
        return refuse(ret_reason, "exp, nbf, iat or auth_time is no sane whole number");
    if (purpose != VERIFIER_ACCESS_TOKEN && iat_s == 0)
        return refuse(ret_reason, "no iat");
    if (exp_s == 0 && can_lack_exp)
        exp_s = iat_s + VERIFIER_LOGOUT_AGE_S;
    if (exp_s == 0)
        return refuse(ret_reason, "no exp");
    if (now_s - leeway_s >= exp_s) {
        *ret_reason = "expired";
        return GW_E_EXPIRED;
    }
    if (now_s + leeway_s < nbf_s || now_s + leeway_s < iat_s) {
        *ret_reason = "not valid yet";
        return GW_E_EXPIRED;
    }
    return GW_OK;
}

static enum gw_err check_refreshed_token(const struct verifier *v, const struct pack_val *c, const char **ret_reason)
{
    /* One of them alone may come from a scope mapping, or be an ID token's own azp (OpenID Connect Core 2). */
    if (c[C_AZP].p != NULL && c[C_UID].p != NULL && c[C_SCOPE].p != NULL)
        return refuse(ret_reason, "not an ID token: it has azp, uid and scope");
    if (c[C_AZP].p != NULL && !is_text(c[C_AZP], v->spec.client_id))
        return refuse(ret_reason, "azp is another client");
    return GW_OK;
}

static enum gw_err check_id_token(const struct verifier *v, const struct pack_val *c, struct view want_nonce,
                                  const char **ret_reason)
{
    enum gw_err err = check_refreshed_token(v, c, ret_reason);
    if (err != GW_OK)
        return err;
    /* The nonce ties this token to the login we began: OpenID Connect Core 3.1.3.7, step 11. */
    if (want_nonce.n == 0 || !is_text(c[C_NONCE], want_nonce))
        return refuse(ret_reason, "nonce is not that of this login");
    return GW_OK;
}

static enum gw_err check_access_token(const struct verifier *v, const struct pack_val *c, const char **ret_reason)
{
    if (c[C_AZP].p == NULL || pack_string(c[C_UID]).n == 0 || pack_type(c[C_SCOPE]) != PACK_STRING)
        return refuse(ret_reason, "not an access token: it lacks azp, uid or scope");
    if (!is_text(c[C_AZP], v->spec.client_id))
        return refuse(ret_reason, "azp is another client");
    return GW_OK;
}

/* Absent, or a text that names something. */
static bool is_name(struct pack_val v)
{
    return v.p == NULL || pack_string(v).n > 0;
}

static enum gw_err check_logout_token(const struct pack_val *c, const char **ret_reason)
{
    static const struct view event = {"http://schemas.openid.net/event/backchannel-logout", 50};
    if (pack_type(pack_find(c[C_EVENTS], event)) != PACK_MAP)
        return refuse(ret_reason, "not a logout token: no back-channel logout among its events");
    if (c[C_NONCE].p != NULL)
        return refuse(ret_reason, "not a logout token: it has a nonce");
    if (c[C_AZP].p != NULL && c[C_UID].p != NULL && c[C_SCOPE].p != NULL)
        return refuse(ret_reason, "not a logout token: it has azp, uid and scope");
    if (pack_string(c[C_JTI]).n == 0)
        return refuse(ret_reason, "no jti");
    if (!is_name(c[C_SID]) || !is_name(c[C_SUB]) || (c[C_SID].p == NULL && c[C_SUB].p == NULL))
        return refuse(ret_reason, "neither sid nor sub, or one that is no text");
    return GW_OK;
}

static enum gw_err check_person_token(const struct verifier *v, const struct pack_val *c, enum verifier_purpose purpose,
                                      struct view nonce, const char **ret_reason)
{
    if (pack_string(c[C_SUB]).n == 0)
        return refuse(ret_reason, "no sub");
    /* Only logout tokens have events (OpenID Connect Back-Channel Logout 1.0, 2.4). */
    if (c[C_EVENTS].p != NULL)
        return refuse(ret_reason, "a logout token");
    switch (purpose) {
    case VERIFIER_ID_TOKEN:
        return check_id_token(v, c, nonce, ret_reason);
    case VERIFIER_REFRESHED_ID_TOKEN:
        return check_refreshed_token(v, c, ret_reason);
    case VERIFIER_ACCESS_TOKEN:
        return check_access_token(v, c, ret_reason);
    case VERIFIER_ASSERTION:
        return GW_OK; /* its key signs nothing else */
    case VERIFIER_LOGOUT_TOKEN:
        break;
    }
    return refuse(ret_reason, "unknown purpose");
}

static enum gw_err check_claims(const struct verifier *v, struct pack_val claims, enum verifier_purpose purpose,
                                struct view nonce, const char **ret_reason)
{
    struct pack_val c[CLAIM_COUNT];
    pack_find_sorted(claims, claim_names, CLAIM_COUNT, c);
    if (!is_text(c[C_ISS], v->spec.issuer))
        return refuse(ret_reason, "iss is another issuer");
    if (!is_just(c[C_AUD], v->spec.client_id))
        return refuse(ret_reason, "aud is not this client");
    bool is_logout = purpose == VERIFIER_LOGOUT_TOKEN;
    enum gw_err err = is_logout ? check_logout_token(c, ret_reason) : check_person_token(v, c, purpose, nonce, ret_reason);
    /* The Authentik that left exp out did not say logout+jwt yet. */
    bool can_lack_exp = is_logout && !is_typ_logout(pack_find(pack_root(v->header.p), VIEW("typ")));
    return err == GW_OK ? check_times(c, purpose, can_lack_exp, ret_reason) : err;
}

enum gw_err verifier_check(struct verifier *v, struct keyset *ks, struct view jwt, enum verifier_purpose purpose,
                           struct view nonce, struct pack_val *ret_claims, const char **ret_reason)
{
    struct parts p;
    *ret_reason = "out of memory";
    if (jwt.n > VERIFIER_TOKEN_MAX) {
        *ret_reason = "token too long";
        return GW_E_LIMIT;
    }
    if (!split(jwt, &p))
        return refuse(ret_reason, "not three parts");
    enum gw_err err = check_signature(v, ks, jwt, &p, purpose, ret_reason);
    if (err != GW_OK)
        return err;
    if (read_object(v, p.payload, JSON_MAX, &v->claims) != GW_OK)
        return refuse(ret_reason, "payload is no JSON object");
    struct pack_val claims = pack_root(v->claims.p);
    err = check_claims(v, claims, purpose, nonce, ret_reason);
    if (err != GW_OK)
        return err;
    *ret_claims = claims;
    *ret_reason = "";
    return GW_OK;
}
