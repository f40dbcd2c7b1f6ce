#include "handlers/forget.h"

#include "handlers/cut.h"

#include <stdlib.h>

struct forgetting {
    struct core *core;
    bool by_sub;
    struct view iss, name; /* behind it */
};

static void forget(void *arg)
{
    struct forgetting *f = arg;
    provider_forget(f->core->provider, f->by_sub, f->iss, f->name);
    cut_forget(f->core, f->by_sub, f->iss, f->name);
    free(f);
}

static enum gw_err tell(struct core *core, bool by_sub, struct view iss, struct view name)
{
    struct forgetting *f = malloc(sizeof(*f) + iss.n + name.n);
    if (f == NULL)
        return GW_E_NOMEM;
    char *text = (char *)(f + 1);
    *f = (struct forgetting){core, by_sub, view_at(text, iss.n), view_at(text + iss.n, name.n)};
    memcpy(text, iss.p, iss.n);
    memcpy(text + iss.n, name.p, name.n);
    enum gw_err err = loop_post(core->loop, forget, f);
    if (err != GW_OK)
        free(f);
    return err;
}

enum gw_err forget_tokens(struct gateway *gw, bool by_sub, struct view iss, struct view name)
{
    enum gw_err err = GW_OK;
    for (size_t i = 0; i < gw->n_cores; i++) {
        enum gw_err one = tell(gw->cores[i], by_sub, iss, name);
        err = one == GW_OK ? err : one;
    }
    return err;
}
