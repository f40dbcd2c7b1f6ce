/* session: `repogate session list|revoke`, through the admin listener of a running gateway. */
#pragma once

int cli_session(int argc, char **argv);
