#include "forge/repo.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static const struct forge forges[] = {
    {"github", FORGE_GITHUB, "https://github.com"},          {"gitlab", FORGE_GITLAB, "https://gitlab.com"},
    {"bitbucket", FORGE_BITBUCKET, "https://bitbucket.org"}, {"code", FORGE_GITEA, "https://git.example.org/base"},
    {"ghe", FORGE_GITHUB, "http://127.0.0.1:8080/"},
};
enum { N_FORGES = sizeof(forges) / sizeof(forges[0]) };

static const struct {
    const char *path, *full, *display_owner, *display_name, *rest;
} good[] = {
    {"/github/acme/site", "github:acme/site", "acme", "site", ""},
    {"/github/acme/site/", "github:acme/site", "acme", "site", "/"},
    {"/github/Acme/Site/x/y", "github:acme/site", "Acme", "Site", "/x/y"},
    {"/github/a/.github/", "github:a/.github", "a", ".github", "/"},
    {"/github/a-b-c/x.y_z-1", "github:a-b-c/x.y_z-1", "a-b-c", "x.y_z-1", ""},
    {"/github/dora_acme/x", "github:dora_acme/x", "dora_acme", "x", ""},
    {"/github/a/...", "github:a/...", "a", "...", ""},
    {"/github/a/b.atom", "github:a/b.atom", "a", "b.atom", ""},
    {"/github/a/b/a//b", "github:a/b", "a", "b", "/a//b"},
    {"/github/a/b/a%2fb%5Cc%252e%00d;e", "github:a/b", "a", "b", "/a%2fb%5Cc%252e%00d;e"},
    {"/github/a/b/.git/config", "github:a/b", "a", "b", "/.git/config"},
    {"/github/a/b/...", "github:a/b", "a", "b", "/..."},
    {"/github/a/b/-/ws/x", "github:a/b", "a", "b", "/-/ws/x"},
    {"/gitlab/g/p/-/ws", "gitlab:g/p", "g", "p", ""},
    {"/gitlab/g/p/-/ws/", "gitlab:g/p", "g", "p", "/"},
    {"/gitlab/G/s/u/P/-/ws/x/-/ws/y", "gitlab:g/s/u/p", "G/s/u", "P", "/x/-/ws/y"},
    {"/gitlab/_old/.odd/p/-/ws/", "gitlab:_old/.odd/p", "_old/.odd", "p", "/"},
    {"/bitbucket/team_1/a.b/x", "bitbucket:team_1/a.b", "team_1", "a.b", "/x"},
    {"/code/u.v/w", "code:u.v/w", "u.v", "w", ""},
    {"/ghe/acme/site", "ghe:acme/site", "acme", "site", ""},
};

START_TEST(B12_finds_the_repository_and_leaves_the_rest_byte_for_byte)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct repo r;
        const char *path = good[i].path;
        ck_assert_msg(repo_parse_path(forges, N_FORGES, view_of(path), &r) == REPO_ONE, "%s", path);
        ck_assert_str_eq(r.full, good[i].full);
        ck_assert_msg(view_eq(r.display_owner, view_of(good[i].display_owner)), "%s", path);
        ck_assert_msg(view_eq(r.display_name, view_of(good[i].display_name)), "%s", path);
        ck_assert_msg(view_eq(r.rest, view_of(good[i].rest)), "%s", path);
        ck_assert_msg(strncmp(r.full, r.forge->name, strlen(r.forge->name)) == 0, "%s", path);
        ck_assert_ptr_nonnull(strstr(r.full, r.owner));
        ck_assert_ptr_nonnull(strstr(r.full, r.name));
    }
}
END_TEST

static const char *const no_repository[] = {
    "/",           "/health",      "/metrics", "/favicon.ico", "/githubx/a/b", "/xgithub/a/b", "/static/a/b/",
    "/a/github/b", "/caf%C3%A9/x", "/a%20b",   "/-/ws",
};

START_TEST(finds_no_repository_elsewhere)
{
    for (size_t i = 0; i < sizeof(no_repository) / sizeof(no_repository[0]); i++) {
        struct repo r = {.forge = &forges[0]};
        ck_assert_msg(repo_parse_path(forges, N_FORGES, view_of(no_repository[i]), &r) == REPO_NONE, "%s", no_repository[i]);
        ck_assert_ptr_eq(r.forge, &forges[0]);
    }
    ck_assert_int_eq(repo_parse_path(NULL, 0, VIEW("/github/a/b"), &(struct repo){0}), REPO_NONE);
}
END_TEST

