/* confscan: finds where everything stands in a YAML text, and refuses what a configuration does not need.
 *
 * Why: libcyaml stops at its first finding and its values carry no positions; findings made later (a bad URL) need lines too.
 * Shape: in: UTF-8 text, one document, at most CONFIG_BYTES_MAX bytes. Out: the tree of its nodes, parents before children.
 * Refused: duplicate keys (the last would win silently), anchors, aliases, tags, further documents, byte order marks, tabs
 * that indent, control characters, keys that are not plain text, nesting over CONFSCAN_DEPTH_MAX.
 * Errors: every finding is reported; GW_E_INVALID if there was one, GW_E_NOMEM.
 * Owns: the scan owns its nodes until confscan_deinit(). Source: YAML 1.1 as libyaml reads it. */
#pragma once

#include "config/confreport.h"
#include "util/view.h"

enum { CONFSCAN_NODES_MAX = 1024, CONFSCAN_DEPTH_MAX = 6, CONFSCAN_KEY_MAX = 64, CONFSCAN_TEXT_MAX = 4096 };

enum confnode_kind { CONFNODE_TEXT, CONFNODE_LIST, CONFNODE_MAP };

struct confnode {
    int parent; /* index; -1 for the root */
    enum confnode_kind kind;
    bool is_null;        /* nothing, ~ or null, unquoted */
    bool is_wanted;      /* for confload: set by whoever judges the shape */
    const char *members; /* likewise, of a list of maps: the comma-separated names of what is wanted of each */
    int line, column;    /* of the key; of the value for list items */
    size_t n_children;
    char key[CONFSCAN_KEY_MAX + 1]; /* "" for the root and for list items */
};

struct confscan {
    struct confnode *nodes; /* the root is nodes[0] */
    size_t n, size;
};

void confscan_deinit(struct confscan *s);
enum gw_err confscan_read(struct view text, struct confreport *report, struct confscan *s) GW_MUST_CHECK;
/* "server.listen"; list items have the list's name. Fits CONFREPORT_KEY_MAX. */
void confscan_format_key(const struct confscan *s, size_t node, char out[CONFREPORT_KEY_MAX]);
/* "libyaml 0.2.5" */
const char *confscan_library_version(void);
