#include "support.h"
#include "util/meter.h"

#include <stdio.h>

START_TEST(counts_and_shows_prometheus_text)
{
    struct buf out = BUF(256 * 1024);
    meter_inc(METER_REQUESTS);
    meter_add(METER_REQUESTS, 2);
    meter_add(METER_TUNNELS_OPEN, -1);
    ck_assert_int_eq(meter_value(METER_REQUESTS), 3);
    meter_format(&out);
    ck_assert(view_contains(buf_view(&out), VIEW("# TYPE repogate_requests_total counter\nrepogate_requests_total 3\n")));
    ck_assert(view_contains(buf_view(&out), VIEW("repogate_websockets_open -1\n")));
    ck_assert(view_contains(buf_view(&out), VIEW("repogate_decisions_total{outcome=\"allow\"} 0\n")));
    buf_deinit(&out);
}
END_TEST

START_TEST(readme_shows_the_table_as_it_is)
{
    static char text[256 * 1024];
    struct buf out = BUF(256 * 1024);
    FILE *f = fopen("README.md", "r");
    ck_assert_msg(f != NULL, "README.md cannot be read: run from the root");
    size_t n = fread(text, 1, sizeof(text), f);
    fclose(f);
    buf_puts(&out, "<!-- metrics:begin -->\n");
    meter_format_markdown(&out);
    buf_puts(&out, "<!-- metrics:end -->\n");
    ck_assert_msg(view_contains(view_at(text, n), buf_view(&out)),
                  "the README's metrics are out of date: run scripts/readme-tables");
    buf_deinit(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("meter");
    TCase *t = tcase_create("meter");
    tcase_add_test(t, counts_and_shows_prometheus_text);
    tcase_add_test(t, readme_shows_the_table_as_it_is);
    suite_add_tcase(s, t);
    return support_run(s);
}
