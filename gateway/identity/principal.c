/* A session's principal lies in memory for 100,000 people at once, so it is one block: the fixed fields, then the packed claims
 * they point into by offset, without the claims that say something about the token only, then the groups as every answer and every
 * audit line will want them. */
#include "identity/principal.h"

#include "identity/headervalue.h"
#include "util/cleanup.h"

#include <stdatomic.h>

enum { LIST_ENTRIES_MAX = 10000, ATTRIBUTE_BYTES_MAX = 16 * 1024 };

enum field { F_ISS, F_SUB, F_USERNAME, F_NAME, F_EMAIL, F_SID, F_GROUPS, F_ENTITLEMENTS, F_ATTRIBUTES, FIELD_COUNT };

struct principal {
    _Atomic uint32_t refs;
    uint32_t n_claims, n_groups_header, n_groups_json; /* what lies in claims[], in this order; 0 = not made ready */
    uint32_t at[FIELD_COUNT]; /* place of the value in claims; 0 = absent, since a map's own tag stands there */
    uint8_t via;
    uint8_t missing;
    bool email_verified : 1, has_mfa : 1, is_service : 1;
    int64_t auth_time_s, exp_s;
    uint64_t serial;
    uint8_t claims[];
};

/* They bind or name one token (OpenID Connect Core 2 and 3.3.2.11, RFC 7519 4.1), or are the same for everyone (acr): no rule
 * about a
 * person can need them. The last one goes too where the repogate claim replaces it. */
static const struct view token_claims[] = {
    {"acr", 3}, {"aud", 3}, {"azp", 3},   {"at_hash", 7}, {"c_hash", 6}, {"s_hash", 6},
    {"jti", 3}, {"nbf", 3}, {"nonce", 5}, {"uid", 3},     {"groups", 6},
};
enum { TOKEN_CLAIMS = sizeof(token_claims) / sizeof(token_claims[0]) };

static _Atomic uint64_t last_serial;

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

static bool has_control(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] < 0x20 || v.p[i] == 0x7f)
            return true;
    return false;
}

static bool is_within_limits(struct pack_val v)
{
    struct pack_iter it;
    if (pack_type(v) == PACK_LIST && pack_count(v) > LIST_ENTRIES_MAX)
        return false;
    for (pack_iter_init(&it, v); pack_iter_next(&it);)
        if (!is_within_limits(it.val))
            return false;
    return true;
}

static bool has_small_attributes(struct pack_val attributes)
{
    struct pack_iter it;
    for (pack_iter_init(&it, attributes); pack_iter_next(&it);)
        if (pack_size(it.val) > ATTRIBUTE_BYTES_MAX)
            return false;
    return true;
}

static void set_field(struct principal *p, enum field f, struct pack_val v)
{
    p->at[f] = v.p == NULL ? 0 : (uint32_t)(v.p - p->claims);
}

static void set_missing(struct principal *p, enum principal_missing why)
{
    if (p->missing == PRINCIPAL_COMPLETE)
        p->missing = (uint8_t)why;
}

/* Sorted, as pack_find_sorted() wants them. */
enum claim {
    C_AMR,
    C_AUTH_TIME,
    C_EMAIL,
    C_EMAIL_VERIFIED,
    C_ENTITLEMENTS,
    C_EXP,
    C_GROUPS,
    C_ISS,
    C_NAME,
    C_PREFERRED_USERNAME,
    C_REPOGATE,
    C_SID,
    C_SUB,
    CLAIM_COUNT
};
static const struct view claim_names[CLAIM_COUNT] = {
    {"amr", 3},    {"auth_time", 9}, {"email", 5}, {"email_verified", 14},     {"entitlements", 12}, {"exp", 3},
    {"groups", 6}, {"iss", 3},       {"name", 4},  {"preferred_username", 18}, {"repogate", 8},      {"sid", 3},
    {"sub", 3},
};

/* A JSON null says as much as no member. */
static struct pack_val present(struct pack_val v)
{
    return pack_type(v) == PACK_NULL ? (struct pack_val){NULL} : v;
}

static enum gw_err read_name(struct principal *p, enum field f, struct pack_val claim)
{
    struct pack_val v = present(claim);
    if (v.p == NULL)
        return GW_OK;
    if (pack_type(v) != PACK_STRING) {
        set_missing(p, PRINCIPAL_WRONG_TYPE);
        return GW_OK;
    }
    if (has_control(pack_string(v)))
        return GW_E_INVALID;
    set_field(p, f, v);
    return GW_OK;
}

