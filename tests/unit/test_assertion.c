#include "identity/assertion.h"

#include "identity/signkey.h"
#include "identity/verifier.h"
#include "util/epoch.h"
#include "util/meter.h"

#include "support.h"
#include "tokens.h"

#include <stdio.h>

#define NOW INT64_C(1700000000)
#define ISS "https://dev.example.org"
#define AUD "ws-0123456789abcdef0123"

static struct buf pem;
static struct assertion_maker *maker;
static struct arena arena;
static struct keyset *keys;
static struct verifier *verifier;
static struct principal *dora;

static struct principal *person(const char *members)
{
    struct buf claims = BUF(1024 * 1024), json = BUF(1024 * 1024);
    struct principal *p = NULL;
    buf_printf(&json, "{\"iss\":\"https://idp/\",%s}", members);
    ck_assert(buf_ok(&json));
    ck_assert_int_eq(pack_parse(buf_view(&json), &claims), GW_OK);
    ck_assert_int_eq(principal_new(pack_root(claims.p), PRINCIPAL_SESSION, false, &p), GW_OK);
    buf_deinit(&json);
    buf_deinit(&claims);
    return p;
}

#define DORA                                                                                                                         \
    "\"sub\":\"u-1\",\"sid\":\"s-1\",\"preferred_username\":\"dora\",\"name\":\"Dora \\\"\xc3\x84\\\" \\\\\",\"email\":\"d@x.org\"," \
    "\"groups\":[\"a\",\"b|c\",\" d%\"]"

static void read_keys(void)
{
    keyset_free(keys);
    ck_assert_int_eq(keyset_parse(assertion_jwks(maker), &keys), GW_OK);
}

static void set_up(void)
{
    struct verifier_spec spec = {.issuer = VIEW(ISS), .client_id = VIEW(AUD), .is_alg_allowed = {[SIGALG_ES256] = true}};
    pem = BUF(65536);
    arena = ARENA(1024 * 1024);
    keys = NULL;
    epoch_fix_ms(NOW * 1000);
    ck_assert_int_eq(signkey_generate(&pem), GW_OK);
    ck_assert_int_eq(assertion_maker_new(buf_view(&pem), VIEW(ISS), 0, &maker), GW_OK);
    ck_assert_int_eq(verifier_new(&spec, &verifier), GW_OK);
    read_keys();
    dora = person(DORA);
}

static void tear_down(void)
{
    principal_unref(dora);
    verifier_free(verifier);
    keyset_free(keys);
    assertion_maker_free(maker);
    arena_deinit(&arena);
    buf_deinit(&pem);
    epoch_fix_ms(-1);
}

static struct view make_for(const struct principal *who, const char *audience, const char *repo, int64_t now_s)
{
    struct assertion_ask ask = {who, view_of(audience), view_of(repo), 1500};
    struct view token = VIEW_NONE;
    ck_assert_int_eq(assertion_make(maker, &ask, now_s, &arena, &token), GW_OK);
    return token;
}

static struct view make_at(int64_t now_s)
{
    return make_for(dora, AUD, "github:acme/site", now_s);
}

static enum gw_err verify(struct view token, struct pack_val *ret_claims)
{
    const char *reason;
    return verifier_check(verifier, keys, token, VERIFIER_ASSERTION, VIEW_NONE, ret_claims, &reason);
}

static struct pack_val claims_of(struct view token)
{
    struct pack_val claims = {NULL};
    ck_assert_int_eq(verify(token, &claims), GW_OK);
    return claims;
}

static struct view text_of(struct pack_val claims, const char *name)
{
    struct pack_val v = pack_find(claims, view_of(name));
    ck_assert_int_eq(pack_type(v), PACK_STRING);
    return pack_string(v);
}

START_TEST(says_who_where_and_for_how_long)
{
    struct buf groups = BUF(4096);
    struct pack_val c = claims_of(make_at(NOW));
    ck_view_eq(text_of(c, "iss"), ISS);
    ck_view_eq(text_of(c, "aud"), AUD);
    ck_view_eq(text_of(c, "sub"), "u-1");
    ck_view_eq(text_of(c, "name"), "Dora \"\xc3\x84\" \\");
    ck_view_eq(text_of(c, "email"), "d@x.org");
    ck_view_eq(text_of(c, "repo"), "github:acme/site");
    ck_assert_int_eq(pack_int(pack_find(c, VIEW("iat"))), NOW);
    ck_assert_int_eq(pack_int(pack_find(c, VIEW("exp"))), NOW + ASSERTION_LIFETIME_S);
    ck_assert_uint_eq(text_of(c, "jti").n, 22);
    pack_format_json(pack_find(c, VIEW("groups")), &groups);
    ck_assert_str_eq(groups.p, "[\"a\",\"b|c\",\" d%\"]");
    ck_assert_uint_eq(pack_count(c), 11);
    buf_deinit(&groups);
}
END_TEST

