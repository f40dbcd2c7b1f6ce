#include "policy/chunk.h"

#include <lauxlib.h>

#include "policy/builtins.h"
#include "policy/bytecode.h"
#include "policy/nearest.h"

struct chunk {
    const struct source_file *file;
    const char *const *names;
    struct source_findings *findings;
    size_t n_found;
    enum gw_err walk_err;
};

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* After [, =…, [ at p: the text behind the closing bracket; NULL if no long bracket opens here. */
static const char *skip_long_bracket(const char *p, const char *end, int *line)
{
    const char *q = p + 1;
    ptrdiff_t level;

    while (q < end && *q == '=')
        q++;
    if (q >= end || *q != '[')
        return NULL;
    level = q - p;
    for (q++; q < end; q++) {
        if (*q == '\n')
            ++*line;
        if (*q == ']' && q + level < end && q[level] == ']' && (size_t)level == 1 + strspn(q + 1, "="))
            return q + level + 1;
    }
    return end;
}

static const char *skip_quoted(const char *p, const char *end, int *line)
{
    char quote = *p++;

    for (; p < end && *p != quote; p++) {
        if (*p == '\\' && p + 1 < end)
            p++;
        if (*p == '\n')
            ++*line;
    }
    return p < end ? p + 1 : end;
}

static const char *skip_comment(const char *p, const char *end, int *line)
{
    const char *q = p + 2 < end && p[2] == '[' ? skip_long_bracket(p + 2, end, line) : NULL;

    if (q != NULL)
        return q;
    q = memchr(p, '\n', (size_t)(end - p));
    return q == NULL ? end : q;
}

/* Lua 5.4.4 makes wrong code for a constant local named _ENV, and no policy needs to speak of it: the name is refused, as a word
 * of the source, before anything is compiled. */
static void lint_words(struct chunk *c)
{
    const char *p = c->file->text, *end = p + c->file->n, *q;
    int line = 1;

    while (p < end) {
        if (*p == '-' && p + 1 < end && p[1] == '-') {
            p = skip_comment(p, end, &line);
        } else if (*p == '"' || *p == '\'') {
            p = skip_quoted(p, end, &line);
        } else if (*p == '[' && (q = skip_long_bracket(p, end, &line)) != NULL) {
            p = q;
        } else if (is_name_byte(*p)) {
            for (q = p; q < end && is_name_byte(*q); q++)
                ;
            if (view_eq(view_at(p, (size_t)(q - p)), VIEW("_ENV"))) {
                source_report(c->findings, c->file->name, line, "_ENV is not for policies");
                c->n_found++;
            }
            p = q;
        } else {
            line += *p == '\n';
            p++;
        }
    }
}

static void lint_use(void *arg, enum bytecode_use use, struct view name, int line)
{
    struct chunk *c = arg;
    char hint[NEAREST_NAME_MAX + 32];

    name.n = name.n < 100 ? name.n : 100;
    switch (use) {
    case BYTECODE_GLOBAL_READ:
        for (size_t i = 0; c->names[i] != NULL; i++)
            if (view_eq(name, view_of(c->names[i])))
                return;
        source_report(c->findings, c->file->name, line, "there is no global '%.*s'%s", VIEW_FMT(name),
                      nearest_of(name, c->names, hint, sizeof(hint)));
        break;
    case BYTECODE_GLOBAL_WRITE:
        source_report(c->findings, c->file->name, line, "'%.*s' would be a global, and those cannot be written: write local %.*s",
                      VIEW_FMT(name), VIEW_FMT(name));
        break;
    case BYTECODE_CAPTURED_WRITE:
        source_report(c->findings, c->file->name, line,
                      "'%.*s' belongs to the function outside: assigning it could remember something between decisions",
                      VIEW_FMT(name));
        break;
    }
    c->n_found++;
}

/* Leaves the compiled chunk. */
static int compile(lua_State *L)
{
    struct chunk *c = lua_touserdata(L, 1);

    if (luaL_loadbufferx(L, c->file->text, c->file->n, lua_pushfstring(L, "@%s", c->file->name), "t") != LUA_OK)
        return lua_error(L);
    c->walk_err = bytecode_self_check(L);
    if (c->walk_err == GW_OK)
        c->walk_err = bytecode_walk(L, lint_use, c);
    builtins_push(L);
    lua_setupvalue(L, -2, 1);
    return 1;
}

void chunk_run(struct sandbox *sb, const struct source_file *file, const char *const *names, struct source_findings *findings)
{
    struct chunk c = {.file = file, .names = names, .findings = findings};

    if (file->n > 0 && file->text[0] == LUA_SIGNATURE[0]) {
        source_report(findings, file->name, 1, "compiled Lua is refused: only text");
        return;
    }
    lint_words(&c);
    sandbox_arm(sb, &SANDBOX_LOADING);
    lua_pushcfunction(sb->L, compile);
    lua_pushlightuserdata(sb->L, &c);
    if (sandbox_call(sb, 1, 1) != GW_OK) {
        source_report_lua(findings, file->name, 0, sb->error);
        return;
    }
    if (c.walk_err != GW_OK)
        source_report(findings, file->name, 0, "its bytecode cannot be read (%s)", gw_err_name(c.walk_err));
    if (c.n_found > 0 || c.walk_err != GW_OK) {
        lua_settop(sb->L, -2);
        return;
    }
    if (sandbox_call(sb, 0, 0) != GW_OK)
        source_report_lua(findings, file->name, 0, sb->error);
}
