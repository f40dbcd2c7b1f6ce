#pragma once
#include "cellar/wine.h"
#include "server/listener.h"
