/* Refreshing against a provider of our own, which answers when and what the test likes, over the real store. */
#include "sessionkit.h"
#include "store/shard.h"

enum { REFRESH_S = 60, GRACE_S = 100, PENDING_MAX = 64 };

#define NEWER "{\"sub\":\"dora-canary-claim\",\"groups\":[\"other\"]}"

/* ---- the provider ---- */

enum asked { ASKED_GRANT, ASKED_USERINFO };

struct provider {
    struct loop *loop;
    pthread_mutex_t lock;
    int n_grants, n_userinfos;
    bool is_held; /* answers only when the test says so */
    enum gw_err refuse_with;
    enum session_renewal grant_says, userinfo_says;
    struct view new_access, new_refresh, new_id;
    int64_t new_expires_s;
    struct view new_claims, new_username;
    /* of the last question */
    enum asked asked;
    char claims[256], id_token[64], access_token[64], refresh_token[64];
    bool is_id_token_new;
    session_renewed_fn done;
    void *arg;
};

static struct provider provider;

static void copy(char *out, size_t size, struct view v)
{
    ck_assert_uint_lt(v.n, size);
    memcpy(out, v.p, v.n);
    out[v.n] = '\0';
}

static void answer_now(void *arg)
{
    struct provider *p = arg;
    session_renewed_fn done = p->done;
    struct session_renewed said = {.why = "as the test likes"};
    ck_assert_ptr_nonnull(done);
    p->done = NULL;
    if (p->asked == ASKED_GRANT)
        said = (struct session_renewed){.result = p->grant_says,
                                        .why = "",
                                        .id_token = p->new_id,
                                        .access_token = p->new_access,
                                        .refresh_token = p->new_refresh,
                                        .access_expires_s = p->new_expires_s};
    else
        said = (struct session_renewed){
            .result = p->userinfo_says, .why = "", .claims_json = p->new_claims, .username = p->new_username};
    done(p->arg, &said);
}

static enum gw_err question(struct provider *p, enum asked asked, const struct session_tokens *t, session_renewed_fn done,
                            void *arg)
{
    pthread_mutex_lock(&p->lock);
    if (asked == ASKED_GRANT)
        p->n_grants++;
    else
        p->n_userinfos++;
    p->asked = asked;
    copy(p->claims, sizeof(p->claims), t->claims_json);
    copy(p->id_token, sizeof(p->id_token), t->id_token);
    copy(p->access_token, sizeof(p->access_token), t->access_token);
    copy(p->refresh_token, sizeof(p->refresh_token), t->refresh_token);
    p->is_id_token_new = t->is_id_token_new;
    pthread_mutex_unlock(&p->lock);
    if (p->refuse_with != GW_OK)
        return p->refuse_with;
    ck_assert_ptr_null(p->done); /* one at a time */
    p->done = done;
    p->arg = arg;
    if (p->is_held)
        loop_stop(p->loop);
    else
        ck_assert_int_eq(loop_post(p->loop, answer_now, p), GW_OK);
    return GW_OK;
}

static enum gw_err grant(void *cls, const struct session_tokens *t, session_renewed_fn done, void *arg)
{
    return question(cls, ASKED_GRANT, t, done, arg);
}

static enum gw_err userinfo(void *cls, const struct session_tokens *t, session_renewed_fn done, void *arg)
{
    return question(cls, ASKED_USERINFO, t, done, arg);
}

static const struct session_renewer renewer = {.grant = grant, .userinfo = userinfo, .cls = &provider};

/* ---- a set ---- */

static struct set *x;
static struct cookie c;

static void start_with(const struct session_new_spec *spec)
{
    struct answer a = {.loop = x->loop};
    ck_assert_int_eq(session_create(x->ss, x->loop, spec, on_made, &a), GW_OK);
    answer_wait(&a);
    ck_assert_int_eq(a.err, GW_OK);
    memcpy(c.text, a.text, SESSION_COOKIE_LEN);
}

static void setup(void)
{
    x = set_new();
    x->refresh_s = REFRESH_S;
    x->grace_s = GRACE_S;
    set_restart(x);
    provider = (struct provider){
        .loop = x->loop,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .grant_says = SESSION_RENEWED,
        .userinfo_says = SESSION_RENEWED,
        .new_access = VIEW("access-2"),
        .new_refresh = VIEW("refresh-2"),
        .new_id = VIEW("id-2"),
        .new_expires_s = NOW_S + 3600,
        .new_claims = VIEW(NEWER),
        .new_username = VIEW("dora-renamed"),
    };
    c = create(x, CLAIMS); /* its access token lives for 300 s */
}

static void teardown(void)
{
    set_free(x);
}

static void begin(struct answer *a)
{
    *a = (struct answer){.loop = x->loop};
    ck_assert_int_eq(session_refresh(x->ss, x->loop, view(&c), &renewer, on_loaded, a), GW_OK);
    ck_assert(!a->is_there);
}

