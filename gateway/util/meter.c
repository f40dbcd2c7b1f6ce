#include "util/meter.h"

#include <stdatomic.h>

static _Atomic int64_t values[METER_COUNT];

struct meter_row {
    const char *name, *labels, *type, *help;
};

static const struct meter_row rows[METER_COUNT] = {
#define X(id, name, labels, type, help) {name, labels, type, help},
    METER_TABLE(X)
#undef X
};

void meter_add(enum meter_id id, int64_t n)
{
    atomic_fetch_add_explicit(&values[id], n, memory_order_relaxed);
}

int64_t meter_value(enum meter_id id)
{
    return atomic_load_explicit(&values[id], memory_order_relaxed);
}

void meter_format(struct buf *out)
{
    for (size_t i = 0; i < METER_COUNT; i++) {
        const struct meter_row *m = &rows[i];
        if (i == 0 || strcmp(m->name, rows[i - 1].name) != 0)
            buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
        if (m->labels[0] != '\0')
            buf_printf(out, "%s{%s} ", m->name, m->labels);
        else
            buf_printf(out, "%s ", m->name);
        buf_put_i64(out, meter_value((enum meter_id)i));
        buf_put_byte(out, '\n');
    }
}

void meter_format_markdown(struct buf *out)
{
    buf_puts(out, "| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < METER_COUNT; i++) {
        const struct meter_row *m = &rows[i];
        buf_printf(out, "| `%s` | %s | %s%s%s | %s |\n", m->name, m->type, m->labels[0] == '\0' ? "" : "`", m->labels,
                   m->labels[0] == '\0' ? "" : "`", m->help);
    }
}