/* Group B: paths that someone could read as another repository, or as one where we see none. */
static const char *const ambiguous[] = {
    "",
    "github/acme/site",
    /* names a forge and no repository */
    "/github",
    "/github/",
    "/github/acme",
    "/github/acme/",
    "/github//",
    "/code/x",
    /* another spelling of the forge */
    "/GitHub/acme/site",
    "/GITHUB/acme/site",
    "/%67ithub/acme/site",
    "/githu%62/acme/site",
    "/github%2facme/site",
    "/github;x/acme/site",
    "/github%00/acme/site",
    "/%2567ithub/acme/site",
    "/%2fgithub/acme/site",
    "/github\\acme\\site",
    "/\\github/acme/site",
    "/github /acme/site",
    "/\tgithub/acme/site",
    "/\xc7\xa5ithub/a/b",
    "/;/github/acme/site",
    "/%20github/acme/site%2e",
    /* empty segments: NGINX merges slashes */
    "//github/acme/site",
    "///github/acme/site",
    "/github//acme/site",
    "/github/acme//site",
    "/github/acme//",
    "//",
    "/github/acme/site//",
    "/github/acme/site//evil/x",
    "//static/x",
    "/static//x",
    /* dot segments, raw and encoded, in front, inside and behind */
    "/./github/acme/site",
    "/../github/acme/site",
    "/x/../github/acme/site",
    "/x/%2e%2e/github/acme/site",
    "/github/./acme/site",
    "/github/../github/acme/site",
    "/github/acme/./site",
    "/github/acme/../evil/site",
    "/github/acme/site/..",
    "/github/acme/site/.",
    "/github/acme/site/../../evil/repo/index.html",
    "/github/acme/site/x/../y",
    "/github/acme/site/%2e%2e/evil",
    "/github/acme/site/%2E%2E/evil",
    "/github/acme/site/.%2e/evil",
    "/github/acme/site/x%2f..%2fy",
    "/github/acme/site/x%5c..%5cy",
    "/github/acme/site/..%2f..%2fevil/repo",
    "/github/acme/site/..;/evil",
    "/github/acme/site/x/..;a=b/y",
    "/github/acme/site/%2e",
    "/github/../..",
    "/github/acme/..",
    "/github/acme/.",
    "/github/../site",
    "/static/../github/acme/site",
    "/static/..",
    /* encoded and foreign bytes in the prefix */
    "/github/%61cme/site",
    "/github/acme/sit%65",
    "/github/acme%2fsite",
    "/github/acme%2Fsite/x",
    "/github/evil%2frepo/x/y",
    "/github/acme%5csite/x",
    "/github/acme/site%2f..",
    "/github/acme/site%00",
    "/github/acme/site%20",
    "/github/acme/site%0a",
    "/github/acme/si%c3%a9te",
    "/github/acme/si\xc3\xa9te",
    "/github/acme/site\x01",
    "/github/acme/si te",
    "/github/acme;x/site",
    "/github/acme/site;x=1",
    "/github/acme/x;y=1",
    "/github/acme/site;/x",
    "/github/acme%252fsite/x",
    "/github/acme/site%2e",
    "/github/acme/site#x",
    "/github/acme/site?x",
    "/github/acme/site%23",
    "/github/acme/site%3f",
    "/github/acme\\site/x",
    "/github/acme/site\\x",
    "/github/acme/site:80",
    "/github/acme/site@v1",
    "/github/acme/site~",
    "/github/acme/site*",
    "/github/acme/a+b",
    "/github/acme/%c0%ae%c0%ae/x",
    /* grammar: PLATFORM 4.1, 0.3(8) */
    "/github/-acme/site",
    "/github/acme-/site",
    "/github/ac--me/site",
    "/github/ac.me/site",
    "/github/_acme/site",
    "/github/acme_/site",
    "/github/a_b_c/site",
    "/github/a_b-c/site",
    "/github/-_b/site",
    "/github/a-_b/site",
    "/github/abcdefghijabcdefghijabcdefghijabcdefghij/site",
    "/github/acme/.git",
    "/github/acme/site.git",
    "/github/acme/site.GIT",
    "/github/acme/site.wiki",
    "/gitlab/g/p.atom/-/ws",
    "/code/u/v.atom",
    "/github/acme/-r",
    "/github/--upload-pack=x/site",
    "/github/acme/",
    /* GitLab: nothing without its separator */
    "/gitlab/g",
    "/gitlab/g/p",
    "/gitlab/g/p/",
    "/gitlab/g/p/x/y",
    "/gitlab/g/p/-",
    "/gitlab/g/p/-/",
    "/gitlab/g/p/-/tree/main",
    "/gitlab/g/p/-/wsx",
    "/gitlab/g/p/-/ws%2fx",
    "/gitlab/p/-/ws",
    "/gitlab/-/ws",
    "/gitlab/-/p/-/ws",
    "/gitlab//g/p/-/ws",
    "/gitlab/g//p/-/ws",
    "/gitlab/g/p//-/ws",
    "/gitlab/g/p/-//ws",
    "/gitlab/g/p/-/ws//x",
    "/gitlab/g/../p/-/ws",
    "/gitlab/g/p/../-/ws",
    "/gitlab/g/p/-/../ws",
    "/gitlab/g/p/-/ws/..",
    "/gitlab/g./p/-/ws",
    "/gitlab/g/p.git/-/ws",
    "/gitlab/g/%70/-/ws",
    "/gitlab/g;x/p/-/ws",
    "/gitlab/g/p/%2d/ws",
    "/gitlab/g/p/-/%77s",
    "/gitlab/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/p/-/ws",
    /* the others */
    "/bitbucket/-t/a",
    "/bitbucket/t./a",
    "/bitbucket/t..t/a",
    "/code/u/v.git",
    "/code/u/-v",
    "/code/u%2fv/w",
    /* no repository, and not canonical */
    "/stat%69c/x",
    "/static/x;y",
    "/static/a%2fb",
    "/static/%2561",
    "/static/caf%c3%a9",
    "/_%72epogate",
    "/a\\b",
    "/a b",
};

