#include "sessionkit.h"

#include <stdio.h>
#include <unistd.h>

START_TEST(older_key_of_the_ring_opens_and_a_lost_one_does_not)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct answer a = {.loop = x->loop};
    seal_ring_free(x->ring);
    x->ring = ring_of(8, 2);
    set_restart(x);
    ck_assert_int_eq(load(x, &c), GW_OK);
    seal_ring_free(x->ring);
    x->ring = ring_of(8, 1);
    set_restart(x);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    /* Logging out still works, without the provider's part. */
    ck_assert_int_eq(session_end(x->ss, x->loop, view(&c), on_ended, &a), GW_OK);
    answer_wait(&a);
    ck_assert_int_eq(a.err, GW_OK);
    ck_assert_str_eq(a.text, "");
    ck_assert(!has_row(x, &c));
    set_free(x);
}
END_TEST

START_TEST(secret_needs_the_cookie_beside_the_key)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS), other = create(x, CLAIMS);
    struct store_row row;
    struct sessionrow_secret secret;
    char hex[DIGEST_HEX_LEN + 1];
    get_row(x, &c, &row);
    digest_hex(row.id, hex);
    ck_assert_int_eq(sessionrow_open(x->ring, &row, view(&other), &secret), GW_E_INVALID);
    ck_assert_int_eq(sessionrow_open(x->ring, &row, VIEW_NONE, &secret), GW_E_INVALID);
    ck_assert_int_eq(sessionrow_open(x->ring, &row, view_at((char *)row.id, DIGEST_BYTES), &secret), GW_E_INVALID);
    ck_assert_int_eq(sessionrow_open(x->ring, &row, view_of(hex), &secret), GW_E_INVALID);
    ck_assert_int_eq(sessionrow_open(x->ring, &row, view(&c), &secret), GW_OK);
    ck_assert(view_eq(secret.claims_json, VIEW(CLAIMS)));
    ck_assert(view_eq(secret.access_token, VIEW("access-token-canary")));
    ck_assert(view_eq(secret.refresh_token, VIEW("refresh-token-canary")));
    ck_assert_int_eq(secret.access_expires_s, NOW_S + 300);
    sessionrow_secret_deinit(&secret);
    store_row_deinit(&row);
    set_free(x);
}
END_TEST

static void put_secret(struct set *x, const struct cookie *c, const char *json, struct store_row *row)
{
    buf_clear(&row->secret);
    ck_assert_int_eq(seal_put(x->ring, VIEW("session secret"), view(c), view_of(json), &row->secret), GW_OK);
}

#define SECRET(v, created, more)                                                                           \
    "{\"v\":" v ",\"created_s\":" created ",\"expires_s\":1700007200,\"access_expires_s\":1700000300" more \
    ",\"claims\":\"{}\",\"id_token\":\"i\",\"access_token\":\"a\",\"refresh_token\":\"\"}"

static const struct {
    const char *json;
    enum gw_err err;
    int64_t fresh_s;
} versions[] = {
    /* Before sessions were refreshed: the claims are those of the login. */
    {SECRET("1", "1700000000", ""), GW_OK, 1700000000},
    {SECRET("1", "1700000000", ",\"fresh_s\":1700009999"), GW_OK, 1700000000},
    {SECRET("2", "1700000000", ",\"fresh_s\":1700000123"), GW_OK, 1700000123},
    {SECRET("2", "1700000000", ""), GW_E_INVALID, 0},
    {SECRET("2", "1700000000", ",\"fresh_s\":\"1\""), GW_E_INVALID, 0},
    {SECRET("2", "1700000001", ",\"fresh_s\":1700000123"), GW_E_INVALID, 0},
    {SECRET("3", "1700000000", ",\"fresh_s\":1700000123"), GW_E_INVALID, 0},
};

START_TEST(rows_of_earlier_versions_open_and_of_later_ones_do_not)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct store_row row;
    struct sessionrow_secret secret;
    get_row(x, &c, &row);
    put_secret(x, &c, versions[_i].json, &row);
    ck_assert_int_eq(sessionrow_open(x->ring, &row, view(&c), &secret), versions[_i].err);
    if (versions[_i].err == GW_OK) {
        ck_assert_int_eq(secret.fresh_s, versions[_i].fresh_s);
        ck_assert(view_eq(secret.access_token, VIEW("a")));
        sessionrow_secret_deinit(&secret);
    }
    store_row_deinit(&row);
    set_free(x);
}
END_TEST

