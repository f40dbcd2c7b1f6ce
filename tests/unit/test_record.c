#include "audit/journal.h"
#include "audit/record.h"
#include "util/digest.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>

enum { LARGE = 64 * 1024, BYTES_MAX = JOURNAL_LINE_MAX - JOURNAL_TAIL_MAX };

static const char *const matched[] = {"staff-read", "owners"};
static const struct view errors[] = {{"10-access.lua:7: attempt to index nil", 37}};

static struct record_decision typical(void)
{
    return (struct record_decision){
        .id = VIEW("01890a5d-ac96-774b-bcce-b302099a8057"),
        .now_ms = 1767323045678,
        .decision = VIEW("allow"),
        .outcome = VIEW("allowed"),
        .reason = VIEW("allowed"),
        .reason_text = VIEW("staff may read"),
        .subject = {.iss = VIEW("https://auth.example.org/application/o/repogate/"),
                    .uid = VIEW("5f0c"),
                    .username = VIEW("dora"),
                    .via = VIEW("session"),
                    .groups_json = VIEW("[\"staff\",\"dev\"]")},
        .forge = VIEW("github"),
        .owner = VIEW("acme"),
        .name = VIEW("site"),
        .visibility = VIEW("public"),
        .request_id = VIEW("req-1"),
        .method = VIEW("GET"),
        .host = VIEW("dev.example.org"),
        .path = VIEW("/github/acme/site/"),
        .ip = VIEW("192.0.2.1"),
        .action = VIEW("open"),
        .dialect = VIEW("nginx"),
        .query = VIEW("token=s3cr3t&x=1"),
        .query_key = VIEW("0123456789abcdef0123456789abcdef"),
        .revision = VIEW("0123456789ab"),
        .rule = VIEW("staff-read"),
        .file = VIEW("10-access.lua"),
        .line = 12,
        .matched = matched,
        .n_matched = 2,
        .errors = errors,
        .n_errors = 1,
        .input_json = VIEW("{\"u.groups\":[\"staff\"]}"),
        .obligations_json = VIEW("{\"max_age\":60}"),
        .eval_us = 2,
        .instr = 140,
        .eval_bytes = 512,
        .trace_id = VIEW("4bf92f3577b34da6a3ce929d0e0e4736"),
    };
}

static struct record_event typical_event(void)
{
    return (struct record_event){.type = VIEW("login"),
                                 .id = VIEW("01890a5d-ac96-774b-bcce-b302099a8057"),
                                 .now_ms = 1767323045678,
                                 .outcome = VIEW("ok"),
                                 .ip = VIEW("192.0.2.1")};
}

static struct buf line;

static void setup(void)
{
    line = BUF(JOURNAL_LINE_MAX);
}

static void teardown(void)
{
    buf_deinit(&line);
}

/* The line as a reader would see it, the brace that the journal writes included. */
static json_t *parse(void)
{
    ck_assert_uint_le(line.n, BYTES_MAX);
    ck_assert_ptr_null(memchr(line.p, '\n', line.n));
    unsigned char least = 0xff;
    for (size_t i = 0; i < line.n; i++)
        least = (unsigned char)line.p[i] < least ? (unsigned char)line.p[i] : least;
    ck_assert_uint_ge(least, 0x20);
    buf_puts(&line, "}");
    ck_assert(buf_ok(&line));
    json_error_t err;
    json_t *o = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &err);
    ck_assert_msg(json_is_object(o), "%s at %d in %s", err.text, err.position, line.p);
    return o;
}

static json_t *decision_of(const struct record_decision *d)
{
    buf_clear(&line);
    ck_assert_int_eq(record_put_decision(&line, d), GW_OK);
    return parse();
}

static json_t *at(json_t *o, const char *path)
{
    char name[64];
    for (const char *p = path; *p != '\0';) {
        size_t n = strcspn(p, ".");
        snprintf(name, sizeof(name), "%.*s", (int)n, p);
        ck_assert_msg(json_is_object(o), "%s: no object", path);
        o = json_object_get(o, name);
        p += n + (p[n] == '.');
    }
    ck_assert_msg(o != NULL, "%s is missing", path);
    return o;
}

