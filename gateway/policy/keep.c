/* The last good set is a folder of its own behind the link state_dir/last-good, which is renamed into place: whoever looks finds
 * the old set or the new one, whole, also after a crash. */
#include "policy/loader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/source.h"
#include "util/cleanup.h"
#include "util/rnd.h"

enum { PATH_BYTES = 4096, SET_NAME_BYTES = 64 };

static bool path_join(char *out, size_t cap, const char *dir, const char *name)
{
    int n = snprintf(out, cap, "%s/%s", dir, name);

    return n > 0 && (size_t)n < cap;
}

static enum gw_err write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return GW_E_IO;
        p += done;
        n -= (size_t)done;
    }
    return fsync(fd) == 0 ? GW_OK : GW_E_IO;
}

static enum gw_err set_write(int dir_fd, const struct source_set *set)
{
    for (size_t i = 0; i < set->n_files; i++) {
        GW_CLEANUP(gw_closep) int fd = openat(dir_fd, set->files[i].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        enum gw_err err;

        if (fd < 0)
            return GW_E_IO;
        err = write_all(fd, set->files[i].text, set->files[i].n);
        if (err != GW_OK)
            return err;
    }
    return fsync(dir_fd) == 0 ? GW_OK : GW_E_IO;
}

static void set_remove(int state_fd, const char *name)
{
    int fd = openat(state_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((e = readdir(d)) != NULL)
        if (view_ends(view_of(e->d_name), VIEW(".lua")))
            (void)unlinkat(fd, e->d_name, 0);
    closedir(d);
    (void)unlinkat(state_fd, name, AT_REMOVEDIR);
}

static enum gw_err set_publish(int state_fd, const char *name)
{
    char link[SET_NAME_BYTES + 8], old[SET_NAME_BYTES];
    ssize_t n = readlinkat(state_fd, "last-good", old, sizeof(old) - 1);

    snprintf(link, sizeof(link), "%s.link", name);
    if (symlinkat(name, state_fd, link) != 0)
        return GW_E_IO;
    if (renameat(state_fd, link, state_fd, "last-good") != 0) {
        (void)unlinkat(state_fd, link, 0);
        return GW_E_IO;
    }
    if (fsync(state_fd) != 0)
        return GW_E_IO;
    if (n > 0) {
        old[n] = '\0';
        if (view_starts(view_of(old), VIEW("set-")) && strchr(old, '/') == NULL)
            set_remove(state_fd, old);
    }
    return GW_OK;
}

enum gw_err loader_keep(const char *dir, const char *state_dir)
{
    if (mkdir(state_dir, 0700) != 0 && errno != EEXIST)
        return GW_E_IO;
    GW_CLEANUP(source_set_deinit) struct source_set set = {0};
    struct source_findings findings = {0};
    GW_CLEANUP(gw_closep) int state_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char name[SET_NAME_BYTES];
    uint8_t random[8];
    enum gw_err err;

    if (state_fd < 0)
        return GW_E_IO;
    err = source_set_load(dir, &findings, &set);
    if (err != GW_OK)
        return err;
    if (findings.n_errors > 0 || set.n_files == 0)
        return GW_E_INVALID;
    err = rnd_bytes(random, sizeof(random));
    if (err != GW_OK)
        return err;
    snprintf(name, sizeof(name), "set-%02x%02x%02x%02x%02x%02x%02x%02x", random[0], random[1], random[2], random[3], random[4],
             random[5], random[6], random[7]);
    if (mkdirat(state_fd, name, 0700) != 0)
        return GW_E_IO;
    GW_CLEANUP(gw_closep) int set_fd = openat(state_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err = set_fd < 0 ? GW_E_IO : set_write(set_fd, &set);
    if (err == GW_OK)
        err = set_publish(state_fd, name);
    if (err != GW_OK)
        set_remove(state_fd, name);
    return err;
}

enum gw_err loader_kept_dir(const char *state_dir, char *out, size_t cap)
{
    char path[PATH_BYTES];
    struct stat st;

    if (!path_join(path, sizeof(path), state_dir, "last-good"))
        return GW_E_LIMIT;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return GW_E_NOTFOUND;
    if (strlen(path) >= cap)
        return GW_E_LIMIT;
    memcpy(out, path, strlen(path) + 1);
    return GW_OK;
}
