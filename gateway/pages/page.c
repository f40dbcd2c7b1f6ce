#include "pages/page.h"

static void put_words(struct buf *out, enum text_id id)
{
    buf_put_html(out, view_of(text_of(id)));
}

/* <element attributes>words</element> */
static void put_element(struct buf *out, const char *element, const char *attributes, enum text_id id)
{
    buf_printf(out, "<%s%s>", element, attributes);
    put_words(out, id);
    buf_printf(out, "</%s>\n", element);
}

static void put_text(struct buf *out, const char *element, struct view words)
{
    if (words.n == 0)
        return;
    buf_printf(out, "<%s>", element);
    buf_put_html(out, words);
    buf_printf(out, "</%s>\n", element);
}

static void put_strong(struct buf *out, struct view words)
{
    buf_puts(out, "<strong>");
    buf_put_html(out, words);
    buf_puts(out, "</strong>");
}

static void put_button(struct buf *out, struct view href, enum text_id id)
{
    buf_puts(out, "<p><a class=\"button\" href=\"");
    buf_put_html(out, href);
    buf_puts(out, "\">");
    put_words(out, id);
    buf_puts(out, "</a></p>\n");
}

static void put_head(struct buf *out, const struct page_frame *f, struct view title)
{
    buf_puts(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    buf_put_html(out, title);
    buf_puts(out, " · ");
    buf_put_html(out, f->product);
    buf_puts(out, "</title>\n<link rel=\"stylesheet\" href=\"" PAGE_STYLE_PATH "\">\n</head>\n<body>\n<header>\n"
                  "<a class=\"brand\" href=\"/\">");
    if (f->has_logo)
        buf_puts(out, "<img class=\"logo\" src=\"" PAGE_LOGO_PATH "\" alt=\"\"> ");
    buf_put_html(out, f->product);
    buf_puts(out, "</a>\n");
    if (f->username.n > 0) {
        buf_puts(out, "<nav aria-label=\"");
        put_words(out, TEXT_ACCOUNT);
        buf_puts(out, "\"><span class=\"who\">");
        buf_put_html(out, f->username);
        buf_puts(out, "</span> <a href=\"/_repogate/logout\">");
        put_words(out, TEXT_LOG_OUT);
        buf_puts(out, "</a></nav>\n");
    }
    buf_puts(out, "</header>\n<main>\n<h1>");
    buf_put_html(out, title);
    buf_puts(out, "</h1>\n");
}

static void put_foot(struct buf *out, const struct page_frame *f)
{
    buf_puts(out, "</main>\n");
    if (f->contact.n > 0) {
        buf_puts(out, "<footer>");
        put_words(out, TEXT_QUESTIONS);
        buf_put_html(out, f->contact);
        buf_puts(out, "</footer>\n");
    }
    buf_puts(out, "</body>\n</html>\n");
}

static void put_fact(struct buf *out, enum text_id name, struct view value)
{
    if (value.n == 0)
        return;
    buf_printf(out, "<dt>%s</dt><dd>", text_of(name));
    buf_put_html(out, value);
    buf_puts(out, "</dd>\n");
}

void page_put_problem(struct buf *out, const struct page_frame *f, const struct page_problem *p)
{
    put_head(out, f, p->title);
    put_text(out, "p", p->text);
    if (p->retry_href.n > 0)
        put_button(out, p->retry_href, TEXT_TRY_AGAIN);
    buf_puts(out, "<dl>\n");
    buf_printf(out, "<dt>%s</dt><dd>%d</dd>\n", text_of(TEXT_STATUS), p->status);
    put_fact(out, TEXT_REASON, p->reason);
    put_fact(out, TEXT_DECISION, p->decision_id);
    buf_puts(out, "</dl>\n");
    put_foot(out, f);
}

/* A form, since it ends the session: a link could be clicked for somebody (handlers/logout). */
static void put_switch(struct buf *out, struct view target)
{
    buf_puts(out, "<form method=\"post\" action=\"/_repogate/logout\"><input type=\"hidden\" name=\"switch\" value=\"");
    buf_put_html(out, target);
    buf_puts(out, "\">");
    put_element(out, "button", " class=\"quiet\"", TEXT_SWITCH);
    buf_puts(out, "</form>\n");
}

void page_put_denied(struct buf *out, const struct page_frame *f, const struct page_denied *d)
{
    put_head(out, f, view_of(text_of(TEXT_ACCESS_DENIED)));
    buf_puts(out, "<p>");
    put_words(out, TEXT_YOU_ARE);
    put_strong(out, f->username);
    put_words(out, TEXT_MAY_NOT_OPEN);
    put_strong(out, d->what);
    buf_puts(out, ".</p>\n");
    if (d->message.n > 0) {
        buf_puts(out, "<p class=\"message\">");
        buf_put_html(out, d->message);
        buf_puts(out, "</p>\n");
    }
    if (d->login_href.n > 0)
        put_button(out, d->login_href, TEXT_LOG_IN_AGAIN);
    buf_puts(out, "<p>");
    put_words(out, TEXT_PASS_ON_TO);
    put_words(out, f->contact.n > 0 ? TEXT_THOSE_AT_THE_END : TEXT_THE_OPERATORS);
    buf_puts(out, "</p>\n<dl>\n");
    put_fact(out, TEXT_REASON, d->reason);
    put_fact(out, TEXT_DECISION, d->decision_id);
    buf_puts(out, "</dl>\n");
    put_button(out, VIEW("/"), TEXT_OPEN_ANOTHER);
    if (d->target.n > 0)
        put_switch(out, d->target);
    put_foot(out, f);
}

void page_put_logout(struct buf *out, const struct page_frame *f, bool has_everywhere)
{
    put_head(out, f, view_of(text_of(TEXT_LOG_OUT)));
    buf_puts(out, "<p>");
    put_words(out, TEXT_YOU_ARE);
    put_strong(out, f->username);
    buf_puts(out, ".</p>\n<form method=\"post\" action=\"/_repogate/logout\">");
    put_element(out, "button", "", TEXT_LOG_OUT_HERE);
    buf_puts(out, "</form>\n");
    if (has_everywhere) {
        buf_puts(out,
                 "<form method=\"post\" action=\"/_repogate/logout\"><input type=\"hidden\" name=\"everywhere\" value=\"1\">");
        put_element(out, "button", " class=\"quiet\"", TEXT_LOG_OUT_EVERYWHERE);
        buf_puts(out, "</form>\n");
        put_element(out, "p", " class=\"small\"", TEXT_LOG_OUT_HERE_ONLY);
    }
    put_foot(out, f);
}

void page_put_signed_out(struct buf *out, const struct page_frame *f, bool is_everywhere)
{
    put_head(out, f, view_of(text_of(TEXT_SIGNED_OUT)));
    put_element(out, "p", "", is_everywhere ? TEXT_SIGNED_OUT_EVERYWHERE : TEXT_SIGNED_OUT_HERE);
    if (!is_everywhere)
        put_element(out, "p", " class=\"small\"", TEXT_PROVIDER_MAY_KNOW);
    put_button(out, VIEW("/_repogate/login"), TEXT_LOG_IN);
    put_foot(out, f);
}

static void put_forge_choice(struct buf *out, const struct page_portal *p)
{
    if (p->n_forges < 2)
        return;
    put_element(out, "label", " for=\"forge\"", TEXT_FORGE);
    buf_puts(out, "<select id=\"forge\" name=\"forge\">\n");
    for (size_t i = 0; i < p->n_forges; i++) {
        buf_puts(out, "<option>");
        buf_put_html(out, view_of(p->forges[i]));
        buf_puts(out, "</option>\n");
    }
    buf_puts(out, "</select>\n");
}

void page_put_portal(struct buf *out, const struct page_frame *f, const struct page_portal *p)
{
    put_head(out, f, view_of(text_of(TEXT_OPEN_A_REPOSITORY)));
    buf_puts(out, "<form method=\"get\" action=\"/_repogate/open\">\n");
    if (p->is_invalid)
        put_element(out, "p", " id=\"problem\" class=\"problem\" role=\"alert\"", TEXT_NO_REPOSITORY);
    put_forge_choice(out, p);
    put_element(out, "label", " for=\"repo\"", TEXT_REPOSITORY);
    buf_puts(
        out,
        "<input id=\"repo\" name=\"repo\" required autofocus autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\" "
        "placeholder=\"acme/site\" maxlength=\"400\"");
    if (p->is_invalid)
        buf_puts(out, " aria-invalid=\"true\" aria-describedby=\"problem\"");
    buf_puts(out, " value=\"");
    buf_put_html(out, p->entered);
    buf_puts(out, "\">\n");
    put_element(out, "button", "", TEXT_OPEN);
    buf_puts(out, "</form>\n");
    put_foot(out, f);
}
