#include "policy/bytecode.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "util/buf.h"
#include "util/cleanup.h"

/* lopcodes.h of Lua 5.4: op in bits 0-6, A in 7-14, k in 15, B in 16-23, C in 24-31. */
enum { OPCODE_SETUPVAL = 10, OPCODE_GETTABUP = 11, OPCODE_SETTABUP = 15 };
/* lobject.h and ltm.h: types of constants with their variants. */
enum { CONST_NIL = 0, CONST_FALSE = 1, CONST_TRUE = 17, CONST_INT = 3, CONST_FLOAT = 19, CONST_SHORT = 4, CONST_LONG = 20 };
enum { LINE_IS_ABSOLUTE = -128 };

struct reader {
    const uint8_t *p, *end;
    bool failed;
    bytecode_fn fn;
    void *arg;
};

struct proto {
    const uint8_t *code;
    size_t n_code;
    struct view *constants;
    size_t n_constants;
    struct view upvalues[256];
    size_t n_upvalues;
    int first_line;
};

static const uint8_t *take(struct reader *r, size_t n)
{
    const uint8_t *p = r->p;

    if (r->failed || n > (size_t)(r->end - r->p)) {
        r->failed = true;
        return NULL;
    }
    r->p += n;
    return p;
}

static uint8_t take_byte(struct reader *r)
{
    const uint8_t *p = take(r, 1);

    return p == NULL ? 0 : *p;
}

/* Seven bits a byte, most significant first, the last one marked (lundump.c, loadUnsigned). */
static size_t take_size(struct reader *r)
{
    size_t n = 0;
    uint8_t b;

    do {
        b = take_byte(r);
        if (n >> 50 != 0)
            r->failed = true;
        n = n << 7 | (b & 0x7fu);
    } while (!r->failed && (b & 0x80) == 0);
    return r->failed ? 0 : n;
}

static struct view take_string(struct reader *r)
{
    size_t n = take_size(r);
    const uint8_t *p;

    if (n == 0)
        return VIEW_NONE;
    p = take(r, n - 1);
    return p == NULL ? VIEW_NONE : view_at((const char *)p, n - 1);
}

static void take_constants(struct reader *r, struct proto *f)
{
    f->n_constants = take_size(r);
    if (r->failed || f->n_constants > (size_t)(r->end - r->p)) {
        r->failed = true;
        f->n_constants = 0;
        return;
    }
    f->constants = calloc(f->n_constants + 1, sizeof(*f->constants));
    if (f->constants == NULL) {
        r->failed = true;
        return;
    }
    for (size_t i = 0; i < f->n_constants && !r->failed; i++) {
        switch (take_byte(r)) {
        case CONST_NIL:
        case CONST_FALSE:
        case CONST_TRUE:
            break;
        case CONST_INT:
            take(r, sizeof(lua_Integer));
            break;
        case CONST_FLOAT:
            take(r, sizeof(lua_Number));
            break;
        case CONST_SHORT:
        case CONST_LONG:
            f->constants[i] = take_string(r);
            break;
        default:
            r->failed = true;
        }
    }
}

/* Line of each instruction: a step from the one before, or an entry in the table of absolute ones. */
static void take_lines(struct reader *r, struct proto *f, int *lines)
{
    size_t n_steps = take_size(r), n_absolute;
    const int8_t *steps = (const int8_t *)take(r, n_steps);
    int line = f->first_line;

    if (r->failed || n_steps > f->n_code) {
        r->failed = true;
        return;
    }
    n_absolute = take_size(r);
    for (size_t pc = 0; pc < n_steps && !r->failed; pc++) {
        if (steps[pc] != LINE_IS_ABSOLUTE) {
            line += steps[pc];
        } else if (n_absolute > 0) {
            n_absolute--;
            if (take_size(r) != pc)
                r->failed = true;
            line = (int)take_size(r);
        } else {
            r->failed = true;
        }
        lines[pc] = line;
    }
    if (n_absolute != 0)
        r->failed = true;
}

static void take_upvalue_names(struct reader *r, struct proto *f)
{
    size_t n = take_size(r);

    for (; n > 0 && !r->failed; n--) { /* local variables */
        take_string(r);
        take_size(r);
        take_size(r);
    }
    n = take_size(r);
    if (n > f->n_upvalues)
        r->failed = true;
    for (size_t i = 0; i < n && !r->failed; i++)
        f->upvalues[i] = take_string(r);
}

static void report_table_use(const struct reader *r, const struct proto *f, size_t upvalue, size_t constant,
                             enum bytecode_use use, int line)
{
    if (upvalue < f->n_upvalues && constant < f->n_constants && view_eq(f->upvalues[upvalue], VIEW("_ENV")))
        r->fn(r->arg, use, f->constants[constant], line);
}

