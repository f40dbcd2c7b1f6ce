#include "identity/provider_state.h"

#include "util/epoch.h"

static enum provider_check refuse(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return PROVIDER_CHECK_REFUSED;
}

/* Whoever sent it must try again if it is us who cannot tell. */
static enum provider_check wait_for(struct provider *p, int64_t min_gap_ms, void (*fn)(void *arg), void *arg)
{
    switch (provider_await(p, min_gap_ms, NULL, fn, arg)) {
    case GW_OK:
        return PROVIDER_CHECK_PENDING;
    case GW_E_NOTFOUND: /* the keys were read a moment ago */
        return PROVIDER_CHECK_REFUSED;
    default:
        return PROVIDER_CHECK_UNAVAILABLE;
    }
}

enum provider_check provider_check_logout(struct provider *p, struct view token, struct provider_logout *ret_logout,
                                          const char **ret_reason, void (*fn)(void *arg), void *arg)
{
    struct pack_val claims;
    if (token.n == 0 || token.n > VERIFIER_TOKEN_MAX)
        return refuse(ret_reason, token.n == 0 ? "no token" : "token too long");
    *ret_reason = "identity provider is not ready";
    if (!provider_is_ready(p)) {
        enum provider_check waiting = wait_for(p, PROVIDER_ATTEMPT_MIN_MS, fn, arg);
        return waiting == PROVIDER_CHECK_REFUSED ? PROVIDER_CHECK_UNAVAILABLE : waiting;
    }
    provider_renew_secret(p);
    switch (verifier_check(p->verifier, p->keys, token, VERIFIER_LOGOUT_TOKEN, VIEW_NONE, &claims, ret_reason)) {
    case GW_OK:
        break;
    case GW_E_NOTFOUND:
        return wait_for(p, PROVIDER_KEYS_MIN_MS, fn, arg);
    case GW_E_NOMEM:
        return PROVIDER_CHECK_UNAVAILABLE;
    default:
        return PROVIDER_CHECK_REFUSED;
    }
    *ret_logout = (struct provider_logout){
        .iss = p->issuer,
        .sid = pack_string(pack_find(claims, VIEW("sid"))),
        .sub = pack_string(pack_find(claims, VIEW("sub"))),
        .jti = pack_string(pack_find(claims, VIEW("jti"))),
        .issued_s = pack_int(pack_find(claims, VIEW("iat"))),
        .expires_s = pack_int(pack_find(claims, VIEW("exp"))),
    };
    if (ret_logout->expires_s == 0)
        ret_logout->expires_s = ret_logout->issued_s + VERIFIER_LOGOUT_AGE_S;
    return PROVIDER_CHECK_VALID;
}
