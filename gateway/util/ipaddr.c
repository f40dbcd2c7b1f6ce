#include "util/ipaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static size_t addr_len(uint8_t family)
{
    return family == 4 ? 4 : family == 6 ? 16 : 0;
}

/* ::ffff:a.b.c.d is a.b.c.d (RFC 4291 2.5.5.2): one person must not have two addresses. */
static struct ipaddr from_v6(const uint8_t bytes[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct ipaddr a = {.family = 6};
    memcpy(a.bytes, bytes, 16);
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        a = (struct ipaddr){.family = 4};
        memcpy(a.bytes, bytes + 12, 4);
    }
    return a;
}

enum gw_err ipaddr_parse(struct view text, struct ipaddr *ret_addr)
{
    char s[IPADDR_TEXT_MAX + 1];
    uint8_t bytes[16];
    if (text.n == 0 || text.n > IPADDR_TEXT_MAX || memchr(text.p, '\0', text.n) != NULL)
        return GW_E_INVALID;
    memcpy(s, text.p, text.n);
    s[text.n] = '\0';
    if (inet_pton(AF_INET, s, bytes) == 1) {
        *ret_addr = (struct ipaddr){.family = 4};
        memcpy(ret_addr->bytes, bytes, 4);
        return GW_OK;
    }
    if (inet_pton(AF_INET6, s, bytes) != 1)
        return GW_E_INVALID;
    *ret_addr = from_v6(bytes);
    return GW_OK;
}

struct ipaddr ipaddr_from_sockaddr(const struct sockaddr *sa)
{
    struct ipaddr a = {0};
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        a.family = 4;
        memcpy(a.bytes, &in.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        a = from_v6(in6.sin6_addr.s6_addr);
    }
    return a;
}

/* The library's way goes through printf, and each decision's record holds an address. */
static void format_v4(const uint8_t bytes[4], char *out)
{
    for (size_t i = 0; i < 4; i++) {
        uint8_t n = bytes[i];
        if (i > 0)
            *out++ = '.';
        if (n >= 100)
            *out++ = (char)('0' + n / 100);
        if (n >= 10)
            *out++ = (char)('0' + n / 10 % 10);
        *out++ = (char)('0' + n % 10);
    }
    *out = '\0';
}

void ipaddr_format(const struct ipaddr *a, char out[IPADDR_TEXT_MAX + 1])
{
    out[0] = '\0';
    if (a->family == 4)
        format_v4(a->bytes, out);
    else if (a->family == 6)
        inet_ntop(AF_INET6, a->bytes, out, IPADDR_TEXT_MAX + 1);
}

static bool host_bits_are_zero(const struct ipnet *net)
{
    for (size_t i = 0; i < addr_len(net->addr.family); i++) {
        unsigned kept = net->bits > i * 8 ? net->bits - (unsigned)i * 8 : 0;
        uint8_t mask = kept >= 8 ? 0 : (uint8_t)(0xff >> kept);
        if ((net->addr.bytes[i] & mask) != 0)
            return false;
    }
    return true;
}

enum gw_err ipnet_parse(struct view text, struct ipnet *ret_net)
{
    struct view rest = text, addr = view_split(&rest, '/');
    struct ipnet net = {0};
    uint64_t bits;
    if (rest.p == NULL || rest.n > 3 || view_to_u64(rest, &bits) != GW_OK || ipaddr_parse(addr, &net.addr) != GW_OK)
        return GW_E_INVALID;
    bool was_mapped = net.addr.family == 4 && view_index(addr, ':') != addr.n;
    if (was_mapped || bits > addr_len(net.addr.family) * 8)
        return GW_E_INVALID;
    net.bits = (uint8_t)bits;
    if (!host_bits_are_zero(&net))
        return GW_E_INVALID;
    *ret_net = net;
    return GW_OK;
}

bool ipnet_has(const struct ipnet *net, const struct ipaddr *a)
{
    if (a->family == 0 || a->family != net->addr.family)
        return false;
    size_t whole = net->bits / 8;
    unsigned part = net->bits % 8;
    if (memcmp(net->addr.bytes, a->bytes, whole) != 0)
        return false;
    return part == 0 || ((net->addr.bytes[whole] ^ a->bytes[whole]) >> (8 - part)) == 0;
}

bool ipnet_any_has(const struct ipnet *nets, size_t n_nets, const struct ipaddr *a)
{
    for (size_t i = 0; i < n_nets; i++)
        if (ipnet_has(&nets[i], a))
            return true;
    return false;
}
