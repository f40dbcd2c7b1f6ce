/* principal: who is asking, as checked claims say.
 *
 * Shape: immutable, one allocation, shared by count between the session cache and requests under way.
 * `groups`: those of the `repogate` claim if that claim is there, else the top-level ones, never merged. Missing is not
 * empty: no groups anywhere, no `repogate` claim though its scope was requested, or one of the wrong type sets `missing`, and
 * every decision is then deny claims_missing (DESIGN 5).
 * `missing` is the first of these found: also a name, sid or entitlements of the wrong type, and a `repogate` whose v is not 1.
 * People are keyed by (iss, sub), never by email.
 * Threads: immutable; counted atomically. */
#pragma once

#include "util/pack.h"

enum { PRINCIPAL_READY_MAX = 2048 };

enum principal_via { PRINCIPAL_SESSION, PRINCIPAL_BEARER, PRINCIPAL_BASIC };
enum principal_missing { PRINCIPAL_COMPLETE, PRINCIPAL_NO_GROUPS, PRINCIPAL_NO_REPOGATE, PRINCIPAL_WRONG_TYPE };

struct principal;

/* claims: a map, verified before (ID token merged with userinfo, or an access token); copied.
 * GW_E_INVALID if iss or sub is missing or no string, or a name holds control bytes; GW_E_LIMIT past PACK_BYTES_MAX, 10,000
 * entries in a list or 16 KiB in an attribute. */
enum gw_err principal_new(struct pack_val claims, enum principal_via via, bool repogate_requested,
                          struct principal **ret_principal) GW_MUST_CHECK;
struct principal *principal_ref(struct principal *p);
void principal_unref(struct principal *p);

/* Borrowed from p; empty if the claim is absent. */
struct view principal_iss(const struct principal *p);
struct view principal_sub(const struct principal *p);      /* = uid */
struct view principal_username(const struct principal *p); /* preferred_username */
struct view principal_name(const struct principal *p);
struct view principal_email(const struct principal *p);
bool principal_email_verified(const struct principal *p); /* only a JSON true */
struct view principal_sid(const struct principal *p);
struct pack_val principal_groups(const struct principal *p); /* list of strings; absent if missing */
/* The same as X-authentik-groups has them, and as JSON, made ready once; p == NULL where there are none, or more than
 * PRINCIPAL_READY_MAX bytes: then they are yours to make. */
struct view principal_groups_header(const struct principal *p);
struct view principal_groups_json(const struct principal *p);
struct pack_val principal_entitlements(const struct principal *p); /* list of strings, or absent */
struct pack_val principal_attributes(const struct principal *p);   /* map, or absent */
/* All but what is said of the token (acr aud azp at_hash c_hash s_hash jti nbf nonce uid), and groups where repogate
 * replaces them. */
struct pack_val principal_claims(const struct principal *p);
int64_t principal_auth_time_s(const struct principal *p); /* 0 = unknown */
int64_t principal_exp_s(const struct principal *p);
bool principal_has_mfa(const struct principal *p);    /* amr has mfa */
bool principal_is_service(const struct principal *p); /* no sid, and repogate.service is true */
enum principal_via principal_via(const struct principal *p);
enum principal_missing principal_missing(const struct principal *p);
const char *principal_via_name(enum principal_via via);
size_t principal_bytes(const struct principal *p); /* memory it takes */
/* Stands for this principal and what it says: no other has it while the process lives. */
uint64_t principal_serial(const struct principal *p);
