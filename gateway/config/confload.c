#include "config/confload.h"

#include "util/cleanup.h"

#include <cyaml/cyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct raw_map {
    char *members[CONFLOAD_MEMBERS_MAX];
};

/* What libcyaml fills: nodes that are maps leave theirs empty. */
struct raw {
    char *text;
    union {
        char **items;
        struct raw_map *maps;
    };
    unsigned n_items;
};

/* The schema of one list of maps. */
struct maps_schema {
    char names[CONFLOAD_MEMBERS_MAX][CONFSCAN_KEY_MAX + 1];
    cyaml_schema_field_t fields[CONFLOAD_MEMBERS_MAX + 1];
    cyaml_schema_value_t item;
};

struct log {
    char first[256]; /* the reason; what follows is the way down to it */
};

const char *confload_library_version(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "libcyaml %s", cyaml_version_str);
    return text;
}

GW_PRINTF(3, 0)
static void on_log(cyaml_log_t level, void *arg, const char *fmt, va_list args)
{
    struct log *log = arg;

    if (level == CYAML_LOG_ERROR && log->first[0] == '\0')
        vsnprintf(log->first, sizeof(log->first), fmt, args);
}

static const cyaml_schema_value_t list_item = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, CONFSCAN_TEXT_MAX)};

static const cyaml_schema_value_t *maps_schema(const char *members, struct maps_schema *out)
{
    struct view rest = view_of(members);
    size_t n = 0;

    while (rest.n > 0 && n < CONFLOAD_MEMBERS_MAX) {
        struct view name = view_split(&rest, ',');
        snprintf(out->names[n], sizeof(out->names[n]), "%.*s", VIEW_FMT(name));
        out->fields[n] = (cyaml_schema_field_t){
            .key = out->names[n],
            .data_offset = (uint32_t)(n * sizeof(char *)),
            .value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, 0, CONFSCAN_TEXT_MAX)},
        };
        n++;
    }
    out->fields[n] = (cyaml_schema_field_t)CYAML_FIELD_END;
    out->item = (cyaml_schema_value_t){CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_map, out->fields)};
    return &out->item;
}

static cyaml_schema_value_t value_schema(const struct confnode *node, const cyaml_schema_field_t *children,
                                         struct maps_schema *maps)
{
    if (node->members != NULL)
        return (cyaml_schema_value_t){
            CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER, struct raw_map, maps_schema(node->members, maps), 0, CONFIG_LIST_MAX)};
    switch (node->kind) {
    case CONFNODE_MAP:
        return (cyaml_schema_value_t){CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw, children)};
    case CONFNODE_LIST:
        return (cyaml_schema_value_t){CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER, char *, &list_item, 0, CONFIG_LIST_MAX)};
    case CONFNODE_TEXT:
        break;
    }
    return (cyaml_schema_value_t){CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, CONFSCAN_TEXT_MAX)};
}

/* Writes the fields of the map `node` and, behind them, those of the maps below; returns the next free place. A slot's offset
 * counts from the start of all slots, so the maps themselves lie at offset 0. */
static cyaml_schema_field_t *put_fields(const struct confscan *scan, size_t node, cyaml_schema_field_t *out,
                                        struct maps_schema *maps)
{
    cyaml_schema_field_t *next = out;

    for (size_t i = node + 1; i < scan->n; i++)
        if (scan->nodes[i].parent == (int)node && scan->nodes[i].is_wanted)
            next++;
    *next++ = (cyaml_schema_field_t)CYAML_FIELD_END;
    for (size_t i = node + 1; i < scan->n; i++) {
        const struct confnode *child = &scan->nodes[i];
        if (child->parent != (int)node || !child->is_wanted)
            continue;
        bool is_map = child->kind == CONFNODE_MAP, is_list = child->kind == CONFNODE_LIST;
        size_t slot = i * sizeof(struct raw);
        *out++ = (cyaml_schema_field_t){
            .key = child->key,
            .data_offset = is_map ? 0 : (uint32_t)(slot + (is_list ? offsetof(struct raw, items) : offsetof(struct raw, text))),
            .count_offset = (uint32_t)(slot + offsetof(struct raw, n_items)),
            .count_size = is_list ? sizeof(unsigned) : 0,
            .value = value_schema(child, next, maps),
        };
        if (is_map)
            next = put_fields(scan, i, next, maps);
    }
    return next;
}

