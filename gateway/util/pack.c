#include "util/pack.h"

#include "util/cleanup.h"
#include "util/packcode.h"

#include <jansson.h>

static size_t get_varint(const uint8_t **p)
{
    size_t n = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t b = *(*p)++;
        n |= (size_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return n;
    }
}

static void put_counted(struct buf *out, enum pack_type tag, size_t count, struct view payload)
{
    packcode_put_head(out, tag, count, payload.n);
    buf_put(out, payload);
}

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

static enum gw_err put_value(const json_t *v, unsigned depth, struct buf *out);

static enum gw_err put_list(const json_t *v, unsigned depth, struct buf *out)
{
    GW_CLEANUP(buf_deinitp) struct buf payload = BUF(PACK_BYTES_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        enum gw_err err = put_value(json_array_get(v, i), depth + 1, &payload);
        if (err != GW_OK)
            return err;
    }
    if (!buf_ok(&payload))
        return GW_E_LIMIT;
    put_counted(out, PACK_LIST, json_array_size(v), buf_view(&payload));
    return GW_OK;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum gw_err put_members(const json_t *v, const char **keys, unsigned depth, struct buf *payload)
{
    size_t n = 0;
    const char *key;
    json_t *member, *object = json_incref((json_t *)(uintptr_t)v);
    json_object_foreach (object, key, member)
        keys[n++] = key;
    json_decref(object);
    if (n > 0)
        qsort(keys, n, sizeof(*keys), compare_keys);
    for (size_t i = 0; i < n; i++) {
        packcode_put_varint(payload, strlen(keys[i]));
        buf_put(payload, view_of(keys[i]));
        enum gw_err err = put_value(json_object_get(v, keys[i]), depth + 1, payload);
        if (err != GW_OK)
            return err;
    }
    return buf_ok(payload) ? GW_OK : GW_E_LIMIT;
}

static enum gw_err put_map(const json_t *v, unsigned depth, struct buf *out)
{
    GW_CLEANUP(buf_deinitp) struct buf payload = BUF(PACK_BYTES_MAX);
    size_t n = json_object_size(v);
    GW_CLEANUP(gw_freep) const char **keys = calloc(n + 1, sizeof(*keys));
    if (keys == NULL)
        return GW_E_NOMEM;
    enum gw_err err = put_members(v, keys, depth, &payload);
    if (err == GW_OK)
        put_counted(out, PACK_MAP, n, buf_view(&payload));
    return err;
}

static enum gw_err put_value(const json_t *v, unsigned depth, struct buf *out)
{
    if (depth > PACK_DEPTH_MAX)
        return GW_E_LIMIT;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return put_map(v, depth, out);
    case JSON_ARRAY:
        return put_list(v, depth, out);
    case JSON_STRING:
        packcode_put_string(out, view_at(json_string_value(v), json_string_length(v)));
        return GW_OK;
    case JSON_INTEGER:
        packcode_put_int(out, json_integer_value(v));
        return GW_OK;
    case JSON_REAL:
        packcode_put_real(out, json_real_value(v));
        return GW_OK;
    case JSON_TRUE:
        buf_put_byte(out, PACK_TRUE);
        return GW_OK;
    case JSON_FALSE:
        buf_put_byte(out, PACK_FALSE);
        return GW_OK;
    case JSON_NULL:
        buf_put_byte(out, PACK_NULL);
        return GW_OK;
    }
    return GW_E_INVALID;
}

static void decref(json_t **j)
{
    json_decref(*j);
}

const char *pack_library_version(void)
{
    return "jansson " JANSSON_VERSION;
}

