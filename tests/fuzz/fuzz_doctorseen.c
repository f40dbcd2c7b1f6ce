/* Input: what a front door sends back, from its first byte until it closes. */
#include "cli/doctorjudge.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen baseline, seen;
    struct view bytes = {(const char *)data, size};
    char why[DOCTORJUDGE_WHY_MAX];
    seen = (struct seen){0};
    if (doctorseen_read(&seen, bytes) != GW_OK)
        return 0;
    (void)doctorseen_is_whole(bytes);
    if (seen.is_echo && (seen.status != 200 || seen.judged.id.n == 0))
        abort();
    for (int judge = JUDGE_CLAIM; judge <= JUDGE_REDIRECT; judge++) {
        struct trial t = {(enum judge)judge, {"GET", 3}, {"/", 1}, {"h", 1}, judge % 2 == 0 ? &baseline : &seen, &seen};
        if (doctorjudge(&t, why) == VERDICT_UNKNOWN && why[0] == '\0')
            abort();
    }
    doctorseen_deinit(&seen);
    return 0;
}
