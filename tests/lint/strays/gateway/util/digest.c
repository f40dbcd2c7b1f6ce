#include <openssl/evp.h>
#include <jansson.h>
