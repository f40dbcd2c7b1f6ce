#include "policy/sandbox.h"

#include <lauxlib.h>

#include "policy/bytecode.h"
#include "policy/freeze.h"
#include "support.h"

static struct sandbox *sb;

static void setup(void)
{
    ck_assert_int_eq(sandbox_new(&sb), GW_OK);
    sandbox_settle(sb);
    sandbox_arm(sb, &SANDBOX_DECISION);
}

static void teardown(void)
{
    sandbox_free(sb);
}

static int compile(lua_State *L)
{
    if (luaL_loadbufferx(L, lua_touserdata(L, 1), strlen(lua_touserdata(L, 1)), "=t", "t") != LUA_OK)
        return lua_error(L);
    return 1;
}

static void load(const char *text)
{
    lua_pushcfunction(sb->L, compile);
    lua_pushlightuserdata(sb->L, (void *)(uintptr_t)text);
    ck_assert_msg(sandbox_call(sb, 1, 1) == GW_OK, "%s", sb->error);
}

static const struct {
    const char *text;
    enum sandbox_budget spent;
} spenders[] = {
    {"while true do end", SANDBOX_INSTRUCTIONS},
    {"local t = {} for i = 1, 1e9 do t[i] = i end", SANDBOX_MEMORY},
    {"local s = 'xxxxxxxx' while true do s = s .. s end", SANDBOX_MEMORY},
    {"local function f() return 1 + f() end f()", SANDBOX_MEMORY},
};

START_TEST(K4_stops_what_spends_a_budget_and_lives_on)
{
    for (int i = 0; i < 3; i++) {
        sandbox_arm(sb, &SANDBOX_DECISION);
        load(spenders[_i].text);
        ck_assert_int_eq(sandbox_call(sb, 0, 0), GW_E_POLICY);
        ck_assert_msg(sb->spent == spenders[_i].spent, "%s", sb->error);
        ck_assert_ptr_nonnull(strstr(sb->error, sandbox_budget_name(spenders[_i].spent)));
        ck_assert_int_eq(lua_gettop(sb->L), 0);
        ck_assert_uint_le(sb->bytes, sb->settled_bytes + SANDBOX_DECISION.memory_bytes);
    }
}
END_TEST

static int raise_value(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING && strcmp(lua_tostring(L, 1), "nil") == 0)
        lua_pushnil(L);
    return lua_error(L);
}

START_TEST(takes_any_error_value_without_converting_it)
{
    lua_pushcfunction(sb->L, raise_value);
    lua_pushinteger(sb->L, 7);
    ck_assert_int_eq(sandbox_call(sb, 1, 0), GW_E_POLICY);
    ck_assert_str_eq(sb->error, "an error without a text");
    lua_pushcfunction(sb->L, raise_value);
    lua_pushboolean(sb->L, 1);
    ck_assert_int_eq(sandbox_call(sb, 1, 0), GW_E_POLICY);
    ck_assert_str_eq(sb->error, "an error without a text");
    ck_assert_int_eq(lua_gettop(sb->L), 0);
}
END_TEST

START_TEST(a_spent_budget_stays_spent_until_armed_again)
{
    load("while true do end");
    ck_assert_int_eq(sandbox_call(sb, 0, 0), GW_E_POLICY);
    lua_pushcfunction(sb->L, raise_value);
    lua_pushinteger(sb->L, 7);
    ck_assert_int_eq(sandbox_call(sb, 1, 1), GW_E_POLICY);
    ck_assert_ptr_nonnull(strstr(sb->error, "budget_instructions"));
    ck_assert_int_eq(lua_gettop(sb->L), 0);
    sandbox_arm(sb, &SANDBOX_DECISION);
    load("return 1");
    ck_assert_int_eq(sandbox_call(sb, 0, 1), GW_OK);
    ck_assert_int_eq(lua_tointeger(sb->L, -1), 1);
}
END_TEST