/* Turns the loop until the provider has been asked; then nothing moves. */
static void begin_and_hold(struct answer *a)
{
    provider.is_held = true;
    begin(a);
    while (provider.done == NULL)
        loop_run(x->loop);
}

/* GW_OK: with the claims expected. */
static enum gw_err outcome(struct answer *a, const char *claims)
{
    answer_wait(a);
    if (a->err == GW_OK)
        ck_view_eq(((struct who *)session_who(a->session))->text, claims);
    session_unref(a->session);
    return a->err;
}

static enum gw_err refresh(void)
{
    struct answer a = {.loop = x->loop};
    enum gw_err err = session_refresh(x->ss, x->loop, view(&c), &renewer, on_loaded, &a);
    return err == GW_OK ? outcome(&a, NEWER) : err;
}

/* As a request does: from memory, from the row if that must be read again. */
static enum session_found look(bool *ret_is_stale)
{
    struct session *s = NULL;
    enum session_found found = session_find(x->ss, view(&c), epoch_now_s(), &s);
    if (found == SESSION_LOADING && load(x, &c) == GW_OK)
        found = session_find(x->ss, view(&c), epoch_now_s(), &s);
    if (ret_is_stale != NULL)
        *ret_is_stale = s != NULL && session_is_stale(s, epoch_now_s());
    session_unref(s);
    return found;
}

static void ck_ended(void)
{
    ck_assert(!has_row(x, &c));
    ck_assert_int_eq(look(NULL), SESSION_NONE);
    at(REFRESH_S + SESSION_NONE_S + 1);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
}

/* The lease as another gateway would take it. */
static enum store_lease lease_as_other(bool is_granting, int64_t until_s)
{
    struct store_row row;
    enum store_lease lease;
    get_row(x, &c, &row);
    ck_assert_int_eq(store_session_lease(x->fake.inner, row.id, row.version, epoch_now_s(), until_s, is_granting, &lease), GW_OK);
    store_row_deinit(&row);
    return lease;
}

/* Another gateway's refresh, from start to end. */
static void refresh_as_other(const char *claims)
{
    struct store_row row;
    struct sessionrow_secret secret;
    get_row(x, &c, &row);
    ck_assert_int_eq(sessionrow_open(x->ring, &row, view(&c), &secret), GW_OK);
    secret.claims_json = view_of(claims);
    secret.fresh_s = epoch_now_s();
    ck_assert_int_eq(sessionrow_reseal(x->ring, &secret, VIEW_NONE, view(&c), &row), GW_OK);
    ck_assert_int_eq(store_session_replace(x->fake.inner, &row), GW_OK);
    sessionrow_secret_deinit(&secret);
    store_row_deinit(&row);
}

static void turn(void)
{
    loop_stop(x->loop);
    loop_run(x->loop);
}

static int read_count(struct fake *f, const int *n)
{
    pthread_mutex_lock(&f->lock);
    int value = *n;
    pthread_mutex_unlock(&f->lock);
    return value;
}

static int n_leases(void)
{
    return read_count(&x->fake, &x->fake.n_leases);
}

static int n_held(void)
{
    return read_count(&x->fake, &x->fake.n_held);
}

/* ---- when ---- */

START_TEST(C4_C5_claims_lapse_when_they_are_refresh_s_old)
{
    at(REFRESH_S - 1);
    ck_assert_int_eq(look(NULL), SESSION_FOUND);
    at(REFRESH_S);
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
    ck_assert_int_eq(provider.n_userinfos, 0);
}
END_TEST

START_TEST(a_refresh_brings_new_claims_for_refresh_s)
{
    bool is_stale;
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_int_eq(provider.n_userinfos, 1);
    ck_assert_int_eq(provider.n_grants, 0);
    ck_assert_str_eq(provider.claims, CLAIMS);
    ck_assert_str_eq(provider.access_token, "access-token-canary");
    ck_assert_int_eq(look(&is_stale), SESSION_FOUND);
    ck_assert(!is_stale);
    at(2 * REFRESH_S - 1);
    ck_assert_int_eq(look(NULL), SESSION_FOUND);
    at(2 * REFRESH_S);
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_str_eq(provider.claims, NEWER);
}
END_TEST

START_TEST(freshness_outlives_a_restart)
{
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_OK);
    set_restart(x);
    at(2 * REFRESH_S - 1);
    ck_assert_int_eq(look(NULL), SESSION_FOUND);
    set_restart(x);
    at(2 * REFRESH_S);
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
}
END_TEST

/* What was known at the time of asking counts, not at the time of hearing. */
START_TEST(claims_age_from_when_the_provider_was_asked)
{
    struct answer a;
    at(REFRESH_S);
    begin_and_hold(&a);
    at(REFRESH_S + 9);
    answer_now(&provider);
    ck_assert_int_eq(outcome(&a, NEWER), GW_OK);
    at(2 * REFRESH_S);
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
}
END_TEST

