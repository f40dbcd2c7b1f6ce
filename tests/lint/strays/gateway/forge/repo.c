#include "forge/repo.h"
#include "forge/visibility.h"
