/* epoch: tells the time, or a fixed time in tests. Threads: any; fixing is for tests with one thread. */
#pragma once

#include <stdint.h>

int64_t epoch_now_s(void);   /* seconds since 1970 */
int64_t epoch_now_ms(void);  /* milliseconds since 1970 */
int64_t epoch_mono_us(void); /* monotonic microseconds; never fixed */
/* Milliseconds since 1970 for tests; a negative value gives the real clock back. */
void epoch_fix_ms(int64_t ms);

enum { EPOCH_RFC3339_LEN = 24 };
/* 2026-01-02T03:04:05.678Z with NUL (RFC 3339). */
void epoch_format(int64_t ms, char out[EPOCH_RFC3339_LEN + 1]);
