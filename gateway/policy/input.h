/* input: what a policy may see of one request (POLICY 3). Everything is borrowed for one evaluation. */
#pragma once

#include "forge/repo.h"
#include "forge/visibility.h"
#include "identity/principal.h"
#include "util/ipaddr.h"

enum action { ACTION_OPEN, ACTION_CREATE, ACTION_CONNECT };

struct policy_input {
    const struct principal *user;
    bool session_stale;
    const struct repo *repo; /* NULL: the request names no repository */
    enum visibility_value visibility;
    enum action action;
    struct view method; /* p == NULL: absent in this dialect; reading it is an error */
    struct view host;
    struct view path; /* what follows the repository; for other pages the whole path; never the query */
    struct ipaddr ip; /* family 0: absent */
    int64_t now_ms;   /* fixed for the decision */
    struct view request_id;
    /* Allow-listed request headers: absent = p == NULL. NULL fn: none. */
    struct view (*header)(void *arg, struct view name);
    void *header_arg;
};

const char *action_name(enum action a); /* "open", "create", "connect" */
