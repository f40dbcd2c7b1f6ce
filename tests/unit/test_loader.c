#include "policykit.h"

static char dir[64];

static void setup(void)
{
    kit_mkdir(dir);
}

static void teardown(void)
{
    kit_rmdir(dir);
}

#define RULE VIEW("allow 'a' {everyone=true}\n")
#define TEST \
    VIEW("test 't' { user = user {username='x'}, repo = repo 'github:a/b', expect = 'allow', rule = 'a', reason = 'allowed' }\n")

static enum gw_err load(bool require_tests, struct buf *findings, struct engine **ret_engine)
{
    struct loader_spec spec = kit_spec(dir);
    spec.require_tests = require_tests;
    return loader_load(&spec, kit_report, findings, ret_engine);
}

static void must_load(bool require_tests, char revision[DECISION_REVISION_LEN + 1])
{
    struct buf findings = BUF(65536);
    struct engine *e = NULL;
    enum gw_err err = load(require_tests, &findings, &e);
    ck_assert_msg(err == GW_OK, "%s", findings.p);
    if (revision != NULL)
        snprintf(revision, DECISION_REVISION_LEN + 1, "%s", engine_revision(e));
    engine_free(e);
    buf_deinit(&findings);
}

static void must_refuse(bool require_tests, const char *finding)
{
    struct buf findings = BUF(65536);
    struct engine *e = NULL;
    ck_assert_int_eq(load(require_tests, &findings, &e), GW_E_POLICY);
    ck_assert_ptr_null(e);
    ck_assert_msg(findings.p != NULL && strstr(findings.p, finding) != NULL, "'%s' without '%s'", findings.p, finding);
    buf_deinit(&findings);
}

START_TEST(loads_rules_and_tests_for_every_thread)
{
    struct buf findings = BUF(1024);
    struct engine *engines[3] = {NULL};
    struct loader_spec spec = kit_spec(dir);
    kit_write(dir, "a.lua", RULE);
    kit_write(dir, "a_test.lua", TEST);
    spec.require_tests = true;
    spec.n_engines = 3;
    ck_assert_int_eq(loader_load(&spec, kit_report, &findings, engines), GW_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(engine_rule_count(engines[i]), 1);
        ck_assert_str_eq(engine_revision(engines[i]), engine_revision(engines[0]));
    }
    for (int i = 0; i < 3; i++)
        engine_free(engines[i]);
    spec.n_engines = 0; /* `check` wants the findings alone */
    ck_assert_int_eq(loader_load(&spec, kit_report, &findings, NULL), GW_OK);
    ck_assert_uint_eq(findings.n, 0);
}
END_TEST

START_TEST(a_directory_that_cannot_be_read_is_no_finding)
{
    struct buf findings = BUF(1024);
    struct engine *e = NULL;
    kit_rmdir(dir);
    ck_assert_int_eq(load(false, &findings, &e), GW_E_IO);
    ck_assert_uint_eq(findings.n, 0);
}
END_TEST

START_TEST(an_empty_directory_is_refused)
{
    must_refuse(false, "there is no rule in");
}
END_TEST

START_TEST(demands_tests)
{
    kit_write(dir, "a.lua", RULE);
    must_load(false, NULL);
    must_refuse(true, "there is no test in");
    kit_write(dir, "a_test.lua", VIEW("-- none\n"));
    must_refuse(true, "there is no test in");
    kit_write(dir, "a_test.lua", TEST);
    must_load(true, NULL);
}
END_TEST

START_TEST(refuses_when_a_test_fails)
{
    kit_write(dir, "a.lua", RULE);
    kit_write(dir, "a_test.lua", VIEW("\ntest 't' { user = user {username='x'}, repo = repo 'github:a/b', expect = 'deny' }\n"));
    must_refuse(true, "a_test.lua:2: test \"t\" failed: expected deny, got allow (allowed, rule \"a\")");
}
END_TEST

