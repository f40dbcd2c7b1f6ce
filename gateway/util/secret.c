#include "util/secret.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>

bool secret_eq(struct view a, struct view b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

void secret_wipe(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}

void secret_free(char *s)
{
    if (s != NULL)
        OPENSSL_cleanse(s, strlen(s));
    free(s);
}

static enum gw_err read_all(int fd, char *p, size_t cap, size_t *ret_n)
{
    size_t n = 0;
    while (n < cap) {
        ssize_t got = read(fd, p + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return GW_E_IO;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *ret_n = n;
    return GW_OK;
}

enum gw_err secret_load(const char *path, char **ret_text)
{
    char text[SECRET_FILE_MAX + 2];
    size_t n = 0;
    GW_CLEANUP(gw_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return GW_E_IO;
    enum gw_err err = read_all(fd, text, SECRET_FILE_MAX + 1, &n);
    if (err == GW_OK && n > SECRET_FILE_MAX)
        err = GW_E_LIMIT;
    while (err == GW_OK && n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    if (err == GW_OK && (n == 0 || memchr(text, '\0', n) != NULL))
        err = GW_E_INVALID;
    char *copy = err == GW_OK ? view_dup((struct view){text, n}) : NULL;
    OPENSSL_cleanse(text, sizeof(text));
    if (err != GW_OK)
        return err;
    if (copy == NULL)
        return GW_E_NOMEM;
    *ret_text = copy;
    return GW_OK;
}