START_TEST(a_clock_set_back_prolongs_nothing)
{
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_OK);
    at(-1000);
    set_restart(x);
    ck_assert_int_eq(look(NULL), SESSION_FOUND);
    at(-1000 + REFRESH_S);
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
}
END_TEST

START_TEST(the_list_of_sessions_shows_the_new_name)
{
    struct store_row row;
    struct sessionrow_label label;
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_OK);
    get_row(x, &c, &row);
    ck_assert_int_eq(sessionrow_open_label(x->ring, &row, &label), GW_OK);
    ck_view_eq(label.username, "dora-renamed");
    ck_view_eq(label.ip, "192.0.2.77");
    sessionrow_label_deinit(&label);
    store_row_deinit(&row);
}
END_TEST

/* ---- once ---- */

START_TEST(a_thousand_who_wait_ask_once)
{
    enum { N = 1000 };
    struct answer *a = calloc(N, sizeof(*a));
    ck_assert_ptr_nonnull(a);
    at(REFRESH_S);
    for (int i = 0; i < N; i++)
        begin(&a[i]);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(outcome(&a[i], NEWER), GW_OK);
    ck_assert_int_eq(provider.n_userinfos, 1);
    free(a);
}
END_TEST

START_TEST(one_too_many_who_wait_is_refused)
{
    struct answer *a = calloc(SESSION_WAITERS_MAX, sizeof(*a)), more;
    ck_assert_ptr_nonnull(a);
    at(REFRESH_S);
    for (int i = 0; i < SESSION_WAITERS_MAX; i++)
        begin(&a[i]);
    ck_assert_int_eq(session_refresh(x->ss, x->loop, view(&c), &renewer, on_loaded, &more), GW_E_LIMIT);
    for (int i = 0; i < SESSION_WAITERS_MAX; i++)
        ck_assert_int_eq(outcome(&a[i], NEWER), GW_OK);
    free(a);
}
END_TEST

static void *run_other_loop(void *arg)
{
    struct answer *a = arg;
    answer_wait(a);
    return NULL;
}

START_TEST(loops_share_one_refresh)
{
    struct answer mine, other = {.is_there = false};
    pthread_t thread;
    at(REFRESH_S);
    ck_assert_int_eq(loop_new(&other.loop), GW_OK);
    begin_and_hold(&mine);
    ck_assert_int_eq(session_refresh(x->ss, other.loop, view(&c), &renewer, on_loaded, &other), GW_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_other_loop, &other), 0);
    answer_now(&provider);
    ck_assert_int_eq(outcome(&mine, NEWER), GW_OK);
    pthread_join(thread, NULL);
    ck_assert_int_eq(other.err, GW_OK);
    ck_assert_ptr_eq(other.session, mine.session);
    session_unref(other.session);
    ck_assert_int_eq(provider.n_userinfos, 1);
    loop_free(other.loop);
}
END_TEST

START_TEST(one_refresh_too_many_is_refused)
{
    struct answer a;
    at(REFRESH_S);
    atomic_fetch_add(&x->ss->n_refreshes, SESSION_REFRESHES_MAX);
    ck_assert_int_eq(session_refresh(x->ss, x->loop, view(&c), &renewer, on_loaded, &a), GW_E_LIMIT);
    atomic_fetch_sub(&x->ss->n_refreshes, SESSION_REFRESHES_MAX);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_uint_eq(atomic_load(&x->ss->n_refreshes), 0);
}
END_TEST

START_TEST(cookies_of_nobody_ask_nobody)
{
    struct answer a = {.loop = x->loop};
    struct cookie other = some_cookie('A');
    ck_assert_int_eq(session_refresh(x->ss, x->loop, VIEW("short"), &renewer, on_loaded, &a), GW_E_NOTFOUND);
    ck_assert_int_eq(session_refresh(x->ss, x->loop, view(&other), &renewer, on_loaded, &a), GW_OK);
    ck_assert_int_eq(outcome(&a, ""), GW_E_NOTFOUND);
    ck_assert_int_eq(provider.n_userinfos, 0);
}
END_TEST

/* ---- grants ---- */

START_TEST(a_grant_comes_only_before_the_access_token_lapses)
{
    at(300 - REFRESH_S);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_int_eq(provider.n_grants, 0);
    at(300 - REFRESH_S + 1 + REFRESH_S);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_int_eq(provider.n_grants, 1);
    ck_assert_str_eq(provider.access_token, "access-2");
    ck_assert_str_eq(provider.refresh_token, "refresh-2");
    ck_assert_str_eq(provider.id_token, "id-2");
    ck_assert(provider.is_id_token_new);
    ck_assert_int_eq(provider.n_userinfos, 2);
    at(1000);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert(!provider.is_id_token_new);
    ck_assert_int_eq(provider.n_grants, 1);
}
END_TEST

START_TEST(tokens_that_a_grant_does_not_bring_stay)
{
    provider.new_refresh = provider.new_id = VIEW_NONE;
    at(299);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_str_eq(provider.access_token, "access-2");
    ck_assert_str_eq(provider.refresh_token, "refresh-token-canary");
    ck_assert_str_eq(provider.id_token, "id-token-canary");
    ck_assert(!provider.is_id_token_new);
}
END_TEST

