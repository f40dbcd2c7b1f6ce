/* doctorcures: which lines of which proxy's configuration make a check safe.
 *
 * NGINX's, HAProxy's and Caddy's are lines of deploy/, which the tests run; Traefik's and Envoy's are from their documentation.
 * Threads: constants only. Source: PLATFORM 2.1, 2.2. */
#pragma once

enum doctor_proxy { DOCTOR_NGINX, DOCTOR_HAPROXY, DOCTOR_CADDY, DOCTOR_TRAEFIK, DOCTOR_ENVOY, DOCTOR_PROXIES };

/* "nginx", as the dialects are called. */
const char *doctorcures_proxy_name(enum doctor_proxy p);
/* id: a check's. Lines with line breaks between them; NULL = none is known. */
const char *doctorcures_find(const char *id, enum doctor_proxy p);
