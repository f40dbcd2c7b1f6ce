#include "policykit.h"

static const struct {
    const char *rules, *finding;
} refused[] = {
    {"allow 'a' {gruops={'x'}, everyone=true}", "p.lua:1: rule \"a\": there is no field 'gruops' (did you mean 'groups'?)"},
    {"allow 'a' {Groups={'x'}, everyone=true}", "there is no field 'Groups' (did you mean 'groups'?)"},
    {"allow 'a' {'x'}", "an entry without a name"},
    {"allow 'a' {}", "it has no condition: write everyone = true"},
    {"allow 'a' {owner='x'}", "it has no condition"},
    {"allow 'a' {everyone=false}", "everyone can only be true"},
    {"allow 'a' {everyone=1}", "everyone can only be true"},
    {"allow 'a' {everyone=true, groups={'x'}}", "everyone = true contradicts groups"},
    {"allow 'a' {groups='x'}", "groups must be a list of strings"},
    {"allow 'a' {groups={}}", "groups is empty"},
    {"allow 'a' {groups={1}}", "groups must be a string, not a number"},
    {"allow 'a' {groups={''}}", "groups must be 1 to 256 bytes"},
    {"allow 'a' {groups={a='x'}}", "groups must be a list, without other keys"},
    {"allow 'a' {groups={'x', nil, 'y'}}", "groups must be a list, without other keys and without holes"},
    {"allow 'a' {groups={'x\\n'}}", "without control characters"},
    {"allow 'a' {not_groups=true}", "not_groups must be a list"},
    {"allow 'a' {repos={'acme/site'}}", "must be written forge:owner/name"},
    {"allow 'a' {repos={'github:acme'}}", "must be written forge:owner/name"},
    {"allow 'a' {repos={'githb:acme/*'}}", "there is no forge 'githb' (did you mean 'github'?)"},
    {"allow 'a' {actions={'opne'}}", "actions: there is no 'opne' (did you mean 'open'?)"},
    {"allow 'a' {visibility={'Public'}}", "visibility: there is no 'Public' (did you mean 'public'?)"},
    {"allow 'a' {visibility='public'}", "visibility must be a list"},
    {"allow 'a' {paths={'help'}}", "must start with /"},
    {"allow 'a' {paths={'/x'}, repos={'github:a/b'}}", "it can never match together"},
    {"allow 'a' {when=true}", "when must be a function(u, r, q), not a boolean"},
    {"allow 'a' {when=tostring}", "when must be a function"},
    {"allow 'a' {everyone=true, reason='x'}", "reason belongs to deny rules"},
    {"allow 'a' {everyone=true, message='x'}", "message belongs to deny rules"},
    {"deny 'a' {everyone=true, hint='x'}", "hint belongs to allow rules"},
    {"deny 'a' {everyone=true, reason='No Way'}", "reason is a code of a-z"},
    {"deny 'a' {everyone=true, reason='no_rule'}", "is one of the gateway's own"},
    {"deny 'a' {everyone=true, message=1}", "message must be a string, not a number"},
    {"allow 'a' {everyone=true, owner={}}", "owner must be a string"},
    {"allow 'a' {everyone=true, grants={ide='x'}}", "grants is not supported by this version"},
    {"allow 'a' {everyone=true, expires='2026-12-31'}", "expires is not supported by this version"},
    {"allow 'a' {everyone=true, max_auth_age='15'}", "max_auth_age: '15' is no duration from 1m to 365d"},
    {"allow 'a' {everyone=true, max_auth_age='59s'}", "'59s' is no duration from 1m"},
    {"allow 'a' {everyone=true, max_auth_age='366d'}", "'366d' is no duration from 1m"},
    {"allow 'a' {everyone=true, max_auth_age='-15m'}", "is no duration"},
    {"allow 'a' {everyone=true, max_auth_age=900}", "max_auth_age must be a string, not a number"},
    {"allow 'a' {everyone=true, mfa=false}", "mfa can only be true"},
    {"allow 'a' {everyone=true, mfa='yes'}", "mfa can only be true"},
    {"allow 'a' {mfa=true}", "it has no condition"},
    {"allow 'a' {max_auth_age='15m'}", "it has no condition"},
    {"deny 'a' {everyone=true, mfa=true}", "mfa belongs to allow rules"},
    {"deny 'a' {everyone=true, max_auth_age='15m'}", "max_auth_age belongs to allow rules"},
    {"allow 'a' {everyone=true, max_auth_ag='15m'}", "there is no field 'max_auth_ag' (did you mean 'max_auth_age'?)"},
    {"allow 'a' {everyone=true, mfa=true, max_auth_age='1m', when=function(u) return u.nope end}", "u has no 'nope'"},
    {"allow 'a' {everyone=true}\nallow 'b' {everyone=true}\ndeny 'a' {everyone=true}",
     "p.lua:3: rule \"a\": this name is used at p.lua:1 already"},
    {"allow 'a'", "p.lua:1: rule \"a\" has a name but no fields"},
    {"\nallow {}", "p.lua:2: a rule's name must be a string"},
    {"allow ''  {everyone=true}", "a rule's name has 1 to 128 bytes"},
    {"allow 'a' 'b'", "its fields must be a table"},
    {"-- nothing", "there is no rule in"},
    /* smoke evaluation */
    {"allow 'a' {everyone=true, when=function(u) u:in_group('x') end}",
     "when gave a nil, not true or false (is a return missing?)"},
    {"allow 'a' {everyone=true, when=function(u) return u.gruops:has('x') end}",
     "p.lua:1: u has no 'gruops' (did you mean 'groups'?)"},
    {"allow 'a' {everyone=true, when=function(u) return u.in_group('x') end}", "call it with a colon: u:in_group(…)"},
    {"allow 'a' {everyone=true, when=function(u, r) return r.owner.id == 1 end}", "strings have no methods and no fields"},
    {"allow 'a' {everyone=true, when=function(u, r, q, z) return z.x end}", "attempt to index a nil value (local 'z')"},
    {"allow 'a' {everyone=true, when=function(u) return u.attributes:string('team') == 'x' end}",
     "u.attributes 'team' is absent: give a default"},
    {"allow 'a' {everyone=true, when=function(u) return u.attributes.team == 'x' end}", "bag has no 'team'"},
    {"allow 'a' {everyone=true, when=function(u) return u:in_all{} end}", "the list is empty"},
    {"allow 'a' {everyone=true, when=function(u,r,q) return q.time:between('8:00','18:00','UTC') end}", "is no time of day"},
    {"allow 'a' {everyone=true, when=function(u,r,q) return q.time:between('08:00','18:00','Europe/Berlin') end}",
     "time zone 'Europe/Berlin' is not supported by this version"},
    {"allow 'a' {everyone=true, when=function(u,r,q) return q.ip:in_cidr('10.0.0.1/8') end}", "is no network"},
    {"deny 'a' {groups={'x'}, not_groups={'y'}, repos={'*:acme/*'}, visibility={'private'}, actions={'connect'}, when=function(u) return u.nope end}",
     "u has no 'nope'"},
    {"allow 'a' {paths={'/x/*'}, when=function(u, r) return r:is_public() end}", "names no repository"},
};