START_TEST(without_a_refresh_token_there_is_no_grant)
{
    struct session_new_spec spec = spec_of(CLAIMS);
    spec.refresh_token = VIEW_NONE;
    start_with(&spec);
    at(299);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_int_eq(provider.n_grants, 0);
}
END_TEST

START_TEST(what_a_grant_brought_is_kept_even_if_userinfo_fails)
{
    provider.userinfo_says = SESSION_UNREACHABLE;
    at(299);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    ck_assert_int_eq(provider.n_grants, 1);
    set_restart(x);
    provider.userinfo_says = SESSION_RENEWED;
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_int_eq(provider.n_grants, 1);
    ck_assert_str_eq(provider.access_token, "access-2");
    ck_assert_str_eq(provider.refresh_token, "refresh-2");
    ck_assert(!provider.is_id_token_new);
}
END_TEST

START_TEST(a_refused_access_token_is_exchanged_once)
{
    struct answer a;
    at(REFRESH_S);
    provider.userinfo_says = SESSION_REFUSED;
    begin_and_hold(&a);
    answer_now(&provider);
    while (provider.done == NULL)
        loop_run(x->loop);
    ck_assert_int_eq(provider.asked, ASKED_GRANT);
    provider.userinfo_says = SESSION_RENEWED;
    provider.is_held = false;
    answer_now(&provider);
    ck_assert_int_eq(outcome(&a, NEWER), GW_OK);
    ck_assert_int_eq(provider.n_grants, 1);
    ck_assert_int_eq(provider.n_userinfos, 2);
}
END_TEST

/* ---- ends ---- */

START_TEST(an_access_token_refused_again_ends_the_session)
{
    provider.userinfo_says = SESSION_REFUSED;
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_E_NOTFOUND);
    ck_assert_int_eq(provider.n_grants, 1);
    ck_assert_int_eq(provider.n_userinfos, 2);
    ck_ended();
}
END_TEST

START_TEST(an_access_token_refused_with_no_other_to_be_had_ends_the_session)
{
    struct session_new_spec spec = spec_of(CLAIMS);
    spec.refresh_token = VIEW_NONE;
    start_with(&spec);
    provider.userinfo_says = SESSION_REFUSED;
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_E_NOTFOUND);
    ck_assert_int_eq(provider.n_grants, 0);
    ck_ended();
}
END_TEST

static const struct {
    int64_t at_s;
    enum session_renewal grant_says, userinfo_says;
    bool is_logout; /* logins of the same sid that had begun come to nothing */
} endings[] = {
    {REFRESH_S, SESSION_RENEWED, SESSION_OVER, false}, {REFRESH_S, SESSION_RENEWED, SESSION_ANOTHER, true},
    {299, SESSION_OVER, SESSION_RENEWED, false},       {299, SESSION_ANOTHER, SESSION_RENEWED, true},
    {299, SESSION_LOST, SESSION_RENEWED, false},       {299, SESSION_RENEWED, SESSION_OVER, false},
};

START_TEST(C7_C8_C9_these_answers_end_the_session)
{
    struct answer a = {.loop = x->loop};
    struct session_new_spec spec = spec_of(CLAIMS);
    at(endings[_i].at_s);
    spec.begun_ms = epoch_now_ms() - 1;
    spec.issued_s = epoch_now_s();
    provider.grant_says = endings[_i].grant_says;
    provider.userinfo_says = endings[_i].userinfo_says;
    ck_assert_int_eq(refresh(), GW_E_NOTFOUND);
    ck_assert(!has_row(x, &c));
    ck_assert_int_eq(look(NULL), SESSION_NONE);
    ck_assert_int_eq(session_create(x->ss, x->loop, &spec, on_made, &a), GW_OK);
    answer_wait(&a);
    ck_assert_int_eq(a.err, endings[_i].is_logout ? GW_E_EXPIRED : GW_OK);
}
END_TEST

/* ---- nobody answers ---- */

START_TEST(old_claims_serve_through_the_grace_and_no_longer)
{
    bool is_stale;
    provider.userinfo_says = SESSION_UNREACHABLE;
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    ck_assert_int_eq(look(&is_stale), SESSION_FOUND);
    ck_assert(is_stale);
    at(REFRESH_S + GRACE_S - 1);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    ck_assert_int_eq(look(&is_stale), SESSION_FOUND);
    ck_assert(is_stale);
    at(REFRESH_S + GRACE_S);
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
    ck_assert(has_row(x, &c));
}
END_TEST

