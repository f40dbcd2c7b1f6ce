#include "forge/repo.h"

#include "util/uri.h"

enum { GITHUB_OWNER_MAX = 39, GITLAB_LEVELS_MAX = 20 };

/* ---- grammar of names (PLATFORM 4.1) ---- */

static bool is_alnum(char c)
{
    char lower = view_lower_byte(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
}

static bool all_alnum(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (!is_alnum(v.p[i]))
            return false;
    return v.n > 0;
}

/* Letters, digits, `-`, `_` and `.`. */
static bool all_name_bytes(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (!is_alnum(v.p[i]) && v.p[i] != '-' && v.p[i] != '_' && v.p[i] != '.')
            return false;
    return v.n > 0;
}

static bool ends_ci(struct view v, struct view suffix)
{
    return v.n >= suffix.n && view_eq_ci(view_skip(v, v.n - suffix.n), suffix);
}

/* Single hyphens between letters and digits; then `_shortcode`, for users that an enterprise manages. */
static bool github_owner_is_valid(struct view owner)
{
    if (owner.n > GITHUB_OWNER_MAX)
        return false;
    struct view shortcode = owner, words = view_split(&shortcode, '_');
    if (shortcode.p != NULL && !all_alnum(shortcode))
        return false;
    while (words.p != NULL)
        if (!all_alnum(view_split(&words, '-')))
            return false;
    return true;
}

/* One segment of a group, workspace or user elsewhere. Old GitLab groups may begin with `_` or `.`, but nothing may look like an
 * option. */
static bool plain_owner_is_valid(struct view owner)
{
    return all_name_bytes(owner) && owner.p[0] != '-' && (is_alnum(owner.p[owner.n - 1]) || owner.p[owner.n - 1] == '_') &&
           !view_contains(owner, VIEW(".."));
}

/* `.git` would be a second spelling of the same repository; `.wiki`, and but for GitHub `.atom`, are other things' addresses. */
static bool name_is_valid(enum forge_kind kind, struct view name)
{
    if (name.n > REPO_NAME_MAX || !all_name_bytes(name) || name.p[0] == '-')
        return false;
    if (view_eq(name, VIEW(".")) || view_eq(name, VIEW("..")))
        return false;
    if (kind != FORGE_GITHUB && ends_ci(name, VIEW(".atom")))
        return false;
    return !ends_ci(name, VIEW(".git")) && !ends_ci(name, VIEW(".wiki"));
}

/* "group/subgroup" */
static bool nested_owner_is_valid(struct view owner)
{
    size_t n_levels = 0;
    if (owner.n == 0 || owner.n > REPO_OWNER_MAX)
        return false;
    while (owner.p != NULL)
        if (++n_levels >= GITLAB_LEVELS_MAX || !plain_owner_is_valid(view_split(&owner, '/')))
            return false;
    return true;
}

static bool owner_is_valid(enum forge_kind kind, struct view owner)
{
    switch (kind) {
    case FORGE_GITHUB:
        return github_owner_is_valid(owner);
    case FORGE_GITLAB:
        return nested_owner_is_valid(owner);
    case FORGE_BITBUCKET:
    case FORGE_GITEA:
        return owner.n <= REPO_OWNER_MAX && plain_owner_is_valid(owner);
    }
    return false;
}

/* ---- canonical form ---- */

static size_t put_lower(char *out, struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        out[i] = view_lower_byte(v.p[i]);
    out[v.n] = '\0';
    return v.n;
}

/* forge may be NULL; owner and name were checked. */
static void repo_fill(struct repo *r, const struct forge *forge, struct view owner, struct view name)
{
    size_t n = 0;
    r->forge = forge;
    put_lower(r->owner, owner);
    put_lower(r->name, name);
    if (forge != NULL) {
        n += put_lower(r->full, view_of(forge->name));
        r->full[n++] = ':';
    }
    n += put_lower(r->full + n, owner);
    r->full[n++] = '/';
    put_lower(r->full + n, name);
}

/* ---- paths ---- */

/* Cuts "/segment" from the front; p == NULL if there is none. */
static struct view take_segment(struct view *path)
{
    if (path->n == 0 || path->p[0] != '/')
        return VIEW_NONE;
    struct view rest = view_skip(*path, 1);
    size_t n = view_index(rest, '/');
    *path = view_skip(rest, n);
    return view_at(rest.p, n);
}

static const struct forge *find_forge(const struct forge *forges, size_t n_forges, struct view name)
{
    for (size_t i = 0; i < n_forges; i++)
        if (view_eq(view_of(forges[i].name), name))
            return &forges[i];
    return NULL;
}

static bool looks_like_forge(const struct forge *forges, size_t n_forges, struct view name)
{
    for (size_t i = 0; i < n_forges; i++)
        if (view_eq_ci(view_of(forges[i].name), name))
            return true;
    return false;
}

/* "/group/…/project/-/ws[/rest]": without the separator nobody could tell where the project ends; `-` is no legal group. */
static bool split_nested(struct view *path, struct view *ret_owner, struct view *ret_name)
{
    struct view rest = *path, segment = take_segment(&rest), name = VIEW_NONE;
    const char *start = segment.p;
    while (segment.p != NULL && !view_eq(segment, VIEW("-"))) {
        name = segment;
        segment = take_segment(&rest);
    }
    if (segment.p == NULL || name.p == NULL || name.p == start || !view_eq(take_segment(&rest), VIEW("ws")))
        return false;
    *ret_owner = view_at(start, (size_t)(name.p - start) - 1);
    *ret_name = name;
    *path = rest;
    return true;
}

static bool split_flat(struct view *path, struct view *ret_owner, struct view *ret_name)
{
    *ret_owner = take_segment(path);
    *ret_name = take_segment(path);
    return ret_name->p != NULL;
}

/* A path that names no repository is judged by itself, so it must be canonical as a whole. One that names a repository is opaque
 * behind it, but for what a proxy in front could resolve into another repository; and but for "//" right there, since what is
 * left after the prefix has been cut off would be a target that some take for another host. */
enum repo_found repo_parse_path(const struct forge *forges, size_t n_forges, struct view path, struct repo *ret_repo)
{
    struct view rest = path, segment = take_segment(&rest), owner, name;
    const struct forge *forge = find_forge(forges, n_forges, segment);
    if (forge == NULL)
        return looks_like_forge(forges, n_forges, segment) || !uri_path_is_canonical(path) ? REPO_AMBIGUOUS : REPO_NONE;
    bool is_split = forge->kind == FORGE_GITLAB ? split_nested(&rest, &owner, &name) : split_flat(&rest, &owner, &name);
    if (!is_split || !owner_is_valid(forge->kind, owner) || !name_is_valid(forge->kind, name))
        return REPO_AMBIGUOUS;
    if (view_starts(rest, VIEW("//")) || uri_path_has_dot_segment(rest))
        return REPO_AMBIGUOUS;
    repo_fill(ret_repo, forge, owner, name);
    ret_repo->display_owner = owner;
    ret_repo->display_name = name;
    ret_repo->rest = rest;
    return REPO_ONE;
}

/* ---- references ---- */

/* The part of text behind the forge's base URL. People paste what the forge shows: `.git` and a slash at the end are dropped. */
static bool cut_base_url(const struct forge *forge, struct view text, struct view *ret_path)
{
    struct uri base, u;
    if (uri_parse(view_of(forge->url), &base) != GW_OK || uri_parse(text, &u) != GW_OK || !uri_same_origin(&base, &u) ||
        u.query.p != NULL)
        return false;
    if (base.path.p[base.path.n - 1] == '/')
        base.path.n--;
    if (!view_starts(u.path, base.path) || u.path.n == base.path.n || u.path.p[base.path.n] != '/')
        return false;
    struct view path = view_skip(u.path, base.path.n + 1);
    if (view_ends(path, VIEW("/")))
        path.n--;
    if (view_ends(path, VIEW(".git")))
        path.n -= sizeof(".git") - 1;
    *ret_path = path;
    return true;
}

/* "owner/name": the name is the last segment. Without a forge any of their grammars will do: the widest are GitLab's of owners
 * and GitHub's of names. */
static enum gw_err parse_owner_name(const struct forge *forge, struct view text, struct repo *ret_repo)
{
    size_t n_owner = text.n;
    while (n_owner > 0 && text.p[n_owner - 1] != '/')
        n_owner--;
    if (n_owner < 2)
        return GW_E_INVALID;
    struct view owner = view_at(text.p, n_owner - 1), name = view_skip(text, n_owner);
    if (!owner_is_valid(forge == NULL ? FORGE_GITLAB : forge->kind, owner) ||
        !name_is_valid(forge == NULL ? FORGE_GITHUB : forge->kind, name))
        return GW_E_INVALID;
    repo_fill(ret_repo, forge, owner, name);
    ret_repo->display_owner = ret_repo->display_name = ret_repo->rest = VIEW_NONE;
    return GW_OK;
}

enum gw_err repo_parse_ref(const struct forge *forges, size_t n_forges, struct view text, struct repo *ret_repo)
{
    struct view path;
    size_t n_forge = view_index(text, ':');
    if (n_forge == text.n)
        return parse_owner_name(NULL, text, ret_repo);
    if (view_starts(view_skip(text, n_forge), VIEW("://"))) {
        for (size_t i = 0; i < n_forges; i++)
            if (cut_base_url(&forges[i], text, &path))
                return parse_owner_name(&forges[i], path, ret_repo);
        return GW_E_INVALID;
    }
    const struct forge *forge = find_forge(forges, n_forges, view_at(text.p, n_forge));
    return forge == NULL ? GW_E_INVALID : parse_owner_name(forge, view_skip(text, n_forge + 1), ret_repo);
}

enum gw_err repo_kind_parse(struct view text, enum forge_kind *ret_kind)
{
    static const struct view kinds[] = {
        [FORGE_GITHUB] = VIEW("github"),
        [FORGE_GITLAB] = VIEW("gitlab"),
        [FORGE_BITBUCKET] = VIEW("bitbucket"),
        [FORGE_GITEA] = VIEW("gitea"),
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (view_eq(text, kinds[i])) {
            *ret_kind = (enum forge_kind)i;
            return GW_OK;
        }
    }
    return GW_E_INVALID;
}

/* Reserved: the first segments of our own pages, and of the pages that the old routing proxy kept for itself. */
bool repo_forge_name_is_valid(struct view name)
{
    if (name.n == 0 || name.n >= sizeof((struct forge){0}.name) || name.p[0] < 'a' || name.p[0] > 'z')
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (!(name.p[i] >= 'a' && name.p[i] <= 'z') && !(name.p[i] >= '0' && name.p[i] <= '9') && name.p[i] != '-')
            return false;
    return !view_eq(name, VIEW("health")) && !view_eq(name, VIEW("metrics"));
}
