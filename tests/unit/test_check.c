#include "cli/check.h"
#include "cli/usage.h"
#include "util/view.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[32], output[64 * 1024];

static void put_file(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    fclose(f);
}

static const char policy[] = "allow \"admins\" { groups = {\"admins\"} }\n";
static const char policy_test[] = "test \"admins get in\" {\n"
                                  "  user = user { username = \"a\", groups = {\"admins\"} },\n"
                                  "  repo = repo \"github:o/r\" { visibility = \"private\" },\n"
                                  "  expect = \"allow\",\n"
                                  "}\n";

/* A configuration that is right, all of whose files are there; sections that end it can be put behind. */
static void put_config(const char *session_key, const char *more)
{
    char text[4096];

    snprintf(text, sizeof(text),
             "server: {public_url: https://a.example}\n"
             "oidc: {issuer: https://b.example/, client_secret_file: %s/secret}\n"
             "workspace: {url: http://127.0.0.1:1, mode: path, single_trust: true}\n"
             "audit: {path: %s/audit.jsonl}\n"
             "session: {path: %s/s.db, key_file: %s/%s}\n"
             "policy: {dir: %s/policies, state_dir: %s}\n%s",
             directory, directory, directory, directory, session_key, directory, directory, more);
    put_file("c.yaml", text);
}

static void set_up(void)
{
    char path[64];

    snprintf(directory, sizeof(directory), "/tmp/test_check.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/policies", directory);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    put_file("secret", "x\n");
    put_file("key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
    put_file("policies/a.lua", policy);
    put_file("policies/a_test.lua", policy_test);
    put_config("key", "");
}

static void tear_down(void)
{
    static const char *const names[] = {"policies/a.lua", "policies/a_test.lua", "policies", "secret", "key", "c.yaml", "out"};
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        remove(path);
    }
    rmdir(directory);
}

/* Runs the command and keeps what it prints in `output`. */
static int run(const char *option)
{
    char name[] = "check", config[64], out[64], copy[32], *argv[] = {name, config, copy, NULL};

    snprintf(config, sizeof(config), "--config=%s/c.yaml", directory);
    snprintf(copy, sizeof(copy), "%s", option);
    snprintf(out, sizeof(out), "%s/out", directory);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO), fd = open(out, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(dup2(fd, STDOUT_FILENO), 0);
    int status = cli_check(option[0] == '\0' ? 2 : 3, argv);
    fflush(stdout);
    ck_assert_int_ge(dup2(saved, STDOUT_FILENO), 0);
    close(saved);
    ssize_t n = pread(fd, output, sizeof(output) - 1, 0);
    ck_assert_int_ge(n, 0);
    output[n] = '\0';
    close(fd);
    return status;
}

START_TEST(says_ok_with_the_number_of_rules)
{
    ck_assert_msg(run("") == CLI_OK, "%s", output);
    ck_assert_ptr_nonnull(strstr(output, "c.yaml: ok, 1 rule, 0 warnings"));
    ck_assert_int_eq(run("--json"), CLI_OK);
    ck_assert_str_eq(output, "{\"findings\":[],\"ok\":true,\"rules\":1}\n");
}
END_TEST

START_TEST(prints_file_line_key_and_what_was_expected)
{
    put_config("key", "forges: {x: {kind: y, url: https://z.example}}\n");
    ck_assert_int_eq(run(""), CLI_USAGE);
    ck_assert_ptr_nonnull(strstr(output, "/c.yaml:7: forges.x.kind: expected github, gitlab, bitbucket or gitea, found \"y\"\n"));
    ck_assert_ptr_nonnull(strstr(output, "c.yaml: 1 error\n"));
    ck_assert_int_eq(run("--json"), CLI_USAGE);
    ck_assert_ptr_nonnull(strstr(output, "\"key\":\"forges.x.kind\""));
    ck_assert_ptr_nonnull(strstr(output, "\"line\":7,"));
    ck_assert_ptr_nonnull(strstr(output, "\"ok\":false"));
}
END_TEST

START_TEST(names_the_line_of_a_key_file_that_is_missing)
{
    put_config("nokey", "");
    ck_assert_int_eq(run(""), CLI_USAGE);
    ck_assert_ptr_nonnull(strstr(output, "/c.yaml:5: session.key_file: "));
    ck_assert_ptr_nonnull(strstr(output, "repogate keygen session --out"));
}
END_TEST

