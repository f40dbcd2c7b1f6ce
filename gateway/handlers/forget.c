#include "handlers/forget.h"

#include <stdlib.h>

struct forgetting {
    struct core *core;
    struct machine_ending ending; /* its texts stand behind it */
};

static void forget(void *arg)
{
    struct forgetting *f = arg;
    if (f->core->machines != NULL) /* gone already when we stop */
        machines_forget(f->core->machines, &f->ending);
    free(f);
}

static enum gw_err tell(struct core *core, const struct machine_ending *e)
{
    struct forgetting *f = malloc(sizeof(*f) + e->iss.n + e->name.n);
    if (f == NULL)
        return GW_E_NOMEM;
    char *text = (char *)(f + 1);
    *f = (struct forgetting){core, *e};
    memcpy(text, e->iss.p, e->iss.n);
    memcpy(text + e->iss.n, e->name.p, e->name.n);
    f->ending.iss = view_at(text, e->iss.n);
    f->ending.name = view_at(text + e->iss.n, e->name.n);
    enum gw_err err = loop_post(core->loop, forget, f);
    if (err != GW_OK)
        free(f);
    return err;
}

enum gw_err forget_machines(struct gateway *gw, const struct machine_ending *e)
{
    enum gw_err err = GW_OK;
    for (size_t i = 0; i < gw->n_cores; i++) {
        enum gw_err one = tell(gw->cores[i], e);
        err = one == GW_OK ? err : one;
    }
    return err;
}
