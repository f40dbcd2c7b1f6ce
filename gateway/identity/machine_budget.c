/* What an attempt costs that nobody has verified. A password is guessed from many addresses too, so its user name has a budget beside
 * the address's, which no single address can use up; if many do, new passwords of that person are kept out, and none that is known. */
#include "identity/machine_state.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"

enum { ATTEMPT }; /* each throttle counts one thing */

/* "name NUL password" */
static struct view username_of(struct view text)
{
    return view_at(text.p, view_index(text, '\0'));
}

static bool is_signed(enum machine_kind kind, struct view text)
{
    return kind == MACHINE_TOKEN && machine_is_jwt(text);
}

/* A proxy that does not tell addresses would have all share one, and one who fails could keep all the others out. */
static bool is_token_exempt(const struct ipaddr *client)
{
    return client->family == 0;
}

static void note_refusal(const struct throttle_refusal *refusal, const char *what, const struct ipaddr *client)
{
    char ip[IPADDR_TEXT_MAX + 1];
    meter_inc(METER_MACHINE_LIMITED);
    if (!refusal->is_first)
        return;
    ipaddr_format(client, ip);
    log_event(LOG_WARN, what, LOG_KV("ip", view_of(ip)));
}

bool machine_budget_take(struct machines *ms, const struct machine_check *c)
{
    struct throttle_refusal refusal;
    int64_t now_us = epoch_mono_us();
    if (is_signed(c->kind, c->text)) {
        if (is_token_exempt(c->client) || throttle_take(ms->spec.token_throttle, ATTEMPT, c->client, now_us, &refusal))
            return true;
        note_refusal(&refusal, "bearer tokens that are none, from one address, are limited", c->client);
        return false;
    }
    if (!throttle_take(ms->spec.throttle, ATTEMPT, c->client, now_us, &refusal)) {
        note_refusal(&refusal, "attempts with app passwords or opaque tokens from one address are limited", c->client);
        return false;
    }
    if (c->kind != MACHINE_PASSWORD ||
        throttle_take_name(ms->spec.name_throttle, ATTEMPT, username_of(c->text), now_us, &refusal))
        return true;
    note_refusal(&refusal, "attempts with one user name are limited; the last came from this address", c->client);
    return false;
}

void machine_budget_give_back(struct machines *ms, enum machine_kind kind, struct view text, const struct ipaddr *client)
{
    if (is_signed(kind, text)) {
        if (!is_token_exempt(client))
            throttle_give_back(ms->spec.token_throttle, ATTEMPT, client);
        return;
    }
    throttle_give_back(ms->spec.throttle, ATTEMPT, client);
    if (kind == MACHINE_PASSWORD)
        throttle_give_back_name(ms->spec.name_throttle, ATTEMPT, username_of(text));
}