START_TEST(a_session_past_its_grace_comes_back_with_the_provider)
{
    struct session *s = NULL;
    provider.userinfo_says = SESSION_UNREACHABLE;
    at(REFRESH_S + GRACE_S);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    ck_assert_int_eq(session_find(x->ss, view(&c), epoch_now_s(), &s), SESSION_LAPSED);
    ck_assert(!session_has_grace(s, epoch_now_s()));
    session_unref(s);
    provider.userinfo_says = SESSION_RENEWED;
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM); /* asked a moment ago */
    at(REFRESH_S + GRACE_S + SESSION_RETRY_S);
    ck_assert_int_eq(refresh(), GW_OK);
}
END_TEST

START_TEST(after_a_failure_nobody_is_asked_for_some_seconds)
{
    provider.userinfo_says = SESSION_UNREACHABLE;
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    for (int64_t s = 0; s < SESSION_RETRY_S; s++) {
        at(REFRESH_S + s);
        ck_assert_int_eq(look(NULL), SESSION_FOUND);
        ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    }
    ck_assert_int_eq(provider.n_userinfos, 1);
    at(REFRESH_S + SESSION_RETRY_S);
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    ck_assert_int_eq(provider.n_userinfos, 2);
}
END_TEST

/* A row that has changed for another reason is read again; that is no reason to ask the provider again. */
START_TEST(reading_the_row_again_does_not_forget_the_failure)
{
    uint8_t id[DIGEST_BYTES];
    provider.userinfo_says = SESSION_UNREACHABLE;
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    ck_assert_int_eq(sessionrow_id(view(&c), id), GW_OK);
    sessionwatch_on_change(x->ss, STORE_CHANGED, id);
    ck_assert_int_eq(look(NULL), SESSION_FOUND);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    ck_assert_int_eq(provider.n_userinfos, 1);
}
END_TEST

START_TEST(a_provider_that_cannot_be_asked_changes_nothing)
{
    provider.refuse_with = GW_E_LIMIT;
    at(_i == 0 ? REFRESH_S : 299);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    ck_assert(has_row(x, &c));
    provider.refuse_with = GW_OK;
    at(299 + SESSION_RETRY_S);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_str_eq(provider.refresh_token, "refresh-2");
}
END_TEST

START_TEST(whoever_waits_too_long_goes_on_with_old_claims)
{
    struct answer a, b;
    x->refresh_wait_ms = 20;
    set_restart(x);
    at(REFRESH_S);
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
    begin_and_hold(&a);
    ck_assert_int_eq(outcome(&a, ""), GW_E_TIMEOUT);
    ck_assert_int_eq(look(NULL), SESSION_FOUND); /* the others do not even wait */
    at(REFRESH_S + SESSION_RETRY_S);
    ck_assert_int_eq(look(NULL), SESSION_LAPSED);
    begin(&b); /* joins what is still under way */
    ck_assert_int_eq(provider.n_userinfos, 1);
    answer_now(&provider);
    ck_assert_int_eq(outcome(&b, NEWER), GW_OK);
}
END_TEST

START_TEST(an_answer_that_comes_when_nobody_waits_is_used_all_the_same)
{
    struct answer a;
    bool is_stale;
    x->refresh_wait_ms = 20;
    set_restart(x);
    at(REFRESH_S);
    ck_assert_int_eq(load(x, &c), GW_OK);
    begin_and_hold(&a);
    ck_assert_int_eq(outcome(&a, ""), GW_E_TIMEOUT);
    answer_now(&provider);
    while (atomic_load(&x->ss->n_refreshes) > 0)
        turn();
    ck_assert_int_eq(look(&is_stale), SESSION_FOUND);
    ck_assert(!is_stale);
}
END_TEST

/* ---- the store fails ---- */

START_TEST(a_store_that_fails_leaves_old_claims)
{
    bool *const fails[] = {&x->fake.fail_get, &x->fake.fail_lease, &x->fake.fail_replace};
    bool is_stale;
    at(REFRESH_S);
    fake_set(&x->fake, fails[_i], true);
    ck_assert_int_eq(refresh(), GW_E_IO);
    ck_assert_int_eq(look(&is_stale), SESSION_FOUND);
    ck_assert(is_stale);
    at(REFRESH_S + GRACE_S);
    ck_assert_int_eq(refresh(), GW_E_IO);
    fake_set(&x->fake, fails[_i], false);
    at(REFRESH_S + GRACE_S + SESSION_LEASE_S);
    ck_assert_int_eq(refresh(), GW_OK);
}
END_TEST

START_TEST(a_lease_that_cannot_be_given_back_runs_out)
{
    provider.userinfo_says = SESSION_UNREACHABLE;
    fake_set(&x->fake, &x->fake.fail_release, true);
    at(REFRESH_S);
    ck_assert_int_eq(refresh(), GW_E_UPSTREAM);
    ck_assert_int_eq(lease_as_other(false, epoch_now_s() + 10), STORE_LEASE_HELD);
    provider.userinfo_says = SESSION_RENEWED;
    at(REFRESH_S + SESSION_LEASE_S);
    ck_assert_int_eq(refresh(), GW_OK);
}
END_TEST

