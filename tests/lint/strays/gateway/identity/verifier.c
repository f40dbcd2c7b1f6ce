#include <openssl/evp.h>
#include <jwt.h>
#include <curl/multi.h>
