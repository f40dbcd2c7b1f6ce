#include "identity/discovery.h"

#include "util/cleanup.h"
#include "util/pack.h"
#include "util/uri.h"

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

static enum gw_err refuse(struct buf *why, const char *what, struct view value)
{
    buf_put(why, view_of(what));
    if (value.n > 0) {
        buf_puts(why, ": ");
        buf_put_json(why, view_at(value.p, value.n < 200 ? value.n : 200));
    }
    return GW_E_UPSTREAM;
}

static bool is_trailing_slash_apart(struct view a, struct view b)
{
    return (a.n + 1 == b.n && view_starts(b, a) && b.p[a.n] == '/') || (b.n + 1 == a.n && view_starts(a, b) && a.p[b.n] == '/');
}

/* Core 16.15 and Discovery 4.3: another issuer's metadata must not pass for ours. Both are named, since a missing slash or an
 * internal host
 * name is the usual cause. */
static enum gw_err check_issuer(struct pack_val doc, struct view issuer, struct buf *why)
{
    struct view theirs = pack_string(pack_find(doc, VIEW("issuer")));
    if (view_eq(theirs, issuer))
        return GW_OK;
    if (theirs.n == 0)
        return refuse(why, "metadata has no issuer", VIEW_NONE);
    refuse(why, "issuer mismatch: configured", issuer);
    refuse(why, ", the provider says", theirs);
    if (is_trailing_slash_apart(theirs, issuer))
        buf_puts(why, " (they differ by the trailing slash)");
    return GW_E_UPSTREAM;
}

static enum gw_err read_url(struct pack_val doc, const char *name, bool is_http_fine, bool is_needed, char **ret_url,
                            struct buf *why)
{
    struct uri uri;
    struct pack_val v = pack_find(doc, view_of(name));
    struct view text = pack_string(v);
    if (!is_needed && (pack_type(v) == PACK_ABSENT || pack_type(v) == PACK_NULL))
        return GW_OK;
    if (text.n == 0)
        return refuse(why, "metadata lacks", view_of(name));
    if (uri_parse(text, &uri) != GW_OK || (!is_http_fine && !view_eq(uri.scheme, VIEW("https")))) {
        refuse(why, "unfit URL for", view_of(name));
        return refuse(why, "", text);
    }
    *ret_url = view_dup(text);
    return *ret_url == NULL ? GW_E_NOMEM : GW_OK;
}

static enum gw_err check_offers(struct pack_val doc, const bool is_alg_allowed[SIGALG_COUNT], struct buf *why)
{
    struct pack_val pkce = pack_find(doc, VIEW("code_challenge_methods_supported")),
                    algs = pack_find(doc, VIEW("id_token_signing_alg_values_supported"));
    struct pack_iter it;
    if (pkce.p != NULL && !pack_list_has(pkce, VIEW("S256")))
        return refuse(why, "the provider does not offer PKCE with S256", VIEW_NONE);
    if (algs.p == NULL)
        return GW_OK;
    for (pack_iter_init(&it, algs); pack_iter_next(&it);)
        if (is_alg_allowed[sigalg_from_name(pack_string(it.val))])
            return GW_OK;
    buf_puts(why, "the provider signs with none of our algorithms (has it a signing key?): ");
    pack_format_json(algs, why);
    return GW_E_UPSTREAM;
}

static enum gw_err read_endpoints(struct pack_val doc, bool is_http_fine, struct discovery *d, struct buf *why)
{
    const struct {
        const char *name;
        bool is_needed;
        char **ret_url;
    } endpoints[] = {
        {"authorization_endpoint", true, &d->authorization_endpoint},
        {"token_endpoint", true, &d->token_endpoint},
        {"userinfo_endpoint", true, &d->userinfo_endpoint},
        {"jwks_uri", true, &d->jwks_uri},
        {"end_session_endpoint", false, &d->end_session_endpoint},
        {"introspection_endpoint", false, &d->introspection_endpoint},
    };
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        enum gw_err err = read_url(doc, endpoints[i].name, is_http_fine, endpoints[i].is_needed, endpoints[i].ret_url, why);
        if (err != GW_OK)
            return err;
    }
    return GW_OK;
}

enum gw_err discovery_parse(struct view json, struct view issuer, const bool is_alg_allowed[SIGALG_COUNT],
                            struct discovery **ret_discovery, struct buf *why)
{
    GW_CLEANUP(buf_deinitp) struct buf block = BUF(PACK_BYTES_MAX);
    if (pack_parse(json, &block) != GW_OK || pack_type(pack_root(block.p)) != PACK_MAP)
        return refuse(why, "metadata is no JSON object (is the issuer's URL right?)", VIEW_NONE);
    struct pack_val doc = pack_root(block.p);
    enum gw_err err = check_issuer(doc, issuer, why);
    if (err == GW_OK)
        err = check_offers(doc, is_alg_allowed, why);
    if (err != GW_OK)
        return err;
    GW_CLEANUP(discovery_freep) struct discovery *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return GW_E_NOMEM;
    err = read_endpoints(doc, view_starts(issuer, VIEW("http://")), d, why);
    if (err != GW_OK)
        return err;
    *ret_discovery = GW_TAKE(d);
    return GW_OK;
}

void discovery_free(struct discovery *d)
{
    if (d == NULL)
        return;
    free(d->authorization_endpoint);
    free(d->token_endpoint);
    free(d->userinfo_endpoint);
    free(d->jwks_uri);
    free(d->end_session_endpoint);
    free(d->introspection_endpoint);
    free(d);
}