START_TEST(B5_B6_B9_B10_B12_refuses_paths_that_could_mean_another_repository)
{
    for (size_t i = 0; i < sizeof(ambiguous) / sizeof(ambiguous[0]); i++) {
        struct repo r = {.forge = &forges[0]};
        ck_assert_msg(repo_parse_path(forges, N_FORGES, view_of(ambiguous[i]), &r) == REPO_AMBIGUOUS, "%s", ambiguous[i]);
        ck_assert_ptr_eq(r.forge, &forges[0]);
    }
}
END_TEST

/* Every byte in every place of a prefix: only its own letters in another case may mean the same repository, and nothing else is
 * let in. */
START_TEST(B13_refuses_every_byte_that_a_name_cannot_hold)
{
    const char *const model = "/github/acme/site/x";
    char path[32];
    for (size_t at = 0; at < strlen("/github/acme/site"); at++) {
        for (int byte = 0; byte < 256; byte++) {
            struct repo r;
            memcpy(path, model, strlen(model) + 1);
            path[at] = (char)byte;
            bool is_word = (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z');
            if (is_word || byte == '-' || byte == '_' || byte == '.' || byte == model[at])
                continue;
            enum repo_found found = repo_parse_path(forges, N_FORGES, view_at(path, strlen(model)), &r);
            bool names_other_page = found == REPO_NONE && at < strlen("/github/");
            bool is_shorter_name = found == REPO_ONE && byte == '/';
            ck_assert_msg(found == REPO_AMBIGUOUS || names_other_page || is_shorter_name, "0x%02x at %zu", byte, at);
        }
    }
}
END_TEST

START_TEST(holds_the_lengths_of_names)
{
    char path[512], segment[300];
    struct repo r;
    static const struct {
        const char *forge, *tail;
        size_t owner, name;
        enum repo_found found;
    } cases[] = {
        {"github", "", 39, 100, REPO_ONE},       {"github", "", 40, 1, REPO_AMBIGUOUS},
        {"github", "", 1, 101, REPO_AMBIGUOUS},  {"code", "", 255, 100, REPO_ONE},
        {"code", "", 256, 1, REPO_AMBIGUOUS},    {"bitbucket", "", 256, 1, REPO_AMBIGUOUS},
        {"gitlab", "/-/ws", 255, 100, REPO_ONE}, {"gitlab", "/-/ws", 256, 1, REPO_AMBIGUOUS},
    };
    memset(segment, 'A', sizeof(segment));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int n = snprintf(path, sizeof(path), "/%s/%.*s/%.*s%s", cases[i].forge, (int)cases[i].owner, segment, (int)cases[i].name,
                         segment, cases[i].tail);
        ck_assert_msg(repo_parse_path(forges, N_FORGES, view_at(path, (size_t)n), &r) == cases[i].found, "case %zu", i);
        if (cases[i].found == REPO_ONE)
            ck_assert_uint_eq(strlen(r.full), strlen(cases[i].forge) + 1 + cases[i].owner + 1 + cases[i].name);
    }
}
END_TEST