START_TEST(counts_instructions_the_same_each_time)
{
    int64_t first = 0;
    for (int i = 0; i < 5; i++) {
        load("local n = 0 for i = 1, 5000 do n = n + i end");
        sandbox_arm(sb, &SANDBOX_DECISION);
        ck_assert_int_eq(sandbox_call(sb, 0, 0), GW_OK);
        if (i == 0)
            first = sb->instructions;
        ck_assert_int_eq(sb->instructions, first);
    }
    ck_assert_int_gt(first, 5000);
}
END_TEST

static int debit(lua_State *L)
{
    sandbox_debit(L, (size_t)lua_tointeger(L, 1));
    return 0;
}

START_TEST(host_work_ends_one_byte_past_its_budget)
{
    for (int over = 0; over < 2; over++) {
        sandbox_arm(sb, &SANDBOX_DECISION);
        lua_pushcfunction(sb->L, debit);
        lua_pushinteger(sb->L, SANDBOX_DECISION.host_bytes + over);
        ck_assert_int_eq(sandbox_call(sb, 1, 0), over ? GW_E_POLICY : GW_OK);
        ck_assert_int_eq(sb->spent, over ? SANDBOX_HOST_WORK : SANDBOX_WITHIN);
    }
}
END_TEST

/* --- no memory, at any moment --- */

static int allocate(lua_State *L)
{
    lua_newtable(L);
    for (int i = 1; i <= 200; i++) {
        lua_pushfstring(L, "a string of its own, number %d", i);
        lua_rawseti(L, -2, i);
    }
    lua_pushinteger(L, 200);
    return 1;
}

START_TEST(K4_runs_out_of_memory_at_every_size_without_a_panic)
{
    bool has_failed = false, has_passed = false;
    for (size_t limit = 0; limit < 40000; limit += 97) {
        struct sandbox_limits limits = SANDBOX_DECISION;
        limits.memory_bytes = limit;
        sandbox_arm(sb, &limits);
        lua_pushcfunction(sb->L, allocate);
        if (sandbox_call(sb, 0, 1) == GW_OK) {
            ck_assert_int_eq(lua_tointeger(sb->L, -1), 200);
            lua_settop(sb->L, 0);
            has_passed = true;
        } else {
            ck_assert_int_eq(sb->spent, SANDBOX_MEMORY);
            has_failed = true;
        }
        sandbox_collect(sb);
    }
    ck_assert(has_failed && has_passed);
}
END_TEST

/* --- what the walk of the bytecode sees --- */

static void note_use(void *arg, enum bytecode_use use, struct view name, int line)
{
    static const char *const marks[] = {"r", "w", "c"};
    buf_printf(arg, "%s:%.*s:%d ", marks[use], VIEW_FMT(name), line);
}

static const struct {
    const char *text, *uses;
} walked[] = {
    {"return 1", ""},
    {"a = b", "r:b:1 w:a:1 "},
    {"local a = 1\na = 2", ""},
    {"local a\nlocal function f() a = 2 end", "c:a:2 "},
    {"local a\nlocal function f() local function g() a = 2 end end", "c:a:2 "},
    {"local function f() local a local function g() a = 2 end end", "c:a:1 "},
    {"local t = {}\nlocal function f() t.x = 1 end", ""},
    {"local function f()\nx = 1\nend", "w:x:2 "},
    {"\n\n\n\nlocal x = y", "r:y:5 "},
};

START_TEST(sees_uses_of_globals_and_captured_variables)
{
    struct buf uses = BUF(4096);
    load(walked[_i].text);
    ck_assert_int_eq(bytecode_walk(sb->L, note_use, &uses), GW_OK);
    ck_assert_str_eq(uses.p == NULL ? "" : uses.p, walked[_i].uses);
    buf_deinit(&uses);
}
END_TEST

