/* logfile: the audit log as a file that only we write.
 *
 * Shape: whole lines are appended. What a full disk cut short is taken back, and where even that fails the next line starts with a line
 * break, so that half a line never swallows a whole one. Room is reserved on the disk ahead of the lines, beyond the end of the file; what is
 * left over is given back when the file is closed. After a kill it stays until the next start uses it.
 * Errors: GW_E_IO, errno says why.
 * Owns: the descriptor and the file's lock. Threads: one at a time. */
#pragma once

#include "util/view.h"

#include <stddef.h>

struct logfile {
    int fd;       /* -1: none */
    bool is_torn; /* it ends in half a line */
};

/* Made with mode 0640. EWOULDBLOCK if another process holds it, EINVAL if it is no plain file. */
enum gw_err logfile_open(const char *path, struct logfile *ret_file) GW_MUST_CHECK;
/* Opens the path anew, where it was replaced; keeps the old file if that fails. */
enum gw_err logfile_reopen(struct logfile *f, const char *path) GW_MUST_CHECK;
void logfile_close(struct logfile *f);

/* Makes room for n bytes, or for as many as there is, and says for how many: within the process's limit too (RLIMIT_FSIZE). SIZE_MAX if
 * this file system cannot reserve. 0: full, errno says why. */
size_t logfile_reserve(struct logfile *f, size_t n);
/* Appends whole lines. Returns how many bytes of them were; fewer than lines.n: errno says why. */
size_t logfile_append(struct logfile *f, struct view lines);
/* Lines that may be in the log already, after a kill: returns how many bytes of them are, and removes half of the next one. */
size_t logfile_find_end(struct logfile *f, struct view lines);
