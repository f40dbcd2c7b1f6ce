#include "handlers/handlers.h"
#include "handlers/identify.h"
#include "handlers/reply.h"
#include "http/form.h"

static void show(struct identify *i, int status, struct view entered, bool is_invalid)
{
    const struct config *c = i->x->core->gateway->config;
    const char *names[REPO_FORGES_MAX];
    struct buf out = BUF(PAGE_MAX_BYTES);
    for (size_t f = 0; f < c->forges.n; f++)
        names[f] = c->forges.items[f].name;
    struct page_frame frame = reply_frame(i->x, i->who);
    struct page_portal page = {names, c->forges.n, entered, is_invalid};
    page_put_portal(&out, &frame, &page);
    reply_html(i->x, status, &out);
}

/* True if somebody is known; otherwise answers. */
static bool is_known(struct identify *i, enum identified found)
{
    if (found == IDENTIFIED_KNOWN)
        return true;
    if (found == IDENTIFIED_NOBODY && request_is_navigation(&i->x->request))
        reply_redirect(i->x, 302, VIEW("/_repogate/login?rd=/"));
    else
        reply_unidentified(i, found, text_of(TEXT_LOGIN_REQUIRED), text_of(TEXT_LOGIN_TO_OPEN));
    return false;
}

static void answer_portal(struct identify *i, enum identified found)
{
    if (is_known(i, found))
        show(i, 200, VIEW_NONE, false);
}

void handle_portal(struct exchange *x)
{
    if (!identify_visitor(x, answer_portal))
        reply_defect(x);
}

/* The one that the form names; the first, if it names none of ours. */
static const struct forge *chosen_forge(struct exchange *x)
{
    const struct config *c = x->core->gateway->config;
    struct view name;
    if (form_get(x->request.uri.query, VIEW("forge"), &x->arena, &name) == FORM_ONE)
        for (size_t i = 0; i < c->forges.n; i++)
            if (view_eq(name, view_of(c->forges.items[i].name)))
                return &c->forges.items[i];
    return &c->forges.items[0];
}

/* owner/name, forge:owner/name, or a link as the forge shows it. */
static void answer_open(struct identify *i, enum identified found)
{
    struct exchange *x = i->x;
    const struct config *c = x->core->gateway->config;
    struct view text = VIEW_NONE;
    struct repo repo;
    if (!is_known(i, found))
        return;
    if (form_get(x->request.uri.query, VIEW("repo"), &x->arena, &text) != FORM_ONE) {
        show(i, 400, VIEW_NONE, true);
        return;
    }
    text = view_trim(text);
    if (repo_parse_ref(c->forges.items, c->forges.n, text, &repo) != GW_OK) {
        show(i, 400, text, true);
        return;
    }
    const struct forge *forge = repo.forge != NULL ? repo.forge : chosen_forge(x);
    /* Where projects nest, only the marker tells where the repository ends (PLATFORM 4.1). */
    struct view end = forge->kind == FORGE_GITLAB ? VIEW("/-/ws/") : VIEW("/");
    struct view parts[] = {VIEW("/"), view_of(forge->name), VIEW("/"), view_of(repo.owner), VIEW("/"), view_of(repo.name), end};
    reply_redirect(x, 303, arena_join(&x->arena, parts, sizeof(parts) / sizeof(parts[0])));
}

void handle_open(struct exchange *x)
{
    if (!identify_visitor(x, answer_open))
        reply_defect(x);
}
