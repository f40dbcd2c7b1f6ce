/* A recursive descent over libyaml's events. The depth is capped, so the recursion is. */
#include "config/confscan.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct scanner {
    yaml_parser_t parser;
    struct confscan *scan;
    struct confreport *report;
    struct view text;
    bool is_broken; /* the parser cannot go on */
};

void confscan_deinit(struct confscan *s)
{
    free(s->nodes);
    *s = (struct confscan){0};
}

const char *confscan_library_version(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "libyaml %s", yaml_get_version_string());
    return text;
}

void confscan_format_key(const struct confscan *s, size_t node, char out[CONFREPORT_KEY_MAX])
{
    char tail[CONFREPORT_KEY_MAX] = "";

    out[0] = '\0';
    for (int i = (int)node; i >= 0; i = s->nodes[i].parent) {
        if (s->nodes[i].key[0] == '\0')
            continue;
        snprintf(tail, sizeof(tail), "%s", out);
        /* Depth times CONFSCAN_KEY_MAX may be over the size; a key that long is cut, and unknown anyway. */
        if (snprintf(out, CONFREPORT_KEY_MAX, "%s%s%s", s->nodes[i].key, tail[0] == '\0' ? "" : ".", tail) >= CONFREPORT_KEY_MAX)
            return;
    }
}

static struct confplace place_of(const struct scanner *sc, const yaml_mark_t *mark)
{
    return (struct confplace){sc->report->file, (int)mark->line + 1, (int)mark->column + 1};
}

static void report_at(struct scanner *sc, const yaml_mark_t *mark, int node, const char *text)
{
    char key[CONFREPORT_KEY_MAX] = "";

    if (node >= 0)
        confscan_format_key(sc->scan, (size_t)node, key);
    confreport_error(sc->report, place_of(sc, mark), key, "%s", text);
}

static int line_at(struct view text, size_t offset)
{
    int line = 1;

    for (size_t i = 0; i < offset && i < text.n; i++)
        if (text.p[i] == '\n')
            line++;
    return line;
}

/* [::1/128] is no YAML to libyaml: a colon cannot begin a word in a flow list. */
static const char *hint_at(struct view text, const char *problem, int line)
{
    struct view rest = text, at = VIEW_NONE;

    for (int i = 0; i < line; i++)
        at = view_split(&rest, '\n');
    bool is_it = strstr(problem, "node content") != NULL && view_contains(at, VIEW("::"));
    return is_it ? "; quote addresses that begin with a colon or a bracket, such as \"::1/128\"" : "";
}

static void report_parser(struct scanner *sc)
{
    const yaml_parser_t *p = &sc->parser;
    struct confplace at = {sc->report->file, (int)p->problem_mark.line + 1, (int)p->problem_mark.column + 1};
    const char *problem = p->problem == NULL ? "no reason given" : p->problem;

    if (p->error == YAML_READER_ERROR) {
        at = (struct confplace){sc->report->file, line_at(sc->text, p->problem_offset), 0};
        confreport_error(sc->report, at, "", "not UTF-8 text: %s", problem);
    } else if (p->context != NULL && p->context_mark.line + 1 != (size_t)at.line) {
        confreport_error(sc->report, at, "", "not YAML: %s (%s that begins on line %zu)", problem, p->context,
                         p->context_mark.line + 1);
    } else {
        confreport_error(sc->report, at, "", "not YAML: %s%s", problem, hint_at(sc->text, problem, at.line));
    }
}

/* False: the end, reported. */
static bool next_event(struct scanner *sc, yaml_event_t *event)
{
    if (sc->is_broken)
        return false;
    if (yaml_parser_parse(&sc->parser, event) == 1)
        return true;
    report_parser(sc);
    sc->is_broken = true;
    return false;
}

static void stop(struct scanner *sc, const yaml_mark_t *mark, int node, const char *text)
{
    report_at(sc, mark, node, text);
    sc->is_broken = true;
}

