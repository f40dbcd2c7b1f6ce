#pragma once
#include "forge/repo.h"
#include "net/fetch.h"
