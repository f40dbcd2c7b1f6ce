#include "handlers/ratelimit.h"

#include "handlers/identify.h"
#include "handlers/recorder.h"
#include "handlers/reply.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"

void ratelimit_put_retry(struct exchange *x, int64_t retry_s)
{
    struct buf wait = BUF(32);
    buf_put_i64(&wait, retry_s);
    response_put(&x->response, "Retry-After", arena_copy(&x->arena, buf_view(&wait)));
    buf_deinit(&wait);
}

static void refuse(struct exchange *x, const struct throttle_refusal *r)
{
    meter_inc(METER_LOGIN_LIMITED);
    /* One line for each row of refusals: a flood of them is no reason to flood the log. */
    if (r->is_first) {
        char ip[IPADDR_TEXT_MAX + 1];
        recorder_format_client(x, ip);
        log_event(LOG_WARN, "logins from one address are limited", LOG_KV("ip", view_of(ip)));
        recorder_event(x, &(struct recorder_event){.type = "login", .outcome = "failed", .reason = "rate_limited"});
    }
    ratelimit_put_retry(x, r->retry_after_s);
    reply_problem(x, &(struct reply_problem){
                         .status = 429,
                         .reason = "rate_limited",
                         .title = text_of(TEXT_TOO_MANY_LOGINS),
                         .text = text_of(TEXT_TOO_MANY_LOGINS_HERE),
                         .retry_href = "/",
                     });
}

bool ratelimit_admits(struct exchange *x, enum ratelimit_thing thing)
{
    struct ipaddr client = identify_client(x);
    struct throttle_refusal refusal;
    if (throttle_take(x->core->gateway->login_throttle, (uint8_t)thing, &client, epoch_mono_us(), &refusal))
        return true;
    refuse(x, &refusal);
    return false;
}

/* An issuer is a URL and has no NUL. */
bool ratelimit_admits_person(struct exchange *x, const struct principal *who, int64_t *ret_retry_s)
{
    const struct view parts[] = {principal_iss(who), view_at("", 1), principal_sub(who)};
    struct view name = arena_join(&x->arena, parts, 3);
    struct throttle_refusal refusal;
    if (name.p == NULL || throttle_take_name(x->core->gateway->login_throttle, RATELIMIT_PERSON, name, epoch_mono_us(), &refusal))
        return true;
    meter_inc(METER_LOGIN_LIMITED);
    *ret_retry_s = refusal.retry_after_s;
    return false;
}

bool ratelimit_admits_nobody(struct exchange *x, const struct ipaddr *client, int64_t *ret_retry_s)
{
    struct throttle_refusal refusal;
    if (client->family == 0 || throttle_take(x->core->gateway->nobody_throttle, 0, client, epoch_mono_us(), &refusal))
        return true;
    if (refusal.is_first) {
        char ip[IPADDR_TEXT_MAX + 1];
        ipaddr_format(client, ip);
        log_event(LOG_WARN, "requests without a login from one address are limited", LOG_KV("ip", view_of(ip)));
    }
    *ret_retry_s = refusal.retry_after_s;
    return false;
}