static enum gw_err read_names(struct principal *p, const struct pack_val *c)
{
    static const struct {
        enum field f;
        enum claim claim;
    } names[] = {
        {F_ISS, C_ISS}, {F_SUB, C_SUB}, {F_USERNAME, C_PREFERRED_USERNAME}, {F_NAME, C_NAME}, {F_EMAIL, C_EMAIL}, {F_SID, C_SID},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        enum gw_err err = read_name(p, names[i].f, c[names[i].claim]);
        if (err != GW_OK)
            return err;
    }
    return principal_iss(p).n > 0 && principal_sub(p).n > 0 ? GW_OK : GW_E_INVALID;
}

static void read_string_list(struct principal *p, enum field f, struct pack_val v)
{
    if (v.p == NULL)
        return;
    if (pack_is_string_list(v))
        set_field(p, f, v);
    else
        set_missing(p, PRINCIPAL_WRONG_TYPE);
}

static enum gw_err read_repogate(struct principal *p, struct pack_val repogate, bool has_sid)
{
    struct pack_val v = pack_find(repogate, VIEW("v")), attributes = present(pack_find(repogate, VIEW("attributes"))),
                    service = present(pack_find(repogate, VIEW("service")));
    enum pack_type service_type = pack_type(service);
    if (pack_type(repogate) != PACK_MAP || pack_type(v) != PACK_INT || pack_int(v) != 1 ||
        (service_type != PACK_ABSENT && service_type != PACK_TRUE && service_type != PACK_FALSE) ||
        (attributes.p != NULL && pack_type(attributes) != PACK_MAP)) {
        set_missing(p, PRINCIPAL_WRONG_TYPE);
        return GW_OK;
    }
    if (!has_small_attributes(attributes))
        return GW_E_LIMIT;
    read_string_list(p, F_GROUPS, present(pack_find(repogate, VIEW("groups"))));
    set_field(p, F_ATTRIBUTES, attributes);
    p->is_service = service_type == PACK_TRUE && !has_sid;
    return GW_OK;
}

static int64_t read_time(struct pack_val v)
{
    int64_t s = pack_int(v);
    return s < 0 ? 0 : s;
}

static enum gw_err read_claims(struct principal *p, bool repogate_requested)
{
    struct pack_val c[CLAIM_COUNT];
    pack_find_sorted(principal_claims(p), claim_names, CLAIM_COUNT, c);
    enum gw_err err = read_names(p, c);
    if (err != GW_OK)
        return err;
    if (c[C_REPOGATE].p != NULL)
        err = read_repogate(p, c[C_REPOGATE], c[C_SID].p != NULL);
    else if (repogate_requested)
        set_missing(p, PRINCIPAL_NO_REPOGATE);
    if (err != GW_OK)
        return err;
    if (c[C_REPOGATE].p == NULL)
        read_string_list(p, F_GROUPS, present(c[C_GROUPS]));
    read_string_list(p, F_ENTITLEMENTS, present(c[C_ENTITLEMENTS]));
    if (p->at[F_GROUPS] == 0)
        set_missing(p, PRINCIPAL_NO_GROUPS);
    p->email_verified = pack_is_true(c[C_EMAIL_VERIFIED]);
    p->has_mfa = pack_list_has(c[C_AMR], VIEW("mfa"));
    p->auth_time_s = read_time(c[C_AUTH_TIME]);
    p->exp_s = read_time(c[C_EXP]);
    return GW_OK;
}

/* Adds the texts behind the claims. */
static enum gw_err make_ready(struct principal **pp)
{
    GW_CLEANUP(buf_deinitp) struct buf json = BUF(PRINCIPAL_READY_MAX);
    struct principal *p = *pp;
    struct pack_val groups = principal_groups(p);
    pack_format_json(groups, &json);
    size_t n_json = p->missing == PRINCIPAL_COMPLETE && buf_ok(&json) ? json.n : 0;
    size_t n_header = headervalue_list_length(groups, PRINCIPAL_READY_MAX);
    n_header = n_header > PRINCIPAL_READY_MAX ? 0 : n_header;
    p = realloc(p, sizeof(*p) + p->n_claims + n_header + n_json);
    if (p == NULL)
        return GW_E_NOMEM;
    *pp = p;
    char *texts = (char *)p->claims + p->n_claims;
    if (n_header > 0)
        headervalue_put_list(texts, principal_groups(p));
    if (n_json > 0)
        memcpy(texts + n_header, json.p, n_json);
    p->n_groups_header = (uint32_t)n_header;
    p->n_groups_json = (uint32_t)n_json;
    return GW_OK;
}

