#include "policy/smoke.h"

#include <stdio.h>

#include "util/cleanup.h"

static void principal_unrefp(struct principal **pp)
{
    principal_unref(*pp);
}

static void put_names(struct buf *out, const struct intern *names, const struct rule_numbers *wanted,
                      const struct rule_numbers *barred)
{
    bool is_first = true;

    buf_put_byte(out, '[');
    for (size_t i = 0; i < wanted->n; i++) {
        bool is_barred = false;

        for (size_t k = 0; barred != NULL && k < barred->n; k++)
            is_barred = is_barred || barred->p[k] == wanted->p[i];
        if (is_barred)
            continue;
        if (!is_first)
            buf_put_byte(out, ',');
        buf_put_json(out, names->names[wanted->p[i]]);
        is_first = false;
    }
    buf_put_byte(out, ']');
}

static enum gw_err make_user(const struct engine *e, const struct rule *r, struct principal **ret_user)
{
    GW_CLEANUP(buf_deinit) struct buf json = BUF(PACK_BYTES_MAX), claims = BUF(PACK_BYTES_MAX);
    enum gw_err err;

    buf_puts(
        &json,
        "{\"iss\":\"https://smoke.invalid/\",\"sub\":\"smoke\",\"preferred_username\":\"smoke\",\"name\":\"Smoke\",\"email\":\"smoke@smoke.invalid\","
        "\"email_verified\":true,\"sid\":\"smoke\",\"auth_time\":1700000000,\"amr\":[\"mfa\"],\"entitlements\":");
    put_names(&json, &e->rules.entitlements, &r->entitlements, NULL);
    buf_puts(&json, ",\"repogate\":{\"v\":1,\"attributes\":{},\"service\":false,\"groups\":");
    put_names(&json, &e->rules.groups, &r->groups, &r->not_groups);
    buf_puts(&json, "}}");
    if (!buf_ok(&json))
        return GW_E_LIMIT;
    err = pack_parse(buf_view(&json), &claims);
    if (err != GW_OK)
        return err;
    return principal_new(pack_root(claims.p), PRINCIPAL_SESSION, true, ret_user);
}

/* A text that the glob matches. */
static void put_example(struct buf *out, struct view glob)
{
    for (size_t i = 0; i < glob.n; i++) {
        if (glob.p[i] == '*' && i + 1 < glob.n && glob.p[i + 1] == '*')
            i++;
        buf_put_byte(out, glob.p[i] == '*' || glob.p[i] == '?' ? 'x' : glob.p[i]);
    }
}

static bool make_repo(const struct loader_spec *spec, const struct rule *r, struct repo *ret_repo)
{
    GW_CLEANUP(buf_deinit) struct buf text = BUF(1024);
    struct view glob = r->repos.n > 0 ? r->repos.p[0] : VIEW("*:x/x"), rest = glob, forge = view_split(&rest, ':');

    if (spec->n_forges == 0)
        return false;
    if (view_index(forge, '*') < forge.n || view_index(forge, '?') < forge.n)
        buf_put(&text, view_of(spec->forges[0].name));
    else
        buf_put(&text, forge);
    buf_put_byte(&text, ':');
    put_example(&text, rest);
    return buf_ok(&text) && repo_parse_ref(spec->forges, spec->n_forges, buf_view(&text), ret_repo) == GW_OK &&
           ret_repo->forge != NULL;
}

static enum action first_action(const struct rule *r)
{
    for (unsigned a = ACTION_OPEN; a <= ACTION_CONNECT; a++)
        if (r->actions == 0 || (r->actions >> a & 1) != 0)
            return (enum action)a;
    return ACTION_OPEN;
}

/* False: a finding was reported. */
static bool try_once(struct engine *e, const struct rule *r, const struct policy_input *in, struct source_findings *findings)
{
    static const char *const modes[] = {[HOST_SMOKE_ABSENT] = "attributes absent",
                                        [HOST_SMOKE_STRING] = "attributes that are strings",
                                        [HOST_SMOKE_LIST] = "attributes that are lists"};
    const char *text = "";
    bool is_excused = false;
    char what[SANDBOX_ERROR_MAX + 64];

    if (engine_try_rule(e, r, in, &text, &is_excused) != ENGINE_ERROR || is_excused)
        return true;
    snprintf(what, sizeof(what), "%s (rule \"%s\", tried with %s)", text, r->name, modes[e->host.smoke]);
    source_report_lua(findings, r->file, r->line, what);
    return false;
}

/* A mistake shows again and again: one finding a rule is enough. */
static enum gw_err try_rule(struct engine *e, const struct loader_spec *spec, const struct rule *r,
                            struct source_findings *findings)
{
    GW_CLEANUP(principal_unrefp) struct principal *user = NULL;
    GW_CLEANUP(buf_deinit) struct buf path = BUF(2048);
    struct repo repo;
    struct policy_input in = {.action = first_action(r),
                              .method = VIEW("GET"),
                              .host = VIEW("smoke.invalid"),
                              .now_ms = 1700003600000,
                              .request_id = VIEW("smoke")};
    enum gw_err err = make_user(e, r, &user);

    if (err != GW_OK)
        return err;
    in.user = user;
    if (ipaddr_parse(VIEW("192.0.2.1"), &in.ip) != GW_OK)
        return GW_E_INVALID;
    if (r->paths.n > 0)
        put_example(&path, r->paths.p[0]);
    else if (make_repo(spec, r, &repo))
        in.repo = &repo;
    in.path = buf_view(&path);
    for (int mode = HOST_SMOKE_ABSENT; mode <= HOST_SMOKE_LIST; mode++) {
        e->host.smoke = (enum host_smoke)mode;
        for (int v = VISIBILITY_UNKNOWN; v <= VISIBILITY_PUBLIC; v++) {
            in.visibility = (enum visibility_value)v;
            if (!try_once(e, r, &in, findings))
                return GW_OK;
        }
    }
    return GW_OK;
}

enum gw_err smoke_rules(struct engine *e, const struct loader_spec *spec, struct source_findings *findings)
{
    enum gw_err err = GW_OK;

    for (int kind = 0; kind < RULE_KINDS; kind++) {
        for (size_t i = 0; i < e->rules.n_rules[kind] && err == GW_OK; i++) {
            const struct rule *r = e->rules.rules[kind][i];

            if (r->when != 0 || r->unless != 0)
                err = try_rule(e, spec, r, findings);
        }
    }
    e->host.smoke = HOST_REAL;
    return err;
}
