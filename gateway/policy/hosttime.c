#include "policy/hosttime.h"

#include <lauxlib.h>

#include "policy/builtins.h"
#include "policy/hostapi.h"

enum { DAY_S = 86400 };

static int64_t seconds_of(lua_State *L, int zone_idx)
{
    struct view zone = builtins_check_string(L, zone_idx, "the time zone");

    if (!view_eq(zone, VIEW("UTC")) && !view_eq(zone, VIEW("Etc/UTC")))
        luaL_error(L, "time zone '%s' is not supported by this version: use \"UTC\"", zone.p);
    return host_input(L)->now_ms < 0 ? 0 : host_input(L)->now_ms / 1000;
}

static bool two_digits(const char *p, int max, int *ret_n)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *ret_n = (p[0] - '0') * 10 + p[1] - '0';
    return *ret_n <= max;
}

static int64_t check_clock(lua_State *L, int idx)
{
    struct view v = builtins_check_string(L, idx, "the time of day");
    int hour = 0, minute = 0;

    if (v.n != 5 || v.p[2] != ':' || !two_digits(v.p, 24, &hour) || !two_digits(v.p + 3, 59, &minute) ||
        (hour == 24 && minute > 0))
        luaL_error(L, "'%s' is no time of day: write \"08:00\"", v.p);
    return hour * 3600 + minute * 60;
}

static int time_between(lua_State *L)
{
    int64_t from, to, at;

    host_self(L, OBJECT_TIME, "q.time", "between");
    from = check_clock(L, 2);
    to = check_clock(L, 3);
    at = seconds_of(L, 4) % DAY_S;
    if (from == to)
        return luaL_error(L, "q.time:between: both ends are the same");
    lua_pushboolean(L, from < to ? at >= from && at < to : at >= from || at < to);
    return 1;
}

static int time_weekday(lua_State *L)
{
    static const char *const days[] = {"thursday", "friday",  "saturday", "sunday",
                                       "monday",   "tuesday", "wednesday"}; /* 1970-01-01 was a Thursday */

    host_self(L, OBJECT_TIME, "q.time", "weekday");
    lua_pushstring(L, days[seconds_of(L, 2) / DAY_S % 7]);
    return 1;
}

static int time_get(lua_State *L, const struct policy_input *in, int field)
{
    (void)field;
    lua_pushinteger(L, in->now_ms / 1000);
    return 1;
}

static const struct host_class time_class = {
    .kind = OBJECT_TIME,
    .label = "q.time",
    .fields = (const char *const[]){"unix", NULL},
    .get = time_get,
    .methods = (const struct host_method[]){{"between", time_between}, {"weekday", time_weekday}, {NULL, NULL}},
};

void hosttime_push(lua_State *L)
{
    host_class_open(L, &time_class);
    lua_pop(L, 1);
    host_object_new(L, &time_class, sizeof(struct object));
}
