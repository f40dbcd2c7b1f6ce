#include "cli/doctorchecks.h"

#include "util/view.h"

#define E "\r\n"
#define N(a) (sizeof(a) / sizeof((a)[0]))
#define PROBES(a) (a), N(a)

/* clang-format off */
#define CLAIM(text) {.judge = JUDGE_CLAIM, .lines = VIEW(text E)}
#define ODD(text) {.judge = JUDGE_REQUEST, .lines = VIEW(text E)}
#define PATH(text) {.judge = JUDGE_REQUEST, .target = VIEW("{echo}" text)}
#define CLOSED(text) {.judge = JUDGE_CLOSED, .target = VIEW(text), .lines = VIEW(ALL_CLAIMS)}
#define UNASKED(text) {.judge = JUDGE_UNASKED, .target = VIEW("{echo}" text), .lines = VIEW(FORGED_NAMES)}, \
                      {.judge = JUDGE_ANONYMOUS, .flags = PROBE_ANONYMOUS, .target = VIEW("{echo}" text)}
/* clang-format on */

/* ---- A: claims of what a request is about, and from where ---- */

#define ALL_CLAIMS                                                                                       \
    "X-Original-URL: {origin}{echo}/claimed" E "X-Original-Method: GET" E "X-Real-IP: " DOCTOR_ADDRESS E \
    "X-Forwarded-Proto: https" E "X-Forwarded-Host: {host}" E "X-Forwarded-Uri: {echo}/claimed" E "X-Forwarded-Method: GET" E

static const struct doctor_probe baseline[] = {{.judge = JUDGE_REQUEST}};

static const struct doctor_probe question[DOCTORJUDGE_QUESTION_COUNT] = {{.judge = JUDGE_REQUEST}, {.judge = JUDGE_REQUEST}};

static const struct doctor_probe url[] = {
    CLAIM("X-Original-URL: {origin}{echo}/claimed"),
    CLAIM("X-Original-URL: {origin}{echo}/claimed" E "X-Original-URL: {origin}{echo}/claimed-too"),
    CLAIM("X-Original-URL: {origin}{echo}/claimed" E "X-Original-Method: GET" E "X-Real-IP: " DOCTOR_ADDRESS),
    CLAIM("X-Original-URI: {echo}/claimed"),
    CLAIM("X-Forwarded-Uri: {echo}/claimed"),
    CLAIM("X-Forwarded-Prefix: /claimed"),
    CLAIM("X-Rewrite-URL: {echo}/claimed"),
    CLAIM("X-Envoy-Original-Path: {echo}/claimed"),
};

static const struct doctor_probe method[] = {
    CLAIM("X-Original-Method: DELETE"),           CLAIM("X-Forwarded-Method: DELETE"), CLAIM("X-HTTP-Method-Override: DELETE"),
    CLAIM("X-Method-Override: DELETE"),           CLAIM("X-HTTP-Method: DELETE"),      {.judge = JUDGE_REQUEST, .method = "get"},
    {.judge = JUDGE_REQUEST, .method = "DOCTOR"},
};

static const struct doctor_probe address[] = {
    CLAIM("X-Real-IP: " DOCTOR_ADDRESS),
    CLAIM("X-Forwarded-For: " DOCTOR_ADDRESS),
    CLAIM("X-Forwarded-For: " DOCTOR_ADDRESS E "X-Forwarded-For: " DOCTOR_ADDRESS),
    CLAIM("X-Forwarded-For: unknown, " DOCTOR_ADDRESS),
    CLAIM("Forwarded: for=" DOCTOR_ADDRESS),
    CLAIM("X-Client-IP: " DOCTOR_ADDRESS E "True-Client-IP: " DOCTOR_ADDRESS E "CF-Connecting-IP: " DOCTOR_ADDRESS),
};

static const struct doctor_probe host[] = {
    CLAIM("X-Forwarded-Host: " DOCTOR_HOST),
    CLAIM("X-Forwarded-Proto: ftp"),
    CLAIM("X-Forwarded-Port: 1"),
    CLAIM("Forwarded: host=" DOCTOR_HOST),
    {.judge = JUDGE_REQUEST, .flags = PROBE_NO_HOST, .lines = VIEW("Host: {host}" E "Host: " DOCTOR_HOST E)},
    {.judge = JUDGE_REQUEST, .flags = PROBE_NO_HOST, .lines = VIEW("Host: " DOCTOR_HOST E "Host: {host}" E)},
    {.judge = JUDGE_REQUEST, .flags = PROBE_NO_HOST, .lines = VIEW("Host: " DOCTOR_HOST E)},
    {.judge = JUDGE_REQUEST, .flags = PROBE_NO_HOST, .lines = VIEW("Host: user@{host}" E)},
    {.judge = JUDGE_REQUEST, .target = VIEW("http://" DOCTOR_HOST "{echo}/page")},
    {.judge = JUDGE_REQUEST,
     .flags = PROBE_NO_HOST,
     .target = VIEW("{origin}{echo}/page"),
     .lines = VIEW("Host: " DOCTOR_HOST E)},
};

