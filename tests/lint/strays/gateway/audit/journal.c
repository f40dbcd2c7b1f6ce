#include "policy/input.h"
#include "util/digest.c"
#include <lauxlib.h>
