#include "store/shard.h"

#include "util/cleanup.h"
#include "util/epoch.h"

struct listing {
    struct sessions *ss;
    uint8_t after[DIGEST_BYTES];
    bool has_after;
    size_t n_max, n, n_page;
    char *username;                  /* NULL: everybody's */
    struct session_listed *items;    /* n_max + 1: one more tells whether there are more */
    struct sessionrow_label *labels; /* what the items borrow from */
    enum gw_err err;
    session_list_fn fn;
    void *arg;
};

static void listing_free(struct listing *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; l->labels != NULL && i < l->n; i++)
        sessionrow_label_deinit(&l->labels[i]);
    free(l->labels);
    free(l->items);
    free(l->username);
    free(l);
}

static void listing_freep(struct listing **pp)
{
    listing_free(*pp);
}

static void take_row(void *arg, const struct store_row *row)
{
    struct listing *l = arg;
    struct sessionrow_label label = {.username = VIEW_NONE};
    memcpy(l->after, row->id, DIGEST_BYTES);
    l->has_after = true;
    l->n_page++;
    if (l->n > l->n_max)
        return;
    bool is_open = sessionrow_open_label(l->ss->spec.ring, row, &label) == GW_OK;
    if (l->username != NULL && !view_eq(label.username, view_of(l->username))) {
        sessionrow_label_deinit(&label);
        return;
    }
    struct session_listed *item = &l->items[l->n];
    *item = (struct session_listed){.created_s = row->created_s, .seen_s = row->seen_s, .expires_s = row->expires_s};
    memcpy(item->id, row->id, DIGEST_BYTES);
    if (is_open) {
        item->username = label.username;
        item->ip = label.ip;
    }
    l->labels[l->n++] = label;
}

static void list_run(void *arg)
{
    struct listing *l = arg;
    size_t n_ask = l->n_max + 1;
    int64_t now_s = epoch_now_s();
    do {
        uint8_t after[DIGEST_BYTES];
        memcpy(after, l->after, DIGEST_BYTES);
        l->n_page = 0;
        l->err = store_session_list(l->ss->spec.store, l->has_after ? after : NULL, n_ask, now_s, take_row, l);
    } while (l->err == GW_OK && l->n_page == n_ask && l->n <= l->n_max);
}

static void list_done(void *arg)
{
    struct listing *l = arg;
    bool is_more = l->n > l->n_max;
    if (l->err == GW_OK)
        l->fn(l->arg, GW_OK, l->items, is_more ? l->n_max : l->n, is_more);
    else
        l->fn(l->arg, l->err, NULL, 0, false);
    listing_free(l);
}

enum gw_err session_list(struct sessions *ss, struct loop *loop, const struct session_list_spec *spec, session_list_fn fn,
                         void *arg)
{
    if (spec->n_max == 0 || spec->n_max > SESSION_LIST_MAX)
        return GW_E_INVALID;
    GW_CLEANUP(listing_freep) struct listing *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return GW_E_NOMEM;
    *l = (struct listing){.ss = ss, .n_max = spec->n_max, .has_after = spec->after != NULL, .fn = fn, .arg = arg};
    l->items = calloc(spec->n_max + 1, sizeof(l->items[0]));
    l->labels = calloc(spec->n_max + 1, sizeof(l->labels[0]));
    if (spec->after != NULL)
        memcpy(l->after, spec->after, DIGEST_BYTES);
    if (spec->username.n > 0)
        l->username = view_dup(spec->username);
    bool has_memory = l->items != NULL && l->labels != NULL && (spec->username.n == 0 || l->username != NULL);
    enum gw_err err = has_memory ? jobs_submit(ss->spec.jobs, loop, list_run, list_done, l) : GW_E_NOMEM;
    if (err == GW_OK)
        GW_TAKE(l);
    return err;
}
