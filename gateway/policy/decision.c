#include "policy/decision.h"

#include <stdio.h>

void decision_deny(struct decision *d, const char *reason)
{
    *d = (struct decision){.verdict = VERDICT_DENY};
    snprintf(d->reason, sizeof(d->reason), "%s", reason);
}
