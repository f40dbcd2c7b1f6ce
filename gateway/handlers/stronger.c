#include "handlers/stronger.h"

enum { TEXT_MAX = 512 };

int64_t stronger_pack(const struct stronger *s)
{
    if (stepup_is_none(&s->what))
        return 0;
    return session_need_pack((struct session_need){
        .max_auth_age_s = s->what.max_age_s == 0 ? -1 : s->what.max_age_s, .mfa = s->what.mfa, .is_asked = s->is_asked});
}

struct stronger stronger_unpack(int64_t need)
{
    struct session_need n = session_need_unpack(need);
    return (struct stronger){{n.max_auth_age_s < 0 ? 0 : n.max_auth_age_s, n.mfa}, n.is_asked};
}

enum stronger_answer stronger_judge(const struct stepup *what, const struct principal *who, const struct session *s,
                                    int64_t now_s, int64_t *ret_need)
{
    static const struct stepup nothing = {0};
    struct stepup_login login = {principal_auth_time_s(who), principal_has_mfa(who)};
    struct stronger known = stronger_unpack(session_get_need(s)), wanted = {.what = *what};
    if (stepup_is_hopeless(what, known.is_asked ? &known.what : &nothing, &login, session_created_s(s), now_s))
        return STRONGER_HOPELESS;
    /* Nothing is forgotten: two repositories with different demands would otherwise take turns. */
    stepup_add(&wanted.what, &known.what);
    *ret_need = stronger_pack(&wanted);
    return *ret_need == session_get_need(s) ? STRONGER_ASK : STRONGER_REMEMBER;
}

/* ---- words ---- */

static const struct {
    int64_t s;
    const char *one, *many;
} units[] = {{86400, "day", "days"}, {3600, "hour", "hours"}, {60, "minute", "minutes"}, {1, "second", "seconds"}};
enum { N_UNITS = sizeof(units) / sizeof(units[0]) };

static void put_duration(struct buf *out, int64_t s)
{
    size_t i = 0;
    while (i < N_UNITS - 1 && s % units[i].s != 0)
        i++;
    buf_put_i64(out, s / units[i].s);
    buf_put_byte(out, ' ');
    buf_put(out, view_of(s == units[i].s ? units[i].one : units[i].many));
}

/* As people say it: 7321 seconds are 2 hours. */
static int64_t round_down(int64_t s)
{
    for (size_t i = 0; i < N_UNITS; i++)
        if (s >= 2 * units[i].s)
            return s - s % units[i].s;
    return s;
}

static void put_demand(struct buf *out, const struct stepup *what)
{
    buf_puts(out, "This needs a login ");
    if (what->max_age_s != 0) {
        buf_puts(out, "that is at most ");
        put_duration(out, what->max_age_s);
        buf_put(out, what->mfa ? VIEW(" old, ") : VIEW(" old"));
    }
    buf_put(out, what->mfa ? VIEW("with a second factor.") : VIEW("."));
}

static struct view finish(struct buf *out, struct arena *a)
{
    struct view text = buf_ok(out) ? arena_copy(a, buf_view(out)) : VIEW_NONE;
    buf_deinit(out);
    return text;
}

struct view stronger_explain(const struct stepup *what, struct arena *a)
{
    struct buf out = BUF(TEXT_MAX);
    put_demand(&out, what);
    return finish(&out, a);
}

struct view stronger_explain_failure(const struct stepup *what, const struct principal *who, int64_t now_s, struct arena *a)
{
    struct buf out = BUF(TEXT_MAX);
    struct stepup age = {.max_age_s = what->max_age_s};
    struct stepup_login login = {principal_auth_time_s(who), principal_has_mfa(who)};
    put_demand(&out, what);
    buf_puts(&out, " You were asked to log in again for it, but");
    if (what->mfa && !login.has_mfa)
        buf_puts(&out, " the identity provider does not confirm a second factor.");
    else if (stepup_is_met(&age, &login, now_s))
        buf_puts(&out, " it is still not met."); /* by the time that this is read it may be */
    else if (login.auth_time_s == 0)
        buf_puts(&out, " the identity provider does not say when you did.");
    else if (login.auth_time_s > now_s)
        buf_puts(&out, " the identity provider dates it in the future.");
    else {
        buf_puts(&out, " by the identity provider's word you did so ");
        put_duration(&out, round_down(now_s - login.auth_time_s));
        buf_puts(&out, " ago.");
    }
    return finish(&out, a);
}
