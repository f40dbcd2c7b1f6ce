/* Input: a policy file. It is refused with a finding, or it judges; it neither crashes nor hangs, and no decision leaves the next one
 * anything: the same person is judged alike before and after another. */
#include "policy/loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct forge forges[] = {{.name = "github", .kind = FORGE_GITHUB, .url = "https://github.com"}};

static char dir[] = "/tmp/repogate-fuzz-XXXXXX", path[64];
static struct principal *dora, *dave;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void tidy(void)
{
    principal_unref(dora);
    principal_unref(dave);
    unlink(path);
    rmdir(dir);
}

static struct principal *person(const char *json)
{
    struct buf claims = BUF(4096);
    struct principal *p = NULL;
    require(pack_parse(view_of(json), &claims) == GW_OK &&
            principal_new(pack_root(claims.p), PRINCIPAL_SESSION, true, &p) == GW_OK);
    buf_deinit(&claims);
    return p;
}

static void prepare(void)
{
    require(mkdtemp(dir) != NULL);
    snprintf(path, sizeof(path), "%s/p.lua", dir);
    dora = person(
        "{\"iss\":\"i\",\"sub\":\"dora\",\"preferred_username\":\"dora\",\"repogate\":{\"v\":1,\"groups\":[\"developers\"],\"attributes\":{\"a\":[\"acme/*\"]}}}");
    dave = person(
        "{\"iss\":\"i\",\"sub\":\"dave\",\"preferred_username\":\"dave\",\"repogate\":{\"v\":1,\"groups\":[],\"attributes\":{\"a\":\"x\"}}}");
    atexit(tidy);
}

static void count(void *arg, const struct loader_finding *f)
{
    (void)f;
    ++*(size_t *)arg;
}

static enum verdict judge(struct engine *e, const struct principal *user)
{
    struct repo repo;
    struct decision d;
    require(repo_parse_ref(forges, 1, VIEW("github:acme/vault"), &repo) == GW_OK);
    struct policy_input in = {.user = user, .repo = &repo, .visibility = VISIBILITY_PRIVATE, .now_ms = 1700000000000};
    require(engine_eval(e, &in, &d) == GW_OK);
    for (size_t i = 0; i < d.n_errors; i++) /* the watchdog alone depends on more than the input */
        if (strstr(d.errors[i].text, "budget_cpu") != NULL)
            return VERDICT_DENY;
    return d.verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loader_spec spec = {.dir = dir, .forges = forges, .n_forges = 1, .n_engines = 1};
    struct engine *e = NULL;
    size_t n_findings = 0;
    int fd;

    if (dora == NULL)
        prepare();
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
    enum gw_err err = loader_load(&spec, count, &n_findings, &e);
    require(err == GW_OK || err == GW_E_POLICY);
    require((err == GW_OK) == (n_findings == 0));
    if (err == GW_OK) {
        enum verdict before = judge(e, dora);
        (void)judge(e, dave);
        require(judge(e, dora) == before);
    }
    engine_free(e);
    return 0;
}
