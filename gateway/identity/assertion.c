#include "identity/assertion.h"

#include "identity/signkey.h"
#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/meter.h"
#include "util/rnd.h"
#include "util/swar.h"

#include <stdlib.h>

enum { SLOTS = 8, SID_BYTES = 12, NONCE_BYTES = 8, HEAD_MAX = 256, ISSUER_MAX = 4096 };

/* What a signature was made over, as far as it doesn't follow from principal and workspace. */
struct stamp {
    uint32_t iat_s, seq;
    uint8_t sid[SID_BYTES];
};

/* Side by side what is looked at together: the tags fill a line of the processor's cache. */
struct set {
    uint64_t tags[SLOTS]; /* 0 = empty */
    struct stamp stamps[SLOTS];
    uint8_t signatures[SLOTS][SIGNKEY_SIGNATURE_BYTES];
};

struct assertion_maker {
    struct signkey_ring *ring;
    struct buf jwks;
    struct buf head;        /* the JWT's header, encoded, with its dot */
    struct buf issuer;      /* the claims' beginning, in JSON */
    struct buf json, token; /* of the assertion being made */
    uint64_t seed;
    uint8_t nonce[NONCE_BYTES]; /* in each jti, so that no two makers give the same */
    uint32_t seq;
    struct set *sets;
    size_t n_sets;
};

GW_DEFINE_FREEP(maker_freep, struct assertion_maker, assertion_maker_free)

/* ---- birth and death ---- */

static bool put_fixed_parts(struct assertion_maker *m, struct view issuer)
{
    struct buf header = BUF(HEAD_MAX);
    buf_puts(&header, "{\"alg\":\"ES256\",\"kid\":\"");
    buf_put(&header, signkey_kid(m->ring));
    buf_puts(&header, "\",\"typ\":\"JWT\"}");
    bool is_fine = buf_ok(&header);
    b64url_encode(&m->head, header.p, header.n);
    buf_deinit(&header);
    buf_puts(&m->head, ".");
    buf_puts(&m->issuer, "{\"iss\":");
    buf_put_json(&m->issuer, issuer);
    buf_puts(&m->issuer, ",\"sub\":");
    signkey_put_jwks(m->ring, &m->jwks);
    return is_fine && buf_ok(&m->head) && buf_ok(&m->issuer) && buf_ok(&m->jwks);
}

enum gw_err assertion_maker_new(struct view pem, struct view issuer, size_t cache_bytes, struct assertion_maker **ret_maker)
{
    GW_CLEANUP(maker_freep) struct assertion_maker *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return GW_E_NOMEM;
    m->jwks = BUF(SIGNKEY_KEYS_MAX * SIGNKEY_JWK_MAX);
    m->head = BUF(HEAD_MAX);
    m->issuer = BUF(ISSUER_MAX);
    m->json = m->token = BUF(ASSERTION_MAX_BYTES);
    m->n_sets = (cache_bytes == 0 ? ASSERTION_CACHE_BYTES : cache_bytes) / sizeof(struct set) + 1;
    m->sets = calloc(m->n_sets, sizeof(struct set)); /* so large that the kernel gives the pages as they are used */
    enum gw_err err = m->sets == NULL ? GW_E_NOMEM : signkey_ring_parse(pem, &m->ring);
    if (err == GW_OK)
        err = rnd_bytes(&m->seed, sizeof(m->seed));
    if (err == GW_OK)
        err = rnd_bytes(m->nonce, sizeof(m->nonce));
    if (err == GW_OK && !put_fixed_parts(m, issuer))
        err = GW_E_NOMEM;
    if (err == GW_OK)
        *ret_maker = GW_TAKE(m);
    return err;
}

void assertion_maker_free(struct assertion_maker *m)
{
    if (m == NULL)
        return;
    signkey_ring_free(m->ring);
    buf_deinit(&m->jwks);
    buf_deinit(&m->head);
    buf_deinit(&m->issuer);
    buf_deinit(&m->json);
    buf_deinit(&m->token);
    free(m->sets);
    free(m);
}

struct view assertion_jwks(const struct assertion_maker *m)
{
    return buf_view(&m->jwks);
}

/* ---- kept signatures ---- */

static uint64_t mix(uint64_t h, uint64_t w)
{
    h = (h ^ w) * 0x9e3779b97f4a7c15; /* odd, so no step loses a difference */
    return h ^ h >> 32;
}

static uint64_t mix_text(uint64_t h, struct view v)
{
    size_t i = 0;
    uint64_t last = 0;
    for (; v.n - i >= SWAR_BYTES; i += SWAR_BYTES)
        h = mix(h, swar_load(v.p + i));
    if (i < v.n)
        memcpy(&last, v.p + i, v.n - i);
    return mix(mix(h, last), v.n);
}

static uint64_t tag_of(const struct assertion_maker *m, const struct assertion_ask *ask)
{
    uint64_t h = mix_text(mix_text(mix(m->seed, principal_serial(ask->who)), ask->audience), ask->repo);
    return h == 0 ? 1 : h;
}

static struct set *set_of(const struct assertion_maker *m, uint64_t tag)
{
    return &m->sets[(tag >> 32) * m->n_sets >> 32];
}

static bool is_fresh(const struct stamp *s, int64_t now_s)
{
    int64_t age_s = now_s - s->iat_s; /* negative: the clock was set back */
    return age_s >= 0 && age_s < ASSERTION_REUSE_S;
}

