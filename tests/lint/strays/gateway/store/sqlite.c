#include <sqlite3.h>
#include "identity/principal.h"
#include "forge/visibility.h"