START_TEST(a_grant_that_could_not_be_stored_ends_the_session)
{
    at(299);
    fake_set(&x->fake, &x->fake.fail_replace, true);
    ck_assert_int_eq(refresh(), GW_E_IO);
    fake_set(&x->fake, &x->fake.fail_replace, false);
    ck_assert_int_eq(provider.n_grants, 1);
    at(299 + SESSION_LEASE_S);
    ck_assert_int_eq(refresh(), GW_E_NOTFOUND);
    ck_assert_int_eq(provider.n_grants, 1); /* the token was not sent a second time */
    ck_assert(!has_row(x, &c));
}
END_TEST

/* ---- another gateway ---- */

START_TEST(what_another_gateway_refreshed_is_taken_over)
{
    at(REFRESH_S);
    refresh_as_other(NEWER);
    ck_assert_int_eq(refresh(), GW_OK);
    ck_assert_int_eq(provider.n_userinfos, 0);
}
END_TEST

START_TEST(while_another_gateway_refreshes_we_wait)
{
    struct answer a;
    at(REFRESH_S);
    ck_assert_int_eq(lease_as_other(true, epoch_now_s() + 30), STORE_LEASE_TAKEN);
    begin(&a);
    while (n_leases() == 0) /* asked for in vain */
        turn();
    refresh_as_other(NEWER);
    ck_assert_int_eq(outcome(&a, NEWER), GW_OK);
    ck_assert_int_eq(provider.n_userinfos, 0);
}
END_TEST

/* Two of them, each with its memory, on one store. */
START_TEST(two_gateways_on_one_store_ask_once)
{
    struct answer mine, theirs = {.loop = x->loop};
    struct fake fake = {.base.ops = &FAKE_OPS, .inner = x->fake.inner};
    struct sessions_spec spec = {.store = &fake.base,
                                 .jobs = x->jobs,
                                 .ring = x->ring,
                                 .idle_s = IDLE_S,
                                 .absolute_s = ABSOLUTE_S,
                                 .refresh_s = REFRESH_S,
                                 .grace_s = GRACE_S,
                                 .codec = {who_decode, who_ref, who_unref, NULL}};
    struct sessions *other;
    pthread_mutex_init(&fake.lock, NULL);
    pthread_cond_init(&fake.changed, NULL);
    ck_assert_int_eq(sessions_new(&spec, &other), GW_OK);
    at(_i == 0 ? REFRESH_S : 299);
    begin_and_hold(&mine);
    ck_assert_int_eq(session_refresh(other, x->loop, view(&c), &renewer, on_loaded, &theirs), GW_OK);
    while (read_count(&fake, &fake.n_leases) == 0)
        turn();
    provider.is_held = false;
    answer_now(&provider);
    ck_assert_int_eq(outcome(&mine, NEWER), GW_OK);
    ck_assert_int_eq(outcome(&theirs, NEWER), GW_OK);
    ck_assert_int_eq(provider.n_grants, _i);
    ck_assert_int_eq(provider.n_userinfos, 1);
    sessions_free(other);
    pthread_mutex_destroy(&fake.lock);
    pthread_cond_destroy(&fake.changed);
}
END_TEST

START_TEST(another_gateway_that_never_ends_is_waited_for_a_bounded_time)
{
    x->refresh_wait_ms = 20;
    set_restart(x);
    at(REFRESH_S);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(lease_as_other(false, epoch_now_s() + 30), STORE_LEASE_TAKEN);
    ck_assert_int_eq(refresh(), GW_E_TIMEOUT);
    ck_assert_int_eq(look(NULL), SESSION_FOUND);
    while (atomic_load(&x->ss->n_refreshes) > 0) {
        turn();
        session_stop_refreshing(x->ss);
    }
}
END_TEST

START_TEST(a_grant_that_another_gateway_did_not_survive_ends_the_session)
{
    at(REFRESH_S);
    ck_assert_int_eq(lease_as_other(true, epoch_now_s() + 5), STORE_LEASE_TAKEN);
    at(REFRESH_S + 5);
    ck_assert_int_eq(refresh(), GW_E_NOTFOUND);
    ck_assert_int_eq(provider.n_grants + provider.n_userinfos, 0);
    ck_ended();
}
END_TEST

START_TEST(a_row_changed_between_reading_and_leasing_is_read_again)
{
    struct answer a;
    at(REFRESH_S);
    fake_set(&x->fake, &x->fake.hold_get, true);
    begin(&a);
    fake_wait_held(&x->fake, 1);
    refresh_as_other(NEWER);
    fake_set(&x->fake, &x->fake.hold_get, false);
    ck_assert_int_eq(outcome(&a, NEWER), GW_OK);
    ck_assert_int_eq(provider.n_userinfos, 0);
}
END_TEST

/* Ours was so slow that its lease ran out. */
START_TEST(an_answer_that_comes_after_another_gateways_is_dropped)
{
    struct answer a;
    at(REFRESH_S);
    begin_and_hold(&a);
    refresh_as_other("{\"other\":1}");
    answer_now(&provider);
    ck_assert_int_eq(outcome(&a, "{\"other\":1}"), GW_OK);
}
END_TEST

