#include "workspace/fixed.h"

#include "support.h"

static struct arena arena;
static const struct forge github = {.name = "github", .kind = FORGE_GITHUB, .url = "https://github.com"};
static const struct repo site = {.forge = &github, .owner = "acme", .name = "site", .full = "github:acme/site"};
static const struct repo nested = {.forge = &github, .owner = "a/b", .name = "c.d", .full = "github:a/b/c.d"};

static struct principal *person(const char *sub, const char *username)
{
    struct buf claims = BUF(65536), json = BUF(65536);
    struct principal *p = NULL;
    buf_puts(&json, "{\"iss\":\"https://idp/\",\"sub\":");
    buf_put_json(&json, view_of(sub));
    buf_puts(&json, ",\"groups\":[],\"preferred_username\":");
    buf_put_json(&json, view_of(username));
    buf_puts(&json, "}");
    ck_assert_int_eq(pack_parse(buf_view(&json), &claims), GW_OK);
    ck_assert_int_eq(principal_new(pack_root(claims.p), PRINCIPAL_SESSION, false, &p), GW_OK);
    buf_deinit(&json);
    buf_deinit(&claims);
    return p;
}

static void set_up(void)
{
    arena = ARENA(65536);
}

static void tear_down(void)
{
    arena_deinit(&arena);
}

static enum gw_err route(const char *url, const char *host, const struct repo *repo, const char *username,
                         struct driver_route *ret)
{
    struct driver *d = NULL;
    char why[256] = "";
    struct principal *p = person("u-1", username);
    ck_assert_msg(fixed_new(url, host, &d, why, sizeof(why)) == GW_OK, "%s: %s", url, why);
    struct driver_route r = {0};
    enum gw_err err = driver_route(d, &(struct driver_ask){repo, p}, &arena, &r);
    if (err == GW_OK)
        *ret = (struct driver_route){arena_copy(&arena, r.address), arena_copy(&arena, r.host), arena_copy(&arena, r.base_path)};
    driver_free(d);
    principal_unref(p);
    return err;
}

/* SHA-256("https://idp/" NUL "u-1" NUL "github:acme/site"), reckoned with another program */
#define ID "ws-4f91fcabe2033a8d723e"

static const struct {
    const char *url, *host, *address, *sent_host, *base;
} routes[] = {
    {"http://127.0.0.1:5800", "", "127.0.0.1:5800", "127.0.0.1:5800", ""},
    {"http://127.0.0.1:5800/", NULL, "127.0.0.1:5800", "127.0.0.1:5800", ""},
    {"http://ws.internal", "", "ws.internal:80", "ws.internal", ""},
    {"http://[::1]:8080/base/", "", "[::1]:8080", "[::1]:8080", "/base"},
    {"http://[::1]", "", "[::1]:80", "[::1]", ""},
    {"http://kourier.knative:80/", "demo.default.example.com", "kourier.knative:80", "demo.default.example.com", ""},
    {"http://ws/{forge}/{owner}/{name}/u/{user}", "", "ws:80", "ws", "/github/acme/site/u/dora"},
    {"http://ws/{user}/{user}/", "", "ws:80", "ws", "/dora/dora"},
    {"http://{id}.ws.svc:8443/x", "", ID ".ws.svc:8443", ID ".ws.svc:8443", "/x"},
    {"http://{id}", "", ID ":80", ID, ""},
    {"http://a.{id}.b/{name}", "h:81", "a." ID ".b:80", "h:81", "/site"},
};

START_TEST(routes_as_the_template_says)
{
    struct driver_route r;
    ck_assert_int_eq(route(routes[_i].url, routes[_i].host, &site, "dora", &r), GW_OK);
    ck_view_eq(r.address, routes[_i].address);
    ck_view_eq(r.host, routes[_i].sent_host);
    ck_view_eq(r.base_path, routes[_i].base);
}
END_TEST

START_TEST(D5_J5_fills_in_percent_encoded_segments)
{
    struct driver_route r;
    ck_assert_int_eq(route("http://ws/{owner}/{name}/{user}/", "", &nested, "d\xc3\xb6 ra?#%", &r), GW_OK);
    ck_view_eq(r.base_path, "/a%2Fb/c.d/d%C3%B6%20ra%3F%23%25");
}
END_TEST

static const char *const climbers[] = {"..",   ".",  "",   "a/../b", "../a",   "a/..",  "a\\..\\b",
                                       "a//b", "/a", "a/", "..;x",   "%2e%2e", "a/%2e."};

