#include "policy/glob.h"

static bool byte_matches(char pattern, char text, bool fold)
{
    if (pattern == '?')
        return text != '/';
    return fold ? view_lower_byte(pattern) == view_lower_byte(text) : pattern == text;
}

/* For patterns with one kind of star. On a mismatch only the last star is stretched: trying earlier ones cannot help, since what
 * stands between them has matched as early as it can. */
static bool matches_by_stretching(struct view pattern, struct view text, bool deep, bool fold)
{
    const size_t none = (size_t)-1;
    size_t p = 0, t = 0, star_p = none, star_t = 0;

    while (t < text.n || p < pattern.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            while (p < pattern.n && pattern.p[p] == '*')
                p++;
            star_p = p;
            star_t = t;
        } else if (p < pattern.n && t < text.n && byte_matches(pattern.p[p], text.p[t], fold)) {
            p++;
            t++;
        } else if (star_p != none && star_t < text.n && (deep || text.p[star_t] != '/')) {
            p = star_p;
            t = ++star_t;
        } else {
            return false;
        }
    }
    return true;
}

/* With both kinds of star, stretching could take text squared times pattern steps; following all places at once cannot. */
static bool matches_by_places(struct view pattern, struct view text, bool fold)
{
    bool at[GLOB_PATTERN_MAX + 2] = {[0] = true}; /* may stand before pattern byte p */

    for (size_t t = 0;; t++) {
        bool came_from = false; /* by consuming text byte t at place p - 1 */

        for (size_t p = 0; p < pattern.n; p++) {
            bool is_star = pattern.p[p] == '*', here = at[p];
            size_t skip = p + 1;

            if (is_star && skip < pattern.n && pattern.p[skip] == '*')
                skip++;
            if (is_star && here)
                at[skip] = true;
            if (t == text.n)
                continue;
            at[p] = came_from || (is_star && here && (skip > p + 1 || text.p[t] != '/'));
            came_from = !is_star && here && byte_matches(pattern.p[p], text.p[t], fold);
            if (is_star && skip > p + 1) { /* the second byte of a double star is no place of its own */
                p++;
                at[p] = false;
            }
        }
        if (t == text.n)
            return at[pattern.n];
        at[pattern.n] = came_from;
    }
}

bool glob_matches(struct view pattern, struct view text, bool fold)
{
    bool has_deep = false, has_shallow = false;

    if (pattern.n > GLOB_PATTERN_MAX)
        return false;
    for (size_t p = 0; p < pattern.n; p++) {
        if (pattern.p[p] != '*')
            continue;
        if (p + 1 < pattern.n && pattern.p[p + 1] == '*') {
            has_deep = true;
            p++;
        } else {
            has_shallow = true;
        }
    }
    if (has_deep && has_shallow)
        return matches_by_places(pattern, text, fold);
    return matches_by_stretching(pattern, text, has_deep, fold);
}

bool glob_is_literal(struct view pattern)
{
    return view_index(pattern, '*') == pattern.n && view_index(pattern, '?') == pattern.n;
}
