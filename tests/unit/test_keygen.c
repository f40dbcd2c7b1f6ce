#include "cli/keygen.h"
#include "cli/usage.h"
#include "identity/signkey.h"
#include "util/seal.h"
#include "util/secret.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[32], file[64];

static void set_up(void)
{
    snprintf(directory, sizeof(directory), "/tmp/test_keygen.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(file, sizeof(file), "%s/key", directory);
}

static size_t count_files(void)
{
    DIR *d = opendir(directory);
    size_t n = 0;

    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

static void tear_down(void)
{
    char link_path[64];

    snprintf(link_path, sizeof(link_path), "%s/link", directory);
    unlink(link_path);
    unlink(file);
    rmdir(directory);
}

static int run(const char *a, const char *b, const char *c)
{
    char name[] = "keygen", *argv[] = {name, NULL, NULL, NULL, NULL};
    int argc = 1;

    for (int i = 0; i < 3; i++) {
        const char *arg = i == 0 ? a : i == 1 ? b : c;
        if (arg != NULL)
            argv[argc++] = strdup(arg);
    }
    int status = cli_keygen(argc, argv);
    for (int i = 1; i < argc; i++)
        free(argv[i]);
    return status;
}

static size_t count_keys(void)
{
    struct seal_ring *ring = NULL;

    ck_assert_int_eq(seal_ring_load(file, &ring), GW_OK);
    size_t n = seal_ring_count(ring);
    seal_ring_free(ring);
    return n;
}

static char *read_text(void)
{
    char *text = NULL;

    ck_assert_int_eq(secret_load(file, &text), GW_OK);
    return text;
}

START_TEST(G10_writes_a_key_that_only_its_owner_may_read)
{
    struct stat st;

    ck_assert_int_eq(run("session", "--out", file), CLI_OK);
    ck_assert_int_eq(stat(file, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(st.st_size, 44);
    ck_assert_uint_eq(count_keys(), 1);
}
END_TEST

START_TEST(never_overwrites)
{
    ck_assert_int_eq(run("session", "--out", file), CLI_OK);
    char *before = read_text();
    ck_assert_int_eq(run("session", "--out", file), CLI_USAGE);
    char *after = read_text();
    ck_assert_str_eq(before, after);
    secret_free(before);
    secret_free(after);
}
END_TEST

START_TEST(never_writes_through_a_link)
{
    char link_path[64];

    snprintf(link_path, sizeof(link_path), "%s/link", directory);
    ck_assert_int_eq(symlink(file, link_path), 0);
    ck_assert_int_ne(run("session", "--out", link_path), CLI_OK);
    ck_assert_int_ne(access(file, F_OK), 0);
}
END_TEST

START_TEST(rotation_puts_a_new_key_on_top_and_keeps_the_mode)
{
    struct stat st;

    ck_assert_int_eq(run("session", "--out", file), CLI_OK);
    ck_assert_int_eq(chmod(file, 0640), 0);
    char *before = read_text();
    ck_assert_int_eq(run("session", "--rotate", file), CLI_OK);
    char *after = read_text();
    ck_assert_uint_eq(count_keys(), 2);
    ck_assert_str_ne(before, after);
    ck_assert_str_eq(strchr(after, '\n') + 1, before);
    ck_assert_int_eq(stat(file, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0640);
    ck_assert_uint_eq(count_files(), 1);
    secret_free(before);
    secret_free(after);
}
END_TEST

START_TEST(rotation_stops_at_the_last_place)
{
    ck_assert_int_eq(run("session", "--out", file), CLI_OK);
    for (int i = 1; i < SEAL_KEYS_MAX; i++)
        ck_assert_int_eq(run("session", "--rotate", file), CLI_OK);
    ck_assert_uint_eq(count_keys(), SEAL_KEYS_MAX);
    ck_assert_int_eq(run("session", "--rotate", file), CLI_USAGE);
    ck_assert_uint_eq(count_keys(), SEAL_KEYS_MAX);
    ck_assert_uint_eq(count_files(), 1);
}
END_TEST

START_TEST(rotation_leaves_a_file_of_other_things_alone)
{
    FILE *f = fopen(file, "w");

    ck_assert_ptr_nonnull(f);
    fputs("not a key\n", f);
    fclose(f);
    ck_assert_int_eq(run("session", "--rotate", file), CLI_USAGE);
    char *text = read_text();
    ck_assert_str_eq(text, "not a key");
    secret_free(text);
}
END_TEST

START_TEST(assertion_keys_rotate_likewise)
{
    struct signkey_ring *ring = NULL;
    struct stat st;

    ck_assert_int_eq(run("assertion", "--out", file), CLI_OK);
    ck_assert_int_eq(stat(file, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    char *before = read_text();
    for (int i = 1; i < SIGNKEY_KEYS_MAX; i++)
        ck_assert_int_eq(run("assertion", "--rotate", file), CLI_OK);
    ck_assert_int_eq(run("assertion", "--rotate", file), CLI_USAGE);
    ck_assert_int_eq(run("session", "--rotate", file), CLI_USAGE);
    char *after = read_text();
    ck_assert(view_ends(view_of(after), view_of(before)));
    ck_assert_int_eq(signkey_ring_parse(view_of(after), &ring), GW_OK);
    ck_assert_uint_eq(signkey_ring_count(ring), SIGNKEY_KEYS_MAX);
    ck_assert_uint_eq(count_files(), 1);
    signkey_ring_free(ring);
    secret_free(before);
    secret_free(after);
}
END_TEST

static const struct {
    const char *a, *b, *c;
    int status;
} status_cases[] = {
    {NULL, NULL, NULL, CLI_USAGE},
    {"--help", NULL, NULL, CLI_OK},
    {"session", "-h", NULL, CLI_OK},
    {"checkpoint", NULL, NULL, CLI_USAGE},
    {"assertion", "--help", NULL, CLI_OK},
    {"assertion", "--out=/nowhere/key", NULL, CLI_FAILED},
    {"sesion", NULL, NULL, CLI_USAGE},
    {"session", "session", NULL, CLI_USAGE},
    {"session", "--out", NULL, CLI_USAGE},
    {"session", "--out=", NULL, CLI_USAGE},
    {"session", "--force", NULL, CLI_USAGE},
    {"session", "--out=/nowhere/key", NULL, CLI_FAILED},
    {"session", "--rotate", "/nowhere/key", CLI_FAILED},
    {"session", "--out=/nowhere/a", "--out=/nowhere/b", CLI_USAGE},
    {"session", "--out=/nowhere/a", "--rotate=/nowhere/b", CLI_USAGE},
    {"session", "--", "--out", CLI_USAGE},
};

START_TEST(exit_code_says_what_happened)
{
    ck_assert_int_eq(run(status_cases[_i].a, status_cases[_i].b, status_cases[_i].c), status_cases[_i].status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keygen");
    TCase *tc = tcase_create("keygen");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, G10_writes_a_key_that_only_its_owner_may_read);
    tcase_add_test(tc, never_overwrites);
    tcase_add_test(tc, never_writes_through_a_link);
    tcase_add_test(tc, rotation_puts_a_new_key_on_top_and_keeps_the_mode);
    tcase_add_test(tc, rotation_stops_at_the_last_place);
    tcase_add_test(tc, rotation_leaves_a_file_of_other_things_alone);
    tcase_add_test(tc, assertion_keys_rotate_likewise);
    tcase_add_loop_test(tc, exit_code_says_what_happened, 0, sizeof(status_cases) / sizeof(status_cases[0]));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
