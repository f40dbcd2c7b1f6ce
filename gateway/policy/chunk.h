/* chunk: takes one file through compile, lint and run in a sandbox.
 *
 * All findings of one step are reported; a file that fails one step is not taken to the next.
 * Threads: as the state. */
#pragma once

#include "policy/sandbox.h"
#include "policy/source.h"

/* names: NULL-terminated, the globals that this kind of file may use. */
void chunk_run(struct sandbox *sb, const struct source_file *file, const char *const *names, struct source_findings *findings);
