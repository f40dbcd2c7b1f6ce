#include "cli/policy.h"

#include "policykit.h"

static char dir[64];
static char output[8192];

static void setup(void)
{
    kit_mkdir(dir);
}

static void teardown(void)
{
    kit_rmdir(dir);
}

/* Runs it with standard output (and error) in a file; each test is a process of its own. */
static int run(const char *a, const char *b, const char *c)
{
    char name[] = "policy", args[3][128] = {"", "", ""}, path[128];
    char *argv[] = {name, args[0], args[1], args[2], NULL};
    int argc = 1 + (a != NULL) + (b != NULL) + (c != NULL);
    snprintf(args[0], sizeof(args[0]), "%s", a == NULL ? "" : a);
    snprintf(args[1], sizeof(args[1]), "%s", b == NULL ? "" : b);
    snprintf(args[2], sizeof(args[2]), "%s", c == NULL ? "" : c);
    argv[argc] = NULL;
    snprintf(path, sizeof(path), "%s.out", dir);
    ck_assert_ptr_nonnull(freopen(path, "w", stdout));
    dup2(STDOUT_FILENO, STDERR_FILENO);
    int status = cli_policy(argc, argv);
    fflush(stdout);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, output, sizeof(output) - 1);
    output[n < 0 ? 0 : n] = '\0';
    close(fd);
    unlink(path);
    return status;
}

static bool ends_with(const char *tail)
{
    return view_ends(view_of(output), view_of(tail));
}

#define RULE VIEW("allow 'a' {everyone=true}\n")

START_TEST(exits_0_when_all_pass)
{
    kit_write(dir, "a.lua", RULE);
    kit_write(dir, "a_test.lua", VIEW("test 't' {user=user{username='x'}, repo=repo 'github:a/b', expect='allow'}\n"));
    ck_assert_int_eq(run("test", dir, NULL), 0);
    ck_assert_str_eq(output, "1 passed, 0 failed\n");
    ck_assert_int_eq(run("test", dir, "--json"), 0);
    ck_assert_ptr_nonnull(strstr(
        output,
        "{\"passed\":1,\"failed\":0,\"findings\":[],\"tests\":[{\"file\":\"a_test.lua\",\"line\":1,\"name\":\"t\",\"passed\":true,\"text\":\"\"}]}\n"));
}
END_TEST

START_TEST(exits_1_with_file_and_line_when_one_fails)
{
    kit_write(dir, "a.lua", RULE);
    kit_write(dir, "a_test.lua", VIEW("\ntest 't' {user=user{username='x'}, repo=repo 'github:a/b', expect='deny'}\n"));
    ck_assert_int_eq(run("test", dir, NULL), 1);
    ck_assert_msg(strstr(output, "/a_test.lua:2: t: expected deny, got allow") != NULL, "%s", output);
    ck_assert(ends_with("\n0 passed, 1 failed\n"));
}
END_TEST

START_TEST(exits_1_when_a_file_cannot_be_loaded)
{
    kit_write(dir, "a.lua", VIEW("allow 'a' {gruops={'x'}}\n"));
    ck_assert_int_eq(run("test", dir, NULL), 1);
    ck_assert_ptr_nonnull(strstr(output, "/a.lua:1: rule \"a\": there is no field 'gruops'"));
    ck_assert_ptr_nonnull(strstr(output, "    allow 'a' {gruops={'x'}}\n"));
    ck_assert(ends_with("\n0 passed, 2 failed\n"));
}
END_TEST

START_TEST(exits_1_when_there_is_no_test)
{
    kit_write(dir, "a.lua", RULE);
    ck_assert_int_eq(run("test", dir, NULL), 1);
    ck_assert_ptr_nonnull(strstr(output, "there is no test"));
    ck_assert(ends_with("\n0 passed, 1 failed\n"));
}
END_TEST

START_TEST(exits_2_for_what_it_does_not_know)
{
    ck_assert_int_eq(run(NULL, NULL, NULL), 2);
    ck_assert_int_eq(run("tset", NULL, NULL), 2);
    ck_assert_int_eq(run("test", "--fast", NULL), 2);
    ck_assert_int_eq(run("explain", NULL, NULL), 2);
    ck_assert_ptr_nonnull(strstr(output, "explain is not built yet"));
}
END_TEST

START_TEST(exits_3_when_the_directory_cannot_be_read)
{
    ck_assert_int_eq(run("test", "/nonexistent", NULL), 3);
}
END_TEST

START_TEST(helps)
{
    ck_assert_int_eq(run("--help", NULL, NULL), 0);
    ck_assert_ptr_nonnull(strstr(output, "usage: repogate policy test [DIR] [--json]"));
    ck_assert_int_eq(run("test", "--help", NULL), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy");
    TCase *tc = tcase_create("policy");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, exits_0_when_all_pass);
    tcase_add_test(tc, exits_1_with_file_and_line_when_one_fails);
    tcase_add_test(tc, exits_1_when_a_file_cannot_be_loaded);
    tcase_add_test(tc, exits_1_when_there_is_no_test);
    tcase_add_test(tc, exits_2_for_what_it_does_not_know);
    tcase_add_test(tc, exits_3_when_the_directory_cannot_be_read);
    tcase_add_test(tc, helps);
    suite_add_tcase(s, tc);
    return support_run(s);
}
