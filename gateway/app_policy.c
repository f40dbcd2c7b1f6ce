#include "app_policy.h"

#include "audit/record.h"
#include "policy/loader.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"
#include "util/rnd.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENGINES_MAX = 64 };

static void record(struct gateway *gw, const char *type, const char *outcome, const char *reason, const char *text,
                   const char *revision)
{
    struct buf line = BUF(JOURNAL_LINE_MAX);
    char id[RND_UUID_LEN + 1] = "";
    struct record_event e = {
        .type = view_of(type),
        .now_ms = epoch_now_ms(),
        .outcome = view_of(outcome),
        .reason = view_of(reason),
        .reason_text = view_of(text),
        .revision = view_of(revision),
    };
    enum gw_err err = rnd_uuid7(e.now_ms, id);
    e.id = view_of(id);
    if (err == GW_OK)
        err = record_put_event(&line, &e);
    if (err == GW_OK)
        err = journal_append(gw->journal, &line);
    if (err != GW_OK)
        log_printf(LOG_ERROR, "a policy change could not be recorded: %s", gw_err_name(err));
    buf_deinit(&line);
}

struct findings {
    char first[256];
    size_t n;
};

static void log_finding(void *arg, const struct loader_finding *f)
{
    struct findings *all = arg;
    log_printf(f->is_warning ? LOG_WARN : LOG_ERROR, "policy: %s:%d: %s", f->file, f->line, f->text);
    if (f->is_warning)
        return;
    if (all->n++ == 0)
        snprintf(all->first, sizeof(all->first), "%s:%d: %s", f->file, f->line, f->text);
}

static enum gw_err load(struct gateway *gw, const char *dir, bool require_tests, size_t n, struct findings *all,
                        struct engine **engines)
{
    const struct config *c = gw->config;
    struct loader_env *env = calloc(c->policy.n_env + 1, sizeof(*env));
    if (env == NULL)
        return GW_E_NOMEM;
    for (size_t i = 0; i < c->policy.n_env; i++)
        env[i] = (struct loader_env){c->policy.env[i].name, c->policy.env[i].value};
    struct loader_spec spec = {
        .dir = dir,
        .forges = c->forges.items,
        .n_forges = c->forges.n,
        .env = env,
        .n_env = c->policy.n_env,
        .require_tests = require_tests,
        .n_engines = n,
    };
    enum gw_err err = loader_load(&spec, log_finding, all, engines);
    free(env);
    return err;
}

static void activate(struct gateway *gw, struct worker *workers, size_t n, struct engine **engines)
{
    char revision[DECISION_REVISION_LEN + 1];
    snprintf(revision, sizeof(revision), "%s", engine_revision(engines[0]));
    for (size_t i = 0; i < n; i++)
        if (worker_set_engine(&workers[i], engines[i]) != GW_OK) {
            log_printf(LOG_ERROR, "a worker keeps the policy it had: no memory");
            engine_free(engines[i]);
        }
    atomic_store(&gw->has_policy, true);
    meter_inc(METER_POLICY_RELOADS);
    log_event(LOG_INFO, "policy in force", LOG_KV("revision", view_of(revision)));
    record(gw, "policy.activated", "ok", "loaded", "", revision);
}

static bool load_kept(struct gateway *gw, size_t n, struct engine **engines)
{
    char kept[PATH_MAX];
    struct findings all = {0};
    if (loader_kept_dir(gw->config->policy.state_dir, kept, sizeof(kept)) != GW_OK ||
        load(gw, kept, false, n, &all, engines) != GW_OK)
        return false;
    log_printf(LOG_WARN, "the policy directory is broken: started on the last good set, %s", kept);
    return true;
}

void app_policy_load(struct gateway *gw, struct worker *workers, size_t n_workers, bool at_start)
{
    const struct config *c = gw->config;
    struct engine *engines[ENGINES_MAX] = {NULL};
    struct findings all = {0};
    enum gw_err err = load(gw, c->policy.dir, c->policy.require_tests, n_workers, &all, engines);
    if (err == GW_OK) {
        activate(gw, workers, n_workers, engines);
        if (loader_keep(c->policy.dir, c->policy.state_dir) != GW_OK)
            log_printf(LOG_WARN, "the policy could not be kept in %s: a restart with broken files would deny everything",
                       c->policy.state_dir);
        return;
    }
    meter_inc(METER_POLICY_REJECTED);
    record(gw, "policy.rejected", "failed", err == GW_E_POLICY ? "findings" : "unreadable",
           all.n > 0 ? all.first : gw_err_name(err), "");
    log_printf(LOG_ERROR, "policy directory %s rejected (%zu findings, %s)%s", c->policy.dir, all.n, gw_err_name(err),
               at_start ? "" : "; what was in force stays in force");
    if (!at_start)
        return;
    if (load_kept(gw, n_workers, engines))
        activate(gw, workers, n_workers, engines);
    else
        log_printf(LOG_ERROR, "no policy is in force: everything is denied with no_policy until one loads");
}
