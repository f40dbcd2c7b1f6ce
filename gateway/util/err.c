#include "util/err.h"

const char *gw_err_name(enum gw_err err)
{
    switch (err) {
    case GW_OK:
        return "GW_OK";
    case GW_E_NOMEM:
        return "GW_E_NOMEM";
    case GW_E_INVALID:
        return "GW_E_INVALID";
    case GW_E_EXPIRED:
        return "GW_E_EXPIRED";
    case GW_E_LIMIT:
        return "GW_E_LIMIT";
    case GW_E_NOTFOUND:
        return "GW_E_NOTFOUND";
    case GW_E_TIMEOUT:
        return "GW_E_TIMEOUT";
    case GW_E_UPSTREAM:
        return "GW_E_UPSTREAM";
    case GW_E_POLICY:
        return "GW_E_POLICY";
    case GW_E_IO:
        return "GW_E_IO";
    }
    return "GW_E_?";
}
