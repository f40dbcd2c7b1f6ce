#include "store/shard.h"

#include "util/cleanup.h"
#include "util/epoch.h"

enum { PERSONS_PER_PAGE = 256 };

struct revoking {
    struct sessions *ss;
    enum session_by by;
    uint8_t id[DIGEST_BYTES];
    uint8_t macs[SEAL_KEYS_MAX][DIGEST_BYTES]; /* under each key of the ring: rows keep that of their time */
    size_t n_macs;
    char *username;
    int64_t issued_until_s, asked_ms;
    uint8_t once[DIGEST_BYTES], once_name[DIGEST_BYTES];
    bool has_once, is_here_only;
    int64_t once_until_s;
    size_t n;
    enum gw_err err;
    session_revoked_fn fn;
    void *arg;
};

static void revoking_free(struct revoking *r)
{
    if (r != NULL)
        free(r->username);
    free(r);
}

static void revoking_freep(struct revoking **pp)
{
    revoking_free(*pp);
}

static int64_t tomb_s(const struct revoking *r)
{
    return r->asked_ms / 1000 + r->ss->spec.absolute_s;
}

/* The store tells all who watch it, but perhaps only after we have answered. */
static void on_removed(void *arg, const uint8_t id[DIGEST_BYTES])
{
    struct revoking *r = arg;
    sessionwatch_on_change(r->ss, STORE_ENDED, id);
    r->n++;
}

static enum gw_err revoke_mac(struct revoking *r, const uint8_t mac[DIGEST_BYTES], bool is_marked)
{
    struct store_revocation how = {
        .by_sub = r->by != SESSION_BY_SID,
        .issued_until_s = r->by == SESSION_BY_SUB ? r->issued_until_s : INT64_MAX,
        .begun_until_ms = r->asked_ms,
        .tomb_s = tomb_s(r),
        .is_here_only = r->is_here_only,
        .once = is_marked ? r->once : NULL,
        .once_name = is_marked ? r->once_name : NULL,
        .once_until_s = r->once_until_s,
    };
    memcpy(how.mac, mac, DIGEST_BYTES);
    return store_revoke(r->ss->spec.store, &how, on_removed, r);
}

/* That of the sealing key last, and with it the mark: whatever fails before is done again when asked again. */
static enum gw_err revoke_macs(struct revoking *r)
{
    enum gw_err err = GW_OK;
    for (size_t i = r->n_macs; i-- > 0 && err == GW_OK;)
        err = revoke_mac(r, r->macs[i], i == 0 && r->has_once);
    return err;
}

static enum gw_err revoke_id(struct revoking *r)
{
    struct store_row row;
    enum gw_err err = store_session_get(r->ss->spec.store, r->id, &row);
    if (err == GW_E_NOTFOUND)
        return GW_OK;
    if (err != GW_OK)
        return err;
    store_row_deinit(&row);
    err = store_session_end(r->ss->spec.store, r->id, r->asked_ms, tomb_s(r));
    if (err == GW_OK)
        on_removed(r, r->id);
    return err;
}

/* Rows of a page whose label has the name, by person. */
struct persons {
    struct revoking *r;
    uint8_t macs[PERSONS_PER_PAGE][DIGEST_BYTES];
    size_t n_macs, n_rows;
    uint8_t last[DIGEST_BYTES];
};

static void collect_person(void *arg, const struct store_row *row)
{
    struct persons *p = arg;
    struct sessionrow_label label;
    memcpy(p->last, row->id, DIGEST_BYTES);
    p->n_rows++;
    if (sessionrow_open_label(p->r->ss->spec.ring, row, &label) != GW_OK)
        return;
    bool is_theirs = view_eq(label.username, view_of(p->r->username));
    sessionrow_label_deinit(&label);
    for (size_t i = 0; is_theirs && i < p->n_macs; i++)
        is_theirs = memcmp(p->macs[i], row->sub_mac, DIGEST_BYTES) != 0;
    if (is_theirs)
        memcpy(p->macs[p->n_macs++], row->sub_mac, DIGEST_BYTES);
}

static enum gw_err revoke_username(struct revoking *r)
{
    struct persons p = {.r = r, .n_rows = PERSONS_PER_PAGE};
    enum gw_err err = GW_OK;
    for (bool is_first = true; err == GW_OK && p.n_rows == PERSONS_PER_PAGE; is_first = false) {
        uint8_t after[DIGEST_BYTES];
        memcpy(after, p.last, DIGEST_BYTES);
        p.n_rows = p.n_macs = 0;
        err = store_session_list(r->ss->spec.store, is_first ? NULL : after, PERSONS_PER_PAGE, r->asked_ms / 1000, collect_person,
                                 &p);
        for (size_t i = 0; i < p.n_macs && err == GW_OK; i++)
            err = revoke_mac(r, p.macs[i], false);
    }
    return err;
}

static void revoke_run(void *arg)
{
    struct revoking *r = arg;
    switch (r->by) {
    case SESSION_BY_SID:
    case SESSION_BY_SUB:
        r->err = revoke_macs(r);
        break;
    case SESSION_BY_USERNAME:
        r->err = revoke_username(r);
        break;
    case SESSION_BY_ID:
        r->err = revoke_id(r);
        break;
    }
}

static void revoke_done(void *arg)
{
    struct revoking *r = arg;
    r->fn(r->arg, r->err, r->n);
    revoking_free(r);
}

static enum gw_err take_names(struct revoking *r, const struct session_revocation *spec)
{
    if (spec->by == SESSION_BY_ID) {
        memcpy(r->id, spec->id, DIGEST_BYTES);
        return GW_OK;
    }
    if (spec->name.n == 0 || (spec->by != SESSION_BY_USERNAME && spec->iss.n == 0))
        return GW_E_INVALID;
    if (spec->by == SESSION_BY_USERNAME) {
        r->username = view_dup(spec->name);
        return r->username == NULL ? GW_E_NOMEM : GW_OK;
    }
    return sessionrow_mac_all(r->ss->spec.ring, spec->by, spec->iss, spec->name, r->macs, &r->n_macs);
}

enum gw_err session_revoke(struct sessions *ss, struct loop *l, const struct session_revocation *spec, session_revoked_fn fn,
                           void *arg)
{
    GW_CLEANUP(revoking_freep) struct revoking *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return GW_E_NOMEM;
    *r = (struct revoking){
        .ss = ss,
        .by = spec->by,
        .issued_until_s = spec->issued_until_s,
        .is_here_only = spec->is_here_only,
        .asked_ms = epoch_now_ms(),
        .fn = fn,
        .arg = arg,
    };
    if (spec->once != NULL && spec->once_name != NULL) {
        memcpy(r->once, spec->once, DIGEST_BYTES);
        memcpy(r->once_name, spec->once_name, DIGEST_BYTES);
        r->once_until_s = spec->once_until_s;
        r->has_once = true;
    }
    enum gw_err err = take_names(r, spec);
    if (err == GW_OK)
        err = jobs_submit(ss->spec.jobs, l, revoke_run, revoke_done, r);
    if (err == GW_OK)
        GW_TAKE(r);
    return err;
}
