#include <curl/curl.h>
#include "net/fetch.h"
