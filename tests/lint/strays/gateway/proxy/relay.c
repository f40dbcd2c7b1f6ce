#include <microhttpd.h>
#include <util/other.h>
/* so that nobody sees it */ #include "handlers/reply.h"
#\
include "server/listener.h"
#include NAME
%:include "app.h"
