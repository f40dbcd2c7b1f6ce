/* journal: appends audit lines to the log, chained, and says whether each one is written.
 *
 * Mode `written`: journal_append() returns GW_OK only when the line, whole, survives this process being killed: it lies in memory that
 * belongs to a file (`<path>.ring`), from where a thread brings it to the log, at the latest at the next start. Anything else is GW_E_IO, and the
 * caller must not allow: no line, no allow.
 * Shape: the caller gives one JSON object without its closing brace; the journal adds ,"boot":…,"seq":…,"prev":"…"} and the line break. prev is
 * the SHA-256 of the line before (without its line break), all zeroes at the start of a boot.
 * Room in the log is reserved before a line is taken; a refused line's sequence number is used again. Standard output takes each line at
 * once; a pipe takes nothing back: there the rest of the line is written before the next one, and that one record is in the log though refused.
 * Owns: the files. Threads: any; one short lock orders the chain.
 * The process must ignore SIGPIPE, and SIGXFSZ where file sizes are limited. */
#pragma once

#include "util/buf.h"

enum { JOURNAL_LINE_MAX = 16 * 1024, JOURNAL_TAIL_MAX = 256 };

struct journal;

/* path: created with mode 0640; "-" is standard output (made non-blocking). GW_E_IO: errno says why, EWOULDBLOCK if another process holds the
 * log, EINVAL if it is no plain file. A file whose last line was cut off (the machine stopped) keeps it and gets a line break. */
enum gw_err journal_open(const char *path, struct journal **ret_journal) GW_MUST_CHECK;
void journal_close(struct journal *j);
/* After logrotate: opens the path anew; keeps the old descriptor if that fails. */
enum gw_err journal_reopen(struct journal *j) GW_MUST_CHECK;
/* Waits, bounded, until the log has all that was appended before. */
enum gw_err journal_flush(struct journal *j) GW_MUST_CHECK;
/* body is used up: the tail is appended to it. */
enum gw_err journal_append(struct journal *j, struct buf *body) GW_MUST_CHECK;
/* The next line would be taken, as far as can be told. */
bool journal_is_healthy(const struct journal *j);