START_TEST(reports_the_failures_of_all_files_with_their_source_lines)
{
    struct buf findings = BUF(65536);
    struct engine *e = NULL;
    kit_write(dir, "a.lua", VIEW("allow 'a' {\n"));
    kit_write(dir, "b.lua", VIEW("allow 'b' {nope=1}\n"));
    kit_write(dir, "c.lua", VIEW("allow 'c' {everyone=true, when=function(u) return u.nope end}\n"));
    ck_assert_int_eq(load(true, &findings, &e), GW_E_POLICY);
    ck_assert_ptr_nonnull(strstr(findings.p, "a.lua:2: "));
    ck_assert_ptr_nonnull(strstr(findings.p, "b.lua:1: rule \"b\""));
    ck_assert_ptr_nonnull(strstr(findings.p, "c.lua:1: u has no 'nope'"));
    buf_deinit(&findings);
}
END_TEST

static void keep_line(void *arg, const struct loader_finding *f)
{
    snprintf(arg, 256, "%s:%d [%s]", f->file, f->line, f->source_line);
}

START_TEST(shows_the_source_line)
{
    char shown[256] = "";
    struct engine *e = NULL;
    struct loader_spec spec = kit_spec(dir);
    kit_write(dir, "a.lua", VIEW("-- one\n  allow 'a' {nope=1, everyone=true}\n"));
    ck_assert_int_eq(loader_load(&spec, keep_line, shown, &e), GW_E_POLICY);
    ck_assert_str_eq(shown, "a.lua:2 [  allow 'a' {nope=1, everyone=true}]");
}
END_TEST

START_TEST(names_are_unique_over_all_files)
{
    kit_write(dir, "a.lua", RULE);
    kit_write(dir, "b.lua", VIEW("\n\ndeny 'a' {groups={'x'}}\n"));
    must_refuse(false, "b.lua:3: rule \"a\": this name is used at a.lua:1 already");
}
END_TEST

START_TEST(files_do_not_share_locals_or_globals)
{
    kit_write(dir, "a.lua", VIEW("local helper = 1\nallow 'a' {everyone=true}\n"));
    kit_write(dir, "b.lua", VIEW("allow 'b' {everyone=true, when=function() return helper == 1 end}\n"));
    must_refuse(false, "there is no global 'helper'");
}
END_TEST

START_TEST(ignores_what_is_no_rule_file)
{
    kit_write(dir, "a.lua", RULE);
    kit_write(dir, "notes.txt", VIEW("allow"));
    kit_write(dir, ".hidden.lua", VIEW("syntax error"));
    kit_write(dir, "lib.teams.lua", VIEW("return {}"));
    must_load(false, NULL);
}
END_TEST

START_TEST(refuses_files_by_size_and_text)
{
    static char big[256 * 1024 + 1];
    memset(big, '\n', sizeof(big));
    kit_write(dir, "a.lua", view_at(big, sizeof(big)));
    must_refuse(false, "a.lua:0: larger than 256 KiB");
    memcpy(big, "allow 'a' {everyone=true}", 25);
    kit_write(dir, "a.lua", view_at(big, sizeof(big) - 1));
    must_load(false, NULL);
    kit_write(dir, "a.lua", VIEW("-- \xff\n"));
    must_refuse(false, "a.lua:1: not UTF-8: byte 0xff");
    kit_write(dir, "a.lua", VIEW("\n-- \xc0\xaf\n"));
    must_refuse(false, "a.lua:2: not UTF-8: byte 0xc0");
    kit_write(dir, "a.lua", VIEW("-- \xed\xa0\x80"));
    must_refuse(false, "not UTF-8");
    kit_write(dir, "a.lua", VIEW("-- \xe2\x80"));
    must_refuse(false, "not UTF-8");
    kit_write(dir, "a.lua", VIEW("-- caf\xc3\xa9 \xf0\x9f\x8e\x89\nallow 'a' {everyone=true}"));
    must_load(false, NULL);
    kit_write(dir, "a.lua", VIEW("-- \xe2\x80\xae\n"));
    must_refuse(false, "a.lua:1: U+202E changes how the text looks");
}
END_TEST