START_TEST(label_opens_with_the_key_alone)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct store_row row;
    struct buf text = BUF(SESSION_LABEL_MAX);
    get_row(x, &c, &row);
    ck_assert_int_eq(seal_open(x->ring, VIEW("session label"), VIEW_NONE, buf_view(&row.label), &text), GW_OK);
    ck_assert_str_eq(text.p, "{\"v\":1,\"username\":\"dora-canary-name\",\"ip\":\"192.0.2.77\"}");
    buf_deinit(&text);
    store_row_deinit(&row);
    set_free(x);
}
END_TEST

START_TEST(F14_macs_tell_people_and_logins_apart)
{
    static const struct {
        struct view iss, sub, sid;
    } PAIRS[] = {
        {{"https://a/", 10}, {"b", 1}, {"s", 1}},
        {{"https://a", 9}, {"/b", 2}, {"/s", 2}},
        {{"https://a/", 10}, {"b", 1}, {NULL, 0}},
    };
    struct seal_ring *ring = ring_of(7, 1);
    struct cookie c = some_cookie('A');
    struct store_row rows[3];
    uint8_t zeroes[DIGEST_BYTES] = {0};
    for (int i = 0; i < 3; i++) {
        struct session_new_spec spec = spec_of(CLAIMS);
        spec.iss = PAIRS[i].iss;
        spec.sub = PAIRS[i].sub;
        spec.sid = PAIRS[i].sid;
        ck_assert_int_eq(sessionrow_seal(ring, &spec, view(&c), 1, 2, &rows[i]), GW_OK);
    }
    ck_assert_mem_ne(rows[0].sub_mac, rows[1].sub_mac, DIGEST_BYTES);
    ck_assert_mem_eq(rows[0].sub_mac, rows[2].sub_mac, DIGEST_BYTES);
    ck_assert_mem_ne(rows[0].sid_mac, rows[1].sid_mac, DIGEST_BYTES);
    ck_assert_mem_ne(rows[0].sid_mac, zeroes, DIGEST_BYTES);
    ck_assert_mem_eq(rows[2].sid_mac, zeroes, DIGEST_BYTES);
    for (int i = 0; i < 3; i++)
        store_row_deinit(&rows[i]);
    seal_ring_free(ring);
}
END_TEST

static void assert_absent(struct view dump, struct view canary, const char *file)
{
    ck_assert_msg(memmem(dump.p, dump.n, canary.p, canary.n) == NULL, "%s holds \"%.*s\"", file, VIEW_FMT(canary));
}

START_TEST(G10_L3_database_and_wal_hold_neither_token_nor_claim_nor_cookie)
{
    static char dump[4 * 1024 * 1024];
    static const char *const SUFFIXES[] = {"", "-wal", "-shm", ".lock"};
    char dir[] = "/tmp/test_session.XXXXXX", path[64], name[80];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/sessions.db", dir);
    struct set *x = set_new_at(path, 2, 64);
    struct cookie c = create(x, CLAIMS), d = create(x, CLAIMS);
    ck_assert_int_eq(end(x, &d), GW_OK);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%s%s", path, SUFFIXES[i]);
        FILE *f = fopen(name, "r");
        ck_assert_ptr_nonnull(f);
        struct view all = view_at(dump, fread(dump, 1, sizeof(dump), f));
        fclose(f);
        ck_assert_uint_gt(all.n, 1000);
        assert_absent(all, VIEW("canary"), name);
        assert_absent(all, VIEW("192.0.2.77"), name);
        assert_absent(all, VIEW("auth.example.org"), name);
        assert_absent(all, VIEW("groups"), name);
        assert_absent(all, view_at(c.text, 12), name);
        assert_absent(all, view_at(d.text, 12), name);
    }
    set_free(x);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "%s%s", path, SUFFIXES[i]);
        unlink(name);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sessionrow");
    TCase *t = tcase_create("sessionrow");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, older_key_of_the_ring_opens_and_a_lost_one_does_not);
    tcase_add_test(t, secret_needs_the_cookie_beside_the_key);
    tcase_add_loop_test(t, rows_of_earlier_versions_open_and_of_later_ones_do_not, 0, sizeof(versions) / sizeof(versions[0]));
    tcase_add_test(t, label_opens_with_the_key_alone);
    tcase_add_test(t, F14_macs_tell_people_and_logins_apart);
    tcase_add_test(t, G10_L3_database_and_wal_hold_neither_token_nor_claim_nor_cookie);
    suite_add_tcase(s, t);
    return support_run(s);
}
