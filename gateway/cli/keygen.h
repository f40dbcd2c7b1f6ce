/* keygen: `repogate keygen session|assertion` makes the keys that seal sessions, and those that sign assertions. */
#pragma once

int cli_keygen(int argc, char **argv);
