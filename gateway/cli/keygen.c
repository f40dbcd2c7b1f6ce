#include "cli/keygen.h"

#include "cli/usage.h"
#include "identity/signkey.h"
#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/rnd.h"
#include "util/seal.h"
#include "util/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static const char usage[] =
    "usage: repogate keygen session|assertion [--out FILE | --rotate FILE]\n"
    "\n"
    "Makes a key:\n"
    "  session         seals sessions: 32 random bytes as one line of text\n"
    "  assertion       signs what workspaces are told of who is asking: P-256, private, in PEM\n"
    "\n"
    "  --out FILE      into a new file that only its owner may read; an existing one is never touched\n"
    "  --rotate FILE   on top of the keys in FILE: it seals or signs from then on, the others still open, or are\n"
    "                  still published; take one out once every session that it sealed has ended, or five minutes\n"
    "                  after it has last signed\n"
    "  --help          this text\n"
    "\n"
    "Without --out and --rotate the key goes to standard output. A running gateway reads the file anew by itself.\n"
    "Where several gateways share assertion keys, append the new one to all their files first, and move it to the\n"
    "top once all publish it.\n";

/* Kinds that the contract names. */
static const char *const unbuilt_kinds[] = {"checkpoint", "hmac"};

struct kind {
    const char *name;
    enum gw_err (*put)(struct buf *out);                       /* a new key, with its line end */
    enum gw_err (*count)(const char *path, size_t *ret_count); /* of a file with keys */
    size_t keys_max;
};

static void wipe_buf(struct buf *b)
{
    if (b->p != NULL)
        secret_wipe(b->p, b->size);
    buf_deinit(b);
}

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "repogate keygen: %s: %s\n", what, why);
    return CLI_FAILED;
}

static enum gw_err put_session_key(struct buf *out)
{
    uint8_t key[SEAL_KEY_BYTES];

    enum gw_err err = rnd_bytes(key, sizeof(key));
    if (err != GW_OK)
        return err;
    b64url_encode(out, key, sizeof(key));
    buf_puts(out, "\n");
    secret_wipe(key, sizeof(key));
    return buf_ok(out) ? GW_OK : GW_E_NOMEM;
}

static enum gw_err count_session_keys(const char *path, size_t *ret_count)
{
    GW_CLEANUP(seal_ring_freep) struct seal_ring *ring = NULL;

    enum gw_err err = seal_ring_load(path, &ring);
    if (err == GW_OK)
        *ret_count = seal_ring_count(ring);
    return err;
}

static enum gw_err count_assertion_keys(const char *path, size_t *ret_count)
{
    GW_CLEANUP(signkey_ring_freep) struct signkey_ring *ring = NULL;

    enum gw_err err = signkey_ring_load(path, &ring);
    if (err == GW_OK)
        *ret_count = signkey_ring_count(ring);
    return err;
}

static const struct kind kinds[] = {
    {"session", put_session_key, count_session_keys, SEAL_KEYS_MAX},
    {"assertion", signkey_generate, count_assertion_keys, SIGNKEY_KEYS_MAX},
};

/* All of it, on the disk. */
static bool write_all(int fd, struct view text)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            text = view_skip(text, (size_t)n);
    }
    return fsync(fd) == 0;
}

/* A new name outlives a power cut only once its directory is on the disk. */
static bool sync_directory_of(const char *path)
{
    char copy[PATH_MAX];

    if ((size_t)snprintf(copy, sizeof(copy), "%s", path) >= sizeof(copy))
        return false;
    GW_CLEANUP(gw_closep) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}

static int make_new(const char *path, struct view key)
{
    GW_CLEANUP(gw_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST) {
        fprintf(stderr, "repogate keygen: %s exists and stays as it is: use another name, or --rotate\n", path);
        return CLI_USAGE;
    }
    if (fd < 0)
        return failed(path, strerror(errno));
    if (!write_all(fd, key) || !sync_directory_of(path)) {
        int saved = errno;
        unlink(path);
        return failed(path, strerror(saved));
    }
    return CLI_OK;
}

