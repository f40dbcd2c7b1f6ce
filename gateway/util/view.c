#include "util/view.h"

#include <stdlib.h>

bool view_eq_ci(struct view a, struct view b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (view_lower_byte(a.p[i]) != view_lower_byte(b.p[i]))
            return false;
    return true;
}

bool view_starts(struct view v, struct view prefix)
{
    return v.n >= prefix.n && view_eq((struct view){v.p, prefix.n}, prefix);
}

bool view_ends(struct view v, struct view suffix)
{
    return v.n >= suffix.n && view_eq(view_skip(v, v.n - suffix.n), suffix);
}

int view_cmp(struct view a, struct view b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
    if (c != 0)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

size_t view_index(struct view v, char c)
{
    const char *hit = v.n == 0 ? NULL : memchr(v.p, c, v.n);
    return hit == NULL ? v.n : (size_t)(hit - v.p);
}

bool view_contains(struct view v, struct view needle)
{
    if (needle.n == 0)
        return true;
    return v.n >= needle.n && memmem(v.p, v.n, needle.p, needle.n) != NULL;
}

struct view view_skip(struct view v, size_t n)
{
    if (n == 0)
        return v;
    return (struct view){v.p + n, v.n - n};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct view view_trim(struct view v)
{
    while (v.n > 0 && is_blank(v.p[0]))
        v = view_skip(v, 1);
    while (v.n > 0 && is_blank(v.p[v.n - 1]))
        v.n--;
    return v;
}

struct view view_split(struct view *rest, char c)
{
    size_t i = view_index(*rest, c);
    struct view head = {rest->p, i};
    *rest = i == rest->n ? VIEW_NONE : view_skip(*rest, i + 1);
    return head;
}

enum gw_err view_to_u64(struct view v, uint64_t *ret_n)
{
    uint64_t n = 0;
    if (v.n == 0)
        return GW_E_INVALID;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return GW_E_INVALID;
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(v.p[i] - '0'), &n))
            return GW_E_INVALID;
    }
    *ret_n = n;
    return GW_OK;
}

char *view_dup(struct view v)
{
    char *s = malloc(v.n + 1);
    if (s == NULL)
        return NULL;
    if (v.n > 0)
        memcpy(s, v.p, v.n);
    s[v.n] = '\0';
    return s;
}
