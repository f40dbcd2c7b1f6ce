#include "http/basic.h"

#include "util/b64url.h"
#include "util/secret.h"

static size_t count_padding(struct view v)
{
    size_t n = 0;
    while (n < 2 && n < v.n && v.p[v.n - 1 - n] == '=')
        n++;
    return n;
}

/* The alphabet of base64 in that of base64url, for the one strict decoder that we have. */
static enum gw_err translate(struct view from, char *to)
{
    for (size_t i = 0; i < from.n; i++) {
        if (from.p[i] == '-' || from.p[i] == '_')
            return GW_E_INVALID;
        to[i] = from.p[i] == '+' ? '-' : from.p[i] == '/' ? '_' : from.p[i];
    }
    return GW_OK;
}

static bool has_control(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] < 0x20 || v.p[i] == 0x7f)
            return true;
    return false;
}

enum gw_err basic_parse(struct view credentials, uint8_t block[BASIC_MAX_BYTES], struct basic *ret_basic)
{
    char text[BASIC_MAX_BYTES / 3 * 4];
    size_t n;
    if (credentials.n == 0 || credentials.n % 4 != 0)
        return GW_E_INVALID;
    struct view digits = view_at(credentials.p, credentials.n - count_padding(credentials));
    if (digits.n > sizeof(text))
        return GW_E_LIMIT;
    enum gw_err err = translate(digits, text);
    if (err == GW_OK)
        err = b64url_decode(view_at(text, digits.n), block, BASIC_MAX_BYTES, &n);
    secret_wipe(text, sizeof(text));
    if (err != GW_OK)
        return err;
    struct view password = view_at((const char *)block, n);
    if (has_control(password) || view_index(password, ':') == n)
        return GW_E_INVALID;
    struct view username = view_split(&password, ':');
    *ret_basic = (struct basic){username, password};
    return GW_OK;
}
