#include "config/confkeys.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

START_TEST(every_key_is_found_by_its_name_once)
{
    for (size_t i = 0; i < CONFKEYS_COUNT; i++)
        ck_assert_ptr_eq(confkeys_find(view_of(confkeys[i].name)), &confkeys[i]);
    ck_assert_ptr_null(confkeys_find(VIEW("server")));
    ck_assert_ptr_null(confkeys_find(VIEW("server.listen ")));
    ck_assert_ptr_null(confkeys_find(VIEW_NONE));
}
END_TEST

START_TEST(every_key_is_documented_and_fits_its_caps)
{
    for (size_t i = 0; i < CONFKEYS_COUNT; i++) {
        const struct confkey *k = &confkeys[i];
        ck_assert_msg(strlen(k->name) <= CONFKEYS_NAME_MAX, "%s", k->name);
        ck_assert_msg(strlen(k->doc) > 10 && k->doc[strlen(k->doc) - 1] == '.', "%s", k->name);
        ck_assert_msg(strchr(k->doc, '\n') == NULL, "%s", k->name);
        /* A choice accepts its own default; what is not built at all has a harmless one. */
        if (k->type == CONFKEY_CHOICE && k->fallback != NULL)
            ck_assert_msg(confkeys_list_has(k->choices, view_of(k->fallback)), "%s", k->name);
        ck_assert_msg(!confkeys_is_unbuilt(k) || k->fallback != NULL, "%s", k->name);
        ck_assert_msg(confkeys_expected(k->type)[0] != '\0', "%s", k->name);
    }
}
END_TEST

START_TEST(environment_names_have_two_underscores)
{
    char name[CONFKEYS_ENV_MAX];

    confkeys_env_name(confkeys_find(VIEW("server.public_url")), name);
    ck_assert_str_eq(name, "REPOGATE__SERVER__PUBLIC_URL");
    confkeys_env_name(confkeys_find(VIEW("forges")), name);
    ck_assert_str_eq(name, "REPOGATE__FORGES");
}
END_TEST

static const struct {
    const char *given, *nearest;
} nearest_cases[] = {
    {"server.lisen", "server.listen"},
    {"server.public-url", "server.public_url"},
    {"Server.Listen", "server.listen"},
    {"sever.listen", "server.listen"},
    {"sesion", "session"},
    {"forge", "forges"},
    {"server.issuer", "oidc.issuer"},
    {"workspace.client_id", "oidc.client_id"},
    {"session.refrsh", "session.refresh"},
    {"audit.rotate_bytes", ""},
    {"audit.input", ""},
    {"", ""},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ""},
};

START_TEST(suggests_the_key_that_was_probably_meant)
{
    struct view found = confkeys_nearest(view_of(nearest_cases[_i].given));

    ck_assert_msg(view_eq(found, view_of(nearest_cases[_i].nearest)), "%s: %.*s", nearest_cases[_i].given, VIEW_FMT(found));
}
END_TEST

START_TEST(markdown_is_one_table_with_a_row_per_key)
{
    struct buf out = BUF(64 * 1024);
    size_t n_lines = 0;

    confkeys_format_markdown(&out);
    ck_assert(buf_ok(&out));
    struct view rest = buf_view(&out);
    while (rest.n > 0) {
        struct view line = view_split(&rest, '\n');
        size_t n_bars = 0;
        for (size_t i = 0; i < line.n; i++)
            n_bars += line.p[i] == '|' && (i == 0 || line.p[i - 1] != '\\') ? 1 : 0;
        ck_assert_msg(n_bars == 5, "%.*s", VIEW_FMT(line));
        n_lines++;
    }
    ck_assert_uint_eq(n_lines, CONFKEYS_COUNT + 2);
    ck_assert(view_contains(buf_view(&out), VIEW("| `oidc.issuer` | url | **required** |")));
    ck_assert(view_contains(buf_view(&out), VIEW("| `session.store` | choice | `sqlite` | ")));
    ck_assert(view_contains(buf_view(&out), VIEW("*Not built yet:* `knative`, `deployment`.")));
    buf_deinit(&out);
}
END_TEST

/* The README lies at the root; tests run there or name it in README. */
START_TEST(readme_shows_the_table_as_it_is)
{
    static char text[256 * 1024];
    const char *path = getenv("README") == NULL ? "README.md" : getenv("README");
    struct buf out = BUF(64 * 1024);

    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s cannot be read: run from the root, or set README", path);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    const char *begin = strstr(text, "<!-- keys:begin -->\n"), *end = strstr(text, "<!-- keys:end -->");
    ck_assert_msg(begin != NULL && end != NULL && begin < end, "%s lacks the markers", path);
    begin += strlen("<!-- keys:begin -->\n");
    confkeys_format_markdown(&out);
    ck_assert_msg(view_eq(view_trim(view_at(begin, (size_t)(end - begin))), buf_view(&out)),
                  "the README's keys are out of date: put in what `repogate check --print-keys` prints");
    buf_deinit(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("confkeys");
    TCase *tc = tcase_create("confkeys");

    tcase_add_test(tc, every_key_is_found_by_its_name_once);
    tcase_add_test(tc, every_key_is_documented_and_fits_its_caps);
    tcase_add_test(tc, environment_names_have_two_underscores);
    tcase_add_loop_test(tc, suggests_the_key_that_was_probably_meant, 0, sizeof(nearest_cases) / sizeof(nearest_cases[0]));
    tcase_add_test(tc, markdown_is_one_table_with_a_row_per_key);
    tcase_add_test(tc, readme_shows_the_table_as_it_is);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
