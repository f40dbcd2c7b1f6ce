#include "policykit.h"

#include "policy/build.h"
#include "policy/hostlist.h"

/* --- combining: one rule set, one person, one answer --- */

#define BROKEN "when = function(u) if u.username == 'dora' then error('broken') end return true end"

static const struct {
    const char *what, *rules, *groups, *attributes;
    enum visibility_value visibility;
    const char *answer; /* reason, "?" = needs the visibility */
    const char *rule;
} cases[] = {
    {"no rule denies", "allow 'a' {groups={'x'}}", "[]", "{}", VISIBILITY_PUBLIC, "no_rule", NULL},
    {"a group allows", "allow 'a' {groups={'x'}}", "[\"x\"]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"any of the groups", "allow 'a' {groups={'x','y'}}", "[\"y\"]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"case of a group counts", "allow 'a' {groups={'X'}}", "[\"x\"]", "{}", VISIBILITY_PUBLIC, "no_rule", NULL},
    {"not_groups takes away", "allow 'a' {groups={'x'}, not_groups={'y'}}", "[\"x\",\"y\"]", "{}", VISIBILITY_PUBLIC, "no_rule",
     NULL},
    {"everyone", "allow 'a' {everyone=true}", "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"deny overrides", "allow 'a' {everyone=true} deny 'd' {groups={'x'}, reason='closed'}", "[\"x\"]", "{}", VISIBILITY_PUBLIC,
     "closed", "d"},
    {"deny overrides in any order", "deny 'd' {groups={'x'}} allow 'a' {everyone=true}", "[\"x\"]", "{}", VISIBILITY_PUBLIC,
     "denied", "d"},
    {"a deny that does not match", "deny 'd' {groups={'x'}} allow 'a' {everyone=true}", "[]", "{}", VISIBILITY_PUBLIC, "allowed",
     "a"},
    {"the first allow is named", "allow 'a' {everyone=true} allow 'b' {everyone=true}", "[]", "{}", VISIBILITY_PUBLIC, "allowed",
     "a"},
    {"unless takes away", "allow 'a' {everyone=true, unless=function(u) return u:in_group('x') end}", "[\"x\"]", "{}",
     VISIBILITY_PUBLIC, "no_rule", NULL},
    {"unless alone is a condition", "allow 'a' {unless=function(u) return u:in_group('x') end}", "[]", "{}", VISIBILITY_PUBLIC,
     "allowed", "a"},
    {"entitlement", "allow 'a' {entitlements={'gpu'}}", "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"another entitlement", "allow 'a' {entitlements={'tpu'}}", "[]", "{}", VISIBILITY_PUBLIC, "no_rule", NULL},
    {"action", "allow 'a' {actions={'create','connect'}}", "[]", "{}", VISIBILITY_PUBLIC, "no_rule", NULL},
    {"repos", "allow 'a' {repos={'github:acme/*'}}", "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"repos in capitals", "deny 'd' {repos={'github:ACME/*'}} allow 'a' {everyone=true}", "[]", "{}", VISIBILITY_PUBLIC, "denied",
     "d"},
    {"other repos", "allow 'a' {repos={'gitlab:acme/*', 'github:acme/vault'}}", "[]", "{}", VISIBILITY_PUBLIC, "no_rule", NULL},
    {"paths are for other pages", "allow 'a' {paths={'/**'}}", "[]", "{}", VISIBILITY_PUBLIC, "no_rule", NULL},
    /* errors take away only */
    {"an allow that errs does not count", "allow 'a' {everyone=true, " BROKEN "}", "[]", "{}", VISIBILITY_PUBLIC, "error", NULL},
    {"another allow still counts", "allow 'a' {everyone=true, " BROKEN "} allow 'b' {everyone=true}", "[]", "{}",
     VISIBILITY_PUBLIC, "allowed", "b"},
    {"a deny that errs denies", "deny 'd' {everyone=true, " BROKEN "} allow 'a' {everyone=true}", "[]", "{}", VISIBILITY_PUBLIC,
     "error", NULL},
    {"a deny that matches beats one that errs", "deny 'd' {everyone=true, " BROKEN "} deny 'e' {everyone=true, reason='shut'}",
     "[]", "{}", VISIBILITY_PUBLIC, "shut", "e"},
    {"a deny that errs does not need to where it does not apply", "deny 'd' {groups={'x'}, " BROKEN "} allow 'a' {everyone=true}",
     "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    /* visibility */
    {"public is public", "allow 'a' {visibility={'public'}}", "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"unknown is not public", "allow 'a' {visibility={'public'}}", "[]", "{}", VISIBILITY_UNKNOWN, "no_rule", NULL},
    {"unknown counts as private", "deny 'd' {visibility={'private'}} allow 'a' {everyone=true}", "[]", "{}", VISIBILITY_UNKNOWN,
     "denied", "d"},
    {"internal is not public", "allow 'a' {everyone=true, when=function(u,r) return r:is_public() end}", "[]", "{}",
     VISIBILITY_INTERNAL, "no_rule", NULL},
    {"unknown is private to Lua", "allow 'a' {everyone=true, when=function(u,r) return r:is_private() end}", "[]", "{}",
     VISIBILITY_UNKNOWN, "allowed", "a"},
    {"pending asks", "allow 'a' {everyone=true, when=function(u,r) return r:is_public() end}", "[]", "{}", VISIBILITY_PENDING,
     "?", NULL},
    {"pending asks for a field", "allow 'a' {everyone=true, when=function(u,r) return r.visibility == 'public' end}", "[]", "{}",
     VISIBILITY_PENDING, "?", NULL},
    {"pending asks for a declared field", "allow 'a' {visibility={'public'}}", "[]", "{}", VISIBILITY_PENDING, "?", NULL},
    {"nobody asks where nothing else matches", "allow 'a' {groups={'x'}, visibility={'public'}}", "[]", "{}", VISIBILITY_PENDING,
     "no_rule", NULL},
    {"a pending deny asks though an allow matches", "deny 'd' {visibility={'private'}} allow 'a' {everyone=true}", "[]", "{}",
     VISIBILITY_PENDING, "?", NULL},
    {"a deny that matches need not ask", "deny 'c' {visibility={'private'}} deny 'd' {everyone=true, reason='shut'}", "[]", "{}",
     VISIBILITY_PENDING, "shut", "d"},
    {"a rule that errs does not hide the question", "deny 'd' {everyone=true, " BROKEN "} deny 'e' {visibility={'private'}}",
     "[]", "{}", VISIBILITY_PENDING, "?", NULL},
    /* what rules see */
    {"attribute list", "allow 'a' {everyone=true, when=function(u,r) return u.attributes:list('repos'):has_repo(r) end}", "[]",
     "{\"repos\":[\"x/y\",\"Acme/Site\"]}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"a plain string is a list of one",
     "allow 'a' {everyone=true, when=function(u,r) return u.attributes:list('repos'):has_repo(r) end}", "[]",
     "{\"repos\":\"acme/*\"}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"an absent list is empty",
     "allow 'a' {everyone=true, when=function(u,r) return u.attributes:list('repos'):count() == 0 end}", "[]", "{}",
     VISIBILITY_PUBLIC, "allowed", "a"},
    {"a list of another type is an error",
     "allow 'a' {everyone=true, when=function(u,r) return u.attributes:list('repos'):has_repo(r) end}", "[]", "{\"repos\":7}",
     VISIBILITY_PUBLIC, "error", NULL},
    {"a list of other things is an error",
     "allow 'a' {everyone=true, when=function(u,r) return u.attributes:list('repos'):has_repo(r) end}", "[]",
     "{\"repos\":[\"acme/site\",7]}", VISIBILITY_PUBLIC, "error", NULL},
    {"only real booleans are flags", "allow 'a' {everyone=true, when=function(u) return u.attributes:flag('staff', false) end}",
     "[]", "{\"staff\":\"true\"}", VISIBILITY_PUBLIC, "error", NULL},
    {"flag", "allow 'a' {everyone=true, when=function(u) return u.attributes:flag('staff', false) end}", "[]", "{\"staff\":true}",
     VISIBILITY_PUBLIC, "allowed", "a"},
    {"int", "allow 'a' {everyone=true, when=function(u) return u.attributes:int('level', 0) > 2 end}", "[]", "{\"level\":3}",
     VISIBILITY_PUBLIC, "allowed", "a"},
    {"string", "allow 'a' {everyone=true, when=function(u) return u.attributes:string('team', '') == 'red' end}", "[]",
     "{\"team\":\"red\"}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"null is absent", "allow 'a' {everyone=true, when=function(u) return not u.attributes:has('team') end}", "[]",
     "{\"team\":null}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"has and has_ci",
     "allow 'a' {everyone=true, when=function(u) local l = u.attributes:list('t') return l:has('Red') and not l:has('red') and l:has_ci('RED') end}",
     "[]", "{\"t\":[\"Red\"]}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"each",
     "allow 'a' {everyone=true, when=function(u) local s = '' for g in u.groups:each() do s = s .. g end return s == 'xy' or s == '' end}",
     "[\"x\",\"y\"]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"many lists at a time",
     "allow 'a' {everyone=true, when=function(u) local t = {} for i = 1, 40 do t[i] = u.attributes:list(i % 2 == 0 and 'a' or 'b') end return t[1]:count() == t[39]:count() and t[2]:count() == t[40]:count() end}",
     "[]", "{\"a\":[\"x\"],\"b\":[\"x\",\"y\"]}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"in_any and in_all",
     "allow 'a' {everyone=true, when=function(u) return u:in_any{'x','z'} and not u:in_all{'x','z'} and u:in_all{'x','y'} end}",
     "[\"x\",\"y\"]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"repository",
     "allow 'a' {everyone=true, when=function(u,r) return r.owner == 'acme' and r.name == 'site' and r.forge == 'github' and r.full == 'github:acme/site' and r.path == 'acme/site' and r:is('ACME/site') and r:is('github:acme/site') and r:matches('acme/*') and not r:is('acme/sit') and has(r) or r.forge ~= 'github' end}",
     "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"request",
     "allow 'a' {everyone=true, when=function(u,r,q) return q.action == 'open' and q.method == 'GET' and q.path ~= 'x' and q.ip:in_cidr('192.0.2.0/24') and q:header('x', 'none') == 'none' and q.id ~= '' end}",
     "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"time",
     "allow 'a' {everyone=true, when=function(u,r,q) return q.time.unix > 0 and q.time:between('22:00','23:00','UTC') and q.time:weekday('Etc/UTC') == 'tuesday' and not q.time:between('23:00','22:00','UTC') end}",
     "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"session",
     "allow 'a' {everyone=true, when=function(u) return u.session.auth_age == 60 and not u.session.mfa and not u.session.stale and u.via == 'session' and not u.is_service or u.username == 'smoke' end}",
     "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"claims",
     "allow 'a' {everyone=true, when=function(u) return u.claims:string('sid', '') == 's' or u.username == 'smoke' end}", "[]",
     "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"an absent optional value is an error", "allow 'a' {everyone=true, when=function(u) return u.email ~= '' end}", "[]", "{}",
     VISIBILITY_PUBLIC, "error", NULL},
    {"frozen tables can be read in every way",
     "local t = {b=2, a={1,2,3}}\nallow 'a' {everyone=true, when=function(u) local s = '' for k, v in pairs(t) do s = s .. k end for i, v in ipairs(t.a) do s = s .. i .. v end return s == 'ab112233' and #t.a == 3 and t.c == nil end}",
     "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"locals of a rule are its own",
     "allow 'a' {everyone=true, when=function(u) local t = {} t.x = 1 t.x = t.x + 1 return t.x == 2 end}", "[]", "{}",
     VISIBILITY_PUBLIC, "allowed", "a"},
    {"str",
     "allow 'a' {everyone=true, when=function(u) local p = str.split('a,b,', ',') return str.lower('ÄbC') == 'Äbc' and str.upper('x') == 'X' and str.trim('  y\\t') == 'y' and #p == 3 and p[3] == '' and str.starts('abc','ab') and str.ends('abc','bc') and str.contains('abc','b') and str.glob('a/b','a/*') and str.fmt('%s-%d%%', 'x', 3) == 'x-3%' end}",
     "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
    {"small globals",
     "allow 'a' {everyone=true, when=function(u) return select('#', 1, nil) == 2 and select(-1, 1, 2) == 2 and tonumber('12') == 12 and tonumber('x') == nil and tostring(1) == '1' and type(u) == 'userdata' and math.floor(1.5) == 1 and assert(true) end}",
     "[]", "{}", VISIBILITY_PUBLIC, "allowed", "a"},
};

START_TEST(combines)
{
    struct engine *e = kit_must_load(cases[_i].rules);
    struct principal *dora = kit_user("dora", cases[_i].groups, cases[_i].attributes);
    struct repo r = kit_repo("github:acme/site");
    struct policy_input in = kit_input(dora, &r, cases[_i].visibility);
    struct decision d = kit_eval(e, &in);
    bool allows = strcmp(cases[_i].answer, "allowed") == 0;

    if (strcmp(cases[_i].answer, "?") == 0) {
        ck_assert_msg(d.needs_visibility && d.verdict == VERDICT_DENY && d.rule == NULL && d.n_errors == 0, "%s", cases[_i].what);
    } else {
        ck_assert_msg(strcmp(d.reason, cases[_i].answer) == 0, "%s: %s %s", cases[_i].what, d.reason,
                      d.n_errors > 0 ? d.errors[0].text : "");
        ck_assert(!d.needs_visibility);
        ck_assert_int_eq(d.verdict, allows ? VERDICT_ALLOW : VERDICT_DENY);
        ck_assert_int_eq(d.is_error, strcmp(cases[_i].answer, "error") == 0);
        ck_assert_msg(cases[_i].rule == NULL ? d.rule == NULL : d.rule != NULL && strcmp(d.rule, cases[_i].rule) == 0, "%s: %s",
                      cases[_i].what, d.rule);
        if (d.rule != NULL) {
            ck_assert_str_eq(d.file, "p.lua");
            ck_assert_int_eq(d.line, strncmp(cases[_i].rules, "local", 5) == 0 ? 2 : 1);
        }
    }
    ck_assert_str_eq(d.revision, engine_revision(e));
    principal_unref(dora);
    engine_free(e);
}
END_TEST

/* --- a stronger login: the rules, what the token says of the login, and the answer --- */

#define FRESH "max_auth_age='15m'"

static const struct {
    const char *what, *rules, *login;
    enum visibility_value visibility;
    const char *answer; /* as above */
    const char *rule;
    struct stepup need;
} stepups[] = {
    {"fresh enough", "allow 'a' {everyone=true, " FRESH "}", "\"auth_time\":1699999100", VISIBILITY_PUBLIC, "allowed", "a", {0}},
    {"a second too old",
     "allow 'a' {everyone=true, " FRESH "}",
     "\"auth_time\":1699999099",
     VISIBILITY_PUBLIC,
     "step_up",
     "a",
     {900, false}},
    {"no auth_time",
     "allow 'a' {everyone=true, " FRESH "}",
     "\"amr\":[\"mfa\"]",
     VISIBILITY_PUBLIC,
     "step_up",
     "a",
     {900, false}},
    {"an auth_time that is no number",
     "allow 'a' {everyone=true, " FRESH "}",
     "\"auth_time\":\"1699999999\"",
     VISIBILITY_PUBLIC,
     "step_up",
     "a",
     {900, false}},
    {"an auth_time in milliseconds",
     "allow 'a' {everyone=true, " FRESH "}",
     "\"auth_time\":1699999999000",
     VISIBILITY_PUBLIC,
     "step_up",
     "a",
     {900, false}},
    {"a provider's clock a little ahead",
     "allow 'a' {everyone=true, " FRESH "}",
     "\"auth_time\":1700000060",
     VISIBILITY_PUBLIC,
     "allowed",
     "a",
     {0}},
    {"mfa", "allow 'a' {everyone=true, mfa=true}", "\"amr\":[\"pwd\",\"mfa\"]", VISIBILITY_PUBLIC, "allowed", "a", {0}},
    {"no mfa", "allow 'a' {everyone=true, mfa=true}", "\"amr\":[\"pwd\"]", VISIBILITY_PUBLIC, "step_up", "a", {0, true}},
    {"no amr", "allow 'a' {everyone=true, mfa=true}", "\"auth_time\":1700000000", VISIBILITY_PUBLIC, "step_up", "a", {0, true}},
    {"amr of another type",
     "allow 'a' {everyone=true, mfa=true}",
     "\"amr\":\"mfa\"",
     VISIBILITY_PUBLIC,
     "step_up",
     "a",
     {0, true}},
    {"both wanted, one there",
     "allow 'a' {everyone=true, mfa=true, " FRESH "}",
     "\"amr\":[\"mfa\"],\"auth_time\":1",
     VISIBILITY_PUBLIC,
     "step_up",
     "a",
     {900, true}},
    {"a deny still wins",
     "deny 'd' {everyone=true, reason='shut'} allow 'a' {everyone=true, mfa=true}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "shut",
     "d",
     {0}},
    {"a deny that errs still denies",
     "deny 'd' {everyone=true, " BROKEN "} allow 'a' {everyone=true, mfa=true}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "error",
     NULL,
     {0}},
    {"another allow that matches wholly wins",
     "allow 'a' {everyone=true, mfa=true} allow 'b' {everyone=true}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "allowed",
     "b",
     {0}},
    {"in any order",
     "allow 'b' {everyone=true} allow 'a' {everyone=true, mfa=true}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "allowed",
     "b",
     {0}},
    {"an allow that errs does not hide it",
     "allow 'b' {everyone=true, " BROKEN "} allow 'a' {everyone=true, mfa=true}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "step_up",
     "a",
     {0, true}},
    {"where when refuses, no login helps",
     "allow 'a' {everyone=true, mfa=true, when=function() return false end}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "no_rule",
     NULL,
     {0}},
    {"where unless refuses, no login helps",
     "allow 'a' {everyone=true, mfa=true, unless=function() return true end}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "no_rule",
     NULL,
     {0}},
    {"where the group is missing, no login helps",
     "allow 'a' {groups={'x'}, mfa=true}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "no_rule",
     NULL,
     {0}},
    {"an error of the rule itself counts as one",
     "allow 'a' {everyone=true, mfa=true, " BROKEN "}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "error",
     NULL,
     {0}},
    {"the strictest of all is asked for",
     "allow 'a' {everyone=true, max_auth_age='1h'} allow 'b' {everyone=true, " FRESH
     "} allow 'c' {everyone=true, mfa=true, max_auth_age='8h'}",
     "\"sid\":\"s\"",
     VISIBILITY_PUBLIC,
     "step_up",
     "a",
     {900, true}},
    {"a visibility that may allow without it comes first",
     "allow 'a' {everyone=true, mfa=true} allow 'b' {visibility={'public'}}",
     "\"sid\":\"s\"",
     VISIBILITY_PENDING,
     "?",
     NULL,
     {0}},
};

START_TEST(asks_for_a_stronger_login_where_nothing_else_is_missing)
{
    char json[1024];
    struct engine *e = kit_must_load(stepups[_i].rules);
    snprintf(
        json, sizeof(json),
        "{\"iss\":\"https://a.example/\",\"sub\":\"d\",\"preferred_username\":\"dora\",%s,\"repogate\":{\"v\":1,\"groups\":[],\"attributes\":{}}}",
        stepups[_i].login);
    struct principal *dora = kit_claims(json);
    struct repo r = kit_repo("github:acme/site");
    struct policy_input in = kit_input(dora, &r, stepups[_i].visibility);
    struct decision d = kit_eval(e, &in);

    if (strcmp(stepups[_i].answer, "?") == 0) {
        ck_assert(d.needs_visibility && d.verdict == VERDICT_DENY);
    } else {
        ck_assert_msg(strcmp(d.reason, stepups[_i].answer) == 0, "%s: %s", stepups[_i].what, d.reason);
        ck_assert_int_eq(d.verdict, strcmp(d.reason, "step_up") == 0   ? VERDICT_STEP_UP
                                    : strcmp(d.reason, "allowed") == 0 ? VERDICT_ALLOW
                                                                       : VERDICT_DENY);
        ck_assert_msg(stepups[_i].rule == NULL ? d.rule == NULL : d.rule != NULL && strcmp(d.rule, stepups[_i].rule) == 0,
                      "%s: %s", stepups[_i].what, d.rule);
        ck_assert(stepups[_i].rule == NULL || strcmp(d.matched[0], d.rule) == 0);
    }
    ck_assert_int_eq(d.need.max_age_s, stepups[_i].need.max_age_s);
    ck_assert_int_eq(d.need.mfa, stepups[_i].need.mfa);
    principal_unref(dora);
    engine_free(e);
}
END_TEST

START_TEST(E8_denies_before_any_rule_when_claims_are_missing)
{
    struct engine *e = kit_must_load("allow 'a' {everyone=true}");
    struct principal *p = kit_claims("{\"iss\":\"https://a/\",\"sub\":\"x\",\"preferred_username\":\"x\"}");
    struct repo r = kit_repo("github:acme/site");
    struct policy_input in = kit_input(p, &r, VISIBILITY_PENDING);
    struct decision d = kit_eval(e, &in);
    ck_assert_int_eq(d.verdict, VERDICT_DENY);
    ck_assert_str_eq(d.reason, "claims_missing");
    ck_assert(!d.needs_visibility && d.n_matched == 0);
    principal_unref(p);
    engine_free(e);
}
END_TEST

START_TEST(judges_a_page_that_names_no_repository)
{
    struct engine *e = kit_must_load("allow 'page' {paths={'/help/*'}}\n"
                                     "deny 'repo' {repos={'*:**/**'}}\n"
                                     "deny 'guarded' {everyone=true, when=function(u,r) return has(r) and r.owner == 'x' end}");
    struct principal *p = kit_user("dora", "[]", "{}");
    struct policy_input in = kit_input(p, NULL, VISIBILITY_PENDING);
    in.path = VIEW("/help/me");
    ck_assert_str_eq(kit_eval(e, &in).reason, "allowed");
    in.path = VIEW("/help/me/too");
    ck_assert_str_eq(kit_eval(e, &in).reason, "no_rule");
    principal_unref(p);
    engine_free(e);
}
END_TEST

START_TEST(reading_the_repository_of_such_a_page_is_an_error)
{
    struct engine *e = kit_must_load("allow 'a' {everyone=true, when=function(u,r) return r:is_public() end}");
    struct principal *p = kit_user("dora", "[]", "{}");
    struct policy_input in = kit_input(p, NULL, VISIBILITY_PENDING);
    struct decision d = kit_eval(e, &in);
    ck_assert_str_eq(d.reason, "error");
    ck_assert_ptr_nonnull(strstr(d.errors[0].text, "names no repository"));
    principal_unref(p);
    engine_free(e);
}
END_TEST

START_TEST(what_a_dialect_does_not_tell_is_an_error_to_read)
{
    struct engine *e = kit_must_load("allow 'm' {everyone=true, when=function(u,r,q) return q.method == 'GET' end}\n"
                                     "allow 'i' {everyone=true, when=function(u,r,q) return q.ip:in_cidr('192.0.2.0/24') end}");
    struct principal *p = kit_user("dora", "[]", "{}");
    struct repo r = kit_repo("github:acme/site");
    struct policy_input in = kit_input(p, &r, VISIBILITY_PUBLIC);
    in.method = VIEW_NONE;
    in.ip = (struct ipaddr){0};
    struct decision d = kit_eval(e, &in);
    ck_assert_str_eq(d.reason, "error");
    ck_assert_uint_eq(d.n_errors, 2);
    ck_assert_str_eq(d.errors[0].rule, "m");
    ck_assert_ptr_nonnull(strstr(d.errors[0].text, "p.lua:1: q.method is absent"));
    ck_assert_ptr_nonnull(strstr(d.errors[1].text, "p.lua:2: q.ip is absent"));
    principal_unref(p);
    engine_free(e);
}
END_TEST

START_TEST(gives_hint_and_message_where_they_belong)
{
    struct engine *e = kit_must_load("allow 'a' {groups={'x'}, when=function() return false end, hint='ask for it'}\n"
                                     "deny 'd' {groups={'bad'}, reason='banned', message='Talk to us.'}");
    struct principal *x = kit_user("x", "[\"x\"]", "{}"), *bad = kit_user("bad", "[\"x\",\"bad\"]", "{}"),
                     *other = kit_user("other", "[]", "{}");
    struct repo r = kit_repo("github:acme/site");
    struct policy_input in = kit_input(x, &r, VISIBILITY_PUBLIC);
    ck_assert_str_eq(kit_eval(e, &in).hint, "ask for it");
    in.user = bad;
    struct decision d = kit_eval(e, &in);
    ck_assert_str_eq(d.reason, "banned");
    ck_assert_str_eq(d.message, "Talk to us.");
    ck_assert_ptr_null(d.hint);
    in.user = other;
    ck_assert_ptr_null(kit_eval(e, &in).hint);
    principal_unref(x);
    principal_unref(bad);
    principal_unref(other);
    engine_free(e);
}
END_TEST

START_TEST(lists_all_that_matched_and_all_that_erred_up_to_their_caps)
{
    struct buf rules = BUF(65536);
    for (int i = 0; i < 20; i++)
        buf_printf(
            &rules,
            "allow 'a%d' {everyone=true}\nallow 'b%d' {everyone=true, when=function(u) if u.username == 'dora' then error('no') end return true end}\n",
            i, i);
    struct engine *e = kit_must_load(rules.p);
    struct principal *p = kit_user("dora", "[]", "{}");
    struct repo r = kit_repo("github:acme/site");
    struct policy_input in = kit_input(p, &r, VISIBILITY_PUBLIC);
    struct decision d = kit_eval(e, &in);
    ck_assert_uint_eq(d.n_matched, DECISION_MATCHED_MAX);
    ck_assert_uint_eq(d.n_errors, DECISION_ERRORS_MAX);
    ck_assert_str_eq(d.matched[7], "a7");
    ck_assert_str_eq(d.errors[7].rule, "b7");
    ck_assert(!d.is_error);
    principal_unref(p);
    engine_free(e);
    buf_deinit(&rules);
}
END_TEST

static bool decision_eq(const struct decision *a, const struct decision *b)
{
    if (a->verdict != b->verdict || strcmp(a->reason, b->reason) != 0 || a->rule != b->rule || a->n_errors != b->n_errors ||
        a->n_matched != b->n_matched)
        return false;
    for (size_t i = 0; i < a->n_errors; i++)
        if (strcmp(a->errors[i].text, b->errors[i].text) != 0)
            return false;
    return a->instructions == b->instructions && a->host_bytes == b->host_bytes;
}

/* Memory is near its limit here, and garbage of earlier decisions must not tip the scale. */
START_TEST(C1_same_input_gives_the_same_decision_whatever_came_before)
{
    struct engine *e = kit_must_load("allow 'a' {everyone=true, when=function(u)\n"
                                     "  local t, s = {}, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'\n"
                                     "  for i = 1, u.attributes:int('n', 1) do t[i] = s .. i end\n"
                                     "  for k, v in pairs({b=1, a=2, c=3}) do t[#t + 1] = k end\n"
                                     "  return t[#t] == 'c'\nend}");
    struct repo r = kit_repo("github:acme/site");
    struct decision first[40];
    int n_allowed = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            int n = round == 1 ? 39 - i : i;
            char attributes[64];
            snprintf(attributes, sizeof(attributes), "{\"n\":%d}", 5000 + n * 100);
            struct principal *p = kit_user("dora", "[]", attributes);
            struct policy_input in = kit_input(p, &r, VISIBILITY_PUBLIC);
            struct decision d = kit_eval(e, &in);
            if (round == 0)
                first[n] = d;
            ck_assert_int_eq(d.verdict, first[n].verdict);
            ck_assert_str_eq(d.reason, first[n].reason);
            n_allowed += d.verdict == VERDICT_ALLOW;
            principal_unref(p);
        }
    }
    ck_assert_msg(n_allowed > 0 && n_allowed < 120, "%d: the edge is elsewhere", n_allowed);
    engine_free(e);
}
END_TEST

START_TEST(two_engines_of_one_revision_agree)
{
    static const char rules[] =
        "deny 'd' {groups={'bad'}}\nallow 'a' {everyone=true, when=function(u, r) for i = 1, 500 do local x = str.lower(r.full) end return r:is_public() end}";
    struct engine *a = kit_must_load(rules), *b = kit_must_load(rules);
    struct principal *p = kit_user("dora", "[]", "{}");
    struct repo r = kit_repo("github:acme/site");
    struct policy_input in = kit_input(p, &r, VISIBILITY_PUBLIC);
    struct decision da = kit_eval(a, &in), again = kit_eval(a, &in), db = kit_eval(b, &in);
    ck_assert(decision_eq(&da, &again));
    ck_assert_int_gt(da.instructions, 0);
    ck_assert_int_gt(da.host_bytes, 0);
    ck_assert_int_eq(da.instructions, db.instructions);
    ck_assert_int_eq(da.host_bytes, db.host_bytes);
    ck_assert_str_eq(engine_revision(a), engine_revision(b));
    ck_assert_uint_eq(engine_rule_count(a), 2);
    principal_unref(p);
    engine_free(a);
    engine_free(b);
}
END_TEST

START_TEST(a_spent_budget_takes_only_later_rules_along)
{
    struct engine *e =
        kit_must_load("allow 'first' {everyone=true, when=function() return true end}\n"
                      "allow 'loop' {everyone=true, when=function(u) while u.username == 'dora' do end return false end}\n"
                      "allow 'after' {everyone=true, when=function() return true end}\n"
                      "allow 'plain' {everyone=true}");
    struct principal *p = kit_user("dora", "[]", "{}");
    struct repo r = kit_repo("github:acme/site");
    struct policy_input in = kit_input(p, &r, VISIBILITY_PUBLIC);
    struct decision d = kit_eval(e, &in);
    ck_assert_int_eq(d.verdict, VERDICT_ALLOW);
    ck_assert_str_eq(d.rule, "first");
    ck_assert_uint_eq(d.n_matched, 2);
    ck_assert_str_eq(d.matched[1], "plain");
    ck_assert_uint_eq(d.n_errors, 2);
    ck_assert_str_eq(d.errors[0].text, "p.lua:2: budget_instructions: the rule was stopped");
    ck_assert_str_eq(d.errors[1].rule, "after");
    principal_unref(p);
    engine_free(e);
}
END_TEST

/* --- list entries --- */

static const struct {
    const char *entry;
    bool names;
} entries[] = {
    {"acme/site", true},
    {"Acme/SITE", true},
    {"acme/*", true},
    {"ACME/*", true},
    {"github:acme/site", true},
    {"github:acme/*", true},
    {"https://github.com/acme/site", true},
    {"https://github.com/Acme/Site/", true},
    {"HTTPS://GitHub.com/acme/site.git", true},
    {"gitlab:acme/site", false},
    {"*/site", false},
    {"*/*", false},
    {"*", false},
    {"", false},
    {"/", false},
    {"acme/", false},
    {"/site", false},
    {"acme/sit", false},
    {"acme/site2", false},
    {"acme/site/", false},
    {"xacme/site", false},
    {"acme/s*", false},
    {"acme*", false},
    {"acme/*/x", false},
    {":acme/site", false},
    {"Github:acme/site", false},
    {"github:github:acme/site", false},
    {"http://github.com/acme/site", false},
    {"https://github.com/acme/*", false},
    {"https://github.com.evil.example/acme/site", false},
    {"https://evil.example/acme/site", false},
    {"https://github.com@evil.example/acme/site", false},
    {"https://github.comxacme/site", false},
    {"https://github.com/acme/site?x", false},
    {"https://github.com", false},
    {"https://github.com/", false},
    {"https://", false},
};

START_TEST(I4_entry_names_exactly_what_it_says)
{
    struct repo r = kit_repo("github:acme/site");
    ck_assert_msg(hostlist_entry_names_repo(view_of(entries[_i].entry), &r) == entries[_i].names, "'%s'", entries[_i].entry);
}
END_TEST

START_TEST(entry_may_name_a_nested_group)
{
    struct repo r = kit_repo("gitlab:acme/tools/build");
    ck_assert(hostlist_entry_names_repo(VIEW("acme/tools/build"), &r));
    ck_assert(hostlist_entry_names_repo(VIEW("acme/tools/*"), &r));
    ck_assert(hostlist_entry_names_repo(VIEW("https://gitlab.com/acme/tools/build.git"), &r));
    ck_assert(!hostlist_entry_names_repo(VIEW("acme/*"), &r));
    ck_assert(!hostlist_entry_names_repo(VIEW("tools/build"), &r));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("engine");
    TCase *tc = tcase_create("engine");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, combines, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_loop_test(tc, asks_for_a_stronger_login_where_nothing_else_is_missing, 0, sizeof(stepups) / sizeof(stepups[0]));
    tcase_add_test(tc, E8_denies_before_any_rule_when_claims_are_missing);
    tcase_add_test(tc, judges_a_page_that_names_no_repository);
    tcase_add_test(tc, reading_the_repository_of_such_a_page_is_an_error);
    tcase_add_test(tc, what_a_dialect_does_not_tell_is_an_error_to_read);
    tcase_add_test(tc, gives_hint_and_message_where_they_belong);
    tcase_add_test(tc, lists_all_that_matched_and_all_that_erred_up_to_their_caps);
    tcase_add_test(tc, C1_same_input_gives_the_same_decision_whatever_came_before);
    tcase_add_test(tc, two_engines_of_one_revision_agree);
    tcase_add_test(tc, a_spent_budget_takes_only_later_rules_along);
    tcase_add_loop_test(tc, I4_entry_names_exactly_what_it_says, 0, sizeof(entries) / sizeof(entries[0]));
    tcase_add_test(tc, entry_may_name_a_nested_group);
    suite_add_tcase(s, tc);
    return support_run(s);
}
