/* Input: verified claims as JSON. The seed policy judges whoever they make: nobody is allowed without one of its groups, whatever else they
 * say, and the same claims are judged alike twice. */
#include "policy/loader.h"

#include <stdlib.h>

static const struct forge forges[] = {
    {.name = "github", .kind = FORGE_GITHUB, .url = "https://github.com"},
    {.name = "gitlab", .kind = FORGE_GITLAB, .url = "https://gitlab.com"},
};

static struct engine *engine;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void judge(const struct principal *user, const struct repo *repo, enum visibility_value visibility)
{
    struct policy_input in = {.user = user, .repo = repo, .visibility = visibility, .now_ms = 1700000000000};
    struct decision d, again;
    require(engine_eval(engine, &in, &d) == GW_OK && engine_eval(engine, &in, &again) == GW_OK);
    require(d.verdict == again.verdict && strcmp(d.reason, again.reason) == 0 && d.needs_visibility == again.needs_visibility);
    if (d.verdict == VERDICT_ALLOW)
        require(principal_missing(user) == PRINCIPAL_COMPLETE && (pack_list_has(principal_groups(user), VIEW("admins")) ||
                                                                  pack_list_has(principal_groups(user), VIEW("developers"))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loader_spec spec = {.dir = "policies", .forges = forges, .n_forges = 2, .n_engines = 1};
    struct buf claims = BUF(PACK_BYTES_MAX);
    struct principal *user = NULL;
    struct repo repo;

    if (engine == NULL)
        require(loader_load(&spec, NULL, NULL, &engine) == GW_OK);
    if (pack_parse(view_at((const char *)data, size), &claims) == GW_OK && pack_type(pack_root(claims.p)) == PACK_MAP &&
        principal_new(pack_root(claims.p), PRINCIPAL_SESSION, true, &user) == GW_OK) {
        require(repo_parse_ref(forges, 2, VIEW("github:acme/vault"), &repo) == GW_OK);
        for (int v = VISIBILITY_PENDING; v <= VISIBILITY_PUBLIC; v++)
            judge(user, &repo, (enum visibility_value)v);
        judge(user, NULL, VISIBILITY_UNKNOWN);
    }
    principal_unref(user);
    buf_deinit(&claims);
    return 0;
}