START_TEST(stopping_ends_the_wait_for_another_gateway)
{
    struct answer a;
    at(REFRESH_S);
    ck_assert_int_eq(lease_as_other(false, epoch_now_s() + 30), STORE_LEASE_TAKEN);
    begin(&a);
    while (atomic_load(&x->ss->n_refreshes) > 0 || !a.is_there) {
        turn();
        session_stop_refreshing(x->ss);
    }
    ck_assert_int_eq(a.err, GW_E_IO);
}
END_TEST

START_TEST(stopping_tells_those_who_wait_before_the_provider_answers)
{
    struct answer a;
    at(REFRESH_S);
    begin_and_hold(&a);
    session_stop_refreshing(x->ss);
    ck_assert_int_eq(outcome(&a, ""), GW_E_IO);
    answer_now(&provider);
    while (atomic_load(&x->ss->n_refreshes) > 0)
        turn();
}
END_TEST

/* ---- logged out meanwhile ---- */

static void on_revoked(void *arg, enum gw_err err, size_t n)
{
    struct answer *a = arg;
    (void)n;
    a->is_there = true;
    a->err = err;
    loop_stop(a->loop);
}

/* By the person, by the provider, by another gateway. */
enum leaver { BY_COOKIE, BY_SUB, BY_OTHER, LEAVERS };

static void leave(enum leaver how)
{
    struct answer a = {.loop = x->loop};
    struct session_new_spec spec = spec_of(CLAIMS);
    uint8_t id[DIGEST_BYTES];
    struct session_revocation r = {.by = SESSION_BY_SUB, .iss = spec.iss, .name = spec.sub, .issued_until_s = INT64_MAX};
    switch (how) {
    case BY_COOKIE:
        ck_assert_int_eq(end(x, &c), GW_OK);
        break;
    case BY_SUB:
        ck_assert_int_eq(session_revoke(x->ss, x->loop, &r, on_revoked, &a), GW_OK);
        answer_wait(&a);
        ck_assert_int_eq(a.err, GW_OK);
        break;
    default:
        ck_assert_int_eq(sessionrow_id(view(&c), id), GW_OK);
        ck_assert_int_eq(store_session_end(x->fake.inner, id, epoch_now_ms(), epoch_now_s() + 1000), GW_OK);
        break;
    }
}

static void ck_gone(struct answer *a)
{
    provider.is_held = false;
    ck_assert_int_eq(outcome(a, ""), GW_E_NOTFOUND);
    ck_assert(!has_row(x, &c));
    ck_assert_int_eq(look(NULL), SESSION_NONE);
    at(1000);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    ck_assert(!has_row(x, &c));
}

START_TEST(C10_logout_while_the_row_is_read)
{
    struct answer a;
    at(299);
    fake_set(&x->fake, &x->fake.hold_get, true);
    begin(&a);
    fake_wait_held(&x->fake, 1);
    if (_i == BY_COOKIE)
        fake_set(&x->fake, &x->fake.hold_get, false); /* a logout reads too */
    leave(_i);
    fake_set(&x->fake, &x->fake.hold_get, false);
    ck_gone(&a);
}
END_TEST

START_TEST(C10_logout_while_the_provider_is_asked)
{
    struct answer a;
    at(_i / LEAVERS == 0 ? REFRESH_S : 299);
    begin_and_hold(&a);
    ck_assert_int_eq(provider.asked, _i / LEAVERS == 0 ? ASKED_USERINFO : ASKED_GRANT);
    leave(_i % LEAVERS);
    ck_assert(!has_row(x, &c));
    answer_now(&provider);
    ck_gone(&a);
    ck_assert_int_eq(provider.n_grants + provider.n_userinfos, 1);
}
END_TEST

START_TEST(logout_between_the_grant_and_userinfo)
{
    struct answer a;
    at(299);
    begin_and_hold(&a);
    answer_now(&provider);
    while (provider.done == NULL)
        loop_run(x->loop);
    ck_assert_int_eq(provider.asked, ASKED_USERINFO);
    leave(_i);
    answer_now(&provider);
    ck_gone(&a);
}
END_TEST

START_TEST(C10_logout_while_the_answer_is_written)
{
    struct answer a;
    at(REFRESH_S);
    bool *hold = _i < LEAVERS ? &x->fake.hold_replace : &x->fake.hold_replaced;
    fake_set(&x->fake, hold, true);
    begin(&a);
    while (n_held() == 0)
        turn();
    leave(_i % LEAVERS);
    fake_set(&x->fake, hold, false);
    ck_gone(&a);
}
END_TEST