START_TEST(refuses_with_line_and_cure)
{
    struct buf findings = BUF(65536);
    struct engine *e = kit_load(view_of(refused[_i].rules), &findings);
    ck_assert_msg(e == NULL, "loaded: %s", refused[_i].rules);
    ck_assert_msg(view_contains(buf_view(&findings), view_of(refused[_i].finding)), "%s\ngave: %s", refused[_i].rules,
                  findings.p);
    buf_deinit(&findings);
}
END_TEST

static const char *const accepted[] = {
    "allow 'a' {groups={'x','x'}, not_groups={'y'}, entitlements={'z'}, repos={'github:acme/*','*:**/**'}, actions={'open'}, visibility={'public','unknown'}, owner='me', ticket='T-1', hint='ask'}",
    "allow 'a' {groups={'x'}, mfa=true, max_auth_age='60s'}",
    "allow 'a' {everyone=true, max_auth_age='365d', when=function(u) return u.session.mfa end}",
    "deny 'a' {everyone=true, reason='freeze_2026', message='No deployments this week.'}",
    "for i = 1, 500 do allow(str.fmt('rule %d', i)) {everyone=true} end",
    "local function helper(u) return u:in_group('x') end\nallow 'a' {everyone=true, when=helper}",
    "local t = {}\nfor i = 1, 100000 do t = {t} end\nallow 'a' {everyone=true, when=function() return t ~= nil end}",
    "local function a(n) return n == 0 or a(n - 1) end\nallow 'a' {everyone=true, when=function() return a(3) end}",
    "allow 'a' {everyone=true, when=function(u) assert(u.username ~= 'smoke', 'on purpose') return true end}",
    "allow 'a' {everyone=true, when=function(u) return u.attributes:int('level', 0) > 1 end}",
    "allow 'a' {everyone=true, when=function(u) return u.attributes:has('t') and u.attributes:string('t') == 'x' end}",
    "allow 'a' {everyone=true, when=function(u) local n = 0 local function add() local m = n return m end return add() == 0 end}",
    "allow 'Zürich' {everyone=true} --[[ long\n]] --[==[ _ENV ]==] local s = '_ENV' .. [[ _ENV ]] .. \"\\\"_ENV\"",
};

START_TEST(accepts)
{
    engine_free(kit_must_load(accepted[_i]));
}
END_TEST

START_TEST(reports_everything_that_is_wrong_not_only_the_first)
{
    struct buf findings = BUF(65536);
    ck_assert_ptr_null(
        kit_load(VIEW("allow 'a' {gruops={'x'}, mfa=1}\nallow 'b' {}\ndeny 'c' {everyone=true, hint='x'}"), &findings));
    ck_assert_ptr_nonnull(strstr(findings.p, "gruops"));
    ck_assert_ptr_nonnull(strstr(findings.p, "mfa"));
    ck_assert_ptr_nonnull(strstr(findings.p, "p.lua:2: rule \"b\""));
    ck_assert_ptr_nonnull(strstr(findings.p, "p.lua:3: rule \"c\""));
    buf_deinit(&findings);
}
END_TEST

START_TEST(refuses_the_rule_after_the_five_hundredth_of_a_file)
{
    struct buf findings = BUF(65536);
    ck_assert_ptr_null(kit_load(VIEW("for i = 1, 501 do allow(str.fmt('rule %d', i)) {everyone=true} end"), &findings));
    ck_assert_ptr_nonnull(strstr(findings.p, "more than 500 rules in one file"));
    buf_deinit(&findings);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ruleparse");
    TCase *tc = tcase_create("ruleparse");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, refuses_with_line_and_cure, 0, sizeof(refused) / sizeof(refused[0]));
    tcase_add_loop_test(tc, accepts, 0, sizeof(accepted) / sizeof(accepted[0]));
    tcase_add_test(tc, reports_everything_that_is_wrong_not_only_the_first);
    tcase_add_test(tc, refuses_the_rule_after_the_five_hundredth_of_a_file);
    suite_add_tcase(s, tc);
    return support_run(s);
}