static const struct {
    const char *file, *want;
} assertion_cases[] = {
    {"nokey", "repogate keygen assertion --out"}, {"key", "holds something else than P-256 keys"}, /* those of sessions */
};

START_TEST(names_the_line_of_assertion_keys_that_cannot_be_used)
{
    char more[128];

    snprintf(more, sizeof(more), "assertion: {key_file: %s/%s}\n", directory, assertion_cases[_i].file);
    put_config("key", more);
    ck_assert_int_eq(run(""), CLI_USAGE);
    ck_assert_ptr_nonnull(strstr(output, "/c.yaml:7: assertion.key_file: "));
    ck_assert_msg(strstr(output, assertion_cases[_i].want) != NULL, "%s", output);
}
END_TEST

START_TEST(refuses_a_key_file_of_other_things)
{
    put_config("secret", "");
    ck_assert_int_eq(run(""), CLI_USAGE);
    ck_assert_ptr_nonnull(strstr(output, "session.key_file: "));
    ck_assert_ptr_nonnull(strstr(output, "no key"));
}
END_TEST

START_TEST(a_broken_policy_is_a_negative_answer_at_its_line)
{
    put_file("policies/a.lua", "allow \"admins\" { groups = {\"admins\"} }\nallow \"x\" {\n");
    ck_assert_int_eq(run(""), CLI_NO);
    ck_assert_ptr_nonnull(strstr(output, "/policies/a.lua:"));
}
END_TEST

START_TEST(a_failing_policy_test_is_a_negative_answer)
{
    put_file("policies/a.lua", "allow \"admins\" { groups = {\"others\"} }\n");
    ck_assert_int_eq(run(""), CLI_NO);
    ck_assert_ptr_nonnull(strstr(output, "/policies/a_test.lua:"));
}
END_TEST

START_TEST(missing_directories_are_configuration_errors)
{
    char path[64];

    put_config("key", "");
    snprintf(path, sizeof(path), "%s/policies/a.lua", directory);
    remove(path);
    snprintf(path, sizeof(path), "%s/policies/a_test.lua", directory);
    remove(path);
    snprintf(path, sizeof(path), "%s/policies", directory);
    rmdir(path);
    ck_assert_int_eq(run(""), CLI_USAGE);
    ck_assert_ptr_nonnull(strstr(output, "/c.yaml:6: policy.dir: "));
}
END_TEST

START_TEST(a_configuration_that_cannot_be_read_could_not_be_checked)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/c.yaml", directory);
    remove(path);
    ck_assert_int_eq(run(""), CLI_FAILED);
    ck_assert_ptr_nonnull(strstr(output, "could not be checked"));
}
END_TEST

START_TEST(prints_the_reference_of_keys)
{
    ck_assert_int_eq(run("--print-keys"), CLI_OK);
    ck_assert(view_starts(view_of(output), VIEW("| key | type | default | meaning |\n")));
}
END_TEST

START_TEST(unknown_options_are_usage_errors)
{
    char name[] = "check", option[] = "--jsn", *argv[] = {name, option, NULL};

    ck_assert_int_eq(cli_check(2, argv), CLI_USAGE);
    ck_assert_int_eq(cli_check(1, argv), CLI_USAGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *tc = tcase_create("check");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, says_ok_with_the_number_of_rules);
    tcase_add_test(tc, prints_file_line_key_and_what_was_expected);
    tcase_add_test(tc, names_the_line_of_a_key_file_that_is_missing);
    tcase_add_loop_test(tc, names_the_line_of_assertion_keys_that_cannot_be_used, 0, 2);
    tcase_add_test(tc, refuses_a_key_file_of_other_things);
    tcase_add_test(tc, a_broken_policy_is_a_negative_answer_at_its_line);
    tcase_add_test(tc, a_failing_policy_test_is_a_negative_answer);
    tcase_add_test(tc, missing_directories_are_configuration_errors);
    tcase_add_test(tc, a_configuration_that_cannot_be_read_could_not_be_checked);
    tcase_add_test(tc, prints_the_reference_of_keys);
    tcase_add_test(tc, unknown_options_are_usage_errors);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