enum gw_err principal_new(struct pack_val claims, enum principal_via via, bool repogate_requested,
                          struct principal **ret_principal)
{
    GW_CLEANUP(buf_deinitp) struct buf kept = BUF(PACK_BYTES_MAX);
    /* An entry takes at least a byte: small claims need not be walked. */
    size_t size = pack_size(claims);
    if (size > PACK_BYTES_MAX || (size > LIST_ENTRIES_MAX && !is_within_limits(claims)))
        return GW_E_LIMIT;
    bool has_repogate = pack_find(claims, VIEW("repogate")).p != NULL;
    enum gw_err err = pack_without(claims, token_claims, has_repogate ? TOKEN_CLAIMS : TOKEN_CLAIMS - 1, &kept);
    if (err != GW_OK)
        return err;
    struct principal *p = malloc(sizeof(*p) + kept.n);
    if (p == NULL)
        return GW_E_NOMEM;
    *p = (struct principal){.n_claims = (uint32_t)kept.n, .via = (uint8_t)via};
    atomic_init(&p->refs, 1);
    p->serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
    memcpy(p->claims, kept.p, kept.n);
    err = read_claims(p, repogate_requested);
    if (err == GW_OK)
        err = make_ready(&p);
    if (err != GW_OK) {
        principal_unref(p);
        return err;
    }
    *ret_principal = p;
    return GW_OK;
}

struct principal *principal_ref(struct principal *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void principal_unref(struct principal *p)
{
    if (p != NULL && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
        free(p);
}

static struct pack_val field_of(const struct principal *p, enum field f)
{
    return (struct pack_val){p->at[f] == 0 ? NULL : p->claims + p->at[f]};
}

struct view principal_iss(const struct principal *p)
{
    return pack_string(field_of(p, F_ISS));
}

struct view principal_sub(const struct principal *p)
{
    return pack_string(field_of(p, F_SUB));
}

struct view principal_username(const struct principal *p)
{
    return pack_string(field_of(p, F_USERNAME));
}

struct view principal_name(const struct principal *p)
{
    return pack_string(field_of(p, F_NAME));
}

struct view principal_email(const struct principal *p)
{
    return pack_string(field_of(p, F_EMAIL));
}

bool principal_email_verified(const struct principal *p)
{
    return p->email_verified;
}

struct view principal_sid(const struct principal *p)
{
    return pack_string(field_of(p, F_SID));
}

struct pack_val principal_groups(const struct principal *p)
{
    return field_of(p, F_GROUPS);
}

static struct view ready_text(const struct principal *p, size_t at, size_t n)
{
    return n == 0 ? VIEW_NONE : view_at((const char *)p->claims + p->n_claims + at, n);
}

struct view principal_groups_header(const struct principal *p)
{
    return ready_text(p, 0, p->n_groups_header);
}

struct view principal_groups_json(const struct principal *p)
{
    return ready_text(p, p->n_groups_header, p->n_groups_json);
}

struct pack_val principal_entitlements(const struct principal *p)
{
    return field_of(p, F_ENTITLEMENTS);
}

struct pack_val principal_attributes(const struct principal *p)
{
    return field_of(p, F_ATTRIBUTES);
}

struct pack_val principal_claims(const struct principal *p)
{
    return pack_root(p->claims);
}

int64_t principal_auth_time_s(const struct principal *p)
{
    return p->auth_time_s;
}

int64_t principal_exp_s(const struct principal *p)
{
    return p->exp_s;
}

bool principal_has_mfa(const struct principal *p)
{
    return p->has_mfa;
}

bool principal_is_service(const struct principal *p)
{
    return p->is_service;
}

enum principal_via principal_via(const struct principal *p)
{
    return (enum principal_via)p->via;
}

enum principal_missing principal_missing(const struct principal *p)
{
    return (enum principal_missing)p->missing;
}

const char *principal_via_name(enum principal_via via)
{
    static const char *const names[] = {"session", "bearer", "basic"};
    return names[via];
}

size_t principal_bytes(const struct principal *p)
{
    return sizeof(*p) + p->n_claims + p->n_groups_header + p->n_groups_json;
}

uint64_t principal_serial(const struct principal *p)
{
    return p->serial;
}
