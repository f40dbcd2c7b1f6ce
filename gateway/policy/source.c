#include "policy/source.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"

static void dir_closep(DIR **pp)
{
    if (*pp != NULL)
        closedir(*pp);
}

void source_set_deinit(struct source_set *set)
{
    for (size_t i = 0; i < set->n_files; i++)
        free(set->files[i].text);
    free(set->files);
    *set = (struct source_set){0};
}

static struct view source_line(const struct source_findings *f, const char *file, int line)
{
    if (f->set == NULL || file == NULL || line <= 0)
        return VIEW_NONE;
    for (size_t i = 0; i < f->set->n_files; i++) {
        struct view rest = {f->set->files[i].text, f->set->files[i].n}, text = VIEW_NONE;

        if (strcmp(f->set->files[i].name, file) != 0 || rest.p == NULL)
            continue;
        for (int at = 0; at < line; at++)
            text = view_split(&rest, '\n');
        return text;
    }
    return VIEW_NONE;
}

static void report_text(struct source_findings *f, const char *file, int line, const char *text)
{
    char source[256];
    struct view shown = source_line(f, file, line);

    snprintf(source, sizeof(source), "%.*s", (int)(shown.n < 200 ? shown.n : 200), shown.p == NULL ? "" : shown.p);
    f->n_errors++;
    if (f->report != NULL)
        f->report(f->arg,
                  &(struct loader_finding){.file = file == NULL ? "" : file, .line = line, .source_line = source, .text = text});
}

void source_report(struct source_findings *f, const char *file, int line, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    report_text(f, file, line, text);
}

void source_report_lua(struct source_findings *f, const char *file, int line, const char *lua_text)
{
    struct view text = view_of(lua_text), number, name;
    uint64_t at;

    name = view_split(&text, ':');
    if (text.p != NULL && f->set != NULL) {
        for (size_t i = 0; i < f->set->n_files; i++) {
            if (!view_eq(name, view_of(f->set->files[i].name)))
                continue;
            number = view_split(&text, ':');
            if (text.p != NULL && view_to_u64(number, &at) == GW_OK && at < 1u << 30) {
                report_text(f, f->set->files[i].name, (int)at, text.p + (text.n > 0 && text.p[0] == ' '));
                return;
            }
            break;
        }
    }
    report_text(f, file, line, lua_text);
}

/* One code point; 0 bytes if it is not UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing past U+10FFFF). */
static size_t utf8_take(const uint8_t *p, size_t n, uint32_t *ret_cp)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    uint32_t cp = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));

    if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        cp = cp << 6 | (p[i] & 0x3fu);
    }
    if (len > 1 && (cp < least[len] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)))
        return 0;
    *ret_cp = cp;
    return len;
}

