/* ipaddr: IP addresses and networks as values. v4-mapped addresses are folded to IPv4 (RFC 4291 2.5.5.2). Threads: values. */
#pragma once

#include "util/view.h"

struct sockaddr;

enum { IPADDR_TEXT_MAX = 45, IPADDR_NETS_MAX = 64 };

struct ipaddr {
    uint8_t bytes[16]; /* IPv4 in the first four */
    uint8_t family;    /* 0 = absent, 4 or 6 */
};

struct ipnet {
    struct ipaddr addr;
    uint8_t bits;
};

/* No zone, no brackets, no port, no leading zeroes. GW_E_INVALID otherwise. */
enum gw_err ipaddr_parse(struct view text, struct ipaddr *ret_addr) GW_MUST_CHECK;
/* Absent for other families. */
struct ipaddr ipaddr_from_sockaddr(const struct sockaddr *sa);
/* RFC 5952; NUL-terminated; "" if absent. */
void ipaddr_format(const struct ipaddr *a, char out[IPADDR_TEXT_MAX + 1]);
/* addr/bits; host bits must be zero. */
enum gw_err ipnet_parse(struct view text, struct ipnet *ret_net) GW_MUST_CHECK;
bool ipnet_has(const struct ipnet *net, const struct ipaddr *a);
bool ipnet_any_has(const struct ipnet *nets, size_t n_nets, const struct ipaddr *a);
