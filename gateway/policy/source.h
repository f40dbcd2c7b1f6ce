/* source: reads the files of a policy directory, and refuses text that is not what it seems.
 *
 * Shape: *.lua of one directory, not below it, sorted by name; `*_test.lua` are tests. Where Kubernetes swaps a `..data`
 * link, that is opened once and all files are read through it, so that they belong together.
 * Errors: GW_E_IO the directory cannot be read; what is wrong with a file is a finding.
 * Owns: the set owns names and texts. Threads: as a value.
 * Source: Unicode UAX #9 and CVE-2021-42574 (bidirectional controls); Kubernetes AtomicWriter (`..data`). */
#pragma once

#include "policy/loader.h"
#include "util/digest.h"

enum { SOURCE_FILES_MAX = 256, SOURCE_FILE_BYTES_MAX = 256 * 1024, SOURCE_NAME_MAX = 55 /* LUA_IDSIZE */ };

struct source_file {
    char name[SOURCE_NAME_MAX + 1];
    char *text;
    size_t n;
    bool is_test;
    bool is_refused; /* a finding was reported: not to be run */
};

struct source_set {
    struct source_file *files;
    size_t n_files;
};

/* Collects findings and counts those that are not warnings. */
struct source_findings {
    loader_report_fn report;
    void *arg;
    const struct source_set *set;
    size_t n_errors;
};

void source_set_deinit(struct source_set *set);
enum gw_err source_set_load(const char *dir, struct source_findings *f, struct source_set *ret_set) GW_MUST_CHECK;
/* The revision: 12 hex digits of the SHA-256 over rule files (name, size, digest) and settings. */
enum gw_err source_set_revision(const struct source_set *set, const struct loader_env *env, size_t n_env,
                                char out[DECISION_REVISION_LEN + 1]) GW_MUST_CHECK;

/* file may be NULL; line 0 = none. */
void source_report(struct source_findings *f, const char *file, int line, const char *fmt, ...) GW_PRINTF(4, 5);
/* "file:line: text" as Lua makes it is taken apart; without that, file and line are used as given. */
void source_report_lua(struct source_findings *f, const char *file, int line, const char *lua_text);