static const struct doctor_probe aliases[] = {
    CLAIM("X_Original_URL: {origin}{echo}/claimed"),
    CLAIM("X-Original_URL: {origin}{echo}/claimed"),
    CLAIM("X.Original.URL: {origin}{echo}/claimed"),
    CLAIM("X_Original_Method: DELETE"),
    CLAIM("X_Real_IP: " DOCTOR_ADDRESS),
    CLAIM("X_Forwarded_For: " DOCTOR_ADDRESS),
    CLAIM("X_Forwarded_Host: " DOCTOR_HOST),
    CLAIM("X_Forwarded_Uri: {echo}/claimed"),
};

static const struct doctor_probe closed[] = {
    CLOSED("/_repogate/auth/nginx"),
    CLOSED("/_repogate/auth/haproxy"),
    CLOSED("/_repogate/auth/caddy"),
    CLOSED("/_repogate/auth/traefik"),
    CLOSED("/_repogate/auth/envoy{echo}/claimed"),
    CLOSED("/outpost.goauthentik.io/auth/nginx"),
    CLOSED("/outpost.goauthentik.io/auth/caddy"),
    CLOSED("/outpost.goauthentik.io/auth/traefik"),
    CLOSED("/outpost.goauthentik.io/auth/envoy"),
    CLOSED("//_repogate/auth/nginx"),
    CLOSED("/_repogate//auth/nginx"),
    CLOSED("/_repogate/./auth/nginx"),
    CLOSED("/_repogate/login/../auth/nginx"),
    CLOSED("/%5frepogate/auth/nginx"),
    CLOSED("/_repogate/%61uth/nginx"),
    CLOSED("/_repogate%2fauth/nginx"),
    CLOSED("/_repogate/auth/nginx/"),
    CLOSED("/_repogate/auth/nginx?x=y"),
    CLOSED("/_repogate/auth/nginx;x"),
    CLOSED("{origin}/_repogate/auth/nginx"),
};

/* ---- B: what is judged is what is routed ---- */

static const struct doctor_probe path[] = {
    PATH("/a%41b"),
    PATH("/a%2Fb"),
    PATH("/a%2fb"),
    PATH("/a%5Cb"),
    PATH("/a%20b"),
    PATH("/a%3Fb=c"),
    PATH("/a%23b"),
    PATH("/a%25b"),
    PATH("/a%252Fb"),
    PATH("/a%c0%afb"),
    PATH("/a%00b"),
    PATH("/a;b=c/d"),
    PATH("/a?b=c%2Fd&e"),
    PATH("/a#b"),
    PATH("/a\\b"),
    PATH("/a\xff"
         "b"),
    PATH("/a b"),
    PATH("/a\tb"),
    PATH("/a."),
    PATH("/A"),
    PATH("/a/./b"),
    PATH("/a/../b"),
    PATH("/a/%2e%2e/b"),
    PATH("/a/..%2fb"),
    PATH("/a/..;/b"),
    PATH("/../../auth/nginx"),
    PATH("/a/%252e%252e/b"),
};

static const struct doctor_probe slashes[] = {
    PATH("/a//b"),    PATH("/a///b/"),  PATH("//a"),
    PATH("/a/%2F/b"), PATH("/a/%5C/b"), {.judge = JUDGE_REQUEST, .target = VIEW("/{echo}/page")},
};

/* ---- H: headers that say who is asking ---- */

#define F ": " DOCTOR_FORGED E
#define FORGED_NAMES                                                                                                             \
    "X-authentik-username" F "X-authentik-groups" F "X-authentik-entitlements" F "X-authentik-email" F "X-authentik-name" F      \
    "X-authentik-uid" F "X-Authentik-User" F "X-Request-Path" F "X-GitHub-Repo" F "X-Repogate-Repo" F "X-Repogate-Decision-Id" F \
    "X-Repogate-Assertion" F "X-Repogate-Upstream" F "X-authentik-jwt" F "X-authentik-meta-app" F

