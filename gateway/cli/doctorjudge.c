#include "cli/doctorjudge.h"

#include "http/header.h"

#include <stdarg.h>
#include <stdio.h>

/* Text of the other side goes to a terminal. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
            *text = '?';
}

GW_PRINTF(3, 4)
static enum verdict say(enum verdict v, char why[DOCTORJUDGE_WHY_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, DOCTORJUDGE_WHY_MAX, fmt, args);
    va_end(args);
    make_printable(why);
    return v;
}

/* ---- what arrived ---- */

/* Names that say who is asking, each with one value that is the gateway's. */
static const struct view identity[] = {
    {"x-authentik-username", 20}, {"x-authentik-groups", 18}, {"x-authentik-entitlements", 24}, {"x-authentik-email", 17},
    {"x-authentik-name", 16},     {"x-authentik-uid", 15},    {"x-authentik-user", 16},         {"x-request-path", 14},
    {"x-github-repo", 13},        {"x-repogate-repo", 15},    {"x-repogate-decision-id", 22},   {"x-repogate-assertion", 20},
    {"x-repogate-upstream", 19},
};

static size_t count_named(const struct seen_headers *h, struct view name)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++)
        n += header_is_alias(h->items[i].name, name);
    return n;
}

static enum verdict judge_headers(const struct seen_headers *h, char why[DOCTORJUDGE_WHY_MAX])
{
    for (size_t i = 0; i < h->n; i++) {
        struct view name = h->items[i].name, value = h->items[i].value;
        if (view_contains(value, VIEW(DOCTOR_FORGED)) && header_classify(name) != HEADER_PASS)
            return say(VERDICT_OPEN, why, "%.*s arrived as the client wrote it: \"%.*s\"", VIEW_FMT(name), VIEW_FMT(value));
        if (header_is_alias(name, VIEW("connection")) && view_contains(value, VIEW("uthentik")))
            return say(
                VERDICT_OPEN, why,
                "Connection arrived as the client wrote it (\"%.*s\"): whoever is next takes the headers out that it names",
                VIEW_FMT(value));
    }
    for (size_t i = 0; i < sizeof(identity) / sizeof(identity[0]); i++)
        if (count_named(h, identity[i]) > 1)
            return say(VERDICT_OPEN, why, "%.*s arrived more than once, or in a second spelling", VIEW_FMT(identity[i]));
    return VERDICT_SAFE;
}

static const struct seen_headers *far_side(const struct seen *s)
{
    return s->is_by_proxy ? &s->arrived : &s->workspace;
}

/* What the gateway says must arrive, whatever the client says beside it. */
static enum verdict judge_missing(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    if (!t->baseline->is_echo || t->baseline->is_by_proxy != t->seen->is_by_proxy)
        return VERDICT_SAFE;
    for (size_t i = 0; i < sizeof(identity) / sizeof(identity[0]); i++)
        if (count_named(far_side(t->baseline), identity[i]) > count_named(far_side(t->seen), identity[i]))
            return say(VERDICT_OPEN, why, "%.*s did not arrive: the request has taken it away", VIEW_FMT(identity[i]));
    return VERDICT_SAFE;
}

static enum verdict judge_framing(const struct seen *s, char why[DOCTORJUDGE_WHY_MAX])
{
    if (count_named(&s->arrived, VIEW("content-length")) + count_named(&s->arrived, VIEW("transfer-encoding")) > 1)
        return say(VERDICT_OPEN, why, "the request arrived with two lengths: two servers can read two requests in it");
    return VERDICT_SAFE;
}

/* ---- what was judged ---- */

static bool is_routed_as_judged(const struct seen *s)
{
    struct view judged = s->judged.target, base = s->judged.base;
    return view_eq(judged, s->target) || (view_starts(judged, base) && view_eq(view_skip(judged, base.n), s->target));
}

static enum verdict judge_agreement(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    const struct seen *s = t->seen;
    if (!is_routed_as_judged(s))
        return say(VERDICT_OPEN, why, "judged was %.*s, routed %.*s", VIEW_FMT(s->judged.target), VIEW_FMT(s->target));
    if (!view_eq(s->judged.method, s->method) || !view_eq(s->method, t->method))
        return say(VERDICT_OPEN, why, "sent was %.*s, judged %.*s, routed %.*s", VIEW_FMT(t->method), VIEW_FMT(s->judged.method),
                   VIEW_FMT(s->method));
    if (!view_eq_ci(s->judged.host, t->host))
        return say(VERDICT_OPEN, why, "judged was the host %.*s", VIEW_FMT(s->judged.host));
    if (view_eq(s->judged.ip, VIEW(DOCTOR_ADDRESS)))
        return say(VERDICT_OPEN, why, "judged was the client address that the request claims, " DOCTOR_ADDRESS);
    return VERDICT_SAFE;
}

