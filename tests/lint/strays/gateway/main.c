#include "app.h"
#include "util/other.h"