static const struct doctor_probe identity[] = {
    {.judge = JUDGE_REQUEST, .lines = VIEW(FORGED_NAMES)},
    {.judge = JUDGE_REQUEST, .lines = VIEW(FORGED_NAMES FORGED_NAMES)},
    ODD("x-AUTHENTIK-username: " DOCTOR_FORGED),
    ODD("X-authentik-username: " DOCTOR_FORGED E "X-Authentik-Username: " DOCTOR_FORGED),
    ODD("X-authentik-username:" E "X-authentik-groups:"),
};

static const struct doctor_probe identity_aliases[] = {
    ODD("X_authentik_username: " DOCTOR_FORGED), ODD("X-authentik_username: " DOCTOR_FORGED),
    ODD("X.authentik.username: " DOCTOR_FORGED), ODD("X_Authentik_User: " DOCTOR_FORGED),
    ODD("X_authentik_groups: " DOCTOR_FORGED),   ODD("X_Repogate_Repo: " DOCTOR_FORGED),
    ODD("X_Repogate_Assertion: " DOCTOR_FORGED),
};

#define NOMINATES(names)                                                                              \
    {                                                                                                 \
        .judge = JUDGE_REQUEST, .flags = PROBE_NO_CLOSE, .lines = VIEW("Connection: close, " names E) \
    }
static const struct doctor_probe connection[] = {
    NOMINATES("X-authentik-username"),
    NOMINATES("X-Authentik-User, X-authentik-groups, X-Repogate-Assertion"),
    NOMINATES("X-Original-URL, X-Original-Method, X-Real-IP, X-authentik-uid"),
    NOMINATES("X-Forwarded-For, X-Forwarded-Host, x-authentik-email"),
};

static const struct doctor_probe framing[] = {
    ODD("X-Doctor: a" E " X-authentik-username: " DOCTOR_FORGED),
    ODD("X-authentik-username : " DOCTOR_FORGED),
    ODD(" X-authentik-username: " DOCTOR_FORGED),
    ODD("X-Doctor: a\nX-authentik-username: " DOCTOR_FORGED),
    ODD("X-Doctor: a\rX-authentik-username: " DOCTOR_FORGED),
    ODD("X-Doctor: a\0b" E "X-authentik-username: " DOCTOR_FORGED),
    ODD("Content-Length: 0" E "Content-Length: 0"),
    {.judge = JUDGE_REQUEST,
     .method = "POST",
     .lines = VIEW("Content-Length: 5" E "Transfer-Encoding: chunked" E),
     .body = VIEW("0" E E)},
    {.judge = JUDGE_REQUEST, .method = "POST", .lines = VIEW("Transfer-Encoding: chunked, identity" E), .body = VIEW("0" E E)},
};

/* ---- routes that are not asked about, and people who are nobody ---- */

static const struct doctor_probe skipped[] = {
    UNASKED("/style.css"),
    UNASKED("/app.js"),
    UNASKED("/app.js.map"),
    UNASKED("/logo.png"),
    UNASKED("/logo.svg"),
    UNASKED("/font.woff2"),
    UNASKED("/page.html"),
    UNASKED("/health"),
    UNASKED("/robots.txt"),
    UNASKED("/favicon.ico"),
    UNASKED("/static/a"),
    UNASKED("/public/a"),
    UNASKED("/login"),
    UNASKED("/.well-known/acme-challenge/a"),
    {.judge = JUDGE_UNASKED, .method = "OPTIONS", .lines = VIEW(FORGED_NAMES)},
    {.judge = JUDGE_UNASKED, .method = "POST", .lines = VIEW(FORGED_NAMES "Content-Length: 0" E)},
    {.judge = JUDGE_ANONYMOUS,
     .flags = PROBE_ANONYMOUS,
     .method = "OPTIONS",
     .lines = VIEW("Origin: https://" DOCTOR_HOST E "Access-Control-Request-Method: GET" E)},
    {.judge = JUDGE_ANONYMOUS, .flags = PROBE_ANONYMOUS, .lines = VIEW("User-Agent: kube-probe/1.30" E)},
};