static void report_uses(const struct reader *r, const struct proto *f, const int *lines)
{
    for (size_t pc = 0; pc < f->n_code; pc++) {
        uint32_t i;
        size_t a, b, c;

        memcpy(&i, f->code + pc * sizeof(i), sizeof(i));
        a = i >> 7 & 0xff;
        b = i >> 16 & 0xff;
        c = i >> 24 & 0xff;
        switch (i & 0x7f) {
        case OPCODE_SETUPVAL:
            r->fn(r->arg, BYTECODE_CAPTURED_WRITE, f->upvalues[b], lines[pc]);
            break;
        case OPCODE_GETTABUP:
            report_table_use(r, f, b, c, BYTECODE_GLOBAL_READ, lines[pc]);
            break;
        case OPCODE_SETTABUP:
            report_table_use(r, f, a, b, BYTECODE_GLOBAL_WRITE, lines[pc]);
            break;
        default:
            break;
        }
    }
}

static void walk_function(struct reader *r, int depth)
{
    struct proto f = {0};
    size_t n;
    int *lines = NULL;

    if (depth > BYTECODE_DEPTH_MAX)
        r->failed = true;
    take_string(r); /* source */
    f.first_line = (int)take_size(r);
    take_size(r);
    take(r, 3); /* parameters, vararg, stack size */
    f.n_code = take_size(r);
    if (f.n_code > (size_t)(r->end - r->p) / sizeof(uint32_t))
        r->failed = true;
    f.code = r->failed ? NULL : take(r, f.n_code * sizeof(uint32_t));
    take_constants(r, &f);
    f.n_upvalues = take_size(r);
    if (f.n_upvalues > 255)
        r->failed = true;
    take(r, f.n_upvalues * 3);
    for (n = take_size(r); n > 0 && !r->failed; n--)
        walk_function(r, depth + 1);
    if (!r->failed)
        lines = calloc(f.n_code + 1, sizeof(*lines));
    if (lines == NULL)
        r->failed = true;
    if (!r->failed)
        take_lines(r, &f, lines);
    if (!r->failed)
        take_upvalue_names(r, &f);
    if (!r->failed)
        report_uses(r, &f, lines);
    free(lines);
    free(f.constants);
}

static bool take_header(struct reader *r)
{
    static const uint8_t expected[] = {0x1b,
                                       'L',
                                       'u',
                                       'a',
                                       0x54,
                                       0,
                                       0x19,
                                       0x93,
                                       '\r',
                                       '\n',
                                       0x1a,
                                       '\n',
                                       sizeof(uint32_t),
                                       sizeof(lua_Integer),
                                       sizeof(lua_Number)};
    const uint8_t *p = take(r, sizeof(expected));
    lua_Integer i;

    if (p == NULL || memcmp(p, expected, sizeof(expected)) != 0)
        return false;
    p = take(r, sizeof(lua_Integer) + sizeof(lua_Number));
    if (p == NULL)
        return false;
    memcpy(&i, p, sizeof(i));
    take_byte(r); /* upvalues of the main function */
    return i == 0x5678 && !r->failed;
}

static int dump_piece(lua_State *L, const void *p, size_t n, void *arg)
{
    struct buf *out = arg;

    (void)L;
    buf_put(out, view_at(p, n));
    return buf_ok(out) ? 0 : 1;
}

enum gw_err bytecode_walk(lua_State *L, bytecode_fn fn, void *arg)
{
    GW_CLEANUP(buf_deinit) struct buf dump = BUF(BYTECODE_BYTES_MAX);
    struct reader r = {.fn = fn, .arg = arg};

    if (lua_dump(L, dump_piece, &dump, 0) != 0)
        return GW_E_LIMIT;
    r.p = (const uint8_t *)dump.p;
    r.end = r.p + dump.n;
    if (!take_header(&r))
        return GW_E_INVALID;
    walk_function(&r, 0);
    return r.failed || r.p != r.end ? GW_E_INVALID : GW_OK;
}

struct canary {
    unsigned reads, writes, captured, n;
};

static void canary_use(void *arg, enum bytecode_use use, struct view name, int line)
{
    struct canary *c = arg;

    c->n++;
    if (use == BYTECODE_GLOBAL_READ && view_eq(name, VIEW("g2")) && line == 4)
        c->reads++;
    if (use == BYTECODE_GLOBAL_WRITE && view_eq(name, VIEW("g1")) && line == 4)
        c->writes++;
    if (use == BYTECODE_CAPTURED_WRITE && view_eq(name, VIEW("n")) && line == 3)
        c->captured++;
}

enum gw_err bytecode_self_check(lua_State *L)
{
    static const char text[] = "local n, t = 0, {}\nreturn function()\nn = n + 1\ng1 = g2\nt.x = 1\nreturn t\nend\n";
    struct canary c = {0};
    enum gw_err err;

    if (luaL_loadbufferx(L, text, sizeof(text) - 1, "=canary", "t") != LUA_OK) {
        lua_pop(L, 1);
        return GW_E_NOMEM;
    }
    err = bytecode_walk(L, canary_use, &c);
    lua_pop(L, 1);
    if (err != GW_OK)
        return err;
    return c.reads == 1 && c.writes == 1 && c.captured == 1 && c.n == 3 ? GW_OK : GW_E_INVALID;
}
