#include "pages/logo.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool is_svg(struct view text)
{
    text = view_trim(text);
    return view_starts(text, VIEW("<svg")) || (view_starts(text, VIEW("<?xml")) && view_contains(text, VIEW("<svg")));
}

/* NULL: no kind of ours. */
static const char *kind_of(struct view bytes)
{
    static const struct {
        struct view begin;
        const char *media_type;
    } kinds[] = {{VIEW("\x89PNG\r\n\x1a\n"), "image/png"}, {VIEW("\xff\xd8\xff"), "image/jpeg"}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (view_starts(bytes, kinds[i].begin))
            return kinds[i].media_type;
    if (bytes.n > 12 && view_starts(bytes, VIEW("RIFF")) && view_starts(view_skip(bytes, 8), VIEW("WEBP")))
        return "image/webp";
    return is_svg(bytes) ? "image/svg+xml" : NULL;
}

static enum gw_err read_all(int fd, struct buf *out)
{
    for (;;) {
        char *room = buf_reserve(out, 4096);
        if (room == NULL)
            return out->n + 4096 > out->cap ? GW_E_LIMIT : GW_E_NOMEM;
        ssize_t n = read(fd, room, 4096);
        if (n == 0)
            return out->n > LOGO_MAX_BYTES ? GW_E_LIMIT : GW_OK;
        if (n < 0 && errno != EINTR)
            return GW_E_IO;
        out->n += n < 0 ? 0 : (size_t)n;
    }
}

enum gw_err logo_load(const char *path, struct logo *ret_logo)
{
    /* A pipe would hold up the start. */
    GW_CLEANUP(gw_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct logo logo = {.bytes = BUF(LOGO_MAX_BYTES + 8192)};
    if (fd < 0)
        return GW_E_IO;
    enum gw_err err = read_all(fd, &logo.bytes);
    if (err == GW_OK && (logo.media_type = kind_of(buf_view(&logo.bytes))) == NULL)
        err = GW_E_INVALID;
    if (err == GW_OK)
        *ret_logo = logo;
    else
        buf_deinit(&logo.bytes);
    return err;
}

void logo_deinit(struct logo *logo)
{
    buf_deinit(&logo->bytes);
}