#define NAVIGATION "Accept: text/html" E "Sec-Fetch-Mode: navigate" E "Sec-Fetch-Dest: document" E
static const struct doctor_probe anonymous[] = {
    {.judge = JUDGE_ANONYMOUS, .flags = PROBE_ANONYMOUS},
    {.judge = JUDGE_ANONYMOUS, .flags = PROBE_ANONYMOUS, .lines = VIEW(FORGED_NAMES)},
    {.judge = JUDGE_ANONYMOUS, .flags = PROBE_ANONYMOUS, .lines = VIEW(ALL_CLAIMS)},
    {.judge = JUDGE_ANONYMOUS, .flags = PROBE_ANONYMOUS, .lines = VIEW("Authorization: Bearer " DOCTOR_FORGED E)},
    {.judge = JUDGE_ANONYMOUS, .flags = PROBE_ANONYMOUS, .lines = VIEW("Cookie: {session}=" DOCTOR_FORGED E)},
    {.judge = JUDGE_ANONYMOUS,
     .flags = PROBE_ANONYMOUS | PROBE_NO_CLOSE,
     .lines = VIEW("Connection: Upgrade" E "Upgrade: websocket" E "Sec-WebSocket-Version: 13" E
                   "Sec-WebSocket-Key: ZG9jdG9yLWZvcmdlZC1rZXk=" E)},
};

static const struct doctor_probe answers[] = {
    {.judge = JUDGE_ANSWER, .flags = PROBE_ANONYMOUS, .lines = VIEW(NAVIGATION)},
    {.judge = JUDGE_ANSWER, .flags = PROBE_ANONYMOUS, .lines = VIEW("X-Requested-With: XMLHttpRequest" E)},
    {.judge = JUDGE_ANSWER, .flags = PROBE_ANONYMOUS, .lines = VIEW("Authorization: Bearer " DOCTOR_FORGED E)},
};

static const struct doctor_probe login[] = {
    {.judge = JUDGE_LOGIN, .flags = PROBE_ANONYMOUS, .target = VIEW("/_repogate/login?rd=/"), .lines = VIEW(NAVIGATION)},
};

static const struct doctor_probe redirects[] = {
    {.judge = JUDGE_REDIRECT, .flags = PROBE_ANONYMOUS, .target = VIEW("//" DOCTOR_HOST "/"), .lines = VIEW(NAVIGATION)},
    {.judge = JUDGE_REDIRECT, .flags = PROBE_ANONYMOUS, .target = VIEW("//" DOCTOR_HOST "/a/b/c/"), .lines = VIEW(NAVIGATION)},
    {.judge = JUDGE_REDIRECT, .flags = PROBE_ANONYMOUS, .target = VIEW("/\\" DOCTOR_HOST "/a"), .lines = VIEW(NAVIGATION)},
    {.judge = JUDGE_REDIRECT, .flags = PROBE_ANONYMOUS, .target = VIEW("/%09/" DOCTOR_HOST), .lines = VIEW(NAVIGATION)},
    {.judge = JUDGE_REDIRECT, .flags = PROBE_ANONYMOUS | PROBE_NO_HOST, .lines = VIEW("Host: " DOCTOR_HOST E NAVIGATION)},
    {.judge = JUDGE_REDIRECT, .flags = PROBE_ANONYMOUS, .lines = VIEW("X-Forwarded-Host: " DOCTOR_HOST E NAVIGATION)},
    {.judge = JUDGE_REDIRECT,
     .flags = PROBE_ANONYMOUS,
     .target = VIEW("/_repogate/login?rd=//" DOCTOR_HOST "/"),
     .lines = VIEW(NAVIGATION)},
};

/* Four requests for one address: see doctorjudge_cache(). */
static const struct doctor_probe cache[DOCTORJUDGE_CACHE_COUNT] = {
    {.target = VIEW("{echo}/cache"), .lines = VIEW("Cookie: {session}=doctor-1" E)},
    {.target = VIEW("{echo}/cache"), .lines = VIEW("Cookie: {session}=doctor-2" E)},
    {.flags = PROBE_ANONYMOUS, .target = VIEW("{echo}/cache"), .lines = VIEW("Cookie: {session}=doctor-1" E)},
    {.flags = PROBE_ANONYMOUS, .target = VIEW("{echo}/cache"), .lines = VIEW("Authorization: Bearer " DOCTOR_FORGED E)},
};

static const struct doctor_probe secrets[] = {
    {.judge = JUDGE_REQUEST,
     .lines = VIEW("Cookie: {session}=" DOCTOR_FORGED "; " DOCTOR_COOKIE "; {session}-login-x=" DOCTOR_FORGED
                   "; authentik_proxy_x=y" E)},
};

/* ---- the table ---- */