/* New claims are in memory already, and those who wait are about to be told. */
START_TEST(logout_before_the_outcome_is_told)
{
    struct answer a, ended = {.loop = x->loop};
    struct session *s = NULL;
    at(REFRESH_S);
    begin_and_hold(&a);
    answer_now(&provider);
    while (session_find(x->ss, view(&c), epoch_now_s(), &s) == SESSION_LAPSED) {
        session_unref(s);
        s = NULL;
    }
    session_unref(s);
    ck_assert(!a.is_there);
    ck_assert_int_eq(session_end(x->ss, x->loop, view(&c), on_ended, &ended), GW_OK);
    answer_wait(&ended);
    ck_gone(&a);
}
END_TEST

START_TEST(logout_is_told_to_those_who_waited_too_long)
{
    struct answer a;
    x->refresh_wait_ms = 20;
    set_restart(x);
    at(REFRESH_S);
    begin_and_hold(&a);
    leave(BY_COOKIE);
    answer_wait(&a);
    ck_assert_int_eq(a.err, GW_E_NOTFOUND);
    answer_now(&provider);
    while (atomic_load(&x->ss->n_refreshes) > 0)
        turn();
    ck_assert(!has_row(x, &c));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sessionrefresh");
    TCase *t = tcase_create("sessionrefresh");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, C4_C5_claims_lapse_when_they_are_refresh_s_old);
    tcase_add_test(t, a_refresh_brings_new_claims_for_refresh_s);
    tcase_add_test(t, freshness_outlives_a_restart);
    tcase_add_test(t, claims_age_from_when_the_provider_was_asked);
    tcase_add_test(t, a_clock_set_back_prolongs_nothing);
    tcase_add_test(t, the_list_of_sessions_shows_the_new_name);
    tcase_add_test(t, a_thousand_who_wait_ask_once);
    tcase_add_test(t, one_too_many_who_wait_is_refused);
    tcase_add_test(t, loops_share_one_refresh);
    tcase_add_test(t, one_refresh_too_many_is_refused);
    tcase_add_test(t, cookies_of_nobody_ask_nobody);
    tcase_add_test(t, a_grant_comes_only_before_the_access_token_lapses);
    tcase_add_test(t, tokens_that_a_grant_does_not_bring_stay);
    tcase_add_test(t, without_a_refresh_token_there_is_no_grant);
    tcase_add_test(t, what_a_grant_brought_is_kept_even_if_userinfo_fails);
    tcase_add_test(t, a_refused_access_token_is_exchanged_once);
    tcase_add_test(t, an_access_token_refused_again_ends_the_session);
    tcase_add_test(t, an_access_token_refused_with_no_other_to_be_had_ends_the_session);
    tcase_add_loop_test(t, C7_C8_C9_these_answers_end_the_session, 0, sizeof(endings) / sizeof(endings[0]));
    tcase_add_test(t, old_claims_serve_through_the_grace_and_no_longer);
    tcase_add_test(t, a_session_past_its_grace_comes_back_with_the_provider);
    tcase_add_test(t, after_a_failure_nobody_is_asked_for_some_seconds);
    tcase_add_test(t, reading_the_row_again_does_not_forget_the_failure);
    tcase_add_loop_test(t, a_provider_that_cannot_be_asked_changes_nothing, 0, 2);
    tcase_add_test(t, whoever_waits_too_long_goes_on_with_old_claims);
    tcase_add_test(t, an_answer_that_comes_when_nobody_waits_is_used_all_the_same);
    tcase_add_loop_test(t, a_store_that_fails_leaves_old_claims, 0, 3);
    tcase_add_test(t, a_lease_that_cannot_be_given_back_runs_out);
    tcase_add_test(t, a_grant_that_could_not_be_stored_ends_the_session);
    tcase_add_test(t, what_another_gateway_refreshed_is_taken_over);
    tcase_add_test(t, while_another_gateway_refreshes_we_wait);
    tcase_add_loop_test(t, two_gateways_on_one_store_ask_once, 0, 2);
    tcase_add_test(t, another_gateway_that_never_ends_is_waited_for_a_bounded_time);
    tcase_add_test(t, a_grant_that_another_gateway_did_not_survive_ends_the_session);
    tcase_add_test(t, a_row_changed_between_reading_and_leasing_is_read_again);
    tcase_add_test(t, an_answer_that_comes_after_another_gateways_is_dropped);
    tcase_add_test(t, stopping_ends_the_wait_for_another_gateway);
    tcase_add_test(t, stopping_tells_those_who_wait_before_the_provider_answers);
    tcase_add_loop_test(t, C10_logout_while_the_row_is_read, 0, LEAVERS);
    tcase_add_loop_test(t, C10_logout_while_the_provider_is_asked, 0, 2 * LEAVERS);
    tcase_add_loop_test(t, logout_between_the_grant_and_userinfo, 0, LEAVERS);
    tcase_add_loop_test(t, C10_logout_while_the_answer_is_written, 0, 2 * LEAVERS);
    tcase_add_test(t, logout_before_the_outcome_is_told);
    tcase_add_test(t, logout_is_told_to_those_who_waited_too_long);
    suite_add_tcase(s, t);
    return support_run(s);
}
