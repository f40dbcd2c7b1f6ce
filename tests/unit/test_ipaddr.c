#include "support.h"
#include "util/ipaddr.h"

static const struct {
    const char *in, *out; /* out NULL: refused */
} addresses[] = {
    {"127.0.0.1", "127.0.0.1"},
    {"::1", "::1"},
    {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
    {"::ffff:10.1.2.3", "10.1.2.3"},
    {"::FFFF:0a01:0203", "10.1.2.3"},
    {"127.0.0.01", NULL},
    {"127.1", NULL},
    {"127.0.0.1:80", NULL},
    {"[::1]", NULL},
    {"fe80::1%eth0", NULL},
    {" 127.0.0.1", NULL},
    {"", NULL},
    {"unknown", NULL},
    {"1.2.3.4.5", NULL},
    {"0000:0000:0000:0000:0000:0000:0000:0000:0001", NULL},
};

START_TEST(reads_one_spelling_rule_and_folds_mapped_addresses)
{
    struct ipaddr a;
    char text[IPADDR_TEXT_MAX + 1];
    enum gw_err err = ipaddr_parse(view_of(addresses[_i].in), &a);
    ck_assert_int_eq(err, addresses[_i].out == NULL ? GW_E_INVALID : GW_OK);
    if (err == GW_OK) {
        ipaddr_format(&a, text);
        ck_assert_str_eq(text, addresses[_i].out);
    }
}
END_TEST

static const struct {
    const char *net, *addr;
    int has; /* -1: the network is refused */
} nets[] = {
    {"10.0.0.0/8", "10.255.0.1", 1},
    {"10.0.0.0/8", "11.0.0.1", 0},
    {"10.0.0.0/8", "::ffff:10.0.0.1", 1},
    {"10.0.0.0/8", "::1", 0},
    {"192.168.4.0/22", "192.168.7.9", 1},
    {"192.168.4.0/22", "192.168.8.1", 0},
    {"0.0.0.0/0", "1.2.3.4", 1},
    {"0.0.0.0/0", "::1", 0},
    {"127.0.0.1/32", "127.0.0.2", 0},
    {"2001:db8::/33", "2001:db8:7fff::1", 1},
    {"2001:db8::/33", "2001:db8:8000::1", 0},
    {"10.0.0.1/8", "10.0.0.1", -1},
    {"10.0.0.0/33", "10.0.0.1", -1},
    {"10.0.0.0", "10.0.0.1", -1},
    {"10.0.0.0/", "10.0.0.1", -1},
    {"/8", "10.0.0.1", -1},
    {"::ffff:10.0.0.0/104", "10.0.0.1", -1},
    {"10.0.0.0/-1", "10.0.0.1", -1},
};

START_TEST(tells_who_is_in_a_network)
{
    struct ipnet net;
    struct ipaddr a;
    ck_assert_int_eq(ipaddr_parse(view_of(nets[_i].addr), &a), GW_OK);
    enum gw_err err = ipnet_parse(view_of(nets[_i].net), &net);
    ck_assert_int_eq(err == GW_OK ? ipnet_has(&net, &a) : -1, nets[_i].has);
}
END_TEST

START_TEST(absent_addresses_are_in_no_network)
{
    struct ipnet net;
    struct ipaddr none = {0};
    ck_assert_int_eq(ipnet_parse(VIEW("0.0.0.0/0"), &net), GW_OK);
    ck_assert(!ipnet_any_has(&net, 1, &none));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ipaddr");
    TCase *t = tcase_create("ipaddr");
    tcase_add_loop_test(t, reads_one_spelling_rule_and_folds_mapped_addresses, 0, sizeof(addresses) / sizeof(addresses[0]));
    tcase_add_loop_test(t, tells_who_is_in_a_network, 0, sizeof(nets) / sizeof(nets[0]));
    tcase_add_test(t, absent_addresses_are_in_no_network);
    suite_add_tcase(s, t);
    return support_run(s);
}
