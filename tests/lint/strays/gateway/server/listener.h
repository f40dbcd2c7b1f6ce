#pragma once
#include <microhttpd.h>
#include "app.h"