/* Both read through libyaml, so this holds; what follows counts on it. */
static bool agrees(const struct confscan *scan, const struct raw *raw)
{
    for (size_t i = 0; i < scan->n; i++) {
        const struct confnode *n = &scan->nodes[i];
        if (n->is_wanted && n->kind == CONFNODE_TEXT && raw[i].text == NULL)
            return false;
        if (n->is_wanted && n->kind == CONFNODE_LIST && raw[i].n_items != n->n_children)
            return false;
    }
    return true;
}

static size_t count_members(const char *members)
{
    struct view rest = view_of(members);
    size_t n = 0;

    for (; rest.n > 0 && n < CONFLOAD_MEMBERS_MAX; n++)
        (void)view_split(&rest, ',');
    return n;
}

static const char *raw_item(const struct raw *raw, size_t n_members, size_t i)
{
    return n_members == 0 ? raw->items[i] : raw->maps[i / n_members].members[i % n_members];
}

static enum gw_err copy_items(const struct raw *raw, size_t n_members, struct arena *arena, struct confslot *slot)
{
    size_t n = raw->n_items * (n_members == 0 ? 1 : n_members);

    if (n == 0)
        return GW_OK;
    slot->items = arena_get(arena, n * sizeof(slot->items[0]));
    if (slot->items == NULL)
        return GW_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *text = raw_item(raw, n_members, i);
        slot->items[i] = text == NULL ? NULL : arena_copy(arena, view_of(text)).p;
        if (text != NULL && slot->items[i] == NULL)
            return GW_E_NOMEM;
    }
    return GW_OK;
}

static enum gw_err copy_slots(const struct confscan *scan, const struct raw *raw, struct arena *arena, struct confslot *slots)
{
    for (size_t i = 0; i < scan->n; i++) {
        slots[i] = (struct confslot){.n_items = raw[i].n_items};
        if (raw[i].text != NULL) {
            slots[i].text = arena_copy(arena, view_of(raw[i].text)).p;
            if (slots[i].text == NULL)
                return GW_E_NOMEM;
        }
        enum gw_err err = copy_items(&raw[i], count_members(scan->nodes[i].members), arena, &slots[i]);
        if (err != GW_OK)
            return err;
    }
    return GW_OK;
}

enum gw_err confload_read(struct view text, const struct confscan *scan, struct confreport *report, struct arena *arena,
                          struct confslot *slots)
{
    struct log log = {""};
    const cyaml_config_t config = {
        .log_fn = on_log,
        .log_ctx = &log,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_IGNORE_UNKNOWN_KEYS | CYAML_CFG_NO_ALIAS,
    };
    /* A field per node at most, and an end per map. */
    GW_CLEANUP(gw_freep) cyaml_schema_field_t *fields = calloc(2 * scan->n, sizeof(*fields));
    cyaml_data_t *data = NULL;
    struct maps_schema maps; /* there is one such key */

    if (fields == NULL)
        return GW_E_NOMEM;
    put_fields(scan, 0, fields, &maps);
    cyaml_schema_value_t top = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, fields)};
    top.data_size = (uint32_t)(scan->n * sizeof(struct raw));
    cyaml_err_t cerr = cyaml_load_data((const uint8_t *)text.p, text.n, &config, &top, &data, NULL);
    if (cerr == CYAML_ERR_OOM)
        return GW_E_NOMEM;
    enum gw_err err = GW_E_INVALID;
    if (cerr != CYAML_OK || data == NULL)
        confreport_error(report, (struct confplace){report->file, 0, 0}, "", "cannot be read: %s (%s)", cyaml_strerror(cerr),
                         log.first);
    else if (!agrees(scan, data))
        confreport_error(report, (struct confplace){report->file, 0, 0}, "", "cannot be read: its two readings differ");
    else
        err = copy_slots(scan, data, arena, slots);
    cyaml_free(&config, &top, data, 0);
    return err;
}
