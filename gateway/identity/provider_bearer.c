#include "identity/provider_state.h"

#include "util/epoch.h"
#include "util/meter.h"

static enum provider_bearer refuse(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return BEARER_REFUSED;
}

/* Waits for what may come; reason is for when nothing new can. */
static enum provider_bearer wait_or_refuse(struct provider *p, int64_t min_gap_ms, const char *reason, const char **ret_reason,
                                           void (*fn)(void *arg), void *arg)
{
    return provider_await(p, min_gap_ms, NULL, fn, arg) == GW_OK ? BEARER_PENDING : refuse(ret_reason, reason);
}

/* A signature that holds makes a principal, kept until the token's exp. */
static enum provider_bearer accept(struct provider *p, const uint8_t digest[DIGEST_BYTES], struct pack_val claims,
                                   struct principal **ret_who, const char **ret_reason)
{
    struct principal *who;
    meter_inc(METER_BEARER_VERIFIED);
    if (principal_new(claims, PRINCIPAL_BEARER, p->is_repogate_requested, &who) != GW_OK)
        return refuse(ret_reason, "claims are unfit");
    if (epoch_now_s() < principal_exp_s(who))
        tokencache_put(p->cache, digest, who);
    *ret_who = who;
    return BEARER_VALID;
}

enum provider_bearer provider_check_bearer(struct provider *p, struct view token, struct principal **ret_who,
                                           const char **ret_reason, void (*fn)(void *arg), void *arg)
{
    uint8_t digest[DIGEST_BYTES];
    struct pack_val claims;
    if (token.n == 0 || token.n > VERIFIER_TOKEN_MAX)
        return refuse(ret_reason, token.n == 0 ? "no token" : "token too long");
    if (digest_sha256(token, digest) != GW_OK)
        return refuse(ret_reason, "no digest");
    struct principal *known = tokencache_find(p->cache, digest, epoch_now_s());
    if (known != NULL) {
        *ret_who = principal_ref(known);
        return BEARER_VALID;
    }
    if (!provider_is_ready(p))
        return wait_or_refuse(p, PROVIDER_ATTEMPT_MIN_MS, "identity provider is not ready", ret_reason, fn, arg);
    provider_renew_secret(p);
    switch (verifier_check(p->verifier, p->keys, token, VERIFIER_ACCESS_TOKEN, VIEW_NONE, &claims, ret_reason)) {
    case GW_OK:
        return accept(p, digest, claims, ret_who, ret_reason);
    case GW_E_NOTFOUND:
        return wait_or_refuse(p, PROVIDER_KEYS_MIN_MS, *ret_reason, ret_reason, fn, arg);
    default:
        return BEARER_REFUSED;
    }
}
