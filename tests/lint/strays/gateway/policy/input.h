#pragma once
#include "forge/visibility.h"
#include "identity/principal.h"
#include <lua.h>
