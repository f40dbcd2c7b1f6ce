#include "policy/strlib.h"

#include <lauxlib.h>

#include "policy/builtins.h"
#include "policy/freeze.h"
#include "policy/glob.h"
#include "policy/sandbox.h"

enum { STRLIB_FMT_PIECES_MAX = 64 };

static struct view arg(lua_State *L, int idx, const char *what)
{
    struct view v = builtins_check_string(L, idx, what);

    sandbox_debit(L, v.n);
    return v;
}

void strlib_push_text(lua_State *L, int idx)
{
    switch (lua_type(L, idx)) {
    case LUA_TSTRING:
    case LUA_TNUMBER:
        lua_pushvalue(L, idx);
        lua_tolstring(L, -1, NULL);
        break;
    case LUA_TBOOLEAN:
        lua_pushstring(L, lua_toboolean(L, idx) ? "true" : "false");
        break;
    case LUA_TNIL:
        lua_pushliteral(L, "nil");
        break;
    default:
        luaL_error(L, "a %s has no text", luaL_typename(L, idx));
    }
}

static int change_case(lua_State *L, char first, char last)
{
    struct view v = arg(L, 1, "the string");
    char *out = lua_newuserdatauv(L, v.n + 1, 0);

    for (size_t i = 0; i < v.n; i++)
        out[i] = v.p[i] >= first && v.p[i] <= last ? (char)(v.p[i] ^ 0x20) : v.p[i];
    lua_pushlstring(L, out, v.n);
    return 1;
}

static int str_lower(lua_State *L)
{
    return change_case(L, 'A', 'Z');
}

static int str_upper(lua_State *L)
{
    return change_case(L, 'a', 'z');
}

static int str_trim(lua_State *L)
{
    struct view v = arg(L, 1, "the string");

    while (v.n > 0 && strchr(" \t\r\n", v.p[0]) != NULL && v.p[0] != '\0')
        v = view_skip(v, 1);
    while (v.n > 0 && strchr(" \t\r\n", v.p[v.n - 1]) != NULL && v.p[v.n - 1] != '\0')
        v.n--;
    lua_pushlstring(L, v.p, v.n);
    return 1;
}

static int str_split(lua_State *L)
{
    struct view v = arg(L, 1, "the string"), sep = arg(L, 2, "the separator");
    lua_Integer n = 0;

    if (sep.n == 0)
        return luaL_error(L, "str.split: the separator is empty");
    lua_newtable(L);
    for (;;) {
        const char *at = v.n < sep.n ? NULL : memmem(v.p, v.n, sep.p, sep.n);
        size_t len = at == NULL ? v.n : (size_t)(at - v.p);

        sandbox_debit(L, 16);
        lua_pushlstring(L, v.p, len);
        lua_rawseti(L, -2, ++n);
        if (at == NULL)
            return 1;
        v = view_skip(v, len + sep.n);
    }
}

static int str_starts(lua_State *L)
{
    lua_pushboolean(L, view_starts(arg(L, 1, "the string"), arg(L, 2, "the prefix")));
    return 1;
}

static int str_ends(lua_State *L)
{
    lua_pushboolean(L, view_ends(arg(L, 1, "the string"), arg(L, 2, "the suffix")));
    return 1;
}

static int str_contains(lua_State *L)
{
    lua_pushboolean(L, view_contains(arg(L, 1, "the string"), arg(L, 2, "the part")));
    return 1;
}

static int str_glob(lua_State *L)
{
    struct view v = arg(L, 1, "the string"), pattern = arg(L, 2, "the pattern");

    if (pattern.n > GLOB_PATTERN_MAX)
        return luaL_error(L, "str.glob: a pattern may have %d bytes", GLOB_PATTERN_MAX);
    sandbox_debit(L, v.n * (1 + pattern.n / 8));
    lua_pushboolean(L, glob_matches(pattern, v, false));
    return 1;
}

/* The conversion behind a per cent sign, with argument next: pushes its text. */
static void fmt_piece(lua_State *L, char conversion, int *next, int n_args)
{
    if (conversion != '%' && *next > n_args)
        luaL_error(L, "str.fmt: fewer arguments than conversions");
    switch (conversion) {
    case '%':
        lua_pushliteral(L, "%");
        break;
    case 'd':
        lua_pushinteger(L, luaL_checkinteger(L, (*next)++));
        lua_tolstring(L, -1, NULL);
        break;
    case 's':
        strlib_push_text(L, (*next)++);
        break;
    default:
        luaL_error(L, "str.fmt knows %%s, %%d and %%%%");
    }
}

static int str_fmt(lua_State *L)
{
    struct view rest = arg(L, 1, "the format");
    int n_pieces = 0, next = 2, n_args = lua_gettop(L);

    luaL_checkstack(L, STRLIB_FMT_PIECES_MAX + 4, NULL);
    for (;;) {
        struct view plain = view_split(&rest, '%');

        lua_pushlstring(L, plain.p, plain.n);
        n_pieces++;
        if (rest.p == NULL)
            break;
        if (rest.n == 0)
            return luaL_error(L, "str.fmt: the format ends with %%");
        if (n_pieces + 2 > STRLIB_FMT_PIECES_MAX)
            return luaL_error(L, "str.fmt: too many conversions");
        fmt_piece(L, rest.p[0], &next, n_args);
        sandbox_debit(L, (size_t)lua_rawlen(L, -1));
        n_pieces++;
        rest = view_skip(rest, 1);
    }
    if (next <= n_args)
        return luaL_error(L, "str.fmt: more arguments than conversions");
    lua_concat(L, n_pieces);
    return 1;
}

void strlib_push(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"lower", str_lower}, {"upper", str_upper},       {"trim", str_trim}, {"split", str_split}, {"starts", str_starts},
        {"ends", str_ends},   {"contains", str_contains}, {"glob", str_glob}, {"fmt", str_fmt},
    };

    lua_newtable(L);
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        lua_pushcfunction(L, functions[i].func);
        lua_setfield(L, -2, functions[i].name);
    }
    freeze_table_strict(L, "str");
}
