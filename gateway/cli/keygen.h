/* keygen: `repogate keygen session` makes the keys that seal sessions; one kind is built. */
#pragma once

int cli_keygen(int argc, char **argv);