static const char *text_at(json_t *o, const char *path)
{
    const char *text = json_string_value(at(o, path));
    ck_assert_msg(text != NULL, "%s is no text", path);
    return text;
}

static bool is_truncated(json_t *o, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach (json_object_get(o, "truncated"), i, item)
        if (strcmp(json_string_value(item), name) == 0)
            return true;
    return false;
}

START_TEST(has_the_fields_of_the_contract_in_order)
{
    static const char *const names[] = {"v",        "type",    "id",     "ts",    "decision",    "outcome", "reason",  "subject",
                                        "resource", "request", "policy", "input", "obligations", "eval",    "trace_id"};
    struct record_decision d = typical();
    json_t *o = decision_of(&d);
    const char *key;
    json_t *value;
    size_t i = 0;
    json_object_foreach (o, key, value)
        ck_assert_str_eq(key, names[i++]);
    ck_assert_uint_eq(i, sizeof(names) / sizeof(names[0]));
    ck_assert_int_eq(json_integer_value(at(o, "v")), 1);
    ck_assert_str_eq(text_at(o, "type"), "decision");
    ck_assert_str_eq(text_at(o, "ts"), "2026-01-02T03:04:05.678Z");
    ck_assert_str_eq(text_at(o, "reason.code"), "allowed");
    ck_assert_str_eq(text_at(o, "reason.text"), "staff may read");
    ck_assert_str_eq(text_at(o, "subject.iss"), "https://auth.example.org/application/o/repogate/");
    ck_assert_str_eq(text_at(o, "subject.username"), "dora");
    ck_assert_uint_eq(json_array_size(at(o, "subject.groups")), 2);
    ck_assert_str_eq(text_at(o, "subject.via"), "session");
    ck_assert_str_eq(text_at(o, "resource.visibility"), "public");
    ck_assert_str_eq(text_at(o, "request.path"), "/github/acme/site/");
    ck_assert_str_eq(text_at(o, "request.dialect"), "nginx");
    ck_assert_int_eq(json_integer_value(at(o, "policy.line")), 12);
    ck_assert_str_eq(json_string_value(json_array_get(at(o, "policy.matched"), 1)), "owners");
    ck_assert_str_eq(json_string_value(json_array_get(at(o, "policy.errors"), 0)), "10-access.lua:7: attempt to index nil");
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(at(o, "input"), "u.groups"), 0)), "staff");
    ck_assert_int_eq(json_integer_value(at(o, "obligations.max_age")), 60);
    ck_assert_int_eq(json_integer_value(at(o, "eval.instr")), 140);
    ck_assert_str_eq(text_at(o, "trace_id"), "4bf92f3577b34da6a3ce929d0e0e4736");
    json_decref(o);
}
END_TEST

START_TEST(L3_tells_of_a_query_its_length_and_keyed_digest_only)
{
    struct record_decision d = typical();
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_LEN + 1];
    json_t *o = decision_of(&d);
    ck_assert_int_eq(digest_hmac(d.query_key, d.query, digest), GW_OK);
    digest_hex(digest, hex);
    hex[16] = '\0';
    ck_assert_int_eq(json_integer_value(at(o, "request.query_len")), 16);
    ck_assert_str_eq(text_at(o, "request.query_digest"), hex);
    ck_assert_ptr_null(strstr(line.p, "s3cr3t"));
    ck_assert_ptr_null(strstr(line.p, "0123456789abcdef0123456789abcdef"));
    json_decref(o);
}
END_TEST

START_TEST(makes_no_digest_without_a_key)
{
    struct record_decision d = typical();
    d.query_key = VIEW_NONE;
    json_t *o = decision_of(&d);
    ck_assert_int_eq(json_integer_value(at(o, "request.query_len")), 16);
    ck_assert(json_is_null(at(o, "request.query_digest")));
    json_decref(o);
}
END_TEST

