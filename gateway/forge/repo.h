/* repo: the grammar and the canonical form of a repository.
 *
 * Shape: in: the raw path of a request, `/{forge}/{owner}/{name}[/rest]`. Out: who it is, folded as that forge folds it
 * (GitHub, Bitbucket, Gitea: lower case), and the rest byte for byte.
 * Ambiguous spellings in the prefix are refused, not repaired: encoded characters at all, dot segments, empty segments, `;`,
 * control and 8-bit bytes. What follows the prefix is opaque, but may not hold dot segments either (raw or encoded), encoded
 * slashes, backslashes or NUL are left to it. GitLab's projects nest, so theirs is `/{forge}/{path…}/-/ws[/rest]`. A path that names a forge
 * and no repository, or none at all but is not canonical (uri_path_is_canonical), is ambiguous too; so is a rest that starts with `//`.
 * Source: PLATFORM 4.1. Owns: views into the path, and text of its own for the canonical form. Threads: values. */
#pragma once

#include "util/view.h"

enum forge_kind { FORGE_GITHUB, FORGE_GITLAB, FORGE_BITBUCKET, FORGE_GITEA };
enum {
    REPO_OWNER_MAX = 255,
    REPO_NAME_MAX = 100,
    REPO_FORGES_MAX = 16,
    REPO_FULL_MAX = 32 + 1 + REPO_OWNER_MAX + 1 + REPO_NAME_MAX
};

struct forge {
    char name[33]; /* first path segment: [a-z][a-z0-9-]* */
    enum forge_kind kind;
    const char *url; /* base URL without trailing slash; borrowed from the configuration */
};

struct repo {
    const struct forge *forge;
    char owner[REPO_OWNER_MAX + 1];          /* canonical */
    char name[REPO_NAME_MAX + 1];            /* canonical */
    char full[REPO_FULL_MAX + 1];            /* "github:acme/site", canonical */
    struct view display_owner, display_name; /* as sent; borrowed from the path */
    struct view rest;                        /* what follows the repository in the path: "" or "/…"; borrowed */
};

enum repo_found {
    REPO_NONE, /* the path names no repository (first segment is no forge): other pages */
    REPO_ONE,
    REPO_AMBIGUOUS, /* refused: original_url_ambiguous */
};

/* ret_repo is set for REPO_ONE only. */
enum repo_found repo_parse_path(const struct forge *forges, size_t n_forges, struct view path, struct repo *ret_repo);
/* "forge:owner/name", "owner/name" (then every forge matches: ret has forge NULL, full "owner/name") or an https URL of a configured
 * forge (`.git` and one slash at its end are dropped); for list entries and tools. GW_E_INVALID if it does not parse. display_* and rest
 * stay empty. */
enum gw_err repo_parse_ref(const struct forge *forges, size_t n_forges, struct view text, struct repo *ret_repo) GW_MUST_CHECK;
enum gw_err repo_kind_parse(struct view text, enum forge_kind *ret_kind) GW_MUST_CHECK;
bool repo_forge_name_is_valid(struct view name);