const struct doctor_check doctorchecks[] = {
    {"echo", "", "the echo can be reached and seen", DOCTOR_EACH, PROBES(baseline)},
    {"question", "A2 B7", "what the proxy asks about is what it was asked for", DOCTOR_QUESTION, PROBES(question)},
    {"url", "A1 A2 A3 A6", "nobody can claim which URL a request is about", DOCTOR_EACH, PROBES(url)},
    {"method", "A3 B6", "nobody can claim another method", DOCTOR_EACH, PROBES(method)},
    {"address", "A7 A8", "nobody can claim another network address", DOCTOR_EACH, PROBES(address)},
    {"host", "A4 A9 B8", "what is judged is this host", DOCTOR_EACH, PROBES(host)},
    {"aliases", "A1 A4 H2", "no second spelling of such a header gets through", DOCTOR_EACH, PROBES(aliases)},
    {"closed", "A2 E1", "the auth endpoints cannot be reached from outside", DOCTOR_EACH, PROBES(closed)},
    {"path", "B1 B2 B3 B4 B7 B9 B10", "the path that is judged is the path that is routed", DOCTOR_EACH, PROBES(path)},
    {"slashes", "B3 B7", "slashes are merged nowhere between judging and routing", DOCTOR_EACH, PROBES(slashes)},
    {"identity", "H5 H9 H13", "nobody can say who they are by a header", DOCTOR_EACH, PROBES(identity)},
    {"identity-aliases", "H1 H2 H3 H4", "nor by a second spelling of it", DOCTOR_EACH, PROBES(identity_aliases)},
    {"connection", "H6", "Connection takes no header of the gateway's away", DOCTOR_EACH, PROBES(connection)},
    {"framing", "H7 H8 H10 H11", "what two servers could read differently is refused or read alike", DOCTOR_EACH,
     PROBES(framing)},
    {"skipped", "D2 E3 E9 H9 H13", "every kind of request is asked about", DOCTOR_EACH, PROBES(skipped)},
    {"anonymous", "D2 E1 E11", "nobody gets in without credentials", DOCTOR_EACH, PROBES(anonymous)},
    {"answers", "E12", "whoever is not logged in is told so", DOCTOR_EACH, PROBES(answers)},
    {"login", "E12", "the login page needs no login", DOCTOR_EACH, PROBES(login)},
    {"cache", "C1 C2 C3", "a decision is for one visitor", DOCTOR_CACHE, PROBES(cache)},
    {"secrets", "L2 L4", "tokens and the gateway's cookies stay away from workspaces", DOCTOR_SECRETS, PROBES(secrets)},
    {"redirects", "R1 R2 R3 R4", "no link leads to another host", DOCTOR_EACH, PROBES(redirects)},
};

const size_t doctorchecks_count = N(doctorchecks);

/* ---- texts ---- */

static struct view value_of(struct view name, const struct doctor_place *place)
{
    if (view_eq(name, VIEW("host")))
        return place->host;
    if (view_eq(name, VIEW("origin")))
        return place->origin;
    if (view_eq(name, VIEW("session")))
        return view_starts(place->origin, VIEW("https:")) ? VIEW("__Host-repogate") : VIEW("repogate");
    return place->name;
}

void doctorchecks_put(struct buf *out, struct view text, const struct doctor_place *place)
{
    while (text.n > 0) {
        size_t open = view_index(text, '{'), close = view_index(text, '}');
        buf_put(out, view_at(text.p, open));
        if (open == text.n)
            return;
        struct view name = view_at(text.p + open + 1, close - open - 1);
        if (view_eq(name, VIEW("echo")))
            buf_puts(out, "/_repogate/echo/");
        buf_put(out, value_of(name, place));
        text = view_skip(text, close + 1);
    }
}

void doctorchecks_put_request(struct buf *out, const struct doctor_probe *p, const struct doctor_place *place, struct view token)
{
    buf_put(out, view_of(p->method == NULL ? "GET" : p->method));
    buf_puts(out, " ");
    doctorchecks_put(out, p->target.p == NULL ? VIEW("{echo}/page") : p->target, place);
    buf_puts(out, " HTTP/1.1" E);
    if ((p->flags & PROBE_NO_HOST) == 0)
        doctorchecks_put(out, VIEW("Host: {host}" E), place);
    if (!view_contains(p->lines, VIEW("User-Agent:")))
        buf_puts(out, "User-Agent: repogate-doctor/" REPOGATE_VERSION E);
    if ((p->flags & PROBE_ANONYMOUS) == 0) {
        buf_puts(out, "Authorization: Bearer ");
        buf_put(out, token);
        buf_puts(out, E);
    }
    doctorchecks_put(out, p->lines, place);
    if ((p->flags & PROBE_NO_CLOSE) == 0)
        buf_puts(out, "Connection: close" E);
    buf_puts(out, E);
    buf_put(out, p->body);
}
