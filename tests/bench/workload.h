/* workload: who asks for what when speed is measured (DESIGN 7), the same in every run.
 *
 * People are developers in ten groups, with twenty repositories on their private-repo-access list. Of a hundred repositories the
 * first half is public, the other half private; each person's list is a stretch of the private ones. */
#pragma once

#include "util/buf.h"
#include "util/epoch.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    WORKLOAD_GROUPS = 10,
    WORKLOAD_LIST = 20,
    WORKLOAD_PUBLIC = 50,
    WORKLOAD_REPOS = 100,
    WORKLOAD_TEXT_MAX = 64 * 1024,
    WORKLOAD_TOKEN_LEN = 1100, /* Authentik's RS256 tokens with such claims */
};

static inline _Noreturn void workload_fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(3);
}

static inline void workload_must(enum gw_err err, const char *what)
{
    if (err == GW_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, gw_err_name(err));
    exit(3);
}

/* The time for which this process has had a core: what others take from us is not counted, as openssl speed does not count it. */
static inline double workload_cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* xorshift64* by Sebastiano Vigna; state starts at any number but 0. */
static inline uint32_t workload_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 0x2545f4914f6cdd1dULL) >> 32);
}

/* Which private repository stands at place i of a person's list; from WORKLOAD_LIST on, one that is not on it. */
static inline size_t workload_private(size_t person, size_t i)
{
    return WORKLOAD_PUBLIC + (person * 7 + i) % (WORKLOAD_REPOS - WORKLOAD_PUBLIC);
}

static inline void workload_put_repo(struct buf *out, size_t repo)
{
    buf_printf(out, "acme/%s-%02zu", repo < WORKLOAD_PUBLIC ? "public" : "private", repo);
}

static inline void workload_put_groups(struct buf *out, size_t person)
{
    buf_puts(out, "[\"developers\",\"staff\"");
    for (size_t i = 2; i < WORKLOAD_GROUPS; i++)
        buf_printf(out, ",\"team-%03zu-%s\"", (person * 13 + i * 31) % 400, i % 2 == 0 ? "engineering" : "emea");
    buf_puts(out, "]");
}

/* What a checked ID token merged with userinfo says of them. */
static inline void workload_put_claims(struct buf *out, size_t person, struct view iss)
{
    buf_puts(out, "{\"iss\":");
    buf_put_json(out, iss);
    buf_printf(
        out,
        ",\"sub\":\"%064zx\",\"aud\":\"repogate\",\"exp\":%lld,\"iat\":%lld,\"auth_time\":%lld,\"acr\":\"goauthentik.io/providers/oauth2/default\","
        "\"amr\":[\"pwd\",\"mfa\"],\"sid\":\"%064zx\",\"email\":\"person%05zu@example.org\",\"email_verified\":true,\"name\":\"Person Number %zu\","
        "\"given_name\":\"Person Number %zu\",\"preferred_username\":\"person%05zu\",\"nickname\":\"person%05zu\","
        "\"entitlements\":[\"workspaces\"],\"groups\":",
        person + 1, (long long)epoch_now_s() + 3600, (long long)epoch_now_s(), (long long)epoch_now_s(), person + 1000001, person,
        person, person, person, person);
    workload_put_groups(out, person);
    buf_puts(out, ",\"repogate\":{\"v\":1,\"service\":false,\"groups\":");
    workload_put_groups(out, person);
    buf_puts(out, ",\"attributes\":{\"private-repo-access\":[");
    for (size_t i = 0; i < WORKLOAD_LIST; i++) {
        buf_put(out, i == 0 ? VIEW("\"") : VIEW(",\""));
        workload_put_repo(out, workload_private(person, i));
        buf_puts(out, "\"");
    }
    buf_puts(out, "]}}}");
}