/* What makes text look other than it is: embeddings, overrides, isolates, marks, and invisible joiners. */
static bool is_deceptive(uint32_t cp)
{
    return (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0x200e || cp == 0x200f || cp == 0x061c ||
           (cp >= 0x200b && cp <= 0x200d) || cp == 0x2060 || cp == 0xfeff;
}

static bool text_is_plain(struct source_findings *f, const struct source_file *file)
{
    const uint8_t *p = (const uint8_t *)file->text;
    int line = 1;

    for (size_t i = 0; i < file->n;) {
        uint32_t cp = 0;
        size_t n = utf8_take(p + i, file->n - i, &cp);

        if (n == 0) {
            source_report(f, file->name, line, "not UTF-8: byte 0x%02x", p[i]);
            return false;
        }
        if (is_deceptive(cp)) {
            source_report(f, file->name, line, "U+%04X changes how the text looks, not what it says; remove it", (unsigned)cp);
            return false;
        }
        if (cp < 0x20 && cp != '\n' && cp != '\t' && cp != '\r') {
            source_report(f, file->name, line, "control byte 0x%02x", (unsigned)cp);
            return false;
        }
        line += cp == '\n';
        i += n;
    }
    return true;
}

static enum gw_err file_read(int dir_fd, struct source_file *file)
{
    /* Not to hang on a pipe: opened without waiting, and then it must be a regular file. */
    GW_CLEANUP(gw_closep) int fd = openat(dir_fd, file->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    ssize_t n = 0;

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return GW_E_IO;
    file->text = malloc(SOURCE_FILE_BYTES_MAX + 2);
    if (file->text == NULL)
        return GW_E_NOMEM;
    while (file->n <= SOURCE_FILE_BYTES_MAX) {
        n = read(fd, file->text + file->n, SOURCE_FILE_BYTES_MAX + 1 - file->n);
        if (n <= 0)
            break;
        file->n += (size_t)n;
    }
    if (n < 0)
        return GW_E_IO;
    file->text[file->n] = '\0';
    return file->n > SOURCE_FILE_BYTES_MAX ? GW_E_LIMIT : GW_OK;
}

static enum gw_err file_load(int dir_fd, struct source_findings *f, struct source_file *file)
{
    enum gw_err err = file_read(dir_fd, file);
    char *fitted;

    if (err == GW_E_NOMEM)
        return err;
    if (err != GW_OK) {
        source_report(f, file->name, 0, err == GW_E_LIMIT ? "larger than 256 KiB" : "cannot be read");
        file->is_refused = true;
        free(GW_TAKE(file->text));
        file->n = 0;
        return GW_OK;
    }
    fitted = realloc(file->text, file->n + 1);
    if (fitted != NULL)
        file->text = fitted;
    if (!text_is_plain(f, file))
        file->is_refused = true;
    return GW_OK;
}

/* lib.x.lua beside the rules is lib/x.lua where folders cannot be had (ConfigMap keys). */
static bool name_is_policy(struct view name)
{
    return name.n > 4 && name.p[0] != '.' && view_ends(name, VIEW(".lua")) && !view_starts(name, VIEW("lib."));
}

static int file_cmp(const void *a, const void *b)
{
    return strcmp(((const struct source_file *)a)->name, ((const struct source_file *)b)->name);
}

static enum gw_err names_list(DIR *d, struct source_findings *f, struct source_set *set)
{
    struct dirent *e;

    set->files = calloc(SOURCE_FILES_MAX, sizeof(*set->files));
    if (set->files == NULL)
        return GW_E_NOMEM;
    while ((e = readdir(d)) != NULL) {
        struct view name = view_of(e->d_name);

        if (!name_is_policy(name))
            continue;
        if (name.n > SOURCE_NAME_MAX) {
            source_report(f, NULL, 0, "%.80s: a file name may have %d bytes", e->d_name, SOURCE_NAME_MAX);
            continue;
        }
        if (set->n_files == SOURCE_FILES_MAX) {
            source_report(f, NULL, 0, "more than %d files", SOURCE_FILES_MAX);
            break;
        }
        memcpy(set->files[set->n_files].name, e->d_name, name.n + 1);
        set->files[set->n_files++].is_test = view_ends(name, VIEW("_test.lua"));
    }
    qsort(set->files, set->n_files, sizeof(*set->files), file_cmp);
    return GW_OK;
}

enum gw_err source_set_load(const char *dir, struct source_findings *f, struct source_set *ret_set)
{
    GW_CLEANUP(source_set_deinit) struct source_set set = {0};
    GW_CLEANUP(gw_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    GW_CLEANUP(gw_closep) int data_fd = fd < 0 ? -1 : openat(fd, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int list_fd = fd < 0 ? -1 : dup(data_fd >= 0 ? data_fd : fd);
    GW_CLEANUP(dir_closep) DIR *d = list_fd < 0 ? NULL : fdopendir(list_fd);
    enum gw_err err;

    if (d == NULL) {
        if (list_fd >= 0)
            close(list_fd);
        return GW_E_IO;
    }
    f->set = &set;
    err = names_list(d, f, &set);
    for (size_t i = 0; i < set.n_files && err == GW_OK; i++)
        err = file_load(data_fd >= 0 ? data_fd : fd, f, &set.files[i]);
    f->set = NULL;
    if (err != GW_OK)
        return err;
    *ret_set = set;
    set = (struct source_set){0};
    return GW_OK;
}

enum gw_err source_set_revision(const struct source_set *set, const struct loader_env *env, size_t n_env,
                                char out[DECISION_REVISION_LEN + 1])
{
    GW_CLEANUP(buf_deinit) struct buf manifest = BUF(1024 * 1024);
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_LEN + 1];
    enum gw_err err;

    for (size_t i = 0; i < set->n_files; i++) {
        if (set->files[i].is_test)
            continue;
        err = digest_sha256(view_at(set->files[i].text, set->files[i].n), digest);
        if (err != GW_OK)
            return err;
        digest_hex(digest, hex);
        buf_printf(&manifest, "file %s %zu %s\n", set->files[i].name, set->files[i].n, hex);
    }
    for (size_t i = 0; i < n_env; i++) /* lengths first, so that no two settings read the same */
        buf_printf(&manifest, "env %zu %zu %s=%s\n", strlen(env[i].name), strlen(env[i].value), env[i].name, env[i].value);
    if (!buf_ok(&manifest))
        return GW_E_LIMIT;
    err = digest_sha256(buf_view(&manifest), digest);
    if (err != GW_OK)
        return err;
    digest_hex(digest, hex);
    memcpy(out, hex, DECISION_REVISION_LEN);
    out[DECISION_REVISION_LEN] = '\0';
    return GW_OK;
}