START_TEST(refuses_what_is_no_regular_file)
{
    char path[128];
    kit_write(dir, "a.lua", RULE);
    snprintf(path, sizeof(path), "%s/b.lua", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    must_refuse(false, "b.lua:0: cannot be read");
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    must_refuse(false, "b.lua:0: cannot be read");
    rmdir(path);
    ck_assert_int_eq(symlink("/nonexistent", path), 0);
    must_refuse(false, "b.lua:0: cannot be read");
}
END_TEST

START_TEST(refuses_a_file_name_that_lua_would_cut)
{
    char name[80] = "";
    memset(name, 'a', 60);
    memcpy(name + 60, ".lua", 5);
    kit_write(dir, name, RULE);
    must_refuse(false, "a file name may have 55 bytes");
}
END_TEST

START_TEST(reads_one_generation_where_kubernetes_swaps_a_link)
{
    char a[DECISION_REVISION_LEN + 1], b[DECISION_REVISION_LEN + 1], path[128];
    snprintf(path, sizeof(path), "%s/..1", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    kit_write(path, "a.lua", RULE);
    snprintf(path, sizeof(path), "%s/..data", dir);
    ck_assert_int_eq(symlink("..1", path), 0);
    snprintf(path, sizeof(path), "%s/a.lua", dir);
    ck_assert_int_eq(symlink("..data/a.lua", path), 0);
    must_load(false, a);
    /* A file beside the link belongs to no generation. */
    kit_write(dir, "b.lua", VIEW("syntax error"));
    must_load(false, b);
    ck_assert_str_eq(a, b);
}
END_TEST

static void revision_with(const struct loader_env *env, size_t n_env, char out[DECISION_REVISION_LEN + 1])
{
    struct buf findings = BUF(1024);
    struct engine *e = NULL;
    struct loader_spec spec = kit_spec(dir);
    spec.env = env;
    spec.n_env = n_env;
    ck_assert_int_eq(loader_load(&spec, kit_report, &findings, &e), GW_OK);
    snprintf(out, DECISION_REVISION_LEN + 1, "%s", engine_revision(e));
    engine_free(e);
}

START_TEST(revision_follows_rules_names_and_settings_but_not_tests)
{
    char first[13], other[13];
    static const struct loader_env env[] = {{"a", "1"}, {"b", "2"}}, joined[] = {{"a", "1\nb=2"}};
    kit_write(dir, "a.lua", RULE);
    must_load(false, first);
    ck_assert_uint_eq(strlen(first), DECISION_REVISION_LEN);
    ck_assert_uint_eq(strspn(first, "0123456789abcdef"), DECISION_REVISION_LEN);
    kit_write(dir, "a_test.lua", TEST);
    must_load(true, other);
    ck_assert_str_eq(first, other);
    revision_with(env, 2, other);
    ck_assert_str_ne(first, other);
    revision_with(joined, 1, first);
    ck_assert_str_ne(first, other);
    must_load(false, first);
    kit_write(dir, "a.lua", VIEW("allow 'a' {everyone=true} "));
    must_load(false, other);
    ck_assert_str_ne(first, other);
    kit_write(dir, "a.lua", VIEW("-- none"));
    kit_write(dir, "b.lua", RULE);
    must_load(false, other);
    ck_assert_str_ne(first, other);
}
END_TEST

START_TEST(settings_are_strings_that_rules_can_read)
{
    static const struct loader_env env[] = {{"region", "eu"}};
    struct buf findings = BUF(1024);
    struct engine *e = NULL;
    struct loader_spec spec = kit_spec(dir);
    spec.env = env;
    spec.n_env = 1;
    kit_write(dir, "a.lua",
              VIEW("assert(env.region == 'eu')\nallow 'a' {everyone=true, when=function() return env.region == 'eu' end}\n"));
    ck_assert_int_eq(loader_load(&spec, kit_report, &findings, &e), GW_OK);
    engine_free(e);
    kit_write(dir, "a.lua", VIEW("allow 'a' {everyone=true, when=function() return env.regoin == 'eu' end}\n"));
    ck_assert_int_eq(loader_load(&spec, kit_report, &findings, &e), GW_E_POLICY);
    ck_assert_ptr_nonnull(strstr(findings.p, "env has no 'regoin' (did you mean 'region'?)"));
    buf_deinit(&findings);
}
END_TEST

START_TEST(keeps_the_last_good_set_and_replaces_it)
{
    char state[64], kept[256], path[300];
    struct stat st;
    kit_mkdir(state);
    ck_assert_int_eq(loader_kept_dir(state, kept, sizeof(kept)), GW_E_NOTFOUND);
    kit_write(dir, "a.lua", RULE);
    kit_write(dir, "a_test.lua", TEST);
    ck_assert_int_eq(loader_keep(dir, state), GW_OK);
    ck_assert_int_eq(loader_kept_dir(state, kept, sizeof(kept)), GW_OK);
    kit_write(dir, "b.lua", VIEW("deny 'b' {groups={'x'}}"));
    ck_assert_int_eq(loader_keep(dir, state), GW_OK);
    snprintf(path, sizeof(path), "%s/b.lua", kept);
    ck_assert_int_eq(stat(path, &st), 0);
    kit_write(dir, "a.lua", VIEW("\xff"));
    ck_assert_int_eq(loader_keep(dir, state), GW_E_INVALID);

    struct buf findings = BUF(1024);
    struct engine *e = NULL;
    struct loader_spec spec = kit_spec(kept);
    spec.require_tests = true;
    ck_assert_int_eq(loader_load(&spec, kit_report, &findings, &e), GW_OK);
    ck_assert_uint_eq(engine_rule_count(e), 2);
    engine_free(e);

    int n_entries = 0;
    DIR *d = opendir(state);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        n_entries += entry->d_name[0] != '.';
    closedir(d);
    ck_assert_int_eq(n_entries, 2); /* the link and one set */
    ck_assert_int_eq(loader_kept_dir(state, kept, 5), GW_E_LIMIT);
    kit_rmdir(state);
    kit_write(dir, "a.lua", RULE);
    snprintf(path, sizeof(path), "%s/below", state);
    ck_assert_int_eq(loader_keep(dir, path), GW_E_IO); /* its parent is missing */
    ck_assert_int_eq(loader_keep(dir, state), GW_OK);  /* itself is made */
    kit_rmdir(state);
}
END_TEST

/* --- tests of policies --- */

struct results {
    struct buf findings;
    char last[700];
};

static void on_finding(void *arg, const struct loader_finding *f)
{
    kit_report(&((struct results *)arg)->findings, f);
}

static void on_result(void *arg, const struct loader_test_result *r)
{
    if (!r->passed)
        snprintf(((struct results *)arg)->last, 700, "%s:%d: %s: %s", r->file, r->line, r->name, r->text);
}

static const char seed_like[] =
    "allow 'admins' {groups={'admins'}}\n"
    "deny 'banned' {groups={'banned'}, reason='banned'}\n"
    "allow 'late' {everyone=true, when=function(u,r,q) return q.time:between('20:00','21:00','UTC') end}\n"
    "allow 'conn' {actions={'connect'}, when=function(u,r,q) return q.ip:in_cidr('192.0.2.0/24') end}\n"
    "allow 'svc' {everyone=true, when=function(u) return u.is_service and u.via == 'bearer' end}\n"
    "allow 'attr' {everyone=true, when=function(u) return u.attributes:flag('vip', false) and u.claims:string('dept', '') == 'x' end}\n"
    "allow 'mfa' {everyone=true, when=function(u) return u.session.mfa and u.session.auth_age <= 60 end}\n"
    "allow 'fresh' {groups={'ops'}, max_auth_age='15m', mfa=true}\n";

static const struct {
    const char *test;
    size_t n_passed, n_failed;
    const char *text; /* of the failed one, or of the finding */
} tests[] = {
    {"test 't' {user=user{username='a', groups={'admins'}}, repo=repo 'github:a/b', expect='allow', rule='admins', reason='allowed'}",
     1, 0, NULL},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', expect='deny', reason='no_rule'}", 1, 0, NULL},
    {"test 't' {user=user{username='a', groups={'admins','banned'}}, repo=repo 'github:a/b', expect='deny', rule='banned', reason='banned'}",
     1, 0, NULL},
    {"local a = user{username='a', groups={'admins'}, uid='7', email='x@y'} local b = user{a, username='b'} test 't' {user=b, repo=repo 'github:a/b', expect='allow'}",
     1, 0, NULL},
    {"local a = user{username='a', groups={'admins'}} local b = user{a, groups={}} test 't' {user=b, repo=repo 'github:a/b', expect='deny'}",
     1, 0, NULL},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', time='2026-02-28T20:30:00Z', expect='allow', rule='late'}", 1, 0,
     NULL},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', time='2028-02-29T21:00:00Z', expect='deny'}", 1, 0, NULL},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', action='connect', ip='192.0.2.1', expect='allow', rule='conn'}",
     1, 0, NULL},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', action='connect', expect='deny', reason='error'}", 1, 0, NULL},
    {"test 't' {user=user{username='a', service=true, via='bearer'}, repo=repo 'github:a/b', expect='allow', rule='svc'}", 1, 0,
     NULL},
    {"test 't' {user=user{username='a', attributes={vip=true}, claims={dept='x'}}, repo=repo 'github:a/b', expect='allow', rule='attr'}",
     1, 0, NULL},
    {"test 't' {user=user{username='a', session={mfa=true, auth_age=60}}, repo=repo 'github:a/b', expect='allow', rule='mfa'}", 1,
     0, NULL},
    {"test 't' {user=user{username='a', session={mfa=true, auth_age=61}}, repo=repo 'github:a/b', expect='deny'}", 1, 0, NULL},
    {"test 't' {user=user{username='a', groups={'ops'}, session={mfa=true, auth_age=900}}, repo=repo 'github:a/b', expect='allow', rule='fresh'}",
     1, 0, NULL},
    {"test 't' {user=user{username='a', groups={'ops'}, session={mfa=true, auth_age=901}}, repo=repo 'github:a/b', expect='step_up', rule='fresh', reason='step_up'}",
     1, 0, NULL},
    {"test 't' {user=user{username='a', groups={'ops'}, session={auth_age=0}}, repo=repo 'github:a/b', expect='step_up'}", 1, 0,
     NULL},
    {"test 't' {user=user{username='a', groups={'ops'}, claims={amr={'pwd', 'mfa'}}}, repo=repo 'github:a/b', expect='allow'}", 1,
     0, NULL},
    {"test 't' {user=user{username='a', groups={'ops'}, session={auth_age=false}, claims={amr={'mfa'}}}, repo=repo 'github:a/b', expect='step_up'}",
     1, 0, NULL},
    {"test 't' {user=user{username='a', groups={'ops','banned'}}, repo=repo 'github:a/b', expect='deny', rule='banned'}", 1, 0,
     NULL},
    {"test 't' {user=user{username='a', groups={'ops','admins'}}, repo=repo 'github:a/b', expect='allow', rule='admins'}", 1, 0,
     NULL},
    {"local p = repo 'github:a/b'\ngrid 'g' {{'', p}, {user{username='a', groups={'ops'}}, 'step_up'}}", 1, 0, NULL},
    {"test 't' {user=user{username='a', groups={'ops'}}, repo=repo 'github:a/b', expect='deny'}", 0, 1,
     "expected deny, got step_up (step_up, rule \"fresh\")"},
    {"test 't' {user=user{username='a', groups={'ops'}}, repo=repo 'github:a/b', expect='step_up', rule='mfa'}", 0, 1,
     "step_up, but not by rule \"mfa\""},
    {"local a, p, q = user{username='a', groups={'admins'}}, repo 'github:a/b' {visibility='public'}, repo 'gitlab:a/b/c'\ngrid 'g' {{'', p, q}, {a, 'allow', 'allow'}, {user{username='z'}, 'deny', 'deny'}}",
     4, 0, NULL},
    /* failures */
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', expect='allow'}", 0, 1,
     "p_test.lua:1: t: expected allow, got deny (no_rule)"},
    {"test 't' {user=user{username='a', groups={'admins'}}, repo=repo 'github:a/b', expect='allow', rule='admin'}", 0, 1,
     "there is no rule \"admin\" (did you mean 'admins'?)"},
    {"test 't' {user=user{username='a', groups={'admins'}}, repo=repo 'github:a/b', expect='allow', rule='late'}", 0, 1,
     "allow, but not by rule \"late\""},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', expect='deny', reason='norule'}", 0, 1,
     "there is no reason 'norule' (did you mean 'no_rule'?)"},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', expect='deny', reason='banned'}", 0, 1,
     "expected reason banned, got no_rule"},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', action='connect', expect='allow'}", 0, 1,
     "rule \"conn\" erred: p.lua:4: q.ip is absent"},
    {"local p = repo 'github:a/b'\ngrid 'g' {{'', p}, {user{username='a'}, 'allow'}}", 0, 1,
     "p_test.lua:2: g: a, github:a/b (unknown): expected allow"},
    {"test 't' {user=user{username='a', groups='admins'}, repo=repo 'github:a/b', expect='deny', reason='claims_missing'}", 1, 0,
     NULL},
    {"test 't' {user=user{username='a', attributes={x=1, [2]=3}}, repo=repo 'github:a/b', expect='deny'}", 0, 1,
     "a table is either a list or has names"},
    {"test 't' {user=user{username='a', attributes={f=pairs}}, repo=repo 'github:a/b', expect='deny'}", 0, 1,
     "only strings, numbers, booleans and tables are data"},
    {"test 't' {user=user{username='a', via='carrier'}, repo=repo 'github:a/b', expect='deny'}", 0, 1,
     "via is session, bearer or basic"},
    {"local t = {} for i = 1, 20 do t = {t} end test 't' {user=user{username='a', attributes={t=t}}, repo=repo 'github:a/b', expect='deny'}",
     0, 1, "nested too deeply"},
    /* findings */
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', expect='maybe'}", 0, 0, "expect must be"},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b'}", 0, 0, "expect must be"},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', expct='deny'}", 0, 0,
     "a test has no field 'expct' (did you mean 'expect'?)"},
    {"test 't' {user={}, repo=repo 'github:a/b', expect='deny'}", 0, 0, "user must be a user {…}, not a table"},
    {"test 't' {user=user{username='a'}, repo='github:a/b', expect='deny'}", 0, 0, "repo must be a repo"},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', expect='deny', time='tomorrow'}", 0, 0, "is no time"},
    {"test 't' {user=user{username='a'}, repo=repo 'github:a/b', expect='deny', obligations={}}", 0, 0,
     "a test has no field 'obligations'"},
    {"test 't'", 0, 0, "p_test.lua:1: \"t\" has a name but no fields"},
    {"user{usrname='a'}", 0, 0, "user has no field 'usrname' (did you mean 'username'?)"},
    {"user{groups={}}", 0, 0, "a user's username must be a string"},
    {"user{username='a', session={auth_age='1m'}}", 0, 0, "auth_age is a number of seconds, or false"},
    {"user{username='a', session={auth_age=-1}}", 0, 0, "auth_age is a number of seconds"},
    {"user{username='a', session={auth_age=true}}", 0, 0, "auth_age is a number of seconds"},
    {"user{username='a', session={mfa='yes'}}", 0, 0, "mfa is true or false"},
    {"repo 'nowhere:a/b'", 0, 0, "is no repository of a known forge"},
    {"repo 'github:a/b' {visibility='open'}", 0, 0, "there is no visibility 'open'"},
    {"local p = repo 'github:a/b' grid 'g' {{'', p, p}, {user{username='a'}, 'allow'}}", 0, 0,
     "row 2 has 2 entries instead of 3: every cell is required"},
    {"grid 'g' {}", 0, 0, "needs a row of repositories"},
    {"allow 'x' {everyone=true}", 0, 0, "there is no global 'allow'"},
    {"while true do end", 0, 0, "budget_instructions"},
};

