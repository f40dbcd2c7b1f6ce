#include "policy/glob.h"
#include "policy/nearest.h"
#include "support.h"

/* What the globs mean, said as plainly as can be; too slow for anything but short texts. */
static bool oracle(const char *p, const char *t)
{
    if (p[0] == '*' && p[1] == '*')
        return oracle(p + 2, t) || (t[0] != '\0' && oracle(p, t + 1));
    if (p[0] == '*')
        return oracle(p + 1, t) || (t[0] != '\0' && t[0] != '/' && oracle(p, t + 1));
    if (p[0] == '\0' || t[0] == '\0')
        return p[0] == t[0];
    return (p[0] == t[0] || (p[0] == '?' && t[0] != '/')) && oracle(p + 1, t + 1);
}

START_TEST(B14_means_what_the_plain_definition_says)
{
    static const char pattern_letters[] = "a/*?", text_letters[] = "ab/";
    char pattern[8], text[8];
    for (unsigned i = 0; i < 4 * 4 * 4 * 4 * 4 * 4; i++) {
        size_t n = 0;
        for (unsigned x = i; x > 0; x /= 4)
            pattern[n++] = pattern_letters[x % 4];
        pattern[n] = '\0';
        for (unsigned k = 0; k < 3 * 3 * 3 * 3 * 3; k++) {
            size_t m = 0;
            for (unsigned x = k; x > 0; x /= 3)
                text[m++] = text_letters[x % 3];
            text[m] = '\0';
            ck_assert_msg(glob_matches(view_of(pattern), view_of(text), false) == oracle(pattern, text), "'%s' and '%s'", pattern,
                          text);
        }
    }
}
END_TEST

static const struct {
    const char *pattern, *text;
    bool matches;
} repos[] = {
    {"github:acme/*", "github:acme/site", true},
    {"github:acme/*", "github:acme/a/b", false},
    {"gitlab:acme/**", "gitlab:acme/a/b", true},
    {"*:acme/site", "github:acme/site", true},
    {"github:acme/site", "github:acme/sites", false},
    {"github:ACME/Site", "github:acme/site", true},
    {"github:acme/s?te", "github:acme/site", true},
    {"**/x*/y", "a/b/xc/y", true},
    {"**/x*/y", "a/b/xc/d/y", false},
    {"", "", true},
    {"", "a", false},
    {"**", "", true},
};

START_TEST(B14_I4_matches_repositories_as_rules_write_them)
{
    ck_assert_msg(glob_matches(view_of(repos[_i].pattern), view_of(repos[_i].text), true) == repos[_i].matches, "%s %s",
                  repos[_i].pattern, repos[_i].text);
}
END_TEST

START_TEST(refuses_a_pattern_over_its_cap)
{
    char pattern[GLOB_PATTERN_MAX + 2];
    memset(pattern, '*', sizeof(pattern));
    ck_assert(glob_matches(view_at(pattern, GLOB_PATTERN_MAX), VIEW("a/b"), false));
    ck_assert(!glob_matches(view_at(pattern, GLOB_PATTERN_MAX + 1), VIEW("a/b"), false));
}
END_TEST

static const struct {
    const char *asked, *hint;
} names[] = {
    {"gruops", " (did you mean 'groups'?)"},
    {"Groups", " (did you mean 'groups'?)"},
    {"unles", " (did you mean 'unless'?)"},
    {"zzzzzz", ""},
    {"", ""},
};

START_TEST(offers_the_name_that_was_probably_meant)
{
    static const char *const known[] = {"groups", "not_groups", "when", "unless", NULL};
    char out[128];
    ck_assert_str_eq(nearest_of(view_of(names[_i].asked), known, out, sizeof(out)), names[_i].hint);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("glob");
    TCase *tc = tcase_create("glob");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, B14_means_what_the_plain_definition_says);
    tcase_add_loop_test(tc, B14_I4_matches_repositories_as_rules_write_them, 0, sizeof(repos) / sizeof(repos[0]));
    tcase_add_test(tc, refuses_a_pattern_over_its_cap);
    tcase_add_loop_test(tc, offers_the_name_that_was_probably_meant, 0, sizeof(names) / sizeof(names[0]));
    suite_add_tcase(s, tc);
    return support_run(s);
}
