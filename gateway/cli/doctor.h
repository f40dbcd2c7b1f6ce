/* doctor: `repogate doctor` asks a deployed front door, from outside, what only a forger would ask, and says whether it is open.
 *
 * One row per check: safe; open, with the request that went through and the lines to change; or cannot tell. What is sent: doctorchecks; how
 * answers are judged: doctorjudge; what the far side tells: handlers/echo. */
#pragma once

int cli_doctor(int argc, char **argv);
