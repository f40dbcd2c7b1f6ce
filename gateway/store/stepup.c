#include "store/stepup.h"

static bool is_fresh(const struct stepup_login *login, int64_t max_age_s, int64_t at_s)
{
    return login->auth_time_s > 0 && login->auth_time_s <= at_s + STEPUP_SKEW_S && at_s - login->auth_time_s <= max_age_s;
}

bool stepup_is_met(const struct stepup *need, const struct stepup_login *login, int64_t now_s)
{
    return (!need->mfa || login->has_mfa) && (need->max_age_s == 0 || is_fresh(login, need->max_age_s, now_s));
}

void stepup_add(struct stepup *s, const struct stepup *other)
{
    s->mfa = s->mfa || other->mfa;
    if (s->max_age_s == 0 || (other->max_age_s != 0 && other->max_age_s < s->max_age_s))
        s->max_age_s = other->max_age_s;
}

bool stepup_is_hopeless(const struct stepup *need, const struct stepup *asked, const struct stepup_login *login, int64_t made_s,
                        int64_t now_s)
{
    bool may_bring_mfa = need->mfa && !login->has_mfa && !asked->mfa;
    bool was_asked_age = asked->max_age_s != 0 && asked->max_age_s <= need->max_age_s;
    bool may_bring_age = need->max_age_s != 0 && !is_fresh(login, need->max_age_s, now_s) &&
                         (!was_asked_age || is_fresh(login, need->max_age_s, made_s));
    return !stepup_is_met(need, login, now_s) && !may_bring_mfa && !may_bring_age;
}