/* The slot of this tag, else the one that has been there longest. */
static size_t slot_of(const struct set *set, uint64_t tag)
{
    size_t oldest = 0;
    for (size_t i = 0; i < SLOTS; i++)
        if (set->tags[i] == tag)
            return i;
    for (size_t i = 1; i < SLOTS; i++)
        if (set->stamps[i].iat_s < set->stamps[oldest].iat_s)
            oldest = i;
    return oldest;
}

/* ---- one assertion ---- */

static enum gw_err stamp_now(struct assertion_maker *m, const struct principal *who, int64_t now_s, struct stamp *ret_stamp)
{
    uint8_t digest[DIGEST_BYTES];
    const struct view nul = {"", 1};
    const struct view parts[] = {VIEW("repogate assertion sid"), nul, principal_iss(who), nul, principal_sid(who)};
    enum gw_err err = digest_sha256_parts(parts, sizeof(parts) / sizeof(parts[0]), digest);
    if (err != GW_OK)
        return err;
    *ret_stamp = (struct stamp){.iat_s = (uint32_t)now_s, .seq = m->seq++};
    memcpy(ret_stamp->sid, digest, SID_BYTES);
    return GW_OK;
}

static void put_jti(const struct assertion_maker *m, const struct stamp *s, struct buf *out)
{
    uint8_t id[NONCE_BYTES + sizeof(s->iat_s) + sizeof(s->seq)];
    memcpy(id, m->nonce, NONCE_BYTES);
    memcpy(id + NONCE_BYTES, &s->iat_s, sizeof(s->iat_s));
    memcpy(id + NONCE_BYTES + sizeof(s->iat_s), &s->seq, sizeof(s->seq));
    b64url_encode(out, id, sizeof(id));
}

static void put_claims(struct assertion_maker *m, const struct assertion_ask *ask, const struct stamp *s)
{
    struct buf *out = &m->json;
    const struct principal *who = ask->who;
    struct pack_val groups = principal_groups(who);
    struct view ready = principal_groups_json(who);
    buf_put(out, buf_view(&m->issuer));
    buf_put_json(out, principal_sub(who));
    buf_puts(out, ",\"name\":");
    buf_put_json(out, principal_name(who));
    buf_puts(out, ",\"email\":");
    buf_put_json(out, principal_email(who));
    buf_puts(out, ",\"groups\":");
    if (groups.p == NULL)
        buf_puts(out, "[]");
    else if (ready.p != NULL)
        buf_put(out, ready);
    else
        pack_format_json(groups, out);
    buf_puts(out, ",\"repo\":");
    buf_put_json(out, ask->repo);
    buf_puts(out, ",\"aud\":");
    buf_put_json(out, ask->audience);
    buf_puts(out, ",\"sid\":\"");
    if (principal_sid(who).n > 0)
        b64url_encode(out, s->sid, SID_BYTES);
    buf_puts(out, "\",\"iat\":");
    buf_put_u64(out, s->iat_s);
    buf_puts(out, ",\"exp\":");
    buf_put_u64(out, (uint64_t)s->iat_s + ASSERTION_LIFETIME_S);
    buf_puts(out, ",\"jti\":\"");
    put_jti(m, s, out);
    buf_puts(out, "\"}");
}

/* Header and claims; what is to be signed. */
static enum gw_err put_signed_part(struct assertion_maker *m, const struct assertion_ask *ask, const struct stamp *s)
{
    buf_clear(&m->json);
    buf_clear(&m->token);
    put_claims(m, ask, s);
    size_t n = m->head.n + b64url_encoded_len(m->json.n) + 1 + b64url_encoded_len(SIGNKEY_SIGNATURE_BYTES);
    /* A buffer that failed had no room, or no memory: there is no telling here. */
    if (!buf_ok(&m->json) || n > ask->max_bytes)
        return GW_E_LIMIT;
    buf_put(&m->token, buf_view(&m->head));
    b64url_encode(&m->token, m->json.p, m->json.n);
    return buf_ok(&m->token) ? GW_OK : GW_E_NOMEM;
}

static enum gw_err finish(struct assertion_maker *m, const uint8_t signature[SIGNKEY_SIGNATURE_BYTES], struct arena *a,
                          struct view *ret_token)
{
    buf_puts(&m->token, ".");
    b64url_encode(&m->token, signature, SIGNKEY_SIGNATURE_BYTES);
    struct view token = buf_ok(&m->token) ? arena_copy(a, buf_view(&m->token)) : VIEW_NONE;
    if (token.p == NULL)
        return GW_E_NOMEM;
    *ret_token = token;
    return GW_OK;
}

enum gw_err assertion_make(struct assertion_maker *m, const struct assertion_ask *ask, int64_t now_s, struct arena *a,
                           struct view *ret_token)
{
    uint64_t tag = tag_of(m, ask);
    struct set *set = set_of(m, tag);
    size_t i = slot_of(set, tag);
    struct stamp stamp;
    uint8_t signature[SIGNKEY_SIGNATURE_BYTES];
    if (set->tags[i] == tag && is_fresh(&set->stamps[i], now_s)) {
        enum gw_err err = put_signed_part(m, ask, &set->stamps[i]);
        return err == GW_OK ? finish(m, set->signatures[i], a, ret_token) : err;
    }
    enum gw_err err = stamp_now(m, ask->who, now_s, &stamp);
    if (err == GW_OK)
        err = put_signed_part(m, ask, &stamp);
    if (err == GW_OK)
        err = signkey_sign(m->ring, buf_view(&m->token), signature);
    if (err != GW_OK)
        return err;
    meter_inc(METER_ASSERTIONS_SIGNED);
    set->tags[i] = tag;
    set->stamps[i] = stamp;
    memcpy(set->signatures[i], signature, sizeof(signature));
    return finish(m, signature, a, ret_token);
}
