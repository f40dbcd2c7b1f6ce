#include "policy/nearest.h"

#include <stdio.h>

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* Edits (change, insert, remove, swap of neighbours) between two names, case folded: a difference in case counts as nothing,
 * so such a name is the first to be offered. */
static size_t edit_distance(struct view a, struct view b)
{
    size_t rows[3][NEAREST_NAME_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b.n; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *spare = before;

        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            char x = view_lower_byte(a.p[i - 1]), y = view_lower_byte(b.p[j - 1]);

            row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == view_lower_byte(b.p[j - 2]) && y == view_lower_byte(a.p[i - 2]) &&
                before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        before = last;
        last = row;
        row = spare;
    }
    return last[b.n];
}

struct nearest nearest_begin(struct view asked)
{
    return (struct nearest){.asked = asked, .distance = asked.n / 3 + 2};
}

void nearest_offer(struct nearest *n, struct view name)
{
    size_t distance;

    if (n->asked.n == 0 || n->asked.n > NEAREST_NAME_MAX || name.n == 0 || name.n > NEAREST_NAME_MAX)
        return;
    distance = edit_distance(n->asked, name);
    /* Names come in any order; of two as near, the one that sorts first is offered. */
    if (distance < name.n &&
        (distance < n->distance || (distance == n->distance && n->best.p != NULL && view_cmp(name, n->best) < 0))) {
        n->distance = distance;
        n->best = name;
    }
}

const char *nearest_format(const struct nearest *n, char *out, size_t cap)
{
    out[0] = '\0';
    if (n->best.p != NULL)
        snprintf(out, cap, " (did you mean '%.*s'?)", VIEW_FMT(n->best));
    return out;
}

const char *nearest_of(struct view asked, const char *const *names, char *out, size_t cap)
{
    struct nearest n = nearest_begin(asked);

    for (; *names != NULL; names++)
        nearest_offer(&n, view_of(*names));
    return nearest_format(&n, out, cap);
}
