/* version: `repogate version` prints the program's version and those of the libraries that really are linked.
 *
 * Each library is known to one file behind its fence, which tells its version; main, which may know all of them, hands the
 * list in before it calls cli_version(). */
#pragma once

#include <stddef.h>

struct cli_library {
    const char *(*version)(void); /* "libcurl 7.88.1" */
};

/* libraries: borrowed for good. */
void cli_version_set_libraries(const struct cli_library *libraries, size_t n_libraries);
int cli_version(int argc, char **argv);