static int add_node(struct scanner *sc, int parent, const yaml_mark_t *mark)
{
    struct confscan *s = sc->scan;

    if (s->n == CONFSCAN_NODES_MAX) {
        stop(sc, mark, parent, "too many entries in one file");
        return -1;
    }
    if (s->n == s->size) {
        size_t size = s->size == 0 ? 128 : s->size * 2;
        struct confnode *nodes = realloc(s->nodes, size * sizeof(*nodes));
        if (nodes == NULL) {
            stop(sc, mark, parent, "no memory");
            return -1;
        }
        s->nodes = nodes;
        s->size = size;
    }
    s->nodes[s->n] = (struct confnode){.parent = parent, .line = (int)mark->line + 1, .column = (int)mark->column + 1};
    if (parent >= 0)
        s->nodes[parent].n_children++;
    return (int)s->n++;
}

static void read_node(struct scanner *sc, int node, yaml_event_t *event, int depth);

static void refuse_decoration(struct scanner *sc, int node, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL)
        report_at(sc, &event->start_mark, node, "anchors (&name) are not accepted: write the value out");
    if (tag != NULL)
        report_at(sc, &event->start_mark, node, "tags (!name) are not accepted: the key decides the type");
}

static bool has_control(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] < 0x20 || v.p[i] == 0x7f)
            return true;
    return false;
}

static struct view scalar_of(const yaml_event_t *event)
{
    return view_at((const char *)event->data.scalar.value, event->data.scalar.length);
}

static bool is_null(const yaml_event_t *event)
{
    struct view v = scalar_of(event);

    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    return v.n == 0 || view_eq(v, VIEW("~")) || view_eq_ci(v, VIEW("null"));
}

static void read_text(struct scanner *sc, int node, const yaml_event_t *event)
{
    struct view v = scalar_of(event);

    sc->scan->nodes[node].is_null = is_null(event);
    if (has_control(v))
        report_at(sc, &event->start_mark, node, "line breaks and control characters are not accepted: expected one line of text");
    if (v.n > CONFSCAN_TEXT_MAX)
        report_at(sc, &event->start_mark, node, "too long: expected at most 4096 bytes");
}

static void read_list(struct scanner *sc, int node, int depth)
{
    sc->scan->nodes[node].kind = CONFNODE_LIST;
    for (;;) {
        yaml_event_t event;
        if (!next_event(sc, &event))
            return;
        bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        int item = is_end ? -1 : add_node(sc, node, &event.start_mark);
        if (item >= 0)
            read_node(sc, item, &event, depth + 1);
        yaml_event_delete(&event);
        if (item < 0)
            return;
    }
}

/* Returns the node for the key, or -1 if it cannot be one (reported). */
static int read_key(struct scanner *sc, int map, const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT) {
        stop(sc, &event->start_mark, map, "expected `key: value` here");
        return -1;
    }
    struct view key = scalar_of(event);
    if (key.n == 0 || key.n > CONFSCAN_KEY_MAX || has_control(key)) {
        stop(sc, &event->start_mark, map, "expected a key of 1 to 64 characters");
        return -1;
    }
    int node = add_node(sc, map, &event->start_mark);
    if (node < 0)
        return -1;
    memcpy(sc->scan->nodes[node].key, key.p, key.n);
    refuse_decoration(sc, node, event);
    for (int i = 0; i < node; i++) {
        const struct confnode *other = &sc->scan->nodes[i];
        if (other->parent != map || strcmp(other->key, sc->scan->nodes[node].key) != 0)
            continue;
        char text[64];
        snprintf(text, sizeof(text), "given twice: first on line %d", other->line);
        report_at(sc, &event->start_mark, node, text);
        break;
    }
    return node;
}

static void read_map(struct scanner *sc, int node, int depth)
{
    sc->scan->nodes[node].kind = CONFNODE_MAP;
    for (;;) {
        yaml_event_t event;
        if (!next_event(sc, &event))
            return;
        int child = event.type == YAML_MAPPING_END_EVENT ? -1 : read_key(sc, node, &event);
        yaml_event_delete(&event);
        if (child < 0)
            return;
        if (!next_event(sc, &event))
            return;
        read_node(sc, child, &event, depth + 1);
        yaml_event_delete(&event);
    }
}

