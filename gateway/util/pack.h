/* pack: a JSON value as one compact immutable piece of memory.
 *
 * Why: a session's claims stay in memory for 100,000 people; a tree of small allocations would be five times as large, and
 * text would have to be parsed for each decision.
 * Shape: in: JSON text (RFC 8259), duplicate members refused, at most PACK_DEPTH_MAX deep. Out: tagged values in one
 * block; a pack_val points at one of them. Object members are kept sorted by key.
 * Errors: GW_E_INVALID no JSON or duplicate members; GW_E_LIMIT too deep or too large; GW_E_NOMEM.
 * Owns: a pack_val borrows from the block it came from. Threads: immutable. */
#pragma once

#include "util/buf.h"

enum { PACK_DEPTH_MAX = 16, PACK_BYTES_MAX = 256 * 1024 };

enum pack_type { PACK_ABSENT, PACK_NULL, PACK_FALSE, PACK_TRUE, PACK_INT, PACK_REAL, PACK_STRING, PACK_LIST, PACK_MAP };

struct pack_val {
    const uint8_t *p; /* NULL = absent */
};

/* Appends the value to out; the block may be moved or copied afterwards as bytes. */
enum gw_err pack_parse(struct view json, struct buf *out) GW_MUST_CHECK;
/* Appends a map that has base's members, replaced or joined by those of over (top level only). Both are maps. */
enum gw_err pack_merge(struct pack_val base, struct pack_val over, struct buf *out) GW_MUST_CHECK;
/* Appends a map that has the members of map but those named (top level only). */
enum gw_err pack_without(struct pack_val map, const struct view *names, size_t n_names, struct buf *out) GW_MUST_CHECK;
/* Appends a map that has only those. */
enum gw_err pack_only(struct pack_val map, const struct view *names, size_t n_names, struct buf *out) GW_MUST_CHECK;
static inline struct pack_val pack_root(const void *block)
{
    return (struct pack_val){(const uint8_t *)block};
}

enum pack_type pack_type(struct pack_val v);
const char *pack_type_name(enum pack_type t);
/* Bytes that the value takes in its block. */
size_t pack_size(struct pack_val v);
/* These give the zero value for another type. */
struct view pack_string(struct pack_val v); /* borrowed, not NUL-terminated */
int64_t pack_int(struct pack_val v);
double pack_real(struct pack_val v); /* an integer too */
bool pack_is_true(struct pack_val v);
/* Elements of a list, members of a map, else 0. */
size_t pack_count(struct pack_val v);
/* Absent if there is none. Linear in the members before it. */
struct pack_val pack_find(struct pack_val map, struct view key);
/* The same for many keys in one walk; keys are sorted as view_cmp() orders. */
void pack_find_sorted(struct pack_val map, const struct view *keys, size_t n_keys, struct pack_val *ret_vals);
bool pack_list_has(struct pack_val list, struct view string);
/* True for a list whose elements are all strings (an empty list too). */
bool pack_is_string_list(struct pack_val v);
void pack_format_json(struct pack_val v, struct buf *out);

const char *pack_library_version(void);

/* Walks a list or a map: for (pack_iter_init(&it, v); pack_iter_next(&it);) uses it.key (maps) and it.val. */
struct pack_iter {
    struct view key;
    struct pack_val val;
    const uint8_t *next;
    size_t left;
    bool is_map;
};
void pack_iter_init(struct pack_iter *it, struct pack_val v);
bool pack_iter_next(struct pack_iter *it);
