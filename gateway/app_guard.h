/* app_guard: `repogate guard`: makes the front inside a workspace, runs it on one loop until it is told to stop, frees it. */
#pragma once

/* Returns the exit code. */
int app_guard(int argc, char **argv);
