#include "support.h"
#include "util/log.h"
#include "util/meter.h"
#include "util/seal.h"
#include "util/secretfile.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/test_secretfile.XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[8][256];
    static size_t n;
    char *path = paths[n++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static const char *put_file(const char *name, const char *text)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    return path;
}

static struct secretfiles *new_set(void)
{
    struct secretfiles *set = NULL;
    ck_assert_int_eq(secretfiles_new(&set), GW_OK);
    return set;
}

static struct secretfile *add(struct secretfiles *set, const char *path)
{
    struct secretfile *f = NULL;
    ck_assert_int_eq(secretfiles_add(set, "the.key", path, NULL, NULL, &f), GW_OK);
    return f;
}

static void ck_holds(struct secretfile *f, const char *text)
{
    struct secrettext *t = secretfile_get(f);
    ck_view_eq(secrettext_view(t), text);
    ck_assert(secretfile_is(f, view_of(text)));
    secrettext_unref(t);
}

START_TEST(reads_the_text_without_its_line_end)
{
    struct secretfiles *set = new_set();
    struct secretfile *f = add(set, put_file("a", "top secret\r\n"));
    ck_holds(f, "top secret");
    ck_assert(!secretfile_is(f, VIEW("top secret\n")));
    ck_assert(!secretfile_is(f, VIEW("top secre")));
    ck_assert(!secretfile_is(f, VIEW_NONE));
    secretfiles_free(set);
}
END_TEST

START_TEST(takes_what_the_file_holds_after_an_edit_in_place)
{
    struct secretfiles *set = new_set();
    struct secretfile *f = add(set, put_file("a", "one\n"));
    uint32_t before = secretfile_generation(f);
    int64_t n_before = meter_value(METER_SECRETS_RELOADED);
    secretfiles_check(set);
    ck_assert_uint_eq(secretfile_generation(f), before);
    put_file("a", "two\n"); /* as long as before, and within the same tick of the file system's clock */
    secretfiles_check(set);
    ck_holds(f, "two");
    ck_assert_uint_ne(secretfile_generation(f), before);
    ck_assert_int_eq(meter_value(METER_SECRETS_RELOADED), n_before + 1);
    secretfiles_free(set);
}
END_TEST

/* The way of a mounted Secret: key -> ..data/key, ..data -> a directory with a date for a name. */
START_TEST(follows_the_swap_of_a_link_above_the_file)
{
    struct secretfiles *set = new_set();
    ck_assert_int_eq(mkdir(path_of("v1"), 0700), 0);
    ck_assert_int_eq(mkdir(path_of("v2"), 0700), 0);
    put_file("v1/key", "one");
    put_file("v2/key", "two");
    ck_assert_int_eq(symlink("v1", path_of("..data")), 0);
    ck_assert_int_eq(symlink("..data/key", path_of("key")), 0);
    struct secretfile *f = add(set, path_of("key"));
    ck_holds(f, "one");
    ck_assert_int_eq(symlink("v2", path_of("..data_tmp")), 0);
    ck_assert_int_eq(rename(path_of("..data_tmp"), path_of("..data")), 0);
    secretfiles_check(set);
    ck_holds(f, "two");
    secretfiles_free(set);
}
END_TEST

START_TEST(keeps_the_old_text_while_the_file_is_broken_and_says_so_once)
{
    char large[20000];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    const char *const broken[] = {"", "\n\n", large, NULL /* gone */};
    struct secretfiles *set = new_set();
    struct secretfile *f = add(set, put_file("a", "good"));
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        int64_t n_before = meter_value(METER_SECRETS_REJECTED);
        if (broken[i] != NULL)
            put_file("a", broken[i]);
        else
            ck_assert_int_eq(unlink(path_of("a")), 0);
        secretfiles_check(set);
        secretfiles_check(set);
        ck_holds(f, "good");
        ck_assert_int_eq(meter_value(METER_SECRETS_REJECTED), n_before + 1);
        put_file("a", "good");
        secretfiles_check(set);
    }
    put_file("a", "better");
    secretfiles_check(set);
    ck_holds(f, "better");
    secretfiles_free(set);
}
END_TEST

/* Opening one would wait for its writer, and with it every later check, and our end. */
START_TEST(waits_for_no_pipe)
{
    struct secretfiles *set = new_set();
    struct secretfile *f = add(set, put_file("a", "good")), *none = NULL;
    ck_assert_int_eq(unlink(path_of("a")), 0);
    ck_assert_int_eq(mkfifo(path_of("a"), 0600), 0);
    secretfiles_check(set);
    ck_holds(f, "good");
    ck_assert_int_eq(secretfiles_add(set, "k", path_of("a"), NULL, NULL, &none), GW_E_INVALID);
    ck_assert_int_eq(unlink(path_of("a")), 0); /* the other tests write there */
    secretfiles_free(set);
}
END_TEST