/* The event begins the node's value; it stays the caller's. */
static void read_node(struct scanner *sc, int node, yaml_event_t *event, int depth)
{
    refuse_decoration(sc, node, event);
    if (depth > CONFSCAN_DEPTH_MAX)
        stop(sc, &event->start_mark, node, "nested too deep");
    else if (event->type == YAML_ALIAS_EVENT)
        report_at(sc, &event->start_mark, node, "aliases (*name) are not accepted: write the value out");
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        read_list(sc, node, depth);
    else if (event->type == YAML_MAPPING_START_EVENT)
        read_map(sc, node, depth);
    else
        read_text(sc, node, event);
}

static void read_documents(struct scanner *sc)
{
    for (bool is_end = false; !is_end;) {
        yaml_event_t event;
        if (!next_event(sc, &event))
            return;
        if (event.type == YAML_DOCUMENT_START_EVENT && sc->scan->n > 0) {
            stop(sc, &event.start_mark, -1, "a second document begins: expected one");
        } else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_STREAM_END_EVENT &&
                   event.type != YAML_DOCUMENT_START_EVENT && event.type != YAML_DOCUMENT_END_EVENT) {
            int root = add_node(sc, -1, &event.start_mark);
            if (root >= 0)
                read_node(sc, root, &event, 0);
        }
        is_end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
}

/* What libyaml would name less clearly, or swallow. */
static bool check_bytes(struct view text, struct confreport *report)
{
    size_t n_before = report->n_errors;
    struct confplace at = {report->file, 1, 1};
    bool is_indent = true;

    if (view_starts(text, VIEW("\xef\xbb\xbf")) || view_starts(text, VIEW("\xff\xfe")) || view_starts(text, VIEW("\xfe\xff"))) {
        confreport_error(report, at, "", "starts with a byte order mark: expected UTF-8 without one");
        return false;
    }
    for (size_t i = 0; i < text.n; i++, at.column++) {
        char c = text.p[i];
        if (c == '\0') {
            confreport_error(report, at, "", "a NUL byte: expected UTF-8 text");
            return false;
        }
        if (c == '\t' && is_indent) {
            confreport_error(report, at, "", "a tab indents this line: expected spaces");
            is_indent = false;
        }
        is_indent = c == '\n' || (is_indent && c == ' ');
        if (c == '\n') {
            at.line++;
            at.column = 0;
        }
    }
    return report->n_errors == n_before;
}

enum gw_err confscan_read(struct view text, struct confreport *report, struct confscan *s)
{
    struct confscan scan = {0};
    struct scanner sc = {.scan = &scan, .report = report, .text = text};
    size_t n_before = report->n_errors;

    if (text.n > CONFIG_BYTES_MAX) {
        confreport_error(report, (struct confplace){report->file, 0, 0}, "", "larger than %d bytes", CONFIG_BYTES_MAX);
        return GW_E_INVALID;
    }
    if (!check_bytes(text, report))
        return GW_E_INVALID;
    if (yaml_parser_initialize(&sc.parser) != 1)
        return GW_E_NOMEM;
    yaml_parser_set_encoding(&sc.parser, YAML_UTF8_ENCODING);
    /* libyaml asserts that there is a pointer. */
    yaml_parser_set_input_string(&sc.parser, (const unsigned char *)(text.n == 0 ? "" : text.p), text.n);
    read_documents(&sc);
    yaml_parser_delete(&sc.parser);
    if (report->n_errors == n_before && (scan.n == 0 || scan.nodes[0].kind != CONFNODE_MAP))
        confreport_error(report, (struct confplace){report->file, scan.n == 0 ? 0 : scan.nodes[0].line, 0}, "",
                         "expected a map of sections such as `server:`");
    if (report->n_errors != n_before) {
        confscan_deinit(&scan);
        return GW_E_INVALID;
    }
    *s = scan;
    return GW_OK;
}