START_TEST(policy_tests)
{
    struct results r = {.findings = BUF(65536)};
    struct loader_spec spec = kit_spec(dir);
    size_t n_passed = 0, n_failed = 0;
    kit_write(dir, "p.lua", VIEW_ARRAY(seed_like));
    kit_write(dir, "p_test.lua", view_of(tests[_i].test));
    enum gw_err err = loader_test(&spec, on_finding, on_result, &r, &n_passed, &n_failed);
    bool is_finding = tests[_i].n_passed + tests[_i].n_failed == 0;
    ck_assert_msg(err == (is_finding ? GW_E_POLICY : GW_OK), "%s: %s %s", tests[_i].test, gw_err_name(err), r.findings.p);
    ck_assert_msg(n_passed == tests[_i].n_passed && n_failed == tests[_i].n_failed, "%s: %s", tests[_i].test, r.last);
    if (tests[_i].text != NULL)
        ck_assert_msg(strstr(is_finding ? r.findings.p : r.last, tests[_i].text) != NULL, "%s: %s", tests[_i].test,
                      is_finding ? r.findings.p : r.last);
    buf_deinit(&r.findings);
}
END_TEST

START_TEST(the_seed_policy_passes_its_own_tests)
{
    struct results r = {.findings = BUF(65536)};
    struct loader_spec spec = kit_spec("policies");
    size_t n_passed = 0, n_failed = 0;
    ck_assert_msg(loader_test(&spec, on_finding, on_result, &r, &n_passed, &n_failed) == GW_OK, "%s", r.findings.p);
    ck_assert_uint_gt(n_passed, 10);
    ck_assert_msg(n_failed == 0, "%s", r.last);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loader");
    TCase *tc = tcase_create("loader");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, loads_rules_and_tests_for_every_thread);
    tcase_add_test(tc, a_directory_that_cannot_be_read_is_no_finding);
    tcase_add_test(tc, an_empty_directory_is_refused);
    tcase_add_test(tc, demands_tests);
    tcase_add_test(tc, refuses_when_a_test_fails);
    tcase_add_test(tc, reports_the_failures_of_all_files_with_their_source_lines);
    tcase_add_test(tc, shows_the_source_line);
    tcase_add_test(tc, names_are_unique_over_all_files);
    tcase_add_test(tc, files_do_not_share_locals_or_globals);
    tcase_add_test(tc, ignores_what_is_no_rule_file);
    tcase_add_test(tc, refuses_files_by_size_and_text);
    tcase_add_test(tc, refuses_what_is_no_regular_file);
    tcase_add_test(tc, refuses_a_file_name_that_lua_would_cut);
    tcase_add_test(tc, reads_one_generation_where_kubernetes_swaps_a_link);
    tcase_add_test(tc, revision_follows_rules_names_and_settings_but_not_tests);
    tcase_add_test(tc, settings_are_strings_that_rules_can_read);
    tcase_add_test(tc, keeps_the_last_good_set_and_replaces_it);
    tcase_add_loop_test(tc, policy_tests, 0, sizeof(tests) / sizeof(tests[0]));
    tcase_add_test(tc, the_seed_policy_passes_its_own_tests);
    suite_add_tcase(s, tc);
    return support_run(s);
}
