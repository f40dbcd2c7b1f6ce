#include "policy/input.h"

const char *action_name(enum action a)
{
    switch (a) {
    case ACTION_OPEN:
        return "open";
    case ACTION_CREATE:
        return "create";
    case ACTION_CONNECT:
        return "connect";
    }
    return "create";
}
