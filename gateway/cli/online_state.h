/* online_state: what the files of the online check share; for them alone. online.c asks, onlineprovider.c knows what an identity
 * provider has to answer. */
#pragma once

#include "cli/online.h"
#include "identity/uplink.h"
#include "util/buf.h"

enum { ONLINE_TEXT_MAX = 2048 };

struct online {
    const struct config *config;
    struct loop *loop;
    struct fetcher *fetcher;
    online_report_fn report;
    void *arg;
};

struct online_answer {
    enum gw_err err; /* GW_OK: there is an answer, whatever its status */
    enum fetch_trouble trouble;
    int status;
    int64_t date_s, arrived_s; /* the server's clock, 0 if it does not say; ours */
    struct buf body;
    char detail[256];
};

void online_say(struct online *o, enum online_severity severity, const char *key, const char *fmt, ...) GW_PRINTF(4, 5);

/* One exchange, waited for. answer: to be given to online_answer_deinit() in any case. */
void online_get(struct online *o, struct uplink *u, struct view url, struct online_answer *answer);
void online_post(struct online *o, struct uplink *u, struct view url, struct view form, struct online_answer *answer);
void online_answer_deinit(struct online_answer *a);
/* Says that there was no answer, and what may be done about it. key: where the address is configured. */
void online_say_unreachable(struct online *o, const char *key, struct view url, const struct online_answer *a);

/* oidc.issuer: all that logins need of it; oidc.bearer: metadata and keys. */
enum gw_err onlineprovider_check(struct online *o);
