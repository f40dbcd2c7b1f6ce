#pragma once
#include "pages/page.h"
#include "policy/input.h"
