#pragma once
#include "handlers/reply.h"