START_TEST(tells_an_empty_query_from_none)
{
    struct record_decision d = typical();
    d.query = VIEW("");
    json_t *o = decision_of(&d);
    ck_assert_int_eq(json_integer_value(at(o, "request.query_len")), 0);
    ck_assert(json_is_integer(at(o, "request.query_len")));
    json_decref(o);
    d.query = VIEW_NONE;
    o = decision_of(&d);
    ck_assert(json_is_null(at(o, "request.query_len")));
    ck_assert(json_is_null(at(o, "request.query_digest")));
    json_decref(o);
}
END_TEST

START_TEST(says_null_for_what_is_not_known)
{
    static const char *const nulls[] = {"subject",     "resource", "request.method", "request.ip", "policy.rule",
                                        "policy.line", "input",    "obligations",    "trace_id",   "reason.text"};
    struct record_decision d = {
        .id = VIEW("x"), .decision = VIEW("deny"), .outcome = VIEW("refused"), .reason = VIEW("original_url_missing")};
    json_t *o = decision_of(&d);
    for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
        ck_assert_msg(json_is_null(at(o, nulls[i])), "%s", nulls[i]);
    ck_assert_uint_eq(json_array_size(at(o, "policy.matched")), 0);
    ck_assert_ptr_null(json_object_get(o, "truncated"));
    json_decref(o);
}
END_TEST

/* Every text of a decision, by the place where it comes out. */
struct place {
    const char *path;
    size_t offset;
};
#define PLACE(path, member)                            \
    {                                                  \
        path, offsetof(struct record_decision, member) \
    }
static const struct place places[] = {
    PLACE("id", id),
    PLACE("decision", decision),
    PLACE("outcome", outcome),
    PLACE("reason.code", reason),
    PLACE("reason.text", reason_text),
    PLACE("subject.iss", subject.iss),
    PLACE("subject.uid", subject.uid),
    PLACE("subject.username", subject.username),
    PLACE("subject.via", subject.via),
    PLACE("resource.forge", forge),
    PLACE("resource.owner", owner),
    PLACE("resource.name", name),
    PLACE("resource.visibility", visibility),
    PLACE("request.id", request_id),
    PLACE("request.method", method),
    PLACE("request.host", host),
    PLACE("request.path", path),
    PLACE("request.ip", ip),
    PLACE("request.action", action),
    PLACE("request.dialect", dialect),
    PLACE("policy.revision", revision),
    PLACE("policy.rule", rule),
    PLACE("policy.file", file),
    PLACE("trace_id", trace_id),
};
enum { PLACES = sizeof(places) / sizeof(places[0]) };

static void set_place(struct record_decision *d, size_t i, struct view v)
{
    memcpy((char *)d + places[i].offset, &v, sizeof(v));
}

START_TEST(J2_J3_survives_every_byte_in_every_text)
{
    char text[] = "a?b";
    struct record_decision d = typical();
    text[1] = (char)_i;
    for (size_t i = 0; i < PLACES; i++)
        set_place(&d, i, view_at(text, 3));
    struct view error = view_at(text, 3);
    d.errors = &error;
    json_t *o = decision_of(&d);
    for (size_t i = 0; i < PLACES; i++) {
        json_t *value = at(o, places[i].path);
        if (_i >= 0x80) {
            ck_assert_str_eq(json_string_value(value), "a\xef\xbf\xbd"
                                                       "b");
        } else {
            ck_assert_uint_eq(json_string_length(value), 3);
            ck_assert_mem_eq(json_string_value(value), text, 3);
        }
    }
    ck_assert_uint_eq(json_array_size(at(o, "policy.errors")), 1);
    json_decref(o);
}
END_TEST

static const char *const sequences[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xe2\x80\xa8", "\xef\xbb\xbf"};
static const char *const no_sequences[] = {"\xc0\xaf",     "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
                                           "\xf0\x9f\x98", "\xff\xfe",     "\x80\x80\x80\x80"};

START_TEST(keeps_utf8_and_replaces_what_is_none)
{
    struct record_decision d = typical();
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        d.path = view_of(sequences[i]);
        json_t *o = decision_of(&d);
        ck_assert_str_eq(text_at(o, "request.path"), sequences[i]);
        json_decref(o);
    }
    for (size_t i = 0; i < sizeof(no_sequences) / sizeof(no_sequences[0]); i++) {
        d.path = view_of(no_sequences[i]);
        json_t *o = decision_of(&d);
        ck_assert_ptr_nonnull(strstr(text_at(o, "request.path"), "\xef\xbf\xbd"));
        json_decref(o);
    }
}
END_TEST

