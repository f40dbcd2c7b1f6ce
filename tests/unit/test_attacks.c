/* Tries every policy in tests/policy/attacks; see the README there. */
#include "policykit.h"

enum { ATTACKS_MAX = 300 };

static char *names[ATTACKS_MAX];
static int n_names;

static int name_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_find(void)
{
    DIR *d = opendir("tests/policy/attacks");
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.' && n_names < ATTACKS_MAX)
            names[n_names++] = view_dup(view_of(e->d_name));
    if (d != NULL)
        closedir(d);
    qsort(names, (size_t)n_names, sizeof(names[0]), name_cmp);
}

static struct view attack_read(const char *name, char *out, size_t cap)
{
    char path[256];
    snprintf(path, sizeof(path), "tests/policy/attacks/%s", name);
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(out, 1, cap - 1, f);
    fclose(f);
    out[n] = '\0';
    return view_at(out, n);
}

static struct view expectation(struct view text, struct view word)
{
    const char *p = memmem(text.p, text.n, word.p, word.n);
    if (p == NULL)
        return VIEW_NONE;
    struct view rest = view_skip(text, (size_t)(p - text.p) + word.n);
    return view_split(&rest, '\n');
}

static void check_denied(struct engine *e, const char *name, struct view wanted)
{
    struct principal *mallory = kit_user("mallory", "[]", "{}"), *alice = kit_user("alice", "[]", "{}");
    struct repo r = kit_repo("github:acme/site");
    struct policy_input bad = kit_input(mallory, &r, VISIBILITY_PUBLIC), good = kit_input(alice, &r, VISIBILITY_PUBLIC);
    for (int i = 0; i < 3; i++) {
        struct decision d = kit_eval(e, &bad);
        ck_assert_msg(d.verdict == VERDICT_DENY && d.is_error && d.n_errors == 1, "%s: %s", name, d.reason);
        ck_assert_str_eq(d.reason, "error");
        ck_assert_msg(view_contains(view_of(d.errors[0].text), wanted), "%s: '%s' without '%.*s'", name, d.errors[0].text,
                      VIEW_FMT(wanted));
        d = kit_eval(e, &good);
        ck_assert_msg(d.verdict == VERDICT_ALLOW && d.n_errors == 0, "%s: alice: %s %s", name, d.reason,
                      d.n_errors == 0 ? "" : d.errors[0].text);
    }
    principal_unref(mallory);
    principal_unref(alice);
}

START_TEST(K1_K3_K4_is_refused_or_stopped)
{
    char text[65536];
    const char *name = names[_i];
    struct view attack = attack_read(name, text, sizeof(text)), at_load = expectation(attack, VIEW("-- load: ")),
                at_decision = expectation(attack, VIEW("-- deny: "));
    struct buf findings = BUF(1024 * 1024);
    struct engine *e = kit_load(attack, &findings);

    ck_assert_msg((at_load.n == 0) != (at_decision.n == 0), "%s says not what is expected", name);
    if (at_load.n > 0) {
        ck_assert_msg(e == NULL, "%s was loaded", name);
        ck_assert_msg(view_contains(buf_view(&findings), at_load), "%s: '%s' without '%.*s'", name, findings.p,
                      VIEW_FMT(at_load));
    } else {
        ck_assert_msg(e != NULL, "%s: %s", name, findings.p);
        check_denied(e, name, at_decision);
    }
    engine_free(e);
    buf_deinit(&findings);
}
END_TEST

START_TEST(K1_K4_the_corpus_is_there)
{
    ck_assert_int_gt(n_names, 80);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attacks");
    TCase *tc = tcase_create("attacks");
    names_find();
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, K1_K4_the_corpus_is_there);
    tcase_add_loop_test(tc, K1_K3_K4_is_refused_or_stopped, 0, n_names);
    suite_add_tcase(s, tc);
    int status = support_run(s);
    for (int i = 0; i < n_names; i++)
        free(names[i]);
    return status;
}