/* Where others are asked about and this one is not, the far side was reached without a decision of its own; here it happens to be the gateway. */
static bool went_around(const struct trial *t)
{
    return t->baseline->is_echo && t->baseline->is_by_proxy && !t->seen->is_by_proxy;
}

static enum verdict judge_echo(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    const struct seen *s = t->seen;
    bool is_unasked = t->judge == JUDGE_UNASKED && went_around(t);
    enum verdict v = judge_agreement(t, why);
    if (v == VERDICT_SAFE)
        v = judge_framing(s, why);
    if (v == VERDICT_SAFE)
        v = judge_headers(is_unasked ? &s->arrived : far_side(s), why);
    if (v == VERDICT_SAFE)
        v = judge_missing(t, why);
    if (v != VERDICT_SAFE)
        return v;
    if (t->judge == JUDGE_CLAIM && went_around(t))
        return say(VERDICT_OPEN, why, "the header reached the gateway's auth endpoint: its answer was another than without it");
    if (is_unasked)
        return say(VERDICT_UNKNOWN, why,
                   "it went to the gateway unasked, which judged it; whether workspaces' do cannot be seen");
    return say(VERDICT_SAFE, why, "let in, and judged as it was routed");
}

static enum verdict judge_no_echo(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    int status = t->seen->status;
    if (!t->baseline->is_echo)
        return say(VERDICT_UNKNOWN, why, "not let in (%d), but neither is an ordinary request", status);
    if (status == 0)
        return say(VERDICT_SAFE, why, "refused: %s", t->seen->detail);
    /* 501: a transfer coding that is not known, RFC 9112 6.1. */
    if ((status >= 300 && status < 500) || status == 501)
        return say(VERDICT_SAFE, why, "refused with %d", status);
    return say(VERDICT_UNKNOWN, why, "answered %d, and not by the echo", status);
}

/* ---- nobody's requests ---- */

static enum verdict judge_anonymous(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    int status = t->seen->status;
    if (t->seen->is_echo || status == 101)
        return say(VERDICT_OPEN, why, "let in without any credentials");
    if (status == 400 || status == 401 || status == 403 || (status >= 300 && status < 400))
        return say(VERDICT_SAFE, why, "refused with %d", status);
    if (status >= 200 && status < 300)
        return say(VERDICT_OPEN, why, "answered %d without any credentials, and not by the gateway: this way leads around it",
                   status);
    return say(VERDICT_UNKNOWN, why, "answered %d: whether the gateway was asked cannot be seen", status);
}

static enum verdict judge_answer(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    int status = t->seen->status;
    if (t->seen->is_echo)
        return say(VERDICT_OPEN, why, "let in without any credentials");
    if (status == 500)
        return say(VERDICT_OPEN, why,
                   "answered 500: the answer to auth_request was none of 200, 401 and 403, so nobody can log in");
    if (status == 401 || (status >= 300 && status < 400))
        return say(VERDICT_SAFE, why, "answered %d", status);
    return say(VERDICT_UNKNOWN, why, "answered %d where 401 or a redirect to the login was expected", status);
}

/* The part of a Location that a browser takes for the host; empty if it stays on ours. */
static struct view authority_of(struct view location)
{
    size_t scheme = view_index(location, ':'), slash = 0;
    if (scheme < location.n && (view_starts(view_skip(location, scheme), VIEW("://"))))
        slash = scheme + 1;
    struct view rest = view_skip(location, slash);
    if (rest.n < 2 || (rest.p[0] != '/' && rest.p[0] != '\\') || (rest.p[1] != '/' && rest.p[1] != '\\'))
        return VIEW_NONE;
    rest = view_skip(rest, 2);
    size_t end = 0;
    while (end < rest.n && strchr("/\\?#", rest.p[end]) == NULL)
        end++;
    return view_at(rest.p, end);
}

static enum verdict judge_redirect(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    if (view_contains(authority_of(t->seen->location), VIEW(DOCTOR_HOST)))
        return say(VERDICT_OPEN, why, "redirected to another host: %.*s", VIEW_FMT(t->seen->location));
    if (t->seen->status == 0 && !t->baseline->is_echo)
        return say(VERDICT_UNKNOWN, why, "no answer: %s", t->seen->detail);
    return say(VERDICT_SAFE, why, "not redirected to another host (%d)", t->seen->status);
}

static enum verdict judge_login(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    const struct seen *s = t->seen;
    bool is_redirect = s->status >= 300 && s->status < 400;
    if (is_redirect && !view_contains(s->location, VIEW("/_repogate/login")) && view_contains(s->location, VIEW("client_id=")))
        return say(VERDICT_SAFE, why, "leads to the identity provider");
    if (is_redirect)
        return say(VERDICT_OPEN, why, "the login page leads to %.*s, and not to the identity provider: nobody can log in",
                   VIEW_FMT(s->location));
    if (s->status == 401 || s->status == 403 || s->status == 404 || s->status == 500)
        return say(VERDICT_OPEN, why, "the login page answers %d: nobody can log in", s->status);
    return say(VERDICT_UNKNOWN, why, "the login page answers %d", s->status);
}

