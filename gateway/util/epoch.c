#include "util/epoch.h"

#include <time.h>

static int64_t fixed_ms = -1;

int64_t epoch_now_ms(void)
{
    struct timespec ts;
    if (fixed_ms >= 0)
        return fixed_ms;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t epoch_now_s(void)
{
    return epoch_now_ms() / 1000;
}

int64_t epoch_mono_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void epoch_fix_ms(int64_t ms)
{
    fixed_ms = ms;
}

static void put_digits(char *p, int n, int64_t v)
{
    while (n-- > 0) {
        p[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

void epoch_format(int64_t ms, char out[EPOCH_RFC3339_LEN + 1])
{
    static _Thread_local int64_t known_day = -1;
    static _Thread_local char known_date[] = "0000-00-00T";
    int64_t day = ms / 86400000, of_day = ms % 86400000;

    if (day != known_day) {
        time_t t = (time_t)(day * 86400);
        struct tm tm;
        gmtime_r(&t, &tm);
        put_digits(known_date, 4, tm.tm_year + 1900);
        put_digits(known_date + 5, 2, tm.tm_mon + 1);
        put_digits(known_date + 8, 2, tm.tm_mday);
        known_day = day;
    }
    for (int i = 0; i < 11; i++)
        out[i] = known_date[i];
    put_digits(out + 11, 2, of_day / 3600000);
    out[13] = ':';
    put_digits(out + 14, 2, of_day / 60000 % 60);
    out[16] = ':';
    put_digits(out + 17, 2, of_day / 1000 % 60);
    out[19] = '.';
    put_digits(out + 20, 3, of_day % 1000);
    out[23] = 'Z';
    out[24] = '\0';
}