/* ---- size ---- */

static const char *const fillers[] = {"x", "\"", "\x01", "\xff", "\xc3\xa4", "\xf0\x9f\x98\x80", "\xf0", "\x80"};
static char large[LARGE];

static struct view large_text(const char *filler)
{
    size_t n = strlen(filler);
    for (size_t i = 0; i + n <= LARGE; i += n)
        memcpy(large + i, filler, n);
    return view_at(large, LARGE / n * n);
}

START_TEST(J3_stays_under_the_cap_when_everything_is_large)
{
    enum { MANY = 100 };
    static const char *many_matched[MANY];
    static struct view many_errors[MANY];
    static char json[LARGE];
    struct record_decision d = typical();
    struct view text = large_text(fillers[_i]);
    static char cstr[5000];
    memcpy(cstr, large, sizeof(cstr) - 1);
    for (size_t i = 0; i < PLACES; i++)
        set_place(&d, i, text);
    for (size_t i = 0; i < MANY; i++) {
        many_matched[i] = cstr;
        many_errors[i] = text;
    }
    memset(json, ' ', sizeof(json));
    json[0] = '{';
    json[sizeof(json) - 1] = '}';
    d.matched = many_matched;
    d.errors = many_errors;
    d.n_matched = d.n_errors = MANY;
    d.subject.groups_json = d.input_json = d.obligations_json = view_at(json, sizeof(json));
    d.query = text;
    d.eval_us = d.instr = d.eval_bytes = INT64_MIN;
    d.line = INT32_MAX;
    json_t *o = decision_of(&d);
    for (size_t i = 0; i < PLACES; i++)
        ck_assert_msg(is_truncated(o, places[i].path), "%s", places[i].path);
    ck_assert(is_truncated(o, "input"));
    ck_assert(is_truncated(o, "obligations"));
    ck_assert(is_truncated(o, "subject.groups"));
    ck_assert(is_truncated(o, "policy.matched"));
    ck_assert(is_truncated(o, "policy.errors"));
    ck_assert(json_is_null(at(o, "input")));
    json_decref(o);
}
END_TEST

START_TEST(cuts_between_characters)
{
    struct record_decision d = typical();
    d.path = large_text(fillers[_i]);
    json_t *o = decision_of(&d);
    const char *path = text_at(o, "request.path");
    ck_assert(is_truncated(o, "request.path"));
    ck_assert_uint_gt(strlen(path), 100);
    ck_assert_uint_eq(strlen(path) % strlen(fillers[_i]), 0);
    ck_assert_ptr_null(strstr(path, "\xef\xbf\xbd"));
    ck_assert_str_eq(text_at(o, "subject.username"), "dora"); /* the others stay whole */
    ck_assert_uint_eq(json_array_size(json_object_get(o, "truncated")), 1);
    json_decref(o);
}
END_TEST

START_TEST(leaves_a_long_text_whole_while_it_fits)
{
    struct record_decision d = typical();
    d.path = view_at(large_text("x").p, 12000);
    json_t *o = decision_of(&d);
    ck_assert_uint_eq(strlen(text_at(o, "request.path")), 12000);
    ck_assert_ptr_null(json_object_get(o, "truncated"));
    json_decref(o);
}
END_TEST

START_TEST(fits_at_every_length_around_the_cap)
{
    struct record_decision d = typical();
    for (size_t n = 14500; n < 15500; n++) {
        d.path = view_at(large_text("x").p, n);
        json_decref(decision_of(&d));
    }
}
END_TEST