static enum verdict judge_closed(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    const struct seen *s = t->seen;
    if (s->is_auth_answer || s->is_echo)
        return say(VERDICT_OPEN, why, "%.*s answered %d with the gateway's headers: anybody can ask it, with claims of their own",
                   VIEW_FMT(t->target), s->status);
    if (s->status == 0 || (s->status >= 300 && s->status < 500))
        return say(VERDICT_SAFE, why, "not to be reached (%d)", s->status);
    return say(VERDICT_UNKNOWN, why, "%.*s answered %d", VIEW_FMT(t->target), s->status);
}

enum verdict doctorjudge(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX])
{
    why[0] = '\0';
    switch (t->judge) {
    case JUDGE_CLAIM:
    case JUDGE_REQUEST:
    case JUDGE_UNASKED:
        return t->seen->is_echo ? judge_echo(t, why) : judge_no_echo(t, why);
    case JUDGE_ANONYMOUS:
        return judge_anonymous(t, why);
    case JUDGE_ANSWER:
        return judge_answer(t, why);
    case JUDGE_CLOSED:
        return judge_closed(t, why);
    case JUDGE_LOGIN:
        return judge_login(t, why);
    case JUDGE_REDIRECT:
        return judge_redirect(t, why);
    }
    return say(VERDICT_UNKNOWN, why, "not judged");
}

/* ---- more than one request ---- */

enum verdict doctorjudge_question(const struct seen seen[DOCTORJUDGE_QUESTION_COUNT], char why[DOCTORJUDGE_WHY_MAX])
{
    const struct seen *first = &seen[0], *second = &seen[1];
    if (!first->is_echo || !second->is_echo)
        return say(VERDICT_UNKNOWN, why, "an ordinary request is not let in (%d, %d)", first->status, second->status);
    if (!second->is_by_proxy && second->n_refused_questions > first->n_refused_questions)
        return say(
            VERDICT_OPEN, why,
            "the proxy asks, but not about the request: the gateway refuses its questions and has to judge on its own route");
    return say(VERDICT_SAFE, why, second->is_by_proxy ? "the proxy asks, and is answered" : "the gateway routes by itself");
}

enum verdict doctorjudge_cache(const struct seen seen[DOCTORJUDGE_CACHE_COUNT], char why[DOCTORJUDGE_WHY_MAX])
{
    const struct seen *first = &seen[0], *second = &seen[1], *nobody = &seen[2], *other = &seen[3];
    if (nobody->is_echo)
        return say(VERDICT_OPEN, why, "nobody was let in with the answer that %.*s was given before",
                   VIEW_FMT(nobody->judged.username));
    if (other->is_echo)
        return say(VERDICT_OPEN, why, "a worthless token was let in with the answer that %.*s was given before",
                   VIEW_FMT(other->judged.username));
    if (!first->is_echo || !second->is_echo)
        return say(VERDICT_UNKNOWN, why, "an ordinary request is not let in (%d, %d)", first->status, second->status);
    if (view_eq(first->judged.id, second->judged.id))
        return say(VERDICT_OPEN, why,
                   "two requests with different cookies were let in by one decision, %.*s: its cache has no cookie in the key",
                   VIEW_FMT(first->judged.id));
    return say(VERDICT_SAFE, why, "each request has a decision of its own");
}

/* "(12 bytes)", as the echo has it. */
static size_t length_of(struct view value)
{
    uint64_t n = 0;
    if (!view_starts(value, VIEW("(")) || view_to_u64(view_at(value.p + 1, view_index(view_skip(value, 1), ' ')), &n) != GW_OK)
        return SIZE_MAX;
    return (size_t)n;
}

enum verdict doctorjudge_secrets(const struct trial *t, size_t n_left, char why[DOCTORJUDGE_WHY_MAX])
{
    const struct seen *s = t->seen;
    const struct seen_headers *h = far_side(s);
    if (!s->is_echo)
        return say(VERDICT_UNKNOWN, why, "an ordinary request is not let in (%d)", s->status);
    for (size_t i = 0; i < h->n; i++) {
        if (header_is_alias(h->items[i].name, VIEW("authorization")))
            return say(VERDICT_OPEN, why, "Authorization reaches the workspace");
        if (header_is_alias(h->items[i].name, VIEW("cookie")) && length_of(h->items[i].value) > n_left)
            return say(VERDICT_OPEN, why, "the gateway's own cookies reach the workspace");
    }
    return say(VERDICT_SAFE, why, "token and the gateway's cookies stay behind");
}