static const struct {
    const char *text, *full; /* full NULL: GW_E_INVALID */
} refs[] = {
    {"github:acme/site", "github:acme/site"},
    {"github:Acme/SITE", "github:acme/site"},
    {"gitlab:g/s/p", "gitlab:g/s/p"},
    {"code:u.v/w", "code:u.v/w"},
    {"acme/site", "acme/site"},
    {"Acme/Site", "acme/site"},
    {"g/s/p", "g/s/p"},
    {"https://github.com/acme/site", "github:acme/site"},
    {"https://github.com/Acme/Site/", "github:acme/site"},
    {"https://github.com/acme/site.git", "github:acme/site"},
    {"https://GitHub.com:443/acme/site", "github:acme/site"},
    {"https://gitlab.com/g/s/p", "gitlab:g/s/p"},
    {"https://git.example.org/base/u/v", "code:u/v"},
    {"http://127.0.0.1:8080/acme/site", "ghe:acme/site"},
    {"", NULL},
    {"site", NULL},
    {"/site", NULL},
    {"acme/", NULL},
    {"/acme/site", NULL},
    {"acme//site", NULL},
    {"acme/../site", NULL},
    {"acme/site.git", NULL},
    {"acme/*", NULL},
    {"acme/si te", NULL},
    {"acme%2fsite/x", NULL},
    {":acme/site", NULL},
    {"github:", NULL},
    {"github:site", NULL},
    {"github:a/b/c", NULL},
    {"github:ac_me_x/site", NULL},
    {"GitHub:acme/site", NULL},
    {"unknown:acme/site", NULL},
    {"github:acme/site ", NULL},
    {"github:acme/site\n", NULL},
    {"http://github.com/acme/site", NULL},
    {"https://evil.example/acme/site", NULL},
    {"https://github.com.evil.example/acme/site", NULL},
    {"https://github.com@evil.example/acme/site", NULL},
    {"https://github.com/acme/site/tree/main", NULL},
    {"https://github.com/acme/site?x", NULL},
    {"https://github.com/acme/site#x", NULL},
    {"https://github.com/acme/site//", NULL},
    {"https://github.com/acme/site.git.git", NULL},
    {"https://github.com/acme", NULL},
    {"https://github.com/", NULL},
    {"https://github.com", NULL},
    {"https://github.com//acme/site", NULL},
    {"https://git.example.org/u/v", NULL},
    {"https://git.example.org/basement/u/v", NULL},
    {"https://git.example.org/base", NULL},
    {"git@github.com:acme/site", NULL},
    {"ssh://git@github.com/acme/site", NULL},
    {"://", NULL},
};

START_TEST(parses_references_of_lists_and_tools)
{
    for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++) {
        struct repo r = {.full = "untouched"};
        enum gw_err err = repo_parse_ref(forges, N_FORGES, view_of(refs[i].text), &r);
        ck_assert_msg(err == (refs[i].full == NULL ? GW_E_INVALID : GW_OK), "%s", refs[i].text);
        ck_assert_msg(strcmp(r.full, refs[i].full == NULL ? "untouched" : refs[i].full) == 0, "%s gave %s", refs[i].text, r.full);
        if (refs[i].full != NULL)
            ck_assert_msg((r.forge == NULL) == (strchr(refs[i].full, ':') == NULL), "%s", refs[i].text);
    }
}
END_TEST

START_TEST(knows_kinds_and_forge_names)
{
    static const char *const good_names[] = {"github", "g", "a-1", "abcdefghijabcdefghijabcdefghijab"};
    static const char *const bad_names[] = {"",
                                            "1a",
                                            "-a",
                                            "GitHub",
                                            "a_b",
                                            "a.b",
                                            "a/b",
                                            "health",
                                            "metrics",
                                            "_repogate",
                                            "abcdefghijabcdefghijabcdefghijabc",
                                            "\xc3\xa9"};
    static const char *const kinds[] = {"github", "gitlab", "bitbucket", "gitea"};
    enum forge_kind kind;
    for (size_t i = 0; i < sizeof(good_names) / sizeof(good_names[0]); i++)
        ck_assert_msg(repo_forge_name_is_valid(view_of(good_names[i])), "%s", good_names[i]);
    for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++)
        ck_assert_msg(!repo_forge_name_is_valid(view_of(bad_names[i])), "%s", bad_names[i]);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        ck_assert_int_eq(repo_kind_parse(view_of(kinds[i]), &kind), GW_OK);
        ck_assert_int_eq(kind, (int)i);
    }
    ck_assert_int_eq(repo_kind_parse(VIEW("GitHub"), &kind), GW_E_INVALID);
    ck_assert_int_eq(repo_kind_parse(VIEW_NONE, &kind), GW_E_INVALID);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("repo");
    TCase *tc = tcase_create("repo");
    tcase_add_test(tc, B12_finds_the_repository_and_leaves_the_rest_byte_for_byte);
    tcase_add_test(tc, finds_no_repository_elsewhere);
    tcase_add_test(tc, B5_B6_B9_B10_B12_refuses_paths_that_could_mean_another_repository);
    tcase_add_test(tc, B13_refuses_every_byte_that_a_name_cannot_hold);
    tcase_add_test(tc, holds_the_lengths_of_names);
    tcase_add_test(tc, parses_references_of_lists_and_tools);
    tcase_add_test(tc, knows_kinds_and_forge_names);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