START_TEST(B13_D5_routes_nobody_whose_name_climbs)
{
    struct driver_route r;
    ck_assert_msg(route("http://ws/{user}/", "", &site, climbers[_i], &r) == GW_E_INVALID, "%s", climbers[_i]);
}
END_TEST

static const char *const bad_urls[] = {
    "",
    "ws",
    "ws:80",
    "//ws",
    "ftp://ws",
    "HTTP://ws",
    "https://ws",
    "http://",
    "http:///x",
    "http://u@ws",
    "http://u:p@ws/",
    "http://ws:0",
    "http://ws:65536",
    "http://ws:x",
    "http://ws?x",
    "http://ws/?x",
    "http://ws/#x",
    "http://ws/a b",
    "http://ws/a\\b",
    "http://ws/%zz",
    "http://ws//a",
    "http://ws/a//b",
    "http://ws/a/../b",
    "http://ws/./b",
    "http://ws/%2e%2e/b",
    "http://ws/{id}",
    "http://ws/x{name}",
    "http://ws/{name}x",
    "http://ws/{what}",
    "http://ws/{name",
    "http://ws/name}",
    "http://ws/{Name}",
    "http://ws/{}",
    "http://{name}.ws",
    "http://{user}",
    "http://x{id}.ws",
    "http://{id}x.ws",
    "http://{id}.{id}.ws",
    "http://ws:{id}",
    "http://u{id}@ws",
    "http://{id}@ws",
    "http://ws}",
    "http://w s",
    "http://[::1",
    "http://ws/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30/31/32/33",
};

START_TEST(D5_refuses_another_template_with_a_reason)
{
    struct driver *d = NULL;
    char why[256] = "";
    ck_assert_msg(fixed_new(bad_urls[_i], "", &d, why, sizeof(why)) == GW_E_INVALID, "%s", bad_urls[_i]);
    ck_assert_ptr_null(d);
    ck_assert_str_ne(why, "");
}
END_TEST

START_TEST(says_that_https_is_not_supported)
{
    struct driver *d = NULL;
    char why[256] = "";
    ck_assert_int_eq(fixed_new("https://ws/", "", &d, why, sizeof(why)), GW_E_INVALID);
    ck_assert_ptr_nonnull(strstr(why, "https"));
}
END_TEST

START_TEST(refuses_a_host_that_is_none)
{
    static const char *const hosts[] = {"a b", "a/b", "http://a", "u@a", "a:", "a:99999", "a\r\nb", "{id}.x"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct driver *d = NULL;
        char why[256] = "";
        ck_assert_msg(fixed_new("http://ws", hosts[i], &d, why, sizeof(why)) == GW_E_INVALID, "%s", hosts[i]);
        ck_assert_str_ne(why, "");
    }
}
END_TEST

START_TEST(gives_each_person_and_repository_an_id_of_its_own)
{
    struct principal *a = person("u-1", "x"), *b = person("u-2", "x"), *same = person("u-1", "renamed");
    char ids[4][DRIVER_ID_LEN + 1];
    ck_assert_int_eq(driver_format_id(&(struct driver_ask){&site, a}, ids[0]), GW_OK);
    ck_assert_int_eq(driver_format_id(&(struct driver_ask){&site, b}, ids[1]), GW_OK);
    ck_assert_int_eq(driver_format_id(&(struct driver_ask){&nested, a}, ids[2]), GW_OK);
    ck_assert_int_eq(driver_format_id(&(struct driver_ask){&site, same}, ids[3]), GW_OK);
    ck_assert_str_eq(ids[0], ID);
    ck_assert_str_ne(ids[0], ids[1]);
    ck_assert_str_ne(ids[0], ids[2]);
    ck_assert_str_eq(ids[0], ids[3]);
    principal_unref(a);
    principal_unref(b);
    principal_unref(same);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("fixed");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, routes_as_the_template_says, 0, COUNT(routes));
    tcase_add_test(t, D5_J5_fills_in_percent_encoded_segments);
    tcase_add_loop_test(t, B13_D5_routes_nobody_whose_name_climbs, 0, COUNT(climbers));
    tcase_add_loop_test(t, D5_refuses_another_template_with_a_reason, 0, COUNT(bad_urls));
    tcase_add_test(t, says_that_https_is_not_supported);
    tcase_add_test(t, refuses_a_host_that_is_none);
    tcase_add_test(t, gives_each_person_and_repository_an_id_of_its_own);
    suite_add_tcase(s, t);
    return support_run(s);
}