START_TEST(leaves_out_json_that_would_break_the_line)
{
    struct record_decision d = typical();
    d.input_json = VIEW("{\"a\":\n1}");
    json_t *o = decision_of(&d);
    ck_assert(json_is_null(at(o, "input")));
    ck_assert(is_truncated(o, "input"));
    json_decref(o);
}
END_TEST

START_TEST(leaves_the_buffer_as_it_was_if_nothing_fits)
{
    struct record_decision d = typical();
    struct record_event e = typical_event();
    struct buf small = BUF(60);
    buf_puts(&small, "before");
    ck_assert_int_eq(record_put_decision(&small, &d), GW_E_LIMIT);
    ck_assert_str_eq(small.p, "before");
    ck_assert_int_eq(record_put_event(&small, &e), GW_E_LIMIT);
    ck_assert_str_eq(small.p, "before");
    ck_assert(buf_ok(&small));
    buf_deinit(&small);
}
END_TEST

/* ---- events ---- */

START_TEST(writes_events)
{
    static const char *const types[] = {"login", "logout", "policy.activated", "policy.rejected", "admin.action"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct record_event e = typical_event();
        e.type = view_of(types[i]);
        e.reason = VIEW("state_stale");
        e.revision = VIEW("0123456789ab");
        e.subject = typical().subject;
        buf_clear(&line);
        ck_assert_int_eq(record_put_event(&line, &e), GW_OK);
        json_t *o = parse();
        ck_assert_str_eq(text_at(o, "type"), types[i]);
        ck_assert_str_eq(text_at(o, "ts"), "2026-01-02T03:04:05.678Z");
        ck_assert_str_eq(text_at(o, "outcome"), "ok");
        ck_assert_str_eq(text_at(o, "reason.code"), "state_stale");
        ck_assert(json_is_null(at(o, "reason.text")));
        ck_assert_str_eq(text_at(o, "subject.username"), "dora");
        ck_assert_str_eq(text_at(o, "request.ip"), "192.0.2.1");
        ck_assert_str_eq(text_at(o, "policy.revision"), "0123456789ab");
        json_decref(o);
    }
}
END_TEST

START_TEST(stays_under_the_cap_when_an_event_is_large)
{
    struct record_event e = typical_event();
    struct view text = large_text("\x01");
    e.type = e.id = e.outcome = e.reason = e.reason_text = e.ip = e.revision = text;
    e.subject = (struct record_subject){.iss = text, .uid = text, .username = text, .via = text, .groups_json = text};
    ck_assert_int_eq(record_put_event(&line, &e), GW_OK);
    json_t *o = parse();
    ck_assert(is_truncated(o, "reason.text"));
    ck_assert(is_truncated(o, "subject.groups"));
    json_decref(o);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record");
    TCase *t = tcase_create("record");
    SRunner *r = srunner_create(s);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, has_the_fields_of_the_contract_in_order);
    tcase_add_test(t, L3_tells_of_a_query_its_length_and_keyed_digest_only);
    tcase_add_test(t, makes_no_digest_without_a_key);
    tcase_add_test(t, tells_an_empty_query_from_none);
    tcase_add_test(t, says_null_for_what_is_not_known);
    tcase_add_loop_test(t, J2_J3_survives_every_byte_in_every_text, 0, 256);
    tcase_add_test(t, keeps_utf8_and_replaces_what_is_none);
    tcase_add_loop_test(t, J3_stays_under_the_cap_when_everything_is_large, 0, sizeof(fillers) / sizeof(fillers[0]));
    tcase_add_loop_test(t, cuts_between_characters, 4, 6);
    tcase_add_test(t, leaves_a_long_text_whole_while_it_fits);
    tcase_add_test(t, fits_at_every_length_around_the_cap);
    tcase_add_test(t, leaves_out_json_that_would_break_the_line);
    tcase_add_test(t, leaves_the_buffer_as_it_was_if_nothing_fits);
    tcase_add_test(t, writes_events);
    tcase_add_test(t, stays_under_the_cap_when_an_event_is_large);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    int n_failed = srunner_ntests_failed(r);
    srunner_free(r);
    return n_failed == 0 ? 0 : 1;
}