/* The file's text behind the new key; says what is wrong. */
static int put_old_keys(const struct kind *kind, const char *path, struct buf *text)
{
    GW_CLEANUP(secret_freep) char *old = NULL;
    size_t n = 0;

    enum gw_err err = kind->count(path, &n);
    if (err == GW_E_INVALID || err == GW_E_LIMIT) {
        fprintf(stderr, "repogate keygen: %s: expected 1 to %zu keys as `repogate keygen %s` makes them, and nothing else\n",
                path, kind->keys_max, kind->name);
        return CLI_USAGE;
    }
    if (err == GW_OK && n >= kind->keys_max) {
        fprintf(stderr, "repogate keygen: %s holds %zu keys, the most there may be: take the last one out first\n", path, n);
        return CLI_USAGE;
    }
    if (err == GW_OK)
        err = secret_load(path, &old);
    if (err != GW_OK)
        return failed(path, err == GW_E_IO ? "cannot be read" : gw_err_name(err));
    buf_put(text, view_of(old));
    buf_puts(text, "\n");
    return buf_ok(text) ? CLI_OK : failed(path, "no memory");
}

/* A file beside path with the text and path's owner and mode, then in its place in one step. */
static int replace(const char *path, struct view text)
{
    char beside[PATH_MAX];
    struct stat st;

    if (stat(path, &st) != 0)
        return failed(path, strerror(errno));
    if ((size_t)snprintf(beside, sizeof(beside), "%s.XXXXXX", path) >= sizeof(beside))
        return failed(path, "the name is too long");
    GW_CLEANUP(gw_closep) int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return failed(beside, strerror(errno));
    if (fchown(fd, st.st_uid, st.st_gid) != 0 || fchmod(fd, st.st_mode & 07777) != 0 || !write_all(fd, text) ||
        rename(beside, path) != 0) {
        int saved = errno;
        unlink(beside);
        return failed(path, strerror(saved));
    }
    return sync_directory_of(path) ? CLI_OK : failed(path, strerror(errno));
}

static int rotate(const struct kind *kind, const char *path, struct buf *text)
{
    char real[PATH_MAX]; /* through a symbolic link the file is replaced, not the link */

    if (realpath(path, real) == NULL)
        return failed(path, strerror(errno));
    int status = put_old_keys(kind, real, text);
    return status == CLI_OK ? replace(real, buf_view(text)) : status;
}

/* NULL: *ret_status says how it was refused. */
static const struct kind *find_kind(const char *name, int *ret_status)
{
    for (size_t i = 0; name != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(name, kinds[i].name) == 0)
            return &kinds[i];
    for (size_t i = 0; name != NULL && i < sizeof(unbuilt_kinds) / sizeof(unbuilt_kinds[0]); i++)
        if (strcmp(name, unbuilt_kinds[i]) == 0) {
            *ret_status = cli_usage_error("keygen", "%s keys are not built yet: expected session or assertion", name);
            return NULL;
        }
    *ret_status = name == NULL ? cli_usage_error("keygen", "which key? Expected session or assertion")
                               : cli_usage_error("keygen", "unknown kind of key %s: expected session or assertion", name);
    return NULL;
}

int cli_keygen(int argc, char **argv)
{
    const char *out = NULL, *rotated = NULL, *name = NULL;
    const struct cli_option options[] = {{"--out", &out, NULL}, {"--rotate", &rotated, NULL}};
    const struct cli_spec spec = {.usage = usage, .options = options, .n_options = 2, .args = &name, .n_args_max = 1};
    GW_CLEANUP(wipe_buf) struct buf text = BUF(2 * SECRET_FILE_MAX);
    size_t n_args;
    int status;

    if (!cli_options_parse(&spec, argc, argv, &n_args, &status))
        return status;
    const struct kind *kind = find_kind(name, &status);
    if (kind == NULL)
        return status;
    if (out != NULL && rotated != NULL)
        return cli_usage_error("keygen", "--out and --rotate exclude each other");
    /* Growing would leave unwiped copies behind. */
    if (buf_reserve(&text, 2 * SECRET_FILE_MAX) == NULL || kind->put(&text) != GW_OK)
        return failed("key", "no memory, or no random bytes");
    if (out != NULL)
        return make_new(out, buf_view(&text));
    if (rotated != NULL)
        return rotate(kind, rotated, &text);
    fwrite(text.p, 1, text.n, stdout);
    return cli_finish(CLI_OK);
}
