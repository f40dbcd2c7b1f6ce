/* A path that names one repository is that repository's prefix, put together again, and the rest, byte for byte. */
#include "forge/repo.h"
#include "util/uri.h"

#include <stdio.h>
#include <stdlib.h>

static const struct forge forges[] = {
    {"github", FORGE_GITHUB, "https://github.com"},
    {"gitlab", FORGE_GITLAB, "https://gitlab.com"},
    {"bitbucket", FORGE_BITBUCKET, "https://bitbucket.org"},
    {"code", FORGE_GITEA, "http://127.0.0.1:3000/base"},
};
enum { N_FORGES = sizeof(forges) / sizeof(forges[0]) };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_one(struct view path, const struct repo *r)
{
    char prefix[512], ref[512];
    struct repo again;
    const char *separator = r->forge->kind == FORGE_GITLAB ? "/-/ws" : "";
    int n = snprintf(prefix, sizeof(prefix), "/%s/%s/%s%s", r->forge->name, r->owner, r->name, separator);
    require(n > 0 && (size_t)n + r->rest.n == path.n && view_eq_ci(view_at(prefix, (size_t)n), view_at(path.p, (size_t)n)));
    require(view_ends(path, r->rest) && (r->rest.n == 0 || r->rest.p == path.p + n));
    require(r->rest.n == 0 || (r->rest.p[0] == '/' && !view_starts(r->rest, VIEW("//"))));
    require(!uri_path_has_dot_segment(path) && view_eq_ci(r->display_owner, view_of(r->owner)) &&
            view_eq_ci(r->display_name, view_of(r->name)));
    snprintf(ref, sizeof(ref), "%s:%s/%s", r->forge->name, r->owner, r->name);
    require(strcmp(ref, r->full) == 0);
    require(repo_parse_ref(forges, N_FORGES, view_of(ref), &again) == GW_OK && strcmp(again.full, r->full) == 0 &&
            again.forge == r->forge);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view path = view_at((const char *)data, size);
    struct repo r;
    switch (repo_parse_path(forges, N_FORGES, path, &r)) {
    case REPO_ONE:
        check_one(path, &r);
        break;
    case REPO_NONE:
        require(uri_path_is_canonical(path));
        break;
    case REPO_AMBIGUOUS:
        break;
    }
    if (repo_parse_ref(forges, N_FORGES, path, &r) == GW_OK)
        require(view_ends(view_of(r.full), view_of(r.name)) && strchr(r.name, '/') == NULL);
    return 0;
}