enum gw_err pack_parse(struct view json, struct buf *out)
{
    json_error_t why;
    if (json.n > PACK_BYTES_MAX)
        return GW_E_LIMIT;
    if (json.n > 0 && memchr(json.p, 0, json.n) != NULL)
        return GW_E_INVALID; /* jansson passes over a NUL behind a number */
    GW_CLEANUP(decref)
    json_t *doc = json_loadb(json.p == NULL ? "" : json.p, json.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (doc == NULL)
        return GW_E_INVALID;
    size_t before = out->n;
    enum gw_err err = put_value(doc, 0, out);
    if (err == GW_OK && !buf_ok(out))
        err = GW_E_LIMIT;
    if (err != GW_OK && out->n > before)
        out->n = before;
    return err;
}

enum pack_type pack_type(struct pack_val v)
{
    if (v.p == NULL)
        return PACK_ABSENT;
    return *v.p == TAG_SMALL ? PACK_INT : (enum pack_type) * v.p;
}

const char *pack_type_name(enum pack_type t)
{
    static const char *const names[] = {"absent", "null", "false", "true", "integer", "number", "string", "list", "object"};
    return names[t];
}

size_t pack_size(struct pack_val v)
{
    const uint8_t *p = v.p;
    if (p == NULL)
        return 0;
    uint8_t tag = *p++;
    size_t n;
    switch (tag) {
    case TAG_SMALL:
        return 2;
    case PACK_INT:
    case PACK_REAL:
        return 9;
    case PACK_STRING:
        n = get_varint(&p);
        break;
    case PACK_LIST:
    case PACK_MAP:
        get_varint(&p);
        n = get_varint(&p);
        break;
    default:
        n = 0;
    }
    return (size_t)(p - v.p) + n;
}

struct view pack_string(struct pack_val v)
{
    if (pack_type(v) != PACK_STRING)
        return VIEW_NONE;
    const uint8_t *p = v.p + 1;
    size_t n = get_varint(&p);
    return (struct view){(const char *)p, n};
}

int64_t pack_int(struct pack_val v)
{
    int64_t n = 0;
    if (v.p != NULL && *v.p == TAG_SMALL)
        return v.p[1];
    if (pack_type(v) == PACK_INT)
        memcpy(&n, v.p + 1, sizeof(n));
    return n;
}

double pack_real(struct pack_val v)
{
    double d = 0;
    if (pack_type(v) == PACK_INT)
        return (double)pack_int(v);
    if (pack_type(v) == PACK_REAL)
        memcpy(&d, v.p + 1, sizeof(d));
    return d;
}

bool pack_is_true(struct pack_val v)
{
    return pack_type(v) == PACK_TRUE;
}

size_t pack_count(struct pack_val v)
{
    enum pack_type t = pack_type(v);
    if (t != PACK_LIST && t != PACK_MAP)
        return 0;
    const uint8_t *p = v.p + 1;
    return get_varint(&p);
}

void pack_iter_init(struct pack_iter *it, struct pack_val v)
{
    enum pack_type t = pack_type(v);
    *it = (struct pack_iter){.is_map = t == PACK_MAP};
    if (t != PACK_LIST && t != PACK_MAP)
        return;
    const uint8_t *p = v.p + 1;
    it->left = get_varint(&p);
    get_varint(&p);
    it->next = p;
}

bool pack_iter_next(struct pack_iter *it)
{
    if (it->left == 0)
        return false;
    it->left--;
    if (it->is_map) {
        size_t n = get_varint(&it->next);
        it->key = (struct view){(const char *)it->next, n};
        it->next += n;
    }
    it->val = (struct pack_val){it->next};
    it->next += pack_size(it->val);
    return true;
}

struct pack_val pack_find(struct pack_val map, struct view key)
{
    struct pack_iter it;
    if (pack_type(map) != PACK_MAP)
        return (struct pack_val){NULL};
    for (pack_iter_init(&it, map); pack_iter_next(&it);)
        if (view_eq(it.key, key))
            return it.val;
    return (struct pack_val){NULL};
}

void pack_find_sorted(struct pack_val map, const struct view *keys, size_t n_keys, struct pack_val *ret_vals)
{
    struct pack_iter it;
    size_t k = 0;
    for (size_t i = 0; i < n_keys; i++)
        ret_vals[i] = (struct pack_val){NULL};
    if (pack_type(map) != PACK_MAP)
        return;
    for (pack_iter_init(&it, map); k < n_keys && pack_iter_next(&it);) {
        int order = -1;
        while (k < n_keys && (order = view_cmp(keys[k], it.key)) < 0)
            k++;
        if (k < n_keys && order == 0)
            ret_vals[k++] = it.val;
    }
}

bool pack_list_has(struct pack_val list, struct view string)
{
    struct pack_iter it;
    if (pack_type(list) != PACK_LIST)
        return false;
    for (pack_iter_init(&it, list); pack_iter_next(&it);)
        if (pack_type(it.val) == PACK_STRING && view_eq(pack_string(it.val), string))
            return true;
    return false;
}

bool pack_is_string_list(struct pack_val v)
{
    struct pack_iter it;
    if (pack_type(v) != PACK_LIST)
        return false;
    for (pack_iter_init(&it, v); pack_iter_next(&it);)
        if (pack_type(it.val) != PACK_STRING)
            return false;
    return true;
}

static void put_member(struct buf *payload, const struct pack_iter *it)
{
    packcode_put_varint(payload, it->key.n);
    buf_put(payload, it->key);
    buf_put(payload, (struct view){(const char *)it->val.p, pack_size(it->val)});
}

enum gw_err pack_merge(struct pack_val base, struct pack_val over, struct buf *out)
{
    if (pack_type(base) != PACK_MAP || pack_type(over) != PACK_MAP)
        return GW_E_INVALID;
    GW_CLEANUP(buf_deinitp) struct buf payload = BUF(PACK_BYTES_MAX);
    struct pack_iter a, b;
    size_t count = 0;
    pack_iter_init(&a, base);
    pack_iter_init(&b, over);
    bool has_a = pack_iter_next(&a), has_b = pack_iter_next(&b);
    for (; has_a || has_b; count++) {
        int order = !has_b ? -1 : !has_a ? 1 : view_cmp(a.key, b.key);
        put_member(&payload, order < 0 ? &a : &b);
        if (order <= 0)
            has_a = pack_iter_next(&a);
        if (order >= 0)
            has_b = pack_iter_next(&b);
    }
    if (!buf_ok(&payload))
        return GW_E_LIMIT;
    put_counted(out, PACK_MAP, count, buf_view(&payload));
    return buf_ok(out) ? GW_OK : GW_E_LIMIT;
}

static bool is_named(struct view key, const struct view *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++)
        if (view_eq(key, names[i]))
            return true;
    return false;
}

