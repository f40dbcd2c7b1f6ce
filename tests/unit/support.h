/* What each unit test program would otherwise repeat: one suite, one runner. */
#pragma once

#include <check.h>
#include <stdlib.h>

#include "util/buf.h"

#define ck_view_eq(v, literal)                                                                  \
    do {                                                                                        \
        struct view ck_v_ = (v), ck_w_ = view_of(literal);                                      \
        ck_assert_msg(view_eq(ck_v_, ck_w_), "'%.*s' is not '%s'", VIEW_FMT(ck_v_), (literal)); \
    } while (0)

static inline int support_run(Suite *s)
{
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
