#include "http/request.h"
#include <openssl/evp.h>