START_TEST(finds_lines_in_a_long_function)
{
    struct buf text = BUF(1024 * 1024), uses = BUF(4096);
    buf_puts(&text, "local x\n");
    for (int i = 0; i < 3000; i++)
        buf_puts(&text, "x = (x or 1) * 3\n\n");
    buf_puts(&text, "far = 1");
    sandbox_arm(sb, &SANDBOX_LOADING);
    load(text.p);
    ck_assert_int_eq(bytecode_walk(sb->L, note_use, &uses), GW_OK);
    ck_assert_str_eq(uses.p, "w:far:6002 ");
    buf_deinit(&text);
    buf_deinit(&uses);
}
END_TEST

static int self_check(lua_State *L)
{
    lua_pushinteger(L, bytecode_self_check(L));
    return 1;
}

START_TEST(this_lua_writes_the_bytecode_that_is_read)
{
    lua_pushcfunction(sb->L, self_check);
    ck_assert_int_eq(sandbox_call(sb, 0, 1), GW_OK);
    ck_assert_int_eq(lua_tointeger(sb->L, -1), GW_OK);
}
END_TEST

/* --- freezing --- */

static int freeze_it(lua_State *L)
{
    freeze_function(L, 1);
    return 0;
}

static const struct {
    const char *maker; /* returns a function that reads, and one that tries to write */
} frozen[] = {
    {"local t = {x = 1} return function() return t.x end, function() t.x = 2 end"},
    {"local t = {1} return function() return t[1] end, function() t[1] = 2 end"},
    {"local t = {1} return function() return #t end, function() t[2] = 2 end"},
    {"local t = {a = {b = {c = 1}}} return function() return t.a.b.c end, function() t.a.b.c = 2 end"},
    {"local k = {} local t = {[k] = 1} return function() return t[k] end, function() k.x = 2 end"},
    {"local t = {} t.t = t t.x = 1 return function() return t.t.t.x end, function() t.t.x = 2 end"},
    {"local t = {x = 1} local function get() return t end return function() return get().x end, function() get().x = 2 end"},
    {"local t = {x = 1, f = function() return 1 end} t.g = function() return t end return function() return t.g().x end, function() t.g().x = 2 end"},
};

START_TEST(K1_can_be_read_but_not_written_once_frozen)
{
    load(frozen[_i].maker);
    ck_assert_int_eq(sandbox_call(sb, 0, 2), GW_OK);
    lua_pushcfunction(sb->L, freeze_it);
    lua_pushvalue(sb->L, 1);
    ck_assert_msg(sandbox_call(sb, 1, 0) == GW_OK, "%s", sb->error);
    for (int i = 0; i < 3; i++) {
        lua_pushvalue(sb->L, 1);
        ck_assert_msg(sandbox_call(sb, 0, 1) == GW_OK, "%s", sb->error);
        ck_assert_int_eq(lua_tointeger(sb->L, -1), 1);
        lua_settop(sb->L, 2);
        lua_pushvalue(sb->L, 2);
        ck_assert_int_eq(sandbox_call(sb, 0, 0), GW_E_POLICY);
        ck_assert_ptr_nonnull(strstr(sb->error, "this table was frozen"));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sandbox");
    TCase *tc = tcase_create("sandbox");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, K4_stops_what_spends_a_budget_and_lives_on, 0, sizeof(spenders) / sizeof(spenders[0]));
    tcase_add_test(tc, takes_any_error_value_without_converting_it);
    tcase_add_test(tc, a_spent_budget_stays_spent_until_armed_again);
    tcase_add_test(tc, counts_instructions_the_same_each_time);
    tcase_add_test(tc, host_work_ends_one_byte_past_its_budget);
    tcase_add_test(tc, K4_runs_out_of_memory_at_every_size_without_a_panic);
    tcase_add_loop_test(tc, sees_uses_of_globals_and_captured_variables, 0, sizeof(walked) / sizeof(walked[0]));
    tcase_add_test(tc, finds_lines_in_a_long_function);
    tcase_add_test(tc, this_lua_writes_the_bytecode_that_is_read);
    tcase_add_loop_test(tc, K1_can_be_read_but_not_written_once_frozen, 0, sizeof(frozen) / sizeof(frozen[0]));
    suite_add_tcase(s, tc);
    return support_run(s);
}