static enum gw_err put_chosen(struct pack_val map, const struct view *names, size_t n_names, bool is_named_wanted,
                              struct buf *out)
{
    if (pack_type(map) != PACK_MAP)
        return GW_E_INVALID;
    GW_CLEANUP(buf_deinitp) struct buf payload = BUF(PACK_BYTES_MAX);
    struct pack_iter it;
    size_t count = 0;
    for (pack_iter_init(&it, map); pack_iter_next(&it);)
        if (is_named(it.key, names, n_names) == is_named_wanted) {
            put_member(&payload, &it);
            count++;
        }
    if (!buf_ok(&payload))
        return GW_E_LIMIT;
    put_counted(out, PACK_MAP, count, buf_view(&payload));
    return buf_ok(out) ? GW_OK : GW_E_LIMIT;
}

enum gw_err pack_without(struct pack_val map, const struct view *names, size_t n_names, struct buf *out)
{
    return put_chosen(map, names, n_names, false, out);
}

enum gw_err pack_only(struct pack_val map, const struct view *names, size_t n_names, struct buf *out)
{
    return put_chosen(map, names, n_names, true, out);
}

static void format_items(struct pack_val v, struct buf *out)
{
    struct pack_iter it;
    bool is_first = true;
    for (pack_iter_init(&it, v); pack_iter_next(&it); is_first = false) {
        if (!is_first)
            buf_put_byte(out, ',');
        if (it.is_map) {
            buf_put_json(out, it.key);
            buf_put_byte(out, ':');
        }
        pack_format_json(it.val, out);
    }
}

void pack_format_json(struct pack_val v, struct buf *out)
{
    switch (pack_type(v)) {
    case PACK_ABSENT:
    case PACK_NULL:
        buf_puts(out, "null");
        break;
    case PACK_FALSE:
        buf_puts(out, "false");
        break;
    case PACK_TRUE:
        buf_puts(out, "true");
        break;
    case PACK_INT:
        buf_put_i64(out, pack_int(v));
        break;
    case PACK_REAL:
        buf_printf(out, "%.17g", pack_real(v));
        break;
    case PACK_STRING:
        buf_put_json(out, pack_string(v));
        break;
    case PACK_LIST:
        buf_put_byte(out, '[');
        format_items(v, out);
        buf_put_byte(out, ']');
        break;
    case PACK_MAP:
        buf_put_byte(out, '{');
        format_items(v, out);
        buf_put_byte(out, '}');
        break;
    }
}
