#include "config/confkeys.h"

#include <assert.h>

const struct confkey confkeys[CONFKEYS_COUNT] = {
#define X(id, name, type, fallback, choices, unbuilt, doc) {name, CONFKEY_##type, fallback, choices, unbuilt, doc},
    CONFKEYS_TABLE(X)
#undef X
};

const struct confkey *confkeys_find(struct view name)
{
    for (size_t i = 0; i < CONFKEYS_COUNT; i++)
        if (view_eq(view_of(confkeys[i].name), name))
            return &confkeys[i];
    return NULL;
}

static struct view section_of(const struct confkey *k)
{
    struct view name = view_of(k->name);

    return view_at(name.p, view_index(name, '.'));
}

bool confkeys_has_section(struct view name)
{
    for (size_t i = 0; i < CONFKEYS_COUNT; i++)
        if (view_eq(section_of(&confkeys[i]), name))
            return true;
    return false;
}

/* Levenshtein's distance between names of at most CONFKEYS_NAME_MAX bytes. */
static size_t distance(struct view a, struct view b)
{
    size_t row[CONFKEYS_NAME_MAX + 1];

    assert(b.n <= CONFKEYS_NAME_MAX);
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 0; i < a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.n; j++) {
            size_t best = diagonal + (view_lower_byte(a.p[i]) == view_lower_byte(b.p[j]) ? 0 : 1);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j + 1] + 1 < best)
                best = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[b.n];
}

static struct view last_part(struct view name)
{
    size_t dot = view_index(name, '.');

    return dot == name.n ? name : view_skip(name, dot + 1);
}

/* Remembers candidate if it is nearer than what was found before. */
static void consider(struct view name, struct view candidate, size_t *best, struct view *found)
{
    size_t d = distance(name, candidate);

    if (d < *best) {
        *best = d;
        *found = candidate;
    }
}

struct view confkeys_nearest(struct view name)
{
    struct view found = VIEW_NONE;
    size_t best = 3; /* more than two edits away is another word */

    if (name.n > CONFKEYS_NAME_MAX)
        return VIEW_NONE;
    for (size_t i = 0; i < CONFKEYS_COUNT; i++) {
        consider(name, view_of(confkeys[i].name), &best, &found);
        consider(name, section_of(&confkeys[i]), &best, &found);
    }
    /* The right word in the wrong section. */
    for (size_t i = 0; found.n == 0 && i < CONFKEYS_COUNT; i++)
        if (view_eq(last_part(view_of(confkeys[i].name)), last_part(name)))
            found = view_of(confkeys[i].name);
    return found;
}

bool confkeys_list_has(const char *list, struct view value)
{
    struct view rest = view_of(list);

    while (rest.n > 0)
        if (view_eq(view_split(&rest, ','), value))
            return true;
    return false;
}

bool confkeys_is_unbuilt(const struct confkey *k)
{
    return strcmp(k->unbuilt, "*") == 0;
}

void confkeys_env_name(const struct confkey *k, char out[CONFKEYS_ENV_MAX])
{
    static const char prefix[] = "REPOGATE__";
    size_t n = sizeof(prefix) - 1;

    memcpy(out, prefix, n);
    for (const char *p = k->name; *p != '\0'; p++) {
        assert(n + 3 < CONFKEYS_ENV_MAX);
        if (*p == '.') {
            out[n++] = '_';
            out[n++] = '_';
        } else {
            out[n++] = *p >= 'a' && *p <= 'z' ? (char)(*p - ('a' - 'A')) : *p;
        }
    }
    out[n] = '\0';
}

const char *confkeys_expected(enum confkey_type type)
{
    switch (type) {
    case CONFKEY_TEXT:
        return "text";
    case CONFKEY_ADDRESS:
        return "host:port, :port or [ipv6]:port, the host an IP address";
    case CONFKEY_URL:
        return "an http or https URL";
    case CONFKEY_INTEGER:
        return "a whole number";
    case CONFKEY_BOOL:
        return "true or false";
    case CONFKEY_DURATION:
        return "a duration such as 30s, 5m, 8h or 1d";
    case CONFKEY_CHOICE:
        return "one of the known words";
    case CONFKEY_LIST:
        return "a list such as [a, b]";
    case CONFKEY_MAP:
        return "a map such as {name: value}";
    case CONFKEY_PATH:
        return "a path";
    case CONFKEY_SECRET_FILE:
        return "the path of a file with the secret";
    case CONFKEY_MAPS:
        return "a list of maps such as [{name: value}]";
    }
    return "text";
}

static const char *type_name(enum confkey_type type)
{
    static const char *const names[] = {"text",   "address", "url", "integer", "bool",        "duration",
                                        "choice", "list",    "map", "path",    "secret file", "list of maps"};

    return names[type];
}

static void put_listed(struct buf *out, const char *list)
{
    struct view rest = view_of(list);

    while (rest.n > 0) {
        struct view item = view_split(&rest, ',');
        buf_printf(out, "`%.*s`%s", VIEW_FMT(item), rest.n > 0 ? ", " : "");
    }
}

static void put_fallback(struct buf *out, const struct confkey *k)
{
    if (k->fallback == NULL)
        buf_puts(out, "**required**");
    else if (k->fallback[0] == '\0')
        buf_put(out, k->type == CONFKEY_LIST || k->type == CONFKEY_MAPS ? VIEW("`[]`")
                     : k->type == CONFKEY_MAP                           ? VIEW("`{}`")
                                                                        : VIEW("`\"\"`"));
    else if (k->type == CONFKEY_LIST)
        put_listed(out, k->fallback);
    else
        buf_printf(out, "`%s`", k->fallback);
}

void confkeys_format_markdown(struct buf *out)
{
    buf_puts(out, "| key | type | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < CONFKEYS_COUNT; i++) {
        const struct confkey *k = &confkeys[i];
        buf_printf(out, "| `%s` | %s | ", k->name, type_name(k->type));
        put_fallback(out, k);
        buf_printf(out, " | %s", k->doc);
        if (confkeys_is_unbuilt(k)) {
            buf_puts(out, " *Not built yet: only the default is accepted.*");
        } else if (k->choices[0] != '\0') {
            buf_put(out, k->type == CONFKEY_MAPS ? VIEW(" Members: ") : VIEW(" Accepted: "));
            put_listed(out, k->choices);
            buf_puts(out, ".");
            if (k->unbuilt[0] != '\0') {
                buf_puts(out, " *Not built yet:* ");
                put_listed(out, k->unbuilt);
                buf_puts(out, ".");
            }
        }
        buf_puts(out, " |\n");
    }
}
