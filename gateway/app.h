/* app: makes every object in order, runs until told to stop, frees in reverse.
 *
 * Exit codes: 0 stopped as asked, 2 the configuration is wrong, 3 something it needs could not be had. Threads: main only. */
#pragma once

/* `repogate serve`: returns the exit code. */
int app_serve(const char *config_path);
