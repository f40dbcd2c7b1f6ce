#include "policy/loader.h"

#include "policy/build.h"
#include "policy/policytest.h"
#include "policy/smoke.h"
#include "policy/source.h"
#include "util/cleanup.h"

GW_DEFINE_FREEP(engine_freep, struct engine, engine_free)

/* Everything but the tests. */
static enum gw_err build_and_try(const struct loader_spec *spec, const struct source_set *set, struct source_findings *findings,
                                 struct engine **ret_engine)
{
    enum gw_err err = build_engine(spec, set, findings, ret_engine);

    if (err != GW_OK)
        return err;
    if (engine_rule_count(*ret_engine) == 0 && findings->n_errors == 0)
        source_report(findings, NULL, 0, "there is no rule in %s", spec->dir);
    return smoke_rules(*ret_engine, spec, findings);
}

static void report_failed_test(void *arg, const struct loader_test_result *r)
{
    struct source_findings *findings = arg;

    if (!r->passed)
        source_report(findings, r->file, r->line, "test \"%s\" failed: %s", r->name, r->text);
}

static enum gw_err run_tests(struct engine *e, const struct loader_spec *spec, const struct source_set *set,
                             struct source_findings *findings)
{
    struct policytest_counts counts = {0};
    enum gw_err err = policytest_run(e, spec, set, findings, report_failed_test, findings, &counts);

    if (err == GW_OK && counts.n_passed + counts.n_failed == 0 && findings->n_errors == 0)
        source_report(findings, NULL, 0, "there is no test in %s (*_test.lua)", spec->dir);
    return err;
}

static enum gw_err load_checked(const struct loader_spec *spec, const struct source_set *set, struct source_findings *findings,
                                struct engine **ret_engine)
{
    GW_CLEANUP(engine_freep) struct engine *e = NULL;
    enum gw_err err = build_and_try(spec, set, findings, &e);

    if (err == GW_OK && findings->n_errors == 0 && spec->require_tests)
        err = run_tests(e, spec, set, findings);
    if (err != GW_OK)
        return err;
    if (findings->n_errors > 0)
        return GW_E_POLICY;
    *ret_engine = GW_TAKE(e);
    return GW_OK;
}

/* The engine that was tried on is not among them: none has any history when it begins. */
static enum gw_err build_all(const struct loader_spec *spec, const struct source_set *set, struct source_findings *findings,
                             struct engine **engines)
{
    enum gw_err err = GW_OK;
    size_t n = 0;

    while (n < spec->n_engines && err == GW_OK) {
        GW_CLEANUP(engine_freep) struct engine *e = NULL;

        err = build_engine(spec, set, findings, &e);
        if (err == GW_OK && findings->n_errors > 0)
            err = GW_E_POLICY;
        if (err == GW_OK)
            engines[n++] = GW_TAKE(e);
    }
    while (err != GW_OK && n > 0) {
        engine_free(engines[--n]);
        engines[n] = NULL;
    }
    return err;
}

enum gw_err loader_load(const struct loader_spec *spec, loader_report_fn report, void *arg, struct engine **engines)
{
    GW_CLEANUP(source_set_deinit) struct source_set set = {0};
    struct source_findings findings = {.report = report, .arg = arg};
    GW_CLEANUP(engine_freep) struct engine *tried = NULL;
    enum gw_err err = source_set_load(spec->dir, &findings, &set);

    if (err != GW_OK)
        return err;
    findings.set = &set;
    err = load_checked(spec, &set, &findings, &tried);
    if (err != GW_OK)
        return err;
    return build_all(spec, &set, &findings, engines);
}

enum gw_err loader_test(const struct loader_spec *spec, loader_report_fn report, loader_test_fn on_result, void *arg,
                        size_t *ret_n_passed, size_t *ret_n_failed)
{
    GW_CLEANUP(source_set_deinit) struct source_set set = {0};
    struct source_findings findings = {.report = report, .arg = arg};
    GW_CLEANUP(engine_freep) struct engine *e = NULL;
    struct policytest_counts counts = {0};
    enum gw_err err = source_set_load(spec->dir, &findings, &set);

    if (err != GW_OK)
        return err;
    findings.set = &set;
    err = build_and_try(spec, &set, &findings, &e);
    if (err == GW_OK && findings.n_errors == 0)
        err = policytest_run(e, spec, &set, &findings, on_result, arg, &counts);
    if (err != GW_OK)
        return err;
    if (findings.n_errors > 0)
        return GW_E_POLICY;
    *ret_n_passed = counts.n_passed;
    *ret_n_failed = counts.n_failed;
    return GW_OK;
}
