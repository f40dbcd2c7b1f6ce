#include "pages/logo.h"

#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/logo-XXXXXX";

static void write_file(const char *bytes, size_t n, size_t n_more)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    for (size_t i = 0; i < n_more; i++)
        ck_assert_int_ne(fputc('x', f), EOF);
    ck_assert_int_eq(fclose(f), 0);
}

#define BYTES(literal) (literal), sizeof(literal) - 1

static const struct {
    const char *bytes;
    size_t n;
    const char *media_type; /* NULL: refused */
} kinds[] = {
    {BYTES("\x89PNG\r\n\x1a\nrest"), "image/png"},
    {BYTES("\xff\xd8\xff\xe0rest"), "image/jpeg"},
    {BYTES("RIFF\x10\0\0\0WEBPVP8 "), "image/webp"},
    {BYTES("<svg xmlns='http://www.w3.org/2000/svg'/>"), "image/svg+xml"},
    {BYTES("  <?xml version='1.0'?>\n<svg/>"), "image/svg+xml"},
    {BYTES("<?xml version='1.0'?>\n<html/>"), NULL},
    {BYTES("<!doctype html><svg/>"), NULL},
    {BYTES("<script>alert(1)</script>"), NULL},
    {BYTES("GIF89a"), NULL},
    {BYTES("RIFF\x10\0\0\0WAVEfmt "), NULL},
    {BYTES("RIFF"), NULL},
    {BYTES("\x89PNG"), NULL},
    {BYTES(""), NULL},
};

START_TEST(J1_is_what_its_first_bytes_say_or_nothing)
{
    struct logo logo = {0};
    write_file(kinds[_i].bytes, kinds[_i].n, 0);
    enum gw_err err = logo_load(path, &logo);
    if (kinds[_i].media_type == NULL) {
        ck_assert_int_eq(err, GW_E_INVALID);
        ck_assert_ptr_null(logo.media_type);
        return;
    }
    ck_assert_int_eq(err, GW_OK);
    ck_assert_str_eq(logo.media_type, kinds[_i].media_type);
    ck_assert_mem_eq(logo.bytes.p, kinds[_i].bytes, kinds[_i].n);
    logo_deinit(&logo);
}
END_TEST

START_TEST(M5_holds_its_cap)
{
    static const char begin[] = "\x89PNG\r\n\x1a\n";
    struct logo logo = {0};
    write_file(BYTES(begin), LOGO_MAX_BYTES - (sizeof(begin) - 1));
    ck_assert_int_eq(logo_load(path, &logo), GW_OK);
    ck_assert_uint_eq(logo.bytes.n, LOGO_MAX_BYTES);
    logo_deinit(&logo);
    write_file(BYTES(begin), LOGO_MAX_BYTES - (sizeof(begin) - 1) + 1);
    ck_assert_int_eq(logo_load(path, &logo), GW_E_LIMIT);
    ck_assert_int_eq(logo_load("/dev/zero", &logo), GW_E_LIMIT);
}
END_TEST

START_TEST(what_cannot_be_read_is_an_error_and_a_pipe_holds_nobody_up)
{
    struct logo logo = {0};
    ck_assert_int_eq(logo_load("/nonexistent/logo.png", &logo), GW_E_IO);
    ck_assert_int_eq(logo_load("/tmp", &logo), GW_E_IO);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(logo_load(path, &logo), GW_E_INVALID);
    ck_assert_int_eq(unlink(path), 0);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("logo");
    TCase *t = tcase_create("logo");
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    tcase_add_loop_test(t, J1_is_what_its_first_bytes_say_or_nothing, 0, sizeof(kinds) / sizeof(kinds[0]));
    tcase_add_test(t, M5_holds_its_cap);
    tcase_add_test(t, what_cannot_be_read_is_an_error_and_a_pipe_holds_nobody_up);
    suite_add_tcase(s, t);
    int status = support_run(s);
    unlink(path);
    return status;
}
