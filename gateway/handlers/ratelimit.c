#include "handlers/ratelimit.h"

#include "handlers/identify.h"
#include "handlers/recorder.h"
#include "handlers/reply.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"

static void refuse(struct exchange *x, const struct throttle_refusal *r)
{
    struct buf wait = BUF(32);
    buf_put_i64(&wait, r->retry_after_s);
    meter_inc(METER_LOGIN_LIMITED);
    /* One line for each row of refusals: a flood of them is no reason to flood the log. */
    if (r->is_first) {
        char ip[IPADDR_TEXT_MAX + 1];
        recorder_format_client(x, ip);
        log_event(LOG_WARN, "logins from one address are limited", LOG_KV("ip", view_of(ip)));
        recorder_event(x, &(struct recorder_event){.type = "login", .outcome = "failed", .reason = "rate_limited"});
    }
    response_put(&x->response, "Retry-After", arena_copy(&x->arena, buf_view(&wait)));
    buf_deinit(&wait);
    reply_problem(
        x, &(struct reply_problem){
               .status = 429,
               .reason = "rate_limited",
               .title = "Too many logins",
               .text = "Too many logins were begun from your network address within a minute. Wait a moment, then try again.",
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
