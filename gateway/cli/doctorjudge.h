/* doctorjudge: what an answer tells about the front door. Pure functions of what was sent and what was seen.
 *
 * The idea: a request that reaches the far side shows there what was judged about it and what arrived. Safe is: they agree, nothing of it is the
 * client's own claim; or the request was refused, while an ordinary one (the baseline) is let in. Whatever leaves that open is UNKNOWN: a
 * door that is shut to everybody proves nothing.
 * Owns: texts are written into why. Threads: any. Source: DESIGN 4; THREATS A, B, H. */
#pragma once

#include "cli/doctorseen.h"

/* Clients' claims that must never be found on the far side. 192.0.2.0/24 is for documentation: RFC 5737. */
#define DOCTOR_FORGED "doctor-forged"
#define DOCTOR_ADDRESS "192.0.2.66"
#define DOCTOR_HOST "doctor.invalid"
/* A cookie that a workspace may see. */
#define DOCTOR_COOKIE "app=1"

enum verdict { VERDICT_UNKNOWN, VERDICT_SAFE, VERDICT_OPEN };
enum { DOCTORJUDGE_WHY_MAX = 512 };

enum judge {
    JUDGE_CLAIM,     /* claims something that proxies say: nothing may come of it, not even a refusal by the question */
    JUDGE_REQUEST,   /* is odd: what is judged is what is routed, or it is refused */
    JUDGE_UNASKED,   /* an ordinary request of a kind that proxies like to let pass without asking */
    JUDGE_ANONYMOUS, /* nobody's: must not get in */
    JUDGE_ANSWER,    /* nobody's: must be told to log in, not that something broke */
    JUDGE_CLOSED,    /* to an auth endpoint: nobody outside may talk to it */
    JUDGE_LOGIN,     /* to the login page: must lead to the provider */
    JUDGE_REDIRECT,  /* must not lead to another host */
};

struct trial {
    enum judge judge;
    struct view method, target; /* as sent */
    struct view host;           /* of the URL: host[:port] as in Host */
    const struct seen *baseline, *seen;
};

enum verdict doctorjudge(const struct trial *t, char why[DOCTORJUDGE_WHY_MAX]);

/* Two ordinary requests, one after the other. */
enum { DOCTORJUDGE_QUESTION_COUNT = 2 };
enum verdict doctorjudge_question(const struct seen seen[DOCTORJUDGE_QUESTION_COUNT], char why[DOCTORJUDGE_WHY_MAX]);
/* Four requests for one address: twice the visitor with two different cookies, then nobody with the first cookie, then another token. */
enum { DOCTORJUDGE_CACHE_COUNT = 4 };
enum verdict doctorjudge_cache(const struct seen seen[DOCTORJUDGE_CACHE_COUNT], char why[DOCTORJUDGE_WHY_MAX]);
/* An ordinary request with a cookie of the visitor's and one of ours: neither ours nor the token may arrive. n_left: bytes of what may. */
enum verdict doctorjudge_secrets(const struct trial *t, size_t n_left, char why[DOCTORJUDGE_WHY_MAX]);
