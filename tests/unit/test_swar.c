#include "support.h"
#include "util/swar.h"

static bool naive_below(const char *p, unsigned n)
{
    for (int i = 0; i < SWAR_BYTES; i++)
        if ((unsigned char)p[i] < n)
            return true;
    return false;
}

/* Every byte value at every place, between neighbours that a borrow could come from. */
START_TEST(agrees_with_a_look_at_each_byte)
{
    static const unsigned char neighbours[] = {0x00, 0x1f, 0x20, 0x21, 0x7e, 0x7f, 0x80, 0xff};
    unsigned char fill = neighbours[_i];
    char p[SWAR_BYTES];
    for (int at = 0; at < SWAR_BYTES; at++)
        for (int byte = 0; byte < 256; byte++) {
            memset(p, fill, sizeof(p));
            p[at] = (char)byte;
            uint64_t w = swar_load(p);
            ck_assert_int_eq(swar_below(w, 0x20) != 0, naive_below(p, 0x20));
            ck_assert_int_eq(swar_equal(w, '"') != 0, memchr(p, '"', sizeof(p)) != NULL);
            ck_assert_int_eq(swar_equal(w, 0x7f) != 0, memchr(p, 0x7f, sizeof(p)) != NULL);
            ck_assert_int_eq(swar_high(w) != 0, fill >= 0x80 || byte >= 0x80);
        }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("swar");
    TCase *t = tcase_create("swar");
    tcase_add_loop_test(t, agrees_with_a_look_at_each_byte, 0, 8);
    suite_add_tcase(s, t);
    return support_run(s);
}