START_TEST(header_names_algorithm_key_and_type)
{
    char want[256];
    uint8_t header[256];
    size_t n;
    struct signkey_ring *ring;
    struct view token = make_at(NOW);
    ck_assert_int_eq(signkey_ring_parse(buf_view(&pem), &ring), GW_OK);
    snprintf(want, sizeof(want), "{\"alg\":\"ES256\",\"kid\":\"%.*s\",\"typ\":\"JWT\"}", VIEW_FMT(signkey_kid(ring)));
    ck_assert_int_eq(b64url_decode(view_at(token.p, view_index(token, '.')), header, sizeof(header) - 1, &n), GW_OK);
    header[n] = '\0';
    ck_assert_str_eq((char *)header, want);
    signkey_ring_free(ring);
}
END_TEST

START_TEST(what_is_unknown_is_empty)
{
    struct principal *machine = person("\"sub\":\"m-1\",\"groups\":[]");
    struct pack_val c = claims_of(make_for(machine, AUD, "github:acme/site", NOW));
    ck_view_eq(text_of(c, "name"), "");
    ck_view_eq(text_of(c, "email"), "");
    ck_view_eq(text_of(c, "sid"), "");
    ck_assert_int_eq(pack_type(pack_find(c, VIEW("groups"))), PACK_LIST);
    ck_assert_uint_eq(pack_count(pack_find(c, VIEW("groups"))), 0);
    principal_unref(machine);
}
END_TEST

START_TEST(sid_stays_with_the_session_and_is_not_the_providers)
{
    struct principal *refreshed = person(DORA ",\"nickname\":\"d\"");
    struct principal *elsewhere =
        person("\"sub\":\"u-1\",\"sid\":\"s-2\",\"name\":\"Dora\",\"email\":\"d@x.org\",\"groups\":[\"a\"]");
    char sid[64];
    struct view first = text_of(claims_of(make_at(NOW)), "sid");
    ck_assert_uint_eq(first.n, 16);
    snprintf(sid, sizeof(sid), "%.*s", VIEW_FMT(first));
    ck_assert(!view_contains(view_of(sid), VIEW("s-1")));
    ck_view_eq(text_of(claims_of(make_for(refreshed, AUD, "github:acme/site", NOW)), "sid"), sid);
    ck_assert(!view_eq(text_of(claims_of(make_for(elsewhere, AUD, "github:acme/site", NOW)), "sid"), view_of(sid)));
    principal_unref(refreshed);
    principal_unref(elsewhere);
}
END_TEST

START_TEST(one_signature_serves_for_half_of_its_life)
{
    int64_t before = meter_value(METER_ASSERTIONS_SIGNED);
    struct view first = make_at(NOW);
    ck_assert(view_eq(make_at(NOW), first));
    ck_assert(view_eq(make_at(NOW + ASSERTION_REUSE_S - 1), first));
    ck_assert_int_eq(meter_value(METER_ASSERTIONS_SIGNED) - before, 1);
    struct view second = make_at(NOW + ASSERTION_REUSE_S);
    ck_assert(!view_eq(second, first));
    ck_assert_int_eq(meter_value(METER_ASSERTIONS_SIGNED) - before, 2);
    epoch_fix_ms((NOW + ASSERTION_REUSE_S) * 1000);
    ck_assert_int_eq(pack_int(pack_find(claims_of(second), VIEW("iat"))), NOW + ASSERTION_REUSE_S);
}
END_TEST

START_TEST(a_clock_set_back_lets_nothing_from_the_future_be_sent)
{
    struct view first = make_at(NOW);
    struct view second = make_at(NOW - 1);
    ck_assert(!view_eq(first, second));
    ck_assert_int_eq(pack_int(pack_find(claims_of(second), VIEW("iat"))), NOW - 1);
}
END_TEST

START_TEST(new_claims_get_a_new_signature)
{
    struct principal *fewer =
        person("\"sub\":\"u-1\",\"sid\":\"s-1\",\"name\":\"Dora\",\"email\":\"d@x.org\",\"groups\":[\"a\"]");
    make_at(NOW);
    struct pack_val c = claims_of(make_for(fewer, AUD, "github:acme/site", NOW));
    ck_assert_uint_eq(pack_count(pack_find(c, VIEW("groups"))), 1);
    principal_unref(fewer);
}
END_TEST

START_TEST(each_workspace_gets_its_own)
{
    struct view mine = make_at(NOW);
    struct view other = make_for(dora, "ws-ffffffffffffffffffff", "github:acme/site", NOW);
    struct view repo = make_for(dora, AUD, "github:acme/other", NOW);
    struct pack_val claims = {NULL};
    ck_assert(!view_eq(mine, other));
    ck_assert(!view_eq(mine, repo));
    ck_assert_int_eq(verify(mine, &claims), GW_OK);
    ck_assert_int_eq(verify(other, &claims), GW_E_INVALID);
    ck_view_eq(text_of(claims_of(repo), "repo"), "github:acme/other");
}
END_TEST

