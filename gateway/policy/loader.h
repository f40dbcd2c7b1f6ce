/* loader: turns a policy directory into engines, or into a list of everything that is wrong with it (POLICY 5).
 *
 * read > size, UTF-8, bidirectional characters > compile > lint > run each file once > check the rules > smoke-evaluate every
 * rule > run the tests > one engine per thread. All or nothing: a set with findings gives no engine.
 * Shape: findings come with file:line and the source line.
 * Threads: blocks; call it off the loops. */
#pragma once

#include "policy/engine.h"

struct loader_env {
    const char *name, *value;
};

struct loader_spec {
    const char *dir;
    const struct forge *forges;
    size_t n_forges;
    const struct loader_env *env; /* policy.env, sorted by name */
    size_t n_env;
    bool require_tests; /* run *_test.lua; none, or one that fails, is a finding */
    size_t n_engines;   /* one per worker thread */
};

struct loader_finding {
    const char *file;        /* below dir */
    int line;                /* 0 = none */
    const char *source_line; /* "" = none */
    const char *text;
    bool is_warning;
};
typedef void (*loader_report_fn)(void *arg, const struct loader_finding *f);

/* engines: room for n_engines pointers, filled on GW_OK and owned by the caller. GW_E_POLICY: findings were reported. GW_E_IO: the
 * directory cannot be read. */
enum gw_err loader_load(const struct loader_spec *spec, loader_report_fn report, void *arg, struct engine **engines)
    GW_MUST_CHECK;
/* Copies the files of a set that was just loaded to state_dir/last-good, replacing what is there atomically. Makes state_dir itself if it is
 * missing. */
enum gw_err loader_keep(const char *dir, const char *state_dir) GW_MUST_CHECK;
/* state_dir/last-good into out; GW_E_NOTFOUND if there is none. */
enum gw_err loader_kept_dir(const char *state_dir, char *out, size_t cap) GW_MUST_CHECK;

/* Runs the tests alone, for `repogate policy test`. on_result: one call per test or grid cell. */
struct loader_test_result {
    const char *file;
    int line;
    const char *name;
    bool passed;
    const char *text; /* why it failed */
};
typedef void (*loader_test_fn)(void *arg, const struct loader_test_result *r);
enum gw_err loader_test(const struct loader_spec *spec, loader_report_fn report, loader_test_fn on_result, void *arg,
                        size_t *ret_n_passed, size_t *ret_n_failed) GW_MUST_CHECK;
