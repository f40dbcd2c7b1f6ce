/* cleanup: frees at end of scope.
 *
 * GW_CLEANUP(freep) before a declaration calls freep(&variable) when the variable leaves its scope.
 * GW_TAKE(p) hands the pointer on and leaves NULL behind, so that nothing is freed. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define GW_CLEANUP(freep) __attribute__((cleanup(freep)))
#define GW_TAKE(p)                  \
    __extension__({                 \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    })

/* Defines static inline void name(type **pp) { freefn(*pp); } */
#define GW_DEFINE_FREEP(name, type, freefn) \
    static inline void name(type **pp)      \
    {                                       \
        freefn(*pp);                        \
    }

static inline void gw_freep(void *pp)
{
    free(*(void **)pp);
}

static inline void gw_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
