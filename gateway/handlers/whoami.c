/* Workspaces share this origin, so their scripts can read the answer: it holds no more than what a workspace is told
 * about its visitors anyway. */
#include "handlers/handlers.h"
#include "handlers/identify.h"
#include "handlers/reply.h"
#include "util/epoch.h"

static void put_time(struct buf *out, int64_t s)
{
    char when[EPOCH_RFC3339_LEN + 1];
    epoch_format(s * 1000, when);
    buf_put_json(out, view_of(when));
}

static void answer(struct identify *i, enum identified found)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    if (found != IDENTIFIED_KNOWN) {
        reply_unidentified(i, found, text_of(TEXT_NOBODY), i->why);
        return;
    }
    buf_puts(&out, "{\"username\":");
    buf_put_json(&out, principal_username(i->who));
    buf_puts(&out, ",\"groups\":");
    pack_format_json(principal_groups(i->who), &out);
    buf_puts(&out, ",\"via\":");
    buf_put_json(&out, view_of(principal_via_name(principal_via(i->who))));
    buf_puts(&out, ",\"expires_at\":");
    put_time(&out, i->session != NULL ? session_expires_s(i->session) : principal_exp_s(i->who));
    buf_puts(&out, "}\n");
    reply_json(i->x, 200, VIEW("application/json"), &out);
}

void handle_whoami(struct exchange *x)
{
    if (!identify_visitor(x, answer))
        reply_defect(x);
}
