/* A job cannot be called back once it runs, so it has memory of its own, and the entry that waits for it is found through a pointer
 * that names_free() clears. */
#include "proxy/names.h"

#include "util/epoch.h"

#include <assert.h>
#include <netdb.h>
#include <stdlib.h>

struct job {
    struct names *owner; /* NULL once the owner has gone; only read on the loop */
    size_t slot;
    char host[NAMES_TEXT_MAX + 1];
    bool is_found;
    struct names_list list;
};

struct entry {
    char host[NAMES_TEXT_MAX + 1]; /* "" = free */
    struct job *job;               /* under way */
    struct names_waiter *waiters;
    struct names_list list;
    int64_t asked_us;
};

struct names {
    struct loop *loop;
    struct jobs *resolver;
    struct entry entries[NAMES_MAX];
};

static void run_job(void *arg)
{
    struct job *j = arg;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(j->host, NULL, &hints, &found) != 0)
        return;
    for (const struct addrinfo *a = found; a != NULL && j->list.n < NAMES_ADDRESSES_MAX; a = a->ai_next) {
        union names_sockaddr *to = &j->list.items[j->list.n];
        if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) || a->ai_addrlen > sizeof(*to))
            continue;
        memcpy(to, a->ai_addr, a->ai_addrlen);
        j->list.n++;
    }
    freeaddrinfo(found);
    j->is_found = j->list.n > 0;
}

static void finish_job(void *arg)
{
    struct job *j = arg;
    struct names *s = j->owner;
    if (s != NULL) {
        struct entry *e = &s->entries[j->slot];
        e->job = NULL;
        e->list = j->list;
        if (!j->is_found)
            e->host[0] = '\0';
        /* A waiter may drop others, or ask anew: the list is looked at afresh each time. */
        while (e->waiters != NULL && e->job == NULL) {
            struct names_waiter *w = e->waiters;
            names_drop(w);
            w->fn(w, j->is_found ? GW_OK : GW_E_UPSTREAM, &j->list);
        }
    }
    free(j);
}

enum gw_err names_new(struct loop *l, struct jobs *resolver, struct names **ret_names)
{
    struct names *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return GW_E_NOMEM;
    s->loop = l;
    s->resolver = resolver;
    *ret_names = s;
    return GW_OK;
}

void names_free(struct names *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < NAMES_MAX; i++) {
        assert(s->entries[i].waiters == NULL);
        if (s->entries[i].job != NULL)
            s->entries[i].job->owner = NULL;
    }
    free(s);
}

void names_drop(struct names_waiter *w)
{
    if (w->link == NULL)
        return;
    *w->link = w->next;
    if (w->next != NULL)
        w->next->link = w->link;
    w->link = NULL;
}

static void add_waiter(struct entry *e, struct names_waiter *w)
{
    w->next = e->waiters;
    w->link = &e->waiters;
    if (w->next != NULL)
        w->next->link = &w->next;
    e->waiters = w;
}

/* The host's entry, else a free one, else the one asked longest ago; NULL if all are under way. */
static struct entry *find_entry(struct names *s, struct view host)
{
    struct entry *best = NULL;
    for (size_t i = 0; i < NAMES_MAX; i++) {
        struct entry *e = &s->entries[i];
        if (e->host[0] != '\0' && view_eq_ci(view_of(e->host), host))
            return e;
        if (e->job != NULL || e->waiters != NULL)
            continue;
        if (best == NULL || (best->host[0] != '\0' && (e->host[0] == '\0' || e->asked_us < best->asked_us)))
            best = e;
    }
    return best;
}

static enum gw_err start_job(struct names *s, struct entry *e, struct view host)
{
    struct job *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return GW_E_NOMEM;
    j->owner = s;
    j->slot = (size_t)(e - s->entries);
    memcpy(j->host, host.p, host.n);
    enum gw_err err = jobs_submit(s->resolver, s->loop, run_job, finish_job, j);
    if (err != GW_OK) {
        free(j);
        return err;
    }
    memcpy(e->host, j->host, sizeof(e->host));
    e->job = j;
    e->list.n = 0;
    e->asked_us = epoch_mono_us();
    return GW_OK;
}

enum gw_err names_find(struct names *s, struct view host, int64_t ttl_ms, struct names_waiter *w,
                       const struct names_list **ret_list)
{
    if (host.n == 0 || host.n > NAMES_TEXT_MAX)
        return GW_E_INVALID;
    struct entry *e = find_entry(s, host);
    if (e == NULL)
        return GW_E_LIMIT;
    bool is_host = e->host[0] != '\0' && view_eq_ci(view_of(e->host), host);
    if (is_host && e->job == NULL && epoch_mono_us() - e->asked_us < ttl_ms * 1000) {
        *ret_list = &e->list;
        return GW_OK;
    }
    if (!is_host || e->job == NULL) {
        enum gw_err err = start_job(s, e, host);
        if (err != GW_OK)
            return err;
    }
    add_waiter(e, w);
    *ret_list = NULL;
    return GW_OK;
}
