#include "handlers/recorder.h"

#include "http/original.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/rnd.h"

struct record_subject recorder_subject(const struct principal *who, struct buf *groups)
{
    struct record_subject s = {0};
    if (who == NULL)
        return s;
    s.groups_json = principal_groups_json(who);
    if (s.groups_json.p == NULL && principal_missing(who) == PRINCIPAL_COMPLETE) {
        pack_format_json(principal_groups(who), groups);
        s.groups_json = buf_view(groups);
    }
    s.iss = principal_iss(who);
    s.uid = principal_sub(who);
    s.username = principal_username(who);
    s.via = view_of(principal_via_name(principal_via(who)));
    return s;
}

bool recorder_append(struct core *core, enum gw_err err)
{
    if (err == GW_OK)
        err = journal_append(core->gateway->journal, &core->record);
    if (err != GW_OK)
        log_printf(LOG_ERROR, "an audit line could not be written (%s): nothing is allowed without one", gw_err_name(err));
    return err == GW_OK;
}

void recorder_format_client(const struct exchange *x, char out[IPADDR_TEXT_MAX + 1])
{
    const struct config *c = x->core->gateway->config;
    struct ipaddr client;
    out[0] = '\0';
    if (original_find_client(&x->request, c->server.trusted_proxies, c->server.n_trusted_proxies, &client) == ORIGINAL_FINE)
        ipaddr_format(&client, out);
}

bool recorder_event(struct exchange *x, const struct recorder_event *e)
{
    struct core *core = x->core;
    struct buf groups = BUF(JOURNAL_LINE_MAX);
    char id[RND_UUID_LEN + 1], ip[IPADDR_TEXT_MAX + 1];
    struct record_event r = {
        .type = view_of(e->type),
        .now_ms = epoch_now_ms(),
        .outcome = view_of(e->outcome),
        .reason = view_of(e->reason),
        .reason_text = e->reason_text,
        .subject = recorder_subject(e->who, &groups),
        .sessions = e->sessions,
        .admin_token = e->admin_token,
    };
    if (e->who == NULL) {
        r.subject.iss = e->iss;
        r.subject.uid = e->uid;
    }
    if (e->is_direct)
        ipaddr_format(&x->request.peer, ip);
    else
        recorder_format_client(x, ip);
    r.ip = view_of(ip);
    enum gw_err err = rnd_uuid7(r.now_ms, id);
    r.id = view_of(id);
    buf_clear(&core->record);
    if (err == GW_OK)
        err = record_put_event(&core->record, &r);
    bool ok = recorder_append(core, err);
    buf_deinit(&groups);
    return ok;
}
