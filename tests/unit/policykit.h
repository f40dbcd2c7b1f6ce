/* Policy directories, people and repositories for tests of gateway/policy. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/loader.h"
#include "support.h"

static const struct forge kit_forges[] = {
    {.name = "github", .kind = FORGE_GITHUB, .url = "https://github.com"},
    {.name = "gitlab", .kind = FORGE_GITLAB, .url = "https://gitlab.com"},
    {.name = "forge", .kind = FORGE_GITEA, .url = "https://forge.example.org/base"},
};
enum { KIT_FORGES = sizeof(kit_forges) / sizeof(kit_forges[0]) };

/* A directory of its own for each test; kit_rmdir empties and removes it. */
static inline void kit_mkdir(char out[64])
{
    snprintf(out, 64, "/tmp/repogate-policy-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(out));
}

static inline void kit_write(const char *dir, const char *name, struct view text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text.p, text.n), (ssize_t)text.n);
    close(fd);
}

static inline void kit_rmdir(const char *dir)
{
    char path[512];
    DIR *d = opendir(dir);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= (int)sizeof(path))
            continue;
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            kit_rmdir(path);
        else
            unlink(path);
    }
    closedir(d);
    rmdir(dir);
}

/* All findings as lines "file:line: text". */
static inline void kit_report(void *arg, const struct loader_finding *f)
{
    buf_printf(arg, "%s:%d: %s\n", f->file, f->line, f->text);
}

static inline struct loader_spec kit_spec(const char *dir)
{
    return (struct loader_spec){.dir = dir, .forges = kit_forges, .n_forges = KIT_FORGES, .n_engines = 1};
}

/* One file of rules, without tests: an engine, or NULL and findings. */
static inline struct engine *kit_load(struct view rules, struct buf *findings)
{
    char dir[64];
    struct engine *e = NULL;
    kit_mkdir(dir);
    kit_write(dir, "p.lua", rules);
    struct loader_spec spec = kit_spec(dir);
    enum gw_err err = loader_load(&spec, kit_report, findings, &e);
    kit_rmdir(dir);
    ck_assert_msg((err == GW_OK) == (findings->n == 0), "%s but: %s", gw_err_name(err),
                  findings->n == 0 ? "no findings" : findings->p);
    ck_assert(err == GW_OK || err == GW_E_POLICY);
    return err == GW_OK ? e : NULL;
}

static inline struct engine *kit_must_load(const char *rules)
{
    struct buf findings = BUF(65536);
    struct engine *e = kit_load(view_of(rules), &findings);
    ck_assert_msg(e != NULL, "%s", findings.p);
    buf_deinit(&findings);
    return e;
}

static inline struct principal *kit_claims(const char *json)
{
    struct buf claims = BUF(PACK_BYTES_MAX);
    struct principal *p = NULL;
    ck_assert_int_eq(pack_parse(view_of(json), &claims), GW_OK);
    ck_assert_int_eq(principal_new(pack_root(claims.p), PRINCIPAL_SESSION, true, &p), GW_OK);
    buf_deinit(&claims);
    return p;
}

/* groups and attributes as JSON. */
static inline struct principal *kit_user(const char *name, const char *groups, const char *attributes)
{
    char json[16384];
    snprintf(
        json, sizeof(json),
        "{\"iss\":\"https://a.example/\",\"sub\":\"%s\",\"preferred_username\":\"%s\",\"sid\":\"s\",\"auth_time\":1699999940,\"entitlements\":[\"gpu\"],"
        "\"repogate\":{\"v\":1,\"groups\":%s,\"attributes\":%s}}",
        name, name, groups, attributes);
    return kit_claims(json);
}

static inline struct repo kit_repo(const char *ref)
{
    struct repo r;
    ck_assert_int_eq(repo_parse_ref(kit_forges, KIT_FORGES, view_of(ref), &r), GW_OK);
    return r;
}

static inline struct policy_input kit_input(const struct principal *user, const struct repo *repo, enum visibility_value v)
{
    struct policy_input in = {.user = user,
                              .repo = repo,
                              .visibility = v,
                              .method = VIEW("GET"),
                              .host = VIEW("dev.example.org"),
                              .path = VIEW("/"),
                              .now_ms = 1700000000000,
                              .request_id = VIEW("id")};
    ck_assert_int_eq(ipaddr_parse(VIEW("192.0.2.7"), &in.ip), GW_OK);
    return in;
}

static inline struct decision kit_eval(struct engine *e, const struct policy_input *in)
{
    struct decision d;
    ck_assert_int_eq(engine_eval(e, in, &d), GW_OK);
    return d;
}
