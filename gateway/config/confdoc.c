#include "config/confdoc.h"

#include "config/confload.h"
#include "util/cleanup.h"

#include <stdio.h>

static const char env_prefix[] = "REPOGATE__";

struct reader {
    struct confreport *report;
    struct arena *arena;
    struct confdoc *doc;
    struct confscan *scan;
    int nodes[CONFKEYS_COUNT]; /* where a key stands in the scan; -1 = nowhere */
};

static struct confplace place_of(const struct reader *rd, size_t node)
{
    return (struct confplace){rd->report->file, rd->scan->nodes[node].line, rd->scan->nodes[node].column};
}

GW_PRINTF(3, 4)
static void refuse(struct reader *rd, size_t node, const char *fmt, ...)
{
    char key[CONFREPORT_KEY_MAX], text[CONFREPORT_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    confscan_format_key(rd->scan, node, key);
    confreport_error(rd->report, place_of(rd, node), key, "%s", text);
}

static const char *kind_name(const struct confnode *node)
{
    if (node->is_null)
        return "nothing";
    return node->kind == CONFNODE_LIST ? "a list" : node->kind == CONFNODE_MAP ? "a map" : "text";
}

static void refuse_unknown(struct reader *rd, size_t node)
{
    char key[CONFREPORT_KEY_MAX];

    confscan_format_key(rd->scan, node, key);
    struct view nearest = confkeys_nearest(view_of(key));
    if (view_index(view_of(rd->scan->nodes[node].key), '.') < strlen(rd->scan->nodes[node].key))
        refuse(rd, node, "unknown key: expected sections such as `server:`, not dotted names");
    else if (nearest.n > 0)
        refuse(rd, node, "unknown key: did you mean %.*s?", VIEW_FMT(nearest));
    else
        refuse(rd, node, "unknown key");
}

/* Wants the node if it is one text. */
static void want_text(struct reader *rd, size_t node, const char *expected)
{
    struct confnode *n = &rd->scan->nodes[node];

    if (n->is_null)
        refuse(rd, node, "nothing stands here: expected %s (\"\" for empty text)", expected);
    else if (n->kind != CONFNODE_TEXT)
        refuse(rd, node, "expected %s, found %s", expected, kind_name(n));
    else
        n->is_wanted = true;
}

static void want_list(struct reader *rd, size_t node)
{
    struct confnode *n = &rd->scan->nodes[node];

    if (n->kind != CONFNODE_LIST) {
        refuse(rd, node, "expected %s, found %s", confkeys_expected(CONFKEY_LIST), kind_name(n));
        return;
    }
    if (n->n_children > CONFIG_LIST_MAX) {
        refuse(rd, node, "too long: expected at most %d items", CONFIG_LIST_MAX);
        return;
    }
    for (size_t i = node + 1; i < rd->scan->n; i++) {
        const struct confnode *item = &rd->scan->nodes[i];
        if (item->parent != (int)node || (item->kind == CONFNODE_TEXT && !item->is_null))
            continue;
        refuse(rd, i, "expected text in this list, found %s", kind_name(item));
        return;
    }
    n->is_wanted = true;
}

/* One map of a list of them. */
static void want_members(struct reader *rd, size_t node, const char *members)
{
    for (size_t i = node + 1; i < rd->scan->n; i++) {
        struct confnode *n = &rd->scan->nodes[i];
        if (n->parent != (int)node)
            continue;
        if (!confkeys_list_has(members, view_of(n->key)))
            refuse(rd, i, "unknown key: expected %s", members);
        else
            want_text(rd, i, "text");
        n->is_wanted = false; /* read with its list, as items are */
    }
}

static void want_maps(struct reader *rd, size_t node, const char *members)
{
    struct confnode *n = &rd->scan->nodes[node];
    size_t n_before = rd->report->n_errors;

    if (n->kind != CONFNODE_LIST) {
        refuse(rd, node, "expected %s, found %s", confkeys_expected(CONFKEY_MAPS), kind_name(n));
        return;
    }
    if (n->n_children > CONFIG_ISSUERS_MAX) {
        refuse(rd, node, "too long: expected at most %d entries", CONFIG_ISSUERS_MAX);
        return;
    }
    for (size_t i = node + 1; i < rd->scan->n; i++) {
        if (rd->scan->nodes[i].parent != (int)node)
            continue;
        if (rd->scan->nodes[i].kind == CONFNODE_MAP)
            want_members(rd, i, members);
        else
            refuse(rd, i, "expected a map in this list, found %s", kind_name(&rd->scan->nodes[i]));
    }
    n->members = members;
    n->is_wanted = rd->report->n_errors == n_before;
}

static void want_map(struct reader *rd, size_t node, size_t n_max)
{
    struct confnode *n = &rd->scan->nodes[node];

    if (n->kind != CONFNODE_MAP)
        refuse(rd, node, "expected a map, found %s", kind_name(n));
    else if (n->n_children > n_max)
        refuse(rd, node, "too long: expected at most %zu entries", n_max);
    else
        n->is_wanted = true;
}

static void want_key(struct reader *rd, size_t node, const struct confkey *k)
{
    struct confnode *n = &rd->scan->nodes[node];
    size_t id = (size_t)(k - confkeys);

    rd->nodes[id] = (int)node;
    if (confkeys_is_unbuilt(k) && (n->kind == CONFNODE_MAP || (n->kind == CONFNODE_LIST && n->n_children > 0)))
        refuse(rd, node, "not built yet: leave this key out");
    else if (k->type == CONFKEY_LIST)
        want_list(rd, node);
    else if (k->type == CONFKEY_MAPS)
        want_maps(rd, node, k->choices);
    else if (k->type == CONFKEY_MAP)
        want_map(rd, node, id == CONFKEY_FORGES ? REPO_FORGES_MAX : CONFIG_LIST_MAX);
    else
        want_text(rd, node, confkeys_expected(k->type));
    rd->doc->values[id].is_usable = n->is_wanted;
}

/* An entry of `forges`, or a field of one. */
static void want_below_forges(struct reader *rd, size_t node)
{
    struct confnode *n = &rd->scan->nodes[node];

    if (n->parent == rd->nodes[CONFKEY_FORGES])
        want_map(rd, node, CONFSCAN_NODES_MAX);
    else if (strcmp(n->key, "kind") == 0 || strcmp(n->key, "url") == 0)
        want_text(rd, node, "text");
    else
        refuse(rd, node, "unknown key: expected kind and url");
}

/* Marks what is wanted and reports the rest. Parents come before their children. */
static void judge_shape(struct reader *rd)
{
    for (size_t i = 1; i < rd->scan->n; i++) {
        struct confnode *n = &rd->scan->nodes[i];
        char key[CONFREPORT_KEY_MAX];
        if (n->parent != 0 && !rd->scan->nodes[n->parent].is_wanted)
            continue; /* refused above */
        confscan_format_key(rd->scan, i, key);
        bool is_dotted = view_index(view_of(n->key), '.') < strlen(n->key);
        const struct confkey *k = is_dotted ? NULL : confkeys_find(view_of(key));
        if (n->parent == rd->nodes[CONFKEY_POLICY_ENV] && n->parent > 0)
            want_text(rd, i, "text");
        else if (view_starts(view_of(key), VIEW("forges.")) && n->parent != 0)
            want_below_forges(rd, i);
        else if (n->key[0] == '\0')
            n->is_wanted = false; /* items are read with their list */
        else if (k != NULL)
            want_key(rd, i, k);
        else if (n->parent == 0 && !is_dotted && confkeys_has_section(view_of(key)))
            want_map(rd, i, CONFSCAN_NODES_MAX);
        else
            refuse_unknown(rd, i);
    }
}

static struct conftext *new_items(struct reader *rd, size_t n)
{
    struct conftext *items = arena_get(rd->arena, (n == 0 ? 1 : n) * sizeof(*items));

    if (items != NULL)
        memset(items, 0, (n == 0 ? 1 : n) * sizeof(*items));
    return items;
}

/* The children of a list or of a map of texts. */
static enum gw_err take_items(struct reader *rd, size_t node, const struct confslot *slots, struct confvalue *v)
{
    const struct confnode *n = &rd->scan->nodes[node];
    struct conftext *items = new_items(rd, n->n_children);
    size_t n_items = 0;

    if (items == NULL)
        return GW_E_NOMEM;
    for (size_t i = node + 1; i < rd->scan->n; i++) {
        const struct confnode *child = &rd->scan->nodes[i];
        if (child->parent != (int)node)
            continue;
        struct conftext *item = &items[n_items];
        item->at = place_of(rd, i);
        item->text = n->kind == CONFNODE_LIST ? slots[node].items[n_items] : slots[i].text;
        if (n->kind == CONFNODE_MAP && (item->name = arena_copy(rd->arena, view_of(child->key)).p) == NULL)
            return GW_E_NOMEM;
        n_items++;
    }
    v->items = items;
    v->n_items = n_items;
    return GW_OK;
}

/* Where a member of a map stands; where the map itself stands if it is not there. */
static struct confplace place_of_member(const struct reader *rd, size_t map, struct view name)
{
    for (size_t i = map + 1; i < rd->scan->n; i++)
        if (rd->scan->nodes[i].parent == (int)map && view_eq(view_of(rd->scan->nodes[i].key), name))
            return place_of(rd, i);
    return place_of(rd, map);
}

static enum gw_err take_maps(struct reader *rd, size_t node, const struct confslot *slot, struct confvalue *v)
{
    const struct confnode *n = &rd->scan->nodes[node];
    struct conftext *items = new_items(rd, n->n_children * CONFLOAD_MEMBERS_MAX);
    size_t n_items = 0;

    if (items == NULL)
        return GW_E_NOMEM;
    for (size_t i = node + 1; i < rd->scan->n; i++) {
        struct view rest = view_of(n->members);
        while (rd->scan->nodes[i].parent == (int)node && rest.n > 0) {
            struct view name = view_split(&rest, ',');
            items[n_items] = (struct conftext){.text = slot->items[n_items], .at = place_of_member(rd, i, name)};
            n_items++;
        }
    }
    v->items = items;
    v->n_items = n->n_children;
    return GW_OK;
}

static enum gw_err take_forges(struct reader *rd, size_t node, const struct confslot *slots)
{
    const struct confscan *s = rd->scan;
    struct confforge *forges = arena_get(rd->arena, (s->nodes[node].n_children + 1) * sizeof(*forges));

    if (forges == NULL)
        return GW_E_NOMEM;
    rd->doc->forges = forges;
    for (size_t i = node + 1; i < s->n; i++) {
        if (s->nodes[i].parent == (int)node) {
            struct confforge *f = &forges[rd->doc->n_forges++];
            *f = (struct confforge){.self = {.at = place_of(rd, i)}, .is_usable = s->nodes[i].is_wanted};
            f->self.name = arena_copy(rd->arena, view_of(s->nodes[i].key)).p;
            if (f->self.name == NULL)
                return GW_E_NOMEM;
        } else if (s->nodes[i].parent > 0 && s->nodes[s->nodes[i].parent].parent == (int)node && rd->doc->n_forges > 0) {
            struct confforge *f = &forges[rd->doc->n_forges - 1];
            struct conftext *field = strcmp(s->nodes[i].key, "kind") == 0 ? &f->kind : &f->url;
            *field = (struct conftext){.text = slots[i].text, .at = place_of(rd, i)};
        }
    }
    return GW_OK;
}

static enum gw_err take_file(struct reader *rd, const struct confslot *slots)
{
    for (size_t id = 0; id < CONFKEYS_COUNT; id++) {
        struct confvalue *v = &rd->doc->values[id];
        int node = rd->nodes[id];
        if (node < 0)
            continue;
        v->self.at = place_of(rd, (size_t)node);
        if (!v->is_usable)
            continue;
        v->self.text = slots[node].text;
        enum gw_err err = GW_OK;
        if (id == CONFKEY_FORGES)
            err = take_forges(rd, (size_t)node, slots);
        else if (confkeys[id].type == CONFKEY_MAPS)
            err = take_maps(rd, (size_t)node, &slots[node], v);
        else if (rd->scan->nodes[node].kind != CONFNODE_TEXT)
            err = take_items(rd, (size_t)node, slots, v);
        if (err != GW_OK)
            return err;
    }
    return GW_OK;
}

/* A list as the environment and the table write it. */
static enum gw_err split_list(struct reader *rd, const char *text, struct confplace at, struct confvalue *v)
{
    struct view rest = view_of(text);
    struct conftext *items = new_items(rd, CONFIG_LIST_MAX);

    if (items == NULL)
        return GW_E_NOMEM;
    *v = (struct confvalue){.self.at = at, .items = items, .is_usable = true};
    while (rest.n > 0) {
        if (v->n_items == CONFIG_LIST_MAX)
            return GW_E_LIMIT;
        struct view item = view_trim(view_split(&rest, ','));
        items[v->n_items] = (struct conftext){.text = arena_copy(rd->arena, item).p, .at = at};
        if (items[v->n_items++].text == NULL)
            return GW_E_NOMEM;
    }
    return GW_OK;
}

static enum gw_err set_from_text(struct reader *rd, const struct confkey *k, struct view text, struct confplace at)
{
    struct confvalue *v = &rd->doc->values[k - confkeys];
    const char *copy = arena_copy(rd->arena, text).p;

    if (copy == NULL)
        return GW_E_NOMEM;
    if (k->type == CONFKEY_MAP || k->type == CONFKEY_MAPS) {
        confreport_error(rd->report, at, k->name, "maps can only be set in the file");
        return GW_OK;
    }
    if (k->type == CONFKEY_LIST) {
        enum gw_err err = split_list(rd, copy, at, v);
        if (err != GW_E_LIMIT)
            return err;
        confreport_error(rd->report, at, k->name, "too long: expected at most %d items", CONFIG_LIST_MAX);
        v->is_usable = false;
        return GW_OK;
    }
    *v = (struct confvalue){.self = {.text = copy, .at = at}, .is_usable = true};
    return GW_OK;
}

static const struct confkey *find_by_env_name(struct view name)
{
    char expected[CONFKEYS_ENV_MAX];

    for (size_t i = 0; i < CONFKEYS_COUNT; i++) {
        confkeys_env_name(&confkeys[i], expected);
        if (view_eq(view_of(expected), name))
            return &confkeys[i];
    }
    return NULL;
}

static void refuse_env_name(struct reader *rd, const char *name)
{
    char dotted[CONFREPORT_KEY_MAX];
    size_t n = 0;

    for (const char *p = name + sizeof(env_prefix) - 1; *p != '\0' && n + 1 < sizeof(dotted); p++) {
        bool is_dot = p[0] == '_' && p[1] == '_';
        dotted[n++] = is_dot ? '.' : view_lower_byte(*p);
        if (is_dot)
            p++;
    }
    dotted[n] = '\0';
    struct view nearest = confkeys_nearest(view_at(dotted, n));
    struct confplace at = {name, 0, 0};
    if (view_starts(view_at(dotted, n), VIEW("forges.")) || view_starts(view_at(dotted, n), VIEW("policy.env.")))
        confreport_error(rd->report, at, dotted, "maps can only be set in the file");
    else if (nearest.n > 0)
        confreport_error(rd->report, at, dotted, "unknown key: did you mean %.*s?", VIEW_FMT(nearest));
    else
        confreport_error(rd->report, at, dotted, "unknown key");
}

/* The old routing proxy's variable: the host of a Knative service, or a URL. Its authority is the Host header too. */
static enum gw_err take_service_url(struct reader *rd, struct view value, struct confplace at)
{
    bool is_url = view_contains(value, VIEW("://"));
    struct view url = is_url ? value : arena_join(rd->arena, (struct view[]){VIEW("http://"), value}, 2);

    if (url.p == NULL)
        return GW_E_NOMEM;
    if (view_starts(view_of(rd->doc->values[CONFKEY_WORKSPACE_URL].self.at.source), view_at(env_prefix, sizeof(env_prefix) - 1)))
        confreport_error(rd->report, at, "workspace.url", "set by REPOGATE__WORKSPACE__URL too: expected one of them");
    enum gw_err err = set_from_text(rd, &confkeys[CONFKEY_WORKSPACE_URL], url, at);
    if (err != GW_OK)
        return err;
    return set_from_text(rd, &confkeys[CONFKEY_WORKSPACE_HOST], VIEW(""), at);
}

static enum gw_err take_environment(struct reader *rd, char *const *environment)
{
    struct view service = VIEW_NONE, prefix = view_at(env_prefix, sizeof(env_prefix) - 1);
    enum gw_err err = GW_OK;

    for (size_t i = 0; environment[i] != NULL && err == GW_OK; i++) {
        struct view value = view_of(environment[i]), name = view_split(&value, '=');
        if (view_eq(name, VIEW("DEVCONTAINER_SERVICE_URL")))
            service = value;
        if (!view_starts(name, prefix))
            continue;
        const char *source = arena_copy(rd->arena, name).p;
        const struct confkey *k = find_by_env_name(name);
        if (source == NULL)
            err = GW_E_NOMEM;
        else if (k == NULL)
            refuse_env_name(rd, source);
        else if (value.n > CONFSCAN_TEXT_MAX)
            confreport_error(rd->report, (struct confplace){source, 0, 0}, k->name, "too long: expected at most %d bytes",
                             CONFSCAN_TEXT_MAX);
        else
            err = set_from_text(rd, k, value, (struct confplace){source, 0, 0});
    }
    if (err == GW_OK && service.n > CONFSCAN_TEXT_MAX)
        confreport_error(rd->report, (struct confplace){"DEVCONTAINER_SERVICE_URL", 0, 0}, "workspace.url", "too long");
    else if (err == GW_OK && service.n > 0)
        err = take_service_url(rd, service, (struct confplace){"DEVCONTAINER_SERVICE_URL", 0, 0});
    return err;
}

static enum gw_err take_default(struct reader *rd, const struct confkey *k, struct confvalue *v)
{
    struct confplace at = {rd->report->file, 0, 0};

    if (v->self.at.source != NULL)
        return GW_OK;
    v->self.at = at;
    if (k->fallback == NULL) {
        confreport_error(rd->report, at, k->name, "required: expected %s", confkeys_expected(k->type));
        return GW_OK;
    }
    v->is_usable = true;
    if (k->type == CONFKEY_LIST)
        return split_list(rd, k->fallback, at, v);
    if (k->type == CONFKEY_MAPS)
        return GW_OK; /* none */
    v->self.text = k->fallback;
    return GW_OK;
}

static void judge_word(struct reader *rd, const struct confkey *k, const struct conftext *word, struct confvalue *v)
{
    if (k->choices[0] == '\0' || confkeys_list_has(k->choices, view_of(word->text)))
        return;
    if (k->unbuilt[0] != '\0' && confkeys_list_has(k->unbuilt, view_of(word->text)))
        confreport_error(rd->report, word->at, k->name, "%s is not built yet: expected %s", word->text, k->choices);
    else
        confreport_error(rd->report, word->at, k->name, "unknown word \"%.64s\": expected %s%s", word->text,
                         view_contains(view_of(k->choices), VIEW(",")) ? "one of " : "", k->choices);
    v->is_usable = false;
}

static void judge_words(struct reader *rd, const struct confkey *k, struct confvalue *v)
{
    bool is_list = k->type == CONFKEY_LIST;

    if (!v->is_usable)
        return;
    if (confkeys_is_unbuilt(k) && (is_list ? v->n_items > 0 : strcmp(v->self.text, k->fallback) != 0)) {
        confreport_error(rd->report, v->self.at, k->name, "not built yet: leave this key out");
        v->is_usable = false;
    } else if (is_list) {
        for (size_t i = 0; i < v->n_items; i++)
            judge_word(rd, k, &v->items[i], v);
    } else if (k->type != CONFKEY_MAP && k->type != CONFKEY_MAPS) {
        judge_word(rd, k, &v->self, v);
    }
}

static void scan_deinitp(struct confscan *s)
{
    confscan_deinit(s);
}

enum gw_err confdoc_read(struct view text, char *const *environment, struct confreport *report, struct arena *arena,
                         struct confdoc *doc)
{
    GW_CLEANUP(scan_deinitp) struct confscan scan = {0};
    struct reader rd = {.report = report, .arena = arena, .doc = doc, .scan = &scan};

    *doc = (struct confdoc){0};
    for (size_t i = 0; i < CONFKEYS_COUNT; i++)
        rd.nodes[i] = -1;
    enum gw_err err = confscan_read(text, report, &scan);
    if (err != GW_OK)
        return err;
    judge_shape(&rd);
    GW_CLEANUP(gw_freep) struct confslot *slots = calloc(scan.n, sizeof(*slots));
    if (slots == NULL)
        return GW_E_NOMEM;
    if ((err = confload_read(text, &scan, report, arena, slots)) != GW_OK)
        return err;
    if ((err = take_file(&rd, slots)) != GW_OK)
        return err;
    if ((err = take_environment(&rd, environment)) != GW_OK)
        return err;
    for (size_t i = 0; i < CONFKEYS_COUNT; i++) {
        if ((err = take_default(&rd, &confkeys[i], &doc->values[i])) != GW_OK)
            return err;
        judge_words(&rd, &confkeys[i], &doc->values[i]);
    }
    return GW_OK;
}
