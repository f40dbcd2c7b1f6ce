/* policy: `repogate policy test [DIR] [--json]` runs the tests of a policy directory; the other subcommands of DESIGN 2 are not
 * built yet and say so. argv[0] is "policy". Needs no gateway and no network. */
#pragma once

int cli_policy(int argc, char **argv);
