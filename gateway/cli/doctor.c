#include "cli/doctor.h"

#include "cli/doctorcures.h"
#include "cli/doctorrun.h"
#include "cli/usage.h"
#include "util/cleanup.h"
#include "util/secret.h"
#include "util/uri.h"

#include <stdio.h>

static const char usage[] =
    "usage: repogate doctor URL --token-file FILE [--ca-file FILE] [--json]\n"
    "\n"
    "Sends forged, aliased, repeated and ambiguous requests through the deployed front door at URL (the\n"
    "gateway's server.public_url) and says for each check: safe; OPEN, with the request that went through and\n"
    "the lines to change in the proxy's configuration; or can't tell. Harmless: about 150 small requests to\n"
    "that host alone, none of which changes anything; each is in the audit log.\n"
    "\n"
    "The gateway needs doctor.enabled: true, and a policy must let the token's owner see the echo:\n"
    "    allow \"operators: the doctor's echo\" { groups = {\"operators\"}, paths = {\"/_repogate/echo/**\"} }\n"
    "\n"
    "  --token-file FILE  a bearer token of such a person or program; sent to URL only, never shown\n"
    "  --ca-file FILE     the authorities (PEM) to trust for https, instead of the system's\n"
    "  --json             one JSON object\n"
    "  --help             this text\n"
    "\n"
    "Exit: 0 all is safe, 1 something is open, 2 wrong usage, 3 something could not be told.\n";

enum { OUTPUT_MAX = 1024 * 1024, INDENT = 12, TITLE_COLUMN = 18 };

struct report {
    struct doctor *doctor;
    bool is_json;
    size_t n_safe, n_open, n_unknown;
    struct buf out; /* of JSON: printed at the end, whole or not at all */
};

/* ---- which proxy ---- */

/* By the way in which it asks, or by the Server header of its answers; DOCTOR_PROXIES if neither tells. */
static enum doctor_proxy guess_proxy(const struct seen *s)
{
    static const struct {
        struct view text;
        enum doctor_proxy proxy;
    } names[] = {{{"nginx", 5}, DOCTOR_NGINX},
                 {{"openresty", 9}, DOCTOR_NGINX},
                 {{"Caddy", 5}, DOCTOR_CADDY},
                 {{"envoy", 5}, DOCTOR_ENVOY}};
    for (size_t i = 0; i < DOCTOR_PROXIES; i++)
        if (view_contains(s->judged.dialect, view_of(doctorcures_proxy_name((enum doctor_proxy)i))))
            return (enum doctor_proxy)i;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (view_contains(s->server, names[i].text))
            return names[i].proxy;
    return DOCTOR_PROXIES;
}

/* NULL: none to show. */
static const char *cure_of(const struct report *rep, const struct doctor_check *c, size_t proxy)
{
    enum doctor_proxy known = guess_proxy(rep->doctor->baseline);
    return known == DOCTOR_PROXIES || known == proxy ? doctorcures_find(c->id, (enum doctor_proxy)proxy) : NULL;
}

/* ---- why the echo cannot be seen ---- */

static const char *echo_advice(const struct seen *s)
{
    if (view_eq(s->reason, VIEW("not_found")) || view_eq(s->reason, VIEW("own_path")))
        return "the gateway has no echo: set doctor.enabled: true and restart it";
    if (s->status == 401)
        return "the token is not accepted: is it an access token for this gateway, and still valid?";
    if (s->status == 403 && s->reason.n > 0)
        return "the policy does not let the token's owner see the echo: repogate doctor --help shows a rule";
    if (s->status == 400)
        return "the gateway does not understand the request: is URL its server.public_url, and does the proxy pass Host on?";
    if (s->status >= 300 && s->status < 400)
        return "redirected: is this the address that browsers use, with its scheme?";
    return "something else answers: the proxy must route /_repogate/echo/ as it routes a workspace";
}

/* ---- text ---- */

static const char *const verdict_words[] = {"can't tell", "safe", "OPEN"}, *const verdict_names[] = {"unknown", "safe", "open"};

static void print_indented(const char *label, struct view text)
{
    printf("%*s%s\n", INDENT, "", label);
    while (text.n > 0) {
        struct view line = view_split(&text, '\n');
        if (line.n > 0)
            printf("%*s  %.*s\n", INDENT, "", VIEW_FMT(line));
    }
}