START_TEST(is_never_cut)
{
    struct buf groups = BUF(65536);
    struct view token = VIEW_NONE;
    buf_puts(&groups, "\"sub\":\"u-1\",\"groups\":[\"g\"");
    for (int i = 0; i < 200; i++)
        buf_printf(&groups, ",\"group-%03d\"", i);
    buf_puts(&groups, "]");
    struct principal *member = person(groups.p);
    struct assertion_ask ask = {member, VIEW(AUD), VIEW("github:acme/site"), ASSERTION_MAX_BYTES};
    int64_t before = meter_value(METER_ASSERTIONS_SIGNED);
    ck_assert_int_eq(assertion_make(maker, &ask, NOW, &arena, &token), GW_OK);
    ask.max_bytes = token.n;
    ck_assert_int_eq(assertion_make(maker, &ask, NOW, &arena, &token), GW_OK);
    ck_assert_uint_eq(pack_count(pack_find(claims_of(token), VIEW("groups"))), 201);
    ask.max_bytes--;
    ck_assert_int_eq(assertion_make(maker, &ask, NOW, &arena, &token), GW_E_LIMIT);
    ck_assert_int_eq(assertion_make(maker, &ask, NOW + 100, &arena, &token), GW_E_LIMIT); /* and nothing is signed for it */
    ck_assert_int_eq(meter_value(METER_ASSERTIONS_SIGNED) - before, 1);
    principal_unref(member);
    buf_deinit(&groups);
}
END_TEST

START_TEST(a_full_memory_forgets_the_oldest_and_stays_right)
{
    enum { PAIRS = 50 };
    char audience[32];
    struct verifier_spec spec = {.issuer = VIEW(ISS), .is_alg_allowed = {[SIGALG_ES256] = true}};
    int64_t before = meter_value(METER_ASSERTIONS_SIGNED);
    assertion_maker_free(maker);
    ck_assert_int_eq(assertion_maker_new(buf_view(&pem), VIEW(ISS), 1, &maker), GW_OK);
    for (int i = 0; i < 2 * PAIRS; i++) {
        struct verifier *v;
        struct pack_val claims = {NULL};
        const char *reason;
        snprintf(audience, sizeof(audience), "ws-%020d", i % PAIRS);
        spec.client_id = view_of(audience);
        ck_assert_int_eq(verifier_new(&spec, &v), GW_OK);
        for (int again = 0; again < 2; again++) {
            struct view token = make_for(dora, audience, "github:acme/site", NOW + i / 10);
            epoch_fix_ms((NOW + i / 10) * 1000);
            ck_assert_int_eq(verifier_check(v, keys, token, VERIFIER_ASSERTION, VIEW_NONE, &claims, &reason), GW_OK);
        }
        verifier_free(v);
        arena_reset(&arena);
    }
    ck_assert_int_eq(meter_value(METER_ASSERTIONS_SIGNED) - before, 2 * PAIRS);
}
END_TEST

START_TEST(the_first_key_signs_and_all_are_published)
{
    struct buf rotated = BUF(65536);
    struct assertion_maker *old = maker;
    struct pack_val claims = {NULL};
    struct view before = make_at(NOW);
    ck_assert_int_eq(signkey_generate(&rotated), GW_OK);
    buf_put(&rotated, buf_view(&pem));
    ck_assert_int_eq(assertion_maker_new(buf_view(&rotated), VIEW(ISS), 0, &maker), GW_OK);
    struct view after = make_at(NOW);
    ck_assert_int_eq(verify(after, &claims), GW_E_NOTFOUND); /* the keys as they were */
    read_keys();
    ck_assert_uint_eq(keyset_count(keys), 2);
    ck_assert_int_eq(verify(before, &claims), GW_OK);
    ck_assert_int_eq(verify(after, &claims), GW_OK);
    assertion_maker_free(old);
    buf_deinit(&rotated);
}
END_TEST

START_TEST(no_key_no_maker)
{
    struct assertion_maker *none = NULL;
    ck_assert_int_eq(assertion_maker_new(VIEW("no key"), VIEW(ISS), 0, &none), GW_E_INVALID);
    ck_assert_ptr_null(none);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("assertion");
    TCase *t = tcase_create("assertion");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, says_who_where_and_for_how_long);
    tcase_add_test(t, header_names_algorithm_key_and_type);
    tcase_add_test(t, what_is_unknown_is_empty);
    tcase_add_test(t, sid_stays_with_the_session_and_is_not_the_providers);
    tcase_add_test(t, one_signature_serves_for_half_of_its_life);
    tcase_add_test(t, a_clock_set_back_lets_nothing_from_the_future_be_sent);
    tcase_add_test(t, new_claims_get_a_new_signature);
    tcase_add_test(t, each_workspace_gets_its_own);
    tcase_add_test(t, is_never_cut);
    tcase_add_test(t, a_full_memory_forgets_the_oldest_and_stays_right);
    tcase_add_test(t, the_first_key_signs_and_all_are_published);
    tcase_add_test(t, no_key_no_maker);
    suite_add_tcase(s, t);
    return support_run(s);
}
