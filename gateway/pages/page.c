#include "pages/page.h"

static void put_text(struct buf *out, const char *element, struct view text)
{
    if (text.n == 0)
        return;
    buf_printf(out, "<%s>", element);
    buf_put_html(out, text);
    buf_printf(out, "</%s>\n", element);
}

static void put_head(struct buf *out, const struct page_frame *f, struct view title)
{
    buf_puts(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    buf_put_html(out, title);
    buf_puts(out, " · Repogate</title>\n<link rel=\"stylesheet\" href=\"" PAGE_STYLE_PATH "\">\n</head>\n<body>\n<header>\n"
                  "<a class=\"brand\" href=\"/\">Repogate</a>\n");
    if (f->username.n > 0) {
        buf_puts(out, "<nav aria-label=\"Account\"><span class=\"who\">");
        buf_put_html(out, f->username);
        buf_puts(out, "</span> <a href=\"/_repogate/logout\">Log out</a></nav>\n");
    }
    buf_puts(out, "</header>\n<main>\n<h1>");
    buf_put_html(out, title);
    buf_puts(out, "</h1>\n");
}

static void put_foot(struct buf *out, const struct page_frame *f)
{
    buf_puts(out, "</main>\n");
    if (f->contact.n > 0) {
        buf_puts(out, "<footer>Questions? ");
        buf_put_html(out, f->contact);
        buf_puts(out, "</footer>\n");
    }
    buf_puts(out, "</body>\n</html>\n");
}

static void put_fact(struct buf *out, const char *name, struct view value)
{
    if (value.n == 0)
        return;
    buf_printf(out, "<dt>%s</dt><dd>", name);
    buf_put_html(out, value);
    buf_puts(out, "</dd>\n");
}

void page_put_problem(struct buf *out, const struct page_frame *f, const struct page_problem *p)
{
    put_head(out, f, p->title);
    put_text(out, "p", p->text);
    if (p->retry_href.n > 0) {
        buf_puts(out, "<p><a class=\"button\" href=\"");
        buf_put_html(out, p->retry_href);
        buf_puts(out, "\">Try again</a></p>\n");
    }
    buf_puts(out, "<dl>\n");
    buf_printf(out, "<dt>Status</dt><dd>%d</dd>\n", p->status);
    put_fact(out, "Reason", p->reason);
    put_fact(out, "Decision", p->decision_id);
    buf_puts(out, "</dl>\n");
    put_foot(out, f);
}

void page_put_denied(struct buf *out, const struct page_frame *f, const struct page_denied *d)
{
    put_head(out, f, VIEW("Access denied"));
    buf_puts(out, "<p>You are logged in as <strong>");
    buf_put_html(out, f->username);
    buf_puts(out, "</strong>, and the policy does not let you open <strong>");
    buf_put_html(out, d->what);
    buf_puts(out, "</strong>.</p>\n");
    if (d->message.n > 0) {
        buf_puts(out, "<p class=\"message\">");
        buf_put_html(out, d->message);
        buf_puts(out, "</p>\n");
    }
    if (d->login_href.n > 0) {
        buf_puts(out, "<p><a class=\"button\" href=\"");
        buf_put_html(out, d->login_href);
        buf_puts(out, "\">Log in again</a></p>\n");
    }
    buf_puts(out, "<p>If you think you should have access, pass on the decision below to ");
    buf_put(out, f->contact.n > 0 ? VIEW("those named at the end of this page.</p>\n")
                                  : VIEW("the people who run this service.</p>\n"));
    buf_puts(out, "<dl>\n");
    put_fact(out, "Reason", d->reason);
    put_fact(out, "Decision", d->decision_id);
    buf_puts(out, "</dl>\n<p><a class=\"button\" href=\"/\">Open another repository</a></p>\n");
    put_foot(out, f);
}

void page_put_logout(struct buf *out, const struct page_frame *f, bool has_everywhere)
{
    put_head(out, f, VIEW("Log out"));
    buf_puts(out, "<p>You are logged in as <strong>");
    buf_put_html(out, f->username);
    buf_puts(out, "</strong>.</p>\n<form method=\"post\" action=\"/_repogate/logout\"><button>Log out here</button></form>\n");
    if (has_everywhere)
        buf_puts(out,
                 "<form method=\"post\" action=\"/_repogate/logout\"><input type=\"hidden\" name=\"everywhere\" value=\"1\">"
                 "<button class=\"quiet\">Log out of the identity provider too</button></form>\n"
                 "<p class=\"small\">Logging out here alone lets the identity provider log you in again without asking.</p>\n");
    put_foot(out, f);
}

void page_put_signed_out(struct buf *out, const struct page_frame *f, bool is_everywhere)
{
    put_head(out, f, VIEW("Signed out"));
    if (is_everywhere)
        buf_puts(out, "<p>You are logged out here and of the identity provider.</p>\n");
    else
        buf_puts(out, "<p>You are not logged in here.</p>\n"
                      "<p class=\"small\">The identity provider may still know you, and log you in again without asking.</p>\n");
    buf_puts(out, "<p><a class=\"button\" href=\"/_repogate/login\">Log in</a></p>\n");
    put_foot(out, f);
}

static void put_forge_choice(struct buf *out, const struct page_portal *p)
{
    if (p->n_forges < 2)
        return;
    buf_puts(out, "<label for=\"forge\">Forge</label>\n<select id=\"forge\" name=\"forge\">\n");
    for (size_t i = 0; i < p->n_forges; i++) {
        buf_puts(out, "<option>");
        buf_put_html(out, view_of(p->forges[i]));
        buf_puts(out, "</option>\n");
    }
    buf_puts(out, "</select>\n");
}

void page_put_portal(struct buf *out, const struct page_frame *f, const struct page_portal *p)
{
    put_head(out, f, VIEW("Open a repository"));
    buf_puts(out, "<form method=\"get\" action=\"/_repogate/open\">\n");
    if (p->is_invalid)
        buf_puts(
            out,
            "<p id=\"problem\" class=\"problem\" role=\"alert\">That is not a repository. Write <code>owner/name</code>, or paste its link.</p>\n");
    put_forge_choice(out, p);
    buf_puts(
        out,
        "<label for=\"repo\">Repository</label>\n"
        "<input id=\"repo\" name=\"repo\" required autofocus autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\" "
        "placeholder=\"acme/site\" maxlength=\"400\"");
    if (p->is_invalid)
        buf_puts(out, " aria-invalid=\"true\" aria-describedby=\"problem\"");
    buf_puts(out, " value=\"");
    buf_put_html(out, p->entered);
    buf_puts(out, "\">\n<button>Open</button>\n</form>\n");
    put_foot(out, f);
}
