/* drain: takes lines at the speed of memory and brings them to the log with a thread of its own, many at a time.
 *
 * What drain_put() took survives this process: it lies in the ring (`<path>.ring`) until the log has it, at most about DRAIN_NAP_MS while
 * lines keep coming, at once if they don't. A start brings to the log what a kill left in the ring.
 * Room in the log is reserved before a line is taken. If the log fails all the same, the lines taken stay in the ring, no more are taken,
 * and it is tried again every DRAIN_RETRY_MS.
 * A kill between writing lines and noting that they are written, followed by a rotation before the next start, leaves these
 * lines in both files; their sequence numbers tell.
 * Threads: drain_put() by one at a time; the others by any. */
#pragma once

#include "util/view.h"

enum {
    DRAIN_NAP_MS = 8, /* between two writes under load, so that each is large */
    DRAIN_RETRY_MS = 200,
    DRAIN_WAIT_MS = 100, /* drain_put() waits for a log that is slow, once; while that lasts the next don't */
    DRAIN_FLUSH_MS = 5000,
};

struct drain;

/* GW_E_IO: errno says why, as for logfile_open() and ring_open(). */
enum gw_err drain_start(const char *path, struct drain **ret_drain) GW_MUST_CHECK;
/* The log gets what it can take; the rest waits for the next start. */
void drain_stop(struct drain *d);
/* A whole line. False: not taken. */
bool drain_put(struct drain *d, struct view line);
/* Waits until the log has what was put before. GW_E_IO: it fails. GW_E_TIMEOUT. */
enum gw_err drain_flush(struct drain *d) GW_MUST_CHECK;
/* After rotation, what was put before is in the old file. GW_E_IO: errno says why; the old file stays in use. */
enum gw_err drain_reopen(struct drain *d) GW_MUST_CHECK;
/* The next line would be taken. */
bool drain_is_healthy(const struct drain *d);
