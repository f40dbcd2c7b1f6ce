/* stepup: a stronger login than the one that a session came from: what a rule demands, what a login was asked for, and whether
 * asking again can help.
 *
 * Units: max_age_s in seconds since the person last proved who they are (auth_time); 0 = however long ago.
 * Fail closed: an auth_time that is unknown, or further ahead of our clock than STEPUP_SKEW_S, satisfies no max_age_s.
 * Threads: values. Source: OpenID Connect Core 3.1.2.1 (max_age, prompt), 2 (auth_time), RFC 8176 2 (mfa); DESIGN 5. */
#pragma once

#include "util/view.h"

enum { STEPUP_SKEW_S = 60, STEPUP_MAX_AGE_S = 365 * 24 * 3600 };

struct stepup {
    int64_t max_age_s; /* up to STEPUP_MAX_AGE_S */
    bool mfa;
};

/* What is known about a login. */
struct stepup_login {
    int64_t auth_time_s; /* 0 = unknown */
    bool has_mfa;
};

static inline bool stepup_is_none(const struct stepup *s)
{
    return s->max_age_s == 0 && !s->mfa;
}

bool stepup_is_met(const struct stepup *need, const struct stepup_login *login, int64_t now_s);
/* Makes s demand what either does. */
void stepup_add(struct stepup *s, const struct stepup *other);
/* need is unmet, and the login that made the session at made_s was asked for no less and did not bring it: another would not
 * either. What it did bring, and what has lapsed since, is worth asking for again. */
bool stepup_is_hopeless(const struct stepup *need, const struct stepup *asked, const struct stepup_login *login, int64_t made_s,
                        int64_t now_s);
