/* err: names every error.
 *
 * A denial is an answer, not an error: an error means that no answer was reached, and the door stays shut.
 * Threads: constants only. */
#pragma once

enum gw_err {
    GW_OK = 0,
    GW_E_NOMEM,    /* no memory */
    GW_E_INVALID,  /* the outside sent nonsense */
    GW_E_EXPIRED,  /* outside its time */
    GW_E_LIMIT,    /* a named cap was reached */
    GW_E_NOTFOUND, /* there is no such thing */
    GW_E_TIMEOUT,  /* a deadline passed */
    GW_E_UPSTREAM, /* another server refused or answered nonsense */
    GW_E_POLICY,   /* the policy gave no answer */
    GW_E_IO,       /* disk, socket or store */
};

#define GW_MUST_CHECK __attribute__((warn_unused_result))
#define GW_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* "GW_E_LIMIT" and so on; never NULL. */
const char *gw_err_name(enum gw_err err);
