#include "app_assertion.h"

#include "util/cleanup.h"

static void free_makers(struct assertion_maker **makers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assertion_maker_free(makers[i]);
}

/* All are made before any is handed out. */
static enum gw_err take_keys(void *arg, struct view pem)
{
    const struct app_assertion *a = arg;
    GW_CLEANUP(gw_freep) struct assertion_maker **makers = calloc(a->n_workers, sizeof(struct assertion_maker *));
    enum gw_err err = makers == NULL ? GW_E_NOMEM : GW_OK;
    size_t n = 0, n_given = 0;
    for (; err == GW_OK && n < a->n_workers; n += err == GW_OK ? 1 : 0)
        err = assertion_maker_new(pem, view_of(a->config->server.public_url), 0, &makers[n]);
    while (err == GW_OK && n_given < n) {
        err = worker_set_assertions(&a->workers[n_given], makers[n_given]);
        n_given += err == GW_OK ? 1 : 0;
    }
    if (err != GW_OK && makers != NULL)
        free_makers(makers + n_given, n - n_given);
    return err;
}

enum gw_err app_assertion_start(struct app_assertion *a, struct secretfiles *secrets)
{
    const char *path = a->config->assertion.key_file;
    if (path[0] == '\0')
        return GW_OK;
    return secretfiles_add(secrets, "assertion.key_file", path, take_keys, a, NULL);
}
