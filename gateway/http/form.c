#include "http/form.h"

#include "http/request.h"

/* In place: what is written never overtakes what is read. */
static enum gw_err decode(struct view raw, char *out, struct view *ret_text)
{
    size_t n;
    for (size_t i = 0; i < raw.n; i++)
        out[i] = raw.p[i] == '+' ? ' ' : raw.p[i];
    enum gw_err err = uri_decode(view_at(out, raw.n), out, raw.n, &n);
    if (err == GW_OK)
        *ret_text = view_at(out, n);
    return err;
}

/* Every pair is decoded, so that the broken one is seen wherever it stands, and names are compared decoded: `%72d` is `rd`. */
enum form_found form_get(struct view text, struct view name, struct arena *a, struct view *ret_value)
{
    char scratch[REQUEST_FORM_MAX_BYTES];
    struct view found = VIEW_NONE, decoded;
    size_t n_found = 0;
    if (text.n > sizeof(scratch))
        return FORM_INVALID;
    while (text.p != NULL) {
        struct view raw_value = view_split(&text, '&'), raw_name = view_split(&raw_value, '=');
        if (decode(raw_name, scratch, &decoded) != GW_OK)
            return FORM_INVALID;
        bool is_wanted = raw_name.n > 0 && view_eq(decoded, name);
        if (decode(raw_value, scratch, &decoded) != GW_OK)
            return FORM_INVALID;
        if (is_wanted && n_found++ == 0 && (found = arena_copy(a, decoded)).p == NULL)
            return FORM_INVALID;
    }
    if (n_found == 1)
        *ret_value = found;
    return n_found == 0 ? FORM_ABSENT : n_found == 1 ? FORM_ONE : FORM_REPEATED;
}

void form_put(struct buf *out, struct view name, struct view value)
{
    if (out->n > 0 && out->p[out->n - 1] != '?')
        buf_put_byte(out, '&');
    buf_put_percent(out, name);
    buf_put_byte(out, '=');
    buf_put_percent(out, value);
}
