/* original: finds the request that a reverse proxy asks about, per dialect; and where each dialect asks.
 *
 * The table of DESIGN 4 ("Which header is believed") and nothing else: only from a trusted peer; missing, repeated or
 * look-alike is refused, never guessed. Headers of another family beside the believed one are refused too.
 * Owns: views borrowed from the request. Threads: any. */
#pragma once

#include "http/request.h"

#define ORIGINAL_ECHO_PREFIX "/_repogate/echo/"
enum { ORIGINAL_ECHO_NAME_MAX = 64 };

/* Who asks, and in which way. */
enum dialect {
    DIALECT_NGINX,
    DIALECT_OUTPOST_NGINX, /* NGINX, set up for Authentik's outpost: names the URL alone */
    DIALECT_HAPROXY,
    DIALECT_TRAEFIK,
    DIALECT_CADDY,
    DIALECT_ENVOY,
    DIALECT_OWN, /* nobody: the request itself comes to us, and we route it */
    DIALECT_COUNT
};

/* Reason codes of DESIGN 4. */
enum original_fault {
    ORIGINAL_FINE,
    ORIGINAL_UNTRUSTED_PEER,
    ORIGINAL_MISSING,
    ORIGINAL_REPEATED,
    ORIGINAL_AMBIGUOUS, /* present, but not a URL that everyone reads alike, or on another host than public_url's */
    ORIGINAL_OWN_PATH, /* below /_repogate/ or /outpost.goauthentik.io/, and no echo: whether there are echoes is the caller's to know */
};

struct original {
    struct uri uri;       /* scheme, authority, path, query of the original request */
    struct view method;   /* p == NULL: absent in this dialect */
    struct ipaddr client; /* family 0: absent in this dialect */
    bool is_websocket;    /* the dialect says so; false does not say that it is none */
};

/* The dialect that is spoken at this address of ours, byte for byte; target: with its query or without. */
bool original_find_endpoint(struct view target, enum dialect *ret_dialect) GW_MUST_CHECK;
/* "nginx" and so on, as the audit log has it. */
const char *original_dialect_name(enum dialect d);

/* public_url: whose host and scheme an original URL must have. */
enum original_fault original_find(const struct request *r, enum dialect d, const struct uri *public_url,
                                  const struct ipnet *trusted, size_t n_trusted, struct original *ret_original) GW_MUST_CHECK;
/* For the log only, where original_find() found a fault: what the client or the proxy sent, as it was sent. Not to be decided by. */
void original_note_raw(const struct request *r, enum dialect d, const struct ipnet *trusted, size_t n_trusted,
                       struct original *ret_original);
/* The client's address as DIALECT_OWN has it, also for our own pages: the rightmost of X-Forwarded-For that is no trusted proxy,
 * or the peer. Every element must be an address. */
enum original_fault original_find_client(const struct request *r, const struct ipnet *trusted, size_t n_trusted,
                                         struct ipaddr *ret_client) GW_MUST_CHECK;
/* "original_url_missing" and so on; "" for ORIGINAL_FINE. */
const char *original_fault_reason(enum original_fault f);
/* Our own prefixes, in any spelling that some parser could fold into them. */
bool original_is_own_path(struct view path);
/* /_repogate/echo/{letters, digits, hyphens}/{anything}: routed as a workspace would be, so the rest is as free as a repository's, but may not
 * climb, nor hold our prefixes, however often it is decoded. */
bool original_is_echo_path(struct view path);