static void print_result(const struct report *rep, const struct doctor_check *c, const struct doctor_result *r)
{
    printf("%-*s%-*s%s\n", INDENT, verdict_words[r->verdict], TITLE_COLUMN, c->id, c->title);
    if (r->verdict == VERDICT_SAFE)
        return;
    printf("%*s%s\n", INDENT, "", r->why);
    if (c == &doctorchecks[0] && r->verdict == VERDICT_UNKNOWN)
        printf("%*s%s\n", INDENT, "", echo_advice(rep->doctor->baseline));
    if (r->verdict != VERDICT_OPEN)
        return;
    print_indented("the request:", buf_view(&r->request));
    for (size_t i = 0; i < DOCTOR_PROXIES; i++) {
        char label[64];
        snprintf(label, sizeof(label), "to change, for %s:", doctorcures_proxy_name((enum doctor_proxy)i));
        const char *cure = cure_of(rep, c, i);
        if (cure != NULL)
            print_indented(label, view_of(cure));
    }
}

static void print_summary(const struct report *rep)
{
    printf("%s: %zu safe, %zu open, %zu could not be told\n", rep->doctor->url, rep->n_safe, rep->n_open, rep->n_unknown);
}

/* ---- JSON ---- */

static void put_threats(struct buf *out, struct view threats)
{
    buf_puts(out, "[");
    for (bool is_first = true; threats.n > 0; is_first = false) {
        if (!is_first)
            buf_puts(out, ",");
        buf_put_json(out, view_split(&threats, ' '));
    }
    buf_puts(out, "]");
}

static void put_cures(const struct report *rep, struct buf *out, const struct doctor_check *c)
{
    bool is_first = true;
    buf_puts(out, ",\"cures\":{");
    for (size_t i = 0; i < DOCTOR_PROXIES; i++) {
        const char *cure = cure_of(rep, c, i);
        if (cure == NULL)
            continue;
        if (!is_first)
            buf_puts(out, ",");
        is_first = false;
        buf_put_json(out, view_of(doctorcures_proxy_name((enum doctor_proxy)i)));
        buf_puts(out, ":");
        buf_put_json(out, view_of(cure));
    }
    buf_puts(out, "}");
}

static void put_result(struct report *rep, const struct doctor_check *c, const struct doctor_result *r)
{
    struct buf *out = &rep->out;
    buf_put(out, c == &doctorchecks[0] ? VIEW("{\"id\":") : VIEW(",{\"id\":"));
    buf_put_json(out, view_of(c->id));
    buf_puts(out, ",\"threats\":");
    put_threats(out, view_of(c->threats));
    buf_puts(out, ",\"title\":");
    buf_put_json(out, view_of(c->title));
    buf_printf(out, ",\"verdict\":\"%s\",\"detail\":", verdict_names[r->verdict]);
    buf_put_json(out, view_of(r->why));
    if (r->verdict == VERDICT_OPEN) {
        buf_puts(out, ",\"request\":");
        buf_put_json(out, buf_view(&r->request));
        put_cures(rep, out, c);
    }
    buf_puts(out, "}");
}

static void put_begin(struct report *rep)
{
    const struct seen *s = rep->doctor->baseline;
    struct buf *out = &rep->out;
    enum doctor_proxy proxy = guess_proxy(s);
    buf_puts(out, "{\"url\":");
    buf_put_json(out, view_of(rep->doctor->url));
    buf_puts(out, ",\"proxy\":");
    buf_put_json(out, proxy == DOCTOR_PROXIES ? VIEW("") : view_of(doctorcures_proxy_name(proxy)));
    buf_puts(out, ",\"routed_by\":");
    buf_put_json(out, !s->is_echo ? VIEW("") : s->is_by_proxy ? VIEW("proxy") : VIEW("gateway"));
    buf_puts(out, ",\"username\":");
    buf_put_json(out, s->judged.username);
    buf_puts(out, ",\"checks\":[");
}

/* ---- all checks ---- */

