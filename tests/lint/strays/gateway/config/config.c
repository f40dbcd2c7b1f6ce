#include <cyaml/cyaml.h>
#include <yaml.h>
#include "net/fetch.h"
