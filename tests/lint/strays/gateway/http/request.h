#pragma once
#include "util/other.h"