START_TEST(what_cannot_be_read_at_the_start_is_an_error)
{
    struct secretfiles *set = new_set();
    struct secretfile *f = NULL;
    ck_assert_int_eq(secretfiles_add(set, "k", "/nowhere/secret", NULL, NULL, &f), GW_E_IO);
    ck_assert_int_eq(secretfiles_add(set, "k", put_file("a", ""), NULL, NULL, &f), GW_E_INVALID);
    ck_assert_ptr_null(f);
    put_file("a", "x");
    for (size_t i = 0; i < SECRETFILES_MAX; i++)
        add(set, path_of("a"));
    ck_assert_int_eq(secretfiles_add(set, "k", path_of("a"), NULL, NULL, &f), GW_E_LIMIT);
    ck_assert_ptr_null(f);
    secretfiles_free(set);
}
END_TEST

static enum gw_err take_keys(void *arg, struct view text)
{
    return seal_ring_replace(arg, text);
}

#define KEY_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"
#define KEY_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI"

static struct seal_ring *ring_from(const char *path)
{
    struct seal_ring *ring = NULL;
    ck_assert_int_eq(seal_ring_load(path, &ring), GW_OK);
    return ring;
}

START_TEST(a_taker_that_refuses_keeps_the_old_text_and_is_asked_again_only_about_another)
{
    struct secretfiles *set = new_set();
    struct seal_ring *ring = ring_from(put_file("a", KEY_A "\n"));
    struct secretfile *f = NULL;
    ck_assert_int_eq(secretfiles_add(set, "k", path_of("a"), take_keys, ring, &f), GW_OK);
    int64_t n_before = meter_value(METER_SECRETS_REJECTED);
    put_file("a", KEY_B "\nnot a key\n");
    secretfiles_check(set);
    secretfiles_check(set);
    ck_holds(f, KEY_A);
    ck_assert_uint_eq(seal_ring_count(ring), 1);
    ck_assert_int_eq(meter_value(METER_SECRETS_REJECTED), n_before + 1);
    put_file("a", KEY_B "\n" KEY_A "\n");
    secretfiles_check(set);
    ck_assert_uint_eq(seal_ring_count(ring), 2);
    secretfiles_free(set);
    seal_ring_free(ring);
}
END_TEST

/* ---- with threads ---- */

struct shared {
    struct secretfile *text;
    struct seal_ring *ring;
    struct buf sealed_a; /* under a key that is always there */
    atomic_bool is_over;
};

static void *use(void *arg)
{
    struct shared *s = arg;
    size_t n_wrong = 0;
    while (!atomic_load(&s->is_over)) {
        struct buf sealed = BUF(1024), plain = BUF(1024);
        struct secrettext *t = secretfile_get(s->text);
        n_wrong += !view_eq(secrettext_view(t), VIEW("first")) && !view_eq(secrettext_view(t), VIEW("second"));
        secrettext_unref(t);
        n_wrong += seal_put(s->ring, VIEW("p"), VIEW_NONE, VIEW("new"), &sealed) != GW_OK;
        n_wrong += seal_open(s->ring, VIEW("p"), VIEW_NONE, buf_view(&s->sealed_a), &plain) != GW_OK;
        n_wrong += !view_eq(buf_view(&plain), VIEW("old"));
        buf_deinit(&sealed);
        buf_deinit(&plain);
    }
    return (void *)n_wrong;
}

START_TEST(secrets_change_under_threads_that_use_them)
{
    static const char *const texts[] = {"first", "second"}, *const keys[] = {KEY_A "\n" KEY_B "\n", KEY_B "\n" KEY_A "\n"};
    struct secretfiles *set = new_set();
    struct shared s = {.sealed_a = BUF(1024)};
    pthread_t threads[3];
    s.text = add(set, put_file("text", texts[0]));
    s.ring = ring_from(put_file("ring", keys[0]));
    ck_assert_int_eq(secretfiles_add(set, "k", path_of("ring"), take_keys, s.ring, NULL), GW_OK);
    ck_assert_int_eq(seal_put(s.ring, VIEW("p"), VIEW_NONE, VIEW("old"), &s.sealed_a), GW_OK);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use, &s), 0);
    for (size_t i = 1; i <= 200; i++) {
        put_file("text", texts[i % 2]);
        put_file("ring", keys[i % 2]);
        secretfiles_check(set);
    }
    atomic_store(&s.is_over, true);
    for (size_t i = 0; i < 3; i++) {
        void *n_wrong;
        pthread_join(threads[i], &n_wrong);
        ck_assert_ptr_null(n_wrong);
    }
    buf_deinit(&s.sealed_a);
    secretfiles_free(set);
    seal_ring_free(s.ring);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("secretfile");
    TCase *t = tcase_create("secretfile");
    log_set_level(LOG_ERROR);
    if (mkdtemp(directory) == NULL)
        return EXIT_FAILURE;
    tcase_add_test(t, reads_the_text_without_its_line_end);
    tcase_add_test(t, takes_what_the_file_holds_after_an_edit_in_place);
    tcase_add_test(t, follows_the_swap_of_a_link_above_the_file);
    tcase_add_test(t, keeps_the_old_text_while_the_file_is_broken_and_says_so_once);
    tcase_add_test(t, waits_for_no_pipe);
    tcase_add_test(t, what_cannot_be_read_at_the_start_is_an_error);
    tcase_add_test(t, a_taker_that_refuses_keeps_the_old_text_and_is_asked_again_only_about_another);
    tcase_add_test(t, secrets_change_under_threads_that_use_them);
    suite_add_tcase(s, t);
    int code = support_run(s);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command) == 0 ? code : EXIT_FAILURE;
}
