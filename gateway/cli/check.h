/* check: `repogate check` looks at everything that would stop a start, without starting: the configuration, key files,
 * policies with their tests, and whether the directories can be written. */
#pragma once

int cli_check(int argc, char **argv);
