/* Makes sessions in a store, without logins, and prints requests of theirs that the seed policy allows: for each, what a browser
 * sends and what the proxy in front adds. Half of them ask for public repositories, half for private ones on the person's list.
 *
 *   make_sessions STORE KEY-FILE SESSIONS REQUESTS
 *
 * Request number i is of session i modulo SESSIONS. */
#include "store/session.h"
#include "util/cleanup.h"
#include "workload.h"

enum { JOB_THREADS = 2, UNDER_WAY_MAX = 256, DAY_S = 24 * 3600 };

#define ISSUER "https://auth.example.org/application/o/repogate/"

struct maker {
    struct sessions *sessions;
    struct loop *loop;
    char (*cookies)[SESSION_COOKIE_LEN + 1];
    size_t n, n_begun, n_made;
};

struct birth {
    struct maker *maker;
    size_t person;
};

static enum gw_err decode_nothing(void *cls, struct view claims_json, void **ret_who, size_t *ret_bytes)
{
    *ret_who = cls;
    *ret_bytes = claims_json.n;
    return GW_OK;
}

static void *ref_nothing(void *who)
{
    return who;
}

static void unref_nothing(void *who)
{
    (void)who;
}

static void begin_more(struct maker *m);

static void on_made(void *arg, enum gw_err err, struct view cookie)
{
    struct birth *b = arg;
    struct maker *m = b->maker;
    workload_must(err, "session_create");
    memcpy(m->cookies[b->person], cookie.p, SESSION_COOKIE_LEN);
    free(b);
    m->n_made++;
    begin_more(m);
    if (m->n_made == m->n)
        loop_stop(m->loop);
}

static void begin_one(struct maker *m, struct view token)
{
    struct buf claims = BUF(WORKLOAD_TEXT_MAX);
    char sub[65], sid[65], username[32];
    struct birth *b = malloc(sizeof(*b));
    if (b == NULL)
        workload_fail("no memory");
    *b = (struct birth){m, m->n_begun++};
    snprintf(sub, sizeof(sub), "%064zx", b->person + 1);
    snprintf(sid, sizeof(sid), "%064zx", b->person + 1000001);
    snprintf(username, sizeof(username), "person%05zu", b->person);
    workload_put_claims(&claims, b->person, VIEW(ISSUER));
    struct session_new_spec spec = {
        .claims_json = buf_view(&claims),
        .id_token = token,
        .access_token = token,
        .refresh_token = view_at(token.p, 128),
        .access_expires_s = epoch_now_s() + 3600,
        .begun_ms = epoch_now_ms(),
        .issued_s = epoch_now_s(),
        .iss = VIEW(ISSUER),
        .sub = view_of(sub),
        .sid = view_of(sid),
        .username = view_of(username),
        .ip = VIEW("192.0.2.7"),
    };
    workload_must(session_create(m->sessions, m->loop, &spec, on_made, b), "session_create");
    buf_deinit(&claims);
}

static void begin_more(struct maker *m)
{
    char token[WORKLOAD_TOKEN_LEN];
    memset(token, 'x', sizeof(token));
    while (m->n_begun < m->n && m->n_begun - m->n_made < UNDER_WAY_MAX)
        begin_one(m, view_at(token, sizeof(token)));
}

/* One to four segments, in one request of four a query. */
static void put_rest(struct buf *out, uint64_t *random)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    for (uint32_t n = 1 + workload_random(random) % 4; n > 0; n--) {
        buf_puts(out, "/x");
        for (uint32_t k = 3 + workload_random(random) % 14; k > 0; k--)
            buf_put_byte(out, letters[workload_random(random) % (sizeof(letters) - 2)]);
    }
    if (workload_random(random) % 4 == 0)
        buf_printf(out, "?v=%u&tab=files", workload_random(random));
}

static void put_request(struct buf *out, size_t person, const char *cookie, uint64_t *random)
{
    bool is_public = workload_random(random) % 2 == 0;
    size_t repo =
        is_public ? workload_random(random) % WORKLOAD_PUBLIC : workload_private(person, workload_random(random) % WORKLOAD_LIST);
    buf_puts(out, "GET /_repogate/auth/nginx HTTP/1.1\r\nHost: repogate\r\nX-Original-URL: https://dev.example.org/github/");
    workload_put_repo(out, repo);
    put_rest(out, random);
    buf_printf(
        out,
        "\r\nX-Original-Method: GET\r\nX-Real-IP: 192.0.2.%u\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n"
        "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
        "sec-ch-ua: \"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n"
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\nUpgrade-Insecure-Requests: 1\r\n"
        "Cookie: theme=dark; __Host-repogate=%s\r\n\r\n",
        1 + workload_random(random) % 250, cookie);
}

static void print_requests(const struct maker *m, size_t n_requests)
{
    uint64_t random = 1;
    struct buf out = BUF(WORKLOAD_TEXT_MAX);
    for (size_t i = 0; i < n_requests; i++) {
        size_t person = i % m->n;
        buf_clear(&out);
        put_request(&out, person, m->cookies[person], &random);
        if (!buf_ok(&out) || fwrite(out.p, 1, out.n, stdout) != out.n)
            workload_fail("cannot write");
    }
    buf_deinit(&out);
    if (fflush(stdout) != 0)
        workload_fail("cannot write");
}

static size_t parse_count(const char *text)
{
    uint64_t n = 0;
    if (view_to_u64(view_of(text), &n) != GW_OK || n == 0 || n > STORE_SESSIONS_MAX)
        workload_fail("not a count");
    return (size_t)n;
}

int main(int argc, char **argv)
{
    struct store *store = NULL;
    struct jobs *jobs = NULL;
    struct seal_ring *ring = NULL;
    struct maker m = {0};
    if (argc != 5)
        workload_fail("usage: make_sessions STORE KEY-FILE SESSIONS REQUESTS");
    m.n = parse_count(argv[3]);
    m.cookies = calloc(m.n, sizeof(*m.cookies));
    if (m.cookies == NULL)
        workload_fail("no memory");
    workload_must(seal_ring_load(argv[2], &ring), argv[2]);
    workload_must(store_open(argv[1], &store), argv[1]);
    workload_must(jobs_new(JOB_THREADS, UNDER_WAY_MAX, &jobs), "jobs_new");
    workload_must(loop_new(&m.loop), "loop_new");
    struct sessions_spec spec = {
        .store = store,
        .jobs = jobs,
        .ring = ring,
        .idle_s = DAY_S,
        .absolute_s = DAY_S,
        .codec = {decode_nothing, ref_nothing, unref_nothing, &m},
    };
    workload_must(sessions_new(&spec, &m.sessions), "sessions_new");
    begin_more(&m);
    loop_run(m.loop);
    jobs_stop(jobs);
    print_requests(&m, parse_count(argv[4]));
    sessions_free(m.sessions);
    loop_free(m.loop);
    jobs_free(jobs);
    store_close(store);
    seal_ring_free(ring);
    free(m.cookies);
    return 0;
}