static void show_progress(const struct report *rep, size_t i)
{
    if (!rep->is_json && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K[%zu/%zu] %s ", i + 1, doctorchecks_count, doctorchecks[i].id);
}

static void end_progress(const struct report *rep)
{
    if (!rep->is_json && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    fflush(stdout);
}

static void count(struct report *rep, enum verdict v)
{
    rep->n_safe += v == VERDICT_SAFE;
    rep->n_open += v == VERDICT_OPEN;
    rep->n_unknown += v == VERDICT_UNKNOWN;
}

static enum gw_err check_all(struct report *rep)
{
    enum gw_err err = GW_OK;
    for (size_t i = 0; i < doctorchecks_count && err == GW_OK; i++) {
        const struct doctor_check *c = &doctorchecks[i];
        struct doctor_result r;
        show_progress(rep, i);
        err = doctorrun_check(rep->doctor, c, &r);
        end_progress(rep);
        if (err == GW_OK) {
            count(rep, r.verdict);
            if (rep->is_json)
                put_result(rep, c, &r);
            else
                print_result(rep, c, &r);
        }
        doctorrun_result_deinit(&r);
    }
    return err;
}

static int finish(struct report *rep)
{
    if (rep->is_json) {
        buf_printf(&rep->out, "],\"safe\":%zu,\"open\":%zu,\"unknown\":%zu}\n", rep->n_safe, rep->n_open, rep->n_unknown);
        if (!buf_ok(&rep->out))
            return CLI_FAILED;
        fwrite(rep->out.p, 1, rep->out.n, stdout);
    } else {
        print_summary(rep);
    }
    return cli_finish(rep->n_open > 0 ? CLI_NO : rep->n_unknown > 0 ? CLI_FAILED : CLI_OK);
}

static int examine(struct doctor *d, bool is_json)
{
    struct report rep = {.doctor = d, .is_json = is_json, .out = BUF(OUTPUT_MAX)};
    enum gw_err err = doctorrun_begin(d);
    if (err != GW_OK) {
        fprintf(stderr, "repogate doctor: %s cannot be asked: %s\n", d->url,
                d->baseline != NULL && d->baseline->detail[0] != '\0' ? d->baseline->detail : gw_err_name(err));
        return CLI_FAILED;
    }
    if (is_json)
        put_begin(&rep);
    err = check_all(&rep);
    int status = err == GW_OK ? finish(&rep) : CLI_FAILED;
    if (err != GW_OK)
        fprintf(stderr, "repogate doctor: %s\n", gw_err_name(err));
    buf_deinit(&rep.out);
    return status;
}

/* ---- the command ---- */

/* Over http anyone on the way reads the token. */
static void warn_of_http(const struct uri *u)
{
    bool is_local = view_starts(u->host, VIEW("127.")) || view_eq(u->host, VIEW("localhost")) || view_eq(u->host, VIEW("[::1]"));
    if (view_eq(u->scheme, VIEW("http")) && !is_local)
        fputs("repogate doctor: warning: the token goes over plain http\n", stderr);
}

static bool is_token(struct view text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((uint8_t)text.p[i] <= ' ' || (uint8_t)text.p[i] >= 0x7f)
            return false;
    return text.n > 0;
}

static int run(const char *url, const char *token_file, const char *ca_file, bool is_json)
{
    GW_CLEANUP(secret_freep) char *token = NULL;
    GW_CLEANUP(gw_freep) char *origin = NULL;
    struct uri u;
    if (uri_parse(view_of(url), &u) != GW_OK || u.path.n > 1 || u.query.p != NULL)
        return cli_usage_error("doctor", "expected a URL such as https://dev.example.org, found \"%.128s\"", url);
    if (secret_load(token_file, &token) != GW_OK || !is_token(view_of(token)))
        return cli_usage_error("doctor", "--token-file: %s cannot be read, or holds no token", token_file);
    warn_of_http(&u);
    if (asprintf(&origin, "%.*s://%.*s", VIEW_FMT(u.scheme), VIEW_FMT(u.authority)) < 0)
        return CLI_FAILED;
    struct doctor d = {
        .url = origin, .ca_file = ca_file, .token = view_of(token), .place = {.host = u.authority, .origin = view_of(origin)}};
    int status = examine(&d, is_json);
    doctorrun_end(&d);
    return status;
}

int cli_doctor(int argc, char **argv)
{
    const char *url = NULL, *token_file = NULL, *ca_file = NULL;
    bool is_json = false;
    const struct cli_option options[] = {
        {"--token-file", &token_file, NULL}, {"--ca-file", &ca_file, NULL}, {"--json", NULL, &is_json}};
    const struct cli_spec spec = {usage, options, sizeof(options) / sizeof(options[0]), &url, 1};
    size_t n_args;
    int status;
    if (!cli_options_parse(&spec, argc, argv, &n_args, &status))
        return status;
    if (n_args != 1)
        return cli_usage_error("doctor", "expected the URL of the front door");
    if (token_file == NULL)
        return cli_usage_error("doctor", "expected --token-file FILE");
    return run(url, token_file, ca_file, is_json);
}
