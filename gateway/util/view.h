/* view: a borrowed pointer and a length; not NUL-terminated.
 *
 * Owns: nothing; valid until what it points into goes. An empty view may have p == NULL.
 * Threads: values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "util/err.h"

struct view {
    const char *p;
    size_t n;
};

/* A string literal and nothing else: the empty one before it sees to that. */
#define VIEW(literal) ((struct view){"" literal, sizeof("" literal) - 1})
/* The same for an array of characters that ends in NUL. */
#define VIEW_ARRAY(array) ((struct view){(array), sizeof(array) - 1})
#define VIEW_NONE ((struct view){NULL, 0})
/* for printf("%.*s", VIEW_FMT(v)) */
#define VIEW_FMT(v) (int)(v).n, (v).p

static inline struct view view_of(const char *cstr)
{
    return (struct view){cstr, cstr == NULL ? 0 : strlen(cstr)};
}

static inline struct view view_at(const char *p, size_t n)
{
    return (struct view){p, n};
}

static inline bool view_eq(struct view a, struct view b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case folded. */
bool view_eq_ci(struct view a, struct view b);
bool view_starts(struct view v, struct view prefix);
bool view_ends(struct view v, struct view suffix);
/* Orders by bytes, then by length, as memcmp does. */
int view_cmp(struct view a, struct view b);
/* Index of the first byte c, or v.n. */
size_t view_index(struct view v, char c);
bool view_contains(struct view v, struct view needle);
/* v without its first n bytes; n <= v.n. */
struct view view_skip(struct view v, size_t n);
/* Without SP and HTAB at both ends (RFC 9110 5.6.3). */
struct view view_trim(struct view v);
/* Cuts the part before the first c from *rest and returns it; without a c, all of it, and *rest becomes empty with p == NULL. */
struct view view_split(struct view *rest, char c);
/* Decimal digits only, no sign, no blanks. GW_E_INVALID otherwise or past 2^64-1. */
enum gw_err view_to_u64(struct view v, uint64_t *ret_n) GW_MUST_CHECK;
/* A NUL-terminated copy; owned; NULL without memory. */
char *view_dup(struct view v);

static inline char view_lower_byte(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}
