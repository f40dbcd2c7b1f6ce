/* ring: lines on their way to the log, in a file that is mapped into memory: what ring_put() took survives this process, though no
 * system call was made for it.
 *
 * Shape: whole lines in, whole lines out, in order. Positions count bytes since the file was made. Room in the log is counted here too: ring_put() takes no line for which none was granted, so that a full disk is known before
 * anyone is answered.
 * The file is filled when it is made, so that writing to it later can find no full disk; whoever cuts it short while we run ends the
 * process (SIGBUS).
 * After the machine stopped, pages of different age may be in it: lines that don't follow from each other are dropped at the start.
 * Owns: the file and its lock. Threads: one that puts (or a lock around it) and one that takes; ring_grant() belongs to the latter.
 * Source: DESIGN 7. */
#pragma once

#include "util/view.h"

enum {
    RING_BYTES = 4 * 1024 * 1024, /* less where the disk has little room, but at least RING_LEAST_BYTES */
    RING_LEAST_BYTES = 64 * 1024,
};

struct ring;

/* GW_E_IO: errno says why, EWOULDBLOCK if another process holds it, EINVAL if the file is no ring. */
enum gw_err ring_open(const char *path, struct ring **ret_ring) GW_MUST_CHECK;
/* What was not taken stays for the next start. */
void ring_close(struct ring *r);

/* False: no room here, or none granted in the log. */
bool ring_put(struct ring *r, struct view line);

/* --- for the one that takes --- */

/* All lines that wait, in one piece; borrowed until they are taken. */
struct view ring_peek(const struct ring *r);
void ring_take(struct ring *r, size_t n);
/* From now on n bytes beyond what was taken fit into the log. SIZE_MAX: it cannot be known. */
void ring_grant(struct ring *r, size_t n);
/* What is left of the grant: beyond what waits. */
size_t ring_granted(const struct ring *r);
