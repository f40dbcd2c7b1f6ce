#pragma once
#include "util/other.h"
#include <stdint.h>
#include <net/if.h>
