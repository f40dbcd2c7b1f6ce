#include "config/confvalue.h"

#include <stdio.h>

enum gw_err confvalue_parse_bool(struct view text, bool *ret_value)
{
    if (!view_eq(text, VIEW("true")) && !view_eq(text, VIEW("false")))
        return GW_E_INVALID;
    *ret_value = text.p[0] == 't';
    return GW_OK;
}

static int64_t unit_seconds(char unit)
{
    return unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : unit == 'd' ? 86400 : 0;
}

enum gw_err confvalue_parse_duration(struct view text, int64_t *ret_s)
{
    uint64_t n;

    if (text.n < 2 || unit_seconds(text.p[text.n - 1]) == 0)
        return GW_E_INVALID;
    if (view_to_u64(view_at(text.p, text.n - 1), &n) != GW_OK || n == 0)
        return GW_E_INVALID;
    int64_t unit_s = unit_seconds(text.p[text.n - 1]);
    if (n > (uint64_t)(CONFVALUE_DURATION_MAX_S / unit_s))
        return GW_E_INVALID;
    *ret_s = (int64_t)n * unit_s;
    return GW_OK;
}

static enum gw_err parse_port(struct view text, uint16_t *ret_port)
{
    uint64_t n;

    if (text.n == 0 || text.n > 5 || (text.n > 1 && text.p[0] == '0') || view_to_u64(text, &n) != GW_OK || n > UINT16_MAX)
        return GW_E_INVALID;
    *ret_port = (uint16_t)n;
    return GW_OK;
}

enum gw_err confvalue_parse_address(struct view text, char host[IPADDR_TEXT_MAX + 1], uint16_t *ret_port)
{
    struct view address, port = text;
    struct ipaddr parsed = {0};
    uint16_t n;

    bool is_v6 = text.n > 0 && text.p[0] == '[';
    if (is_v6) {
        port = view_skip(text, 1);
        address = view_split(&port, ']');
        if (port.n == 0 || port.p[0] != ':')
            return GW_E_INVALID;
        port = view_skip(port, 1);
    } else {
        address = view_split(&port, ':');
    }
    if (parse_port(port, &n) != GW_OK)
        return GW_E_INVALID;
    if ((is_v6 || address.n > 0) && ipaddr_parse(address, &parsed) != GW_OK)
        return GW_E_INVALID;
    if (is_v6 && view_index(address, ':') == address.n)
        return GW_E_INVALID;
    ipaddr_format(&parsed, host);
    *ret_port = n;
    return GW_OK;
}

bool confvalue_is_host(struct view text)
{
    char url[300];
    struct uri uri;

    if (text.n == 0 || text.n > 255)
        return false;
    int n = snprintf(url, sizeof(url), "http://%.*s/", VIEW_FMT(text));
    /* The authority is the whole text only if nothing in it ended it. */
    return n > 0 && uri_parse(view_at(url, (size_t)n), &uri) == GW_OK && view_eq(uri.authority, text) && uri.path.n == 1;
}

/* A placeholder at the start of rest, or empty. */
static struct view placeholder_at(struct view rest)
{
    static const char *const known[] = {"{forge}", "{owner}", "{name}", "{user}", "{id}"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (view_starts(rest, view_of(known[i])))
            return view_of(known[i]);
    return VIEW_NONE;
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* Copies text with its placeholders made into plain words; a reason if one stands where it must not. */
static const char *fill_placeholders(struct view text, size_t authority_end, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n;) {
        struct view rest = view_skip(text, i);
        if (rest.p[0] != '{' && rest.p[0] != '}') {
            out[n++] = rest.p[0];
            i++;
            continue;
        }
        struct view p = placeholder_at(rest);
        if (p.n == 0)
            return "unknown placeholder: expected {forge}, {owner}, {name}, {user} or {id}";
        char before = i == 0 ? '\0' : text.p[i - 1], after = i + p.n < text.n ? text.p[i + p.n] : '\0';
        bool is_id = view_eq(p, VIEW("{id}"));
        if (is_id && (i >= authority_end || !is_one_of(before, "/.") || !is_one_of(after, ".")))
            return "{id} must be one whole label of the host, a domain behind it";
        if (!is_id && (i < authority_end || before != '/' || (after != '\0' && after != '/')))
            return "{forge}, {owner}, {name} and {user} must be whole segments of the path";
        out[n++] = 'x';
        i += p.n;
    }
    out[n] = '\0';
    return NULL;
}

const char *confvalue_check_template(struct view text)
{
    static const char scheme[] = "http://";
    char plain[URI_MAX + 1];
    struct uri uri;

    if (view_starts(text, VIEW("https://")))
        return "https to workspaces is not built yet: expected http://";
    if (text.n > URI_MAX || !view_starts(text, view_of(scheme)))
        return "expected an http URL such as http://127.0.0.1:5800";
    struct view authority = view_skip(text, sizeof(scheme) - 1);
    size_t authority_end = sizeof(scheme) - 1 + view_index(authority, '/');
    const char *wrong = fill_placeholders(text, authority_end, plain);
    if (wrong != NULL)
        return wrong;
    if (uri_parse(view_of(plain), &uri) != GW_OK)
        return "expected an http URL such as http://127.0.0.1:5800";
    if (uri.query.p != NULL)
        return "expected a URL without a query";
    return NULL;
}
