#include "pages/page.h"

#include "support.h"

#include <string.h>

/* Every byte that means something in HTML, in ways that would end an attribute, an element, a title or a comment. */
static const char hostile[] = "</title><script>alert(1)</script>\"' onx='1' x=\"&amp;--> <img src=x>";

static const struct page_frame frame = {
    {hostile, sizeof(hostile) - 1}, true, {hostile, sizeof(hostile) - 1}, {hostile, sizeof(hostile) - 1}};
static const struct view bad = {hostile, sizeof(hostile) - 1};

static void put_problem(struct buf *out)
{
    page_put_problem(out, &frame, &(struct page_problem){503, bad, bad, bad, bad, bad});
}

static void put_denied(struct buf *out)
{
    page_put_denied(out, &frame, &(struct page_denied){bad, bad, bad, bad, bad, bad});
}

static void put_logout(struct buf *out)
{
    page_put_logout(out, &frame, true);
}

static void put_signed_out(struct buf *out)
{
    page_put_signed_out(out, &frame, false);
}

static void put_portal(struct buf *out)
{
    static const char *const forges[] = {hostile, "github"};
    page_put_portal(out, &frame, &(struct page_portal){forges, 2, bad, true});
}

static void put_bare_problem(struct buf *out)
{
    page_put_problem(out, &(struct page_frame){.product = VIEW("Repogate")},
                     &(struct page_problem){.status = 404, .title = VIEW("Nothing here")});
}

static void put_bare_denied(struct buf *out)
{
    page_put_denied(out, &(struct page_frame){.product = VIEW("Repogate")},
                    &(struct page_denied){.what = VIEW("github:acme/site")});
}

static void put_bare_portal(struct buf *out)
{
    static const char *const forges[] = {"github"};
    page_put_portal(out, &(struct page_frame){.product = VIEW("Repogate")}, &(struct page_portal){forges, 1, VIEW_NONE, false});
}

static const struct {
    void (*put)(struct buf *out);
    size_t n_hostile; /* fields that are shown, the title twice */
} pages[] = {
    {put_problem, 4 + 2 + 4}, {put_denied, 4 + 1 + 6}, {put_logout, 4 + 1},  {put_signed_out, 4},
    {put_portal, 4 + 2},      {put_bare_problem, 0},   {put_bare_denied, 0}, {put_bare_portal, 0},
};

enum { N_PAGES = sizeof(pages) / sizeof(pages[0]), DEPTH_MAX = 16 };

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *p = strstr(text, part); p != NULL; p = strstr(p + 1, part))
        n++;
    return n;
}

START_TEST(J1_J7_shows_hostile_text_in_every_field_as_text_only)
{
    struct buf out = BUF(PAGE_MAX_BYTES), escaped = BUF(PAGE_MAX_BYTES);
    pages[_i].put(&out);
    buf_put_html(&escaped, bad);
    ck_assert(buf_ok(&out) && buf_ok(&escaped));
    ck_assert_ptr_null(strstr(out.p, "<script"));
    ck_assert_ptr_null(strstr(out.p, "<img src"));
    ck_assert_ptr_null(strstr(out.p, "onx='"));
    ck_assert_uint_eq(count(out.p, escaped.p), pages[_i].n_hostile);
    ck_assert_uint_eq(count(out.p, "alert(1)"), pages[_i].n_hostile);
    buf_deinit(&out);
    buf_deinit(&escaped);
}
END_TEST

static bool is_void(struct view name)
{
    return view_eq(name, VIEW("meta")) || view_eq(name, VIEW("link")) || view_eq(name, VIEW("input")) ||
           view_eq(name, VIEW("img")) || view_eq(name, VIEW("!doctype"));
}

/* The end of the tag that begins at p: the first > outside of quotes. */
static const char *tag_end(const char *p)
{
    bool is_quoted = false;
    for (; *p != '\0' && (is_quoted || *p != '>'); p++)
        is_quoted ^= *p == '"';
    ck_assert_msg(*p == '>', "a tag does not end");
    return p;
}

START_TEST(closes_every_element_in_order)
{
    struct view open[DEPTH_MAX];
    size_t depth = 0;
    struct buf out = BUF(PAGE_MAX_BYTES);
    pages[_i].put(&out);
    ck_assert(buf_ok(&out));
    for (const char *p = strchr(out.p, '<'); p != NULL; p = strchr(p, '<')) {
        const char *end = tag_end(p);
        bool is_closing = p[1] == '/';
        const char *name = p + 1 + is_closing;
        struct view tag = view_at(name, strcspn(name, " >"));
        if (is_closing)
            ck_assert_msg(depth > 0 && view_eq(open[--depth], tag), "</%.*s> closes something else", VIEW_FMT(tag));
        else if (!is_void(tag)) {
            ck_assert_uint_lt(depth, DEPTH_MAX);
            open[depth++] = tag;
        }
        p = end;
    }
    ck_assert_uint_eq(depth, 0);
    buf_deinit(&out);
}
END_TEST

/* The Content-Security-Policy would stop them; a page that needs them would be broken. */
START_TEST(J1_needs_no_script_and_no_inline_style)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    pages[_i].put(&out);
    ck_assert(buf_ok(&out));
    ck_assert(view_starts(buf_view(&out), VIEW("<!doctype html>\n")));
    ck_assert_uint_eq(count(out.p, "<h1>"), 1);
    ck_assert_uint_eq(count(out.p, " style="), 0);
    ck_assert_uint_eq(count(out.p, "<style"), 0);
    ck_assert_uint_eq(count(out.p, PAGE_STYLE_PATH), 1);
    buf_deinit(&out);
}
END_TEST

START_TEST(leaves_out_what_is_empty)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    put_bare_problem(&out);
    ck_assert(buf_ok(&out));
    ck_assert_uint_eq(count(out.p, "<footer"), 0);
    ck_assert_uint_eq(count(out.p, "<nav"), 0);
    ck_assert_uint_eq(count(out.p, "Try again"), 0);
    ck_assert_uint_eq(count(out.p, "Decision"), 0);
    buf_deinit(&out);
}
END_TEST

START_TEST(offers_the_forge_only_where_there_is_a_choice)
{
    struct buf one = BUF(PAGE_MAX_BYTES), two = BUF(PAGE_MAX_BYTES);
    put_bare_portal(&one);
    put_portal(&two);
    ck_assert_uint_eq(count(one.p, "<select"), 0);
    ck_assert_uint_eq(count(two.p, "<option>"), 2);
    buf_deinit(&one);
    buf_deinit(&two);
}
END_TEST

START_TEST(has_a_stylesheet_with_light_and_dark)
{
    struct view style = page_style();
    ck_assert(style.n > 0);
    ck_assert(view_contains(style, VIEW("prefers-color-scheme")) || view_contains(style, VIEW("light dark")));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("page");
    TCase *t = tcase_create("page");
    tcase_add_loop_test(t, J1_J7_shows_hostile_text_in_every_field_as_text_only, 0, N_PAGES);
    tcase_add_loop_test(t, closes_every_element_in_order, 0, N_PAGES);
    tcase_add_loop_test(t, J1_needs_no_script_and_no_inline_style, 0, N_PAGES);
    tcase_add_test(t, leaves_out_what_is_empty);
    tcase_add_test(t, offers_the_forge_only_where_there_is_a_choice);
    tcase_add_test(t, has_a_stylesheet_with_light_and_dark);
    suite_add_tcase(s, t);
    return support_run(s);
}
