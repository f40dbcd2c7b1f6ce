/* Times one evaluation of the seed policy and prints: policy_seed ROUND_NS …
 *
 *   policy_seed POLICY-DIR ROUNDS
 *
 * People and repositories are drawn anew for each evaluation; a third of the repositories is public, a third private and on the
 * person's list, a third private and not on it. Each answer is compared with the one that is right. */
#include "policy/loader.h"
#include "workload.h"

enum { PEOPLE = 1000, QUESTIONS = 30000, EVALUATIONS = 300000, WARM_UP = 30000 };

struct question {
    struct policy_input input;
    enum verdict expected;
};

static struct forge forge = {.name = "github", .kind = FORGE_GITHUB, .url = "https://github.com"};
static struct principal *people[PEOPLE];
static struct repo repos[WORKLOAD_REPOS];
static char paths[WORKLOAD_REPOS][64];
static struct question questions[QUESTIONS];

static void report(void *arg, const struct loader_finding *f)
{
    (void)arg;
    fprintf(stderr, "bench: %s:%d: %s\n", f->file, f->line, f->text);
}

static struct view no_header(void *arg, struct view name)
{
    (void)arg;
    (void)name;
    return VIEW_NONE;
}

static void make_people(void)
{
    struct buf claims = BUF(WORKLOAD_TEXT_MAX), pack = BUF(PACK_BYTES_MAX);
    for (size_t i = 0; i < PEOPLE; i++) {
        buf_clear(&claims);
        buf_clear(&pack);
        workload_put_claims(&claims, i, VIEW("https://auth.example.org/application/o/repogate/"));
        workload_must(pack_parse(buf_view(&claims), &pack), "claims");
        workload_must(principal_new(pack_root(pack.p), PRINCIPAL_SESSION, true, &people[i]), "principal_new");
    }
    buf_deinit(&claims);
    buf_deinit(&pack);
}

static void make_repos(void)
{
    struct buf name = BUF(64);
    for (size_t i = 0; i < WORKLOAD_REPOS; i++) {
        buf_clear(&name);
        workload_put_repo(&name, i);
        snprintf(paths[i], sizeof(paths[i]), "/github/%s/src/index.html", name.p);
        if (repo_parse_path(&forge, 1, view_of(paths[i]), &repos[i]) != REPO_ONE)
            workload_fail("a repository of the workload does not parse");
    }
    buf_deinit(&name);
}

static void make_question(struct question *q, size_t i, uint64_t *random)
{
    size_t person = workload_random(random) % PEOPLE, repo;
    size_t on_list = workload_random(random) % WORKLOAD_LIST;
    if (i % 3 == 0)
        repo = workload_random(random) % WORKLOAD_PUBLIC;
    else
        repo = workload_private(person, i % 3 == 1 ? on_list : on_list + WORKLOAD_LIST);
    q->expected = i % 3 == 2 ? VERDICT_DENY : VERDICT_ALLOW;
    q->input = (struct policy_input){
        .user = people[person],
        .repo = &repos[repo],
        .visibility = repo < WORKLOAD_PUBLIC ? VISIBILITY_PUBLIC : VISIBILITY_PRIVATE,
        .action = ACTION_OPEN,
        .method = VIEW("GET"),
        .host = VIEW("dev.example.org"),
        .path = repos[repo].rest,
        .ip = {.bytes = {192, 0, 2, 7}, .family = 4},
        .now_ms = epoch_now_ms(),
        .request_id = VIEW("019386a0-0000-7000-8000-000000000000"),
        .header = no_header,
    };
}

static void ask(struct engine *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct decision d = {0};
        const struct question *q = &questions[i % QUESTIONS];
        workload_must(engine_eval(e, &q->input, &d), "engine_eval");
        if (d.verdict != q->expected || d.needs_visibility || d.n_errors > 0)
            workload_fail("the policy gave another answer than the one that is right");
    }
}

int main(int argc, char **argv)
{
    struct engine *e = NULL;
    uint64_t random = 1;
    if (argc != 3)
        workload_fail("usage: policy_seed POLICY-DIR ROUNDS");
    struct loader_spec spec = {.dir = argv[1], .forges = &forge, .n_forges = 1, .require_tests = true, .n_engines = 1};
    workload_must(loader_load(&spec, report, NULL, &e), argv[1]);
    make_people();
    make_repos();
    for (size_t i = 0; i < QUESTIONS; i++)
        make_question(&questions[i], i, &random);
    ask(e, WARM_UP);
    printf("policy_seed");
    for (int i = atoi(argv[2]); i > 0; i--) {
        double from_s = workload_cpu_s();
        ask(e, EVALUATIONS);
        printf(" %.0f", (workload_cpu_s() - from_s) * 1e9 / EVALUATIONS);
    }
    printf("\n");
    engine_free(e);
    for (size_t i = 0; i < PEOPLE; i++)
        principal_unref(people[i]);
    return 0;
}
