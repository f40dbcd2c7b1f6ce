#include "cli/doctorcures.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */

#define TRAEFIK_TRUST \
    "entryPoints.<name>.forwardedHeaders: {insecure: false, trustedIPs: []}   # only proxies of yours in front of it\n" \
    "forwardAuth: {trustForwardHeader: false}"

#define CADDY_TRUST \
    "request_header -*forwarded*   # before forward_auth, which sets X-Forwarded-* by itself: no header_up of them there\n" \
    "no trusted_proxies, but for proxies of yours in front of it"

#define HAPROXY_CLEAN \
    "http-request del-header '^-?x-?(authentik|repogate|policy|forwarded|original|rewrite|envoy|real-?ip|request-?path|git-?hub-?repo)' -m reg"

#define OTHER_HOSTS_NGINX "server { listen 443 ssl default_server; return 421; }   # for all other names"
#define OTHER_HOSTS_HAPROXY "http-request return status 421 unless { hdr(host) -i dev.example.org }"

/* No second spelling: headers that are believed, and headers that say who is asking. */
#define ALIASES                                                                                                             \
    {                                                                                                                       \
        "underscores_in_headers off; ignore_invalid_headers on;   # the defaults",                                          \
        "http-request del-header '[^a-z0-9-]|--' -m reg",                                                                   \
        "request_header -*_*\nrequest_header -*.*   # and so on, as (repogate-clean) has it",                              \
        "a version without CVE-2026-39858 and CVE-2026-88011",                                                              \
        "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}",                                  \
    }

static const struct {
    const char *id;
    const char *lines[DOCTOR_PROXIES];
} cures[] = {
    {"question", {
        "proxy_set_header X-Original-URL $scheme://$http_host$request_uri;   # in location = /_repogate/auth/nginx, where $uri is the question's own\n"
        "proxy_set_header X-Original-Method $request_method;\n"
        "proxy_set_header X-Real-IP $remote_addr;",
        "X-Original-URL, X-Original-Method and X-Real-IP in the question, as repogate.lua has them",
        "uri /_repogate/auth/caddy   # in forward_auth, and no header_up of X-Forwarded-* there",
        TRAEFIK_TRUST,
        "http_service: {path_prefix: /_repogate/auth/envoy}"}},
    {"url", {
        "proxy_set_header X-Original-URL $scheme://$http_host$request_uri;   # in location = /_repogate/auth/nginx\n"
        "include repogate/repogate-no-claims.conf;   # there and in every location that leads to the gateway",
        HAPROXY_CLEAN "\n"
        "X-Original-URL in the question from the request line alone, as repogate.lua has it",
        CADDY_TRUST,
        TRAEFIK_TRUST,
        "http_service: {path_prefix: /_repogate/auth/envoy}   # and no other header with the URL"}},
    {"method", {
        "proxy_set_header X-Original-Method $request_method;   # in location = /_repogate/auth/nginx",
        HAPROXY_CLEAN "\n"
        "X-Original-Method in the question from the request line alone, as repogate.lua has it",
        CADDY_TRUST,
        TRAEFIK_TRUST,
        NULL}},
    {"address", {
        "proxy_set_header X-Real-IP $remote_addr;\n"
        "proxy_set_header X-Forwarded-For $remote_addr;   # never $http_x_forwarded_for nor $proxy_add_x_forwarded_for",
        HAPROXY_CLEAN "\n"
        "http-request set-header X-Forwarded-For %[src]   # no option forwardfor\n"
        "http-request set-header X-Real-IP %[src]",
        CADDY_TRUST,
        TRAEFIK_TRUST,
        "use_remote_address: true   # of the connection manager, with xff_num_trusted_hops for proxies of yours in front of it"}},
    {"host", {
        "proxy_set_header Host $http_host;\nproxy_set_header X-Forwarded-Host $http_host;\n" OTHER_HOSTS_NGINX,
        HAPROXY_CLEAN "\nhttp-request set-header X-Forwarded-Host %[req.hdr(host)]\n" OTHER_HOSTS_HAPROXY,
        CADDY_TRUST "\ndev.example.org { … }   # the site by its name",
        TRAEFIK_TRUST "\nrule: Host(`dev.example.org`)",
        "domains: [dev.example.org]   # of the virtual host, not \"*\""}},
    {"aliases", ALIASES},
    {"closed", {
        "if ($repogate_is_auth_endpoint) { return 404; }\n"
        "location ^~ /_repogate/auth/ { return 404; }\n"
        "internal;   # in location = /_repogate/auth/nginx",
        "acl is_auth_endpoint path         -m reg -i '^/+(_repogate|outpost\\.goauthentik\\.io)/+auth'\n"
        "acl is_auth_endpoint path,url_dec -m reg -i '^/+(_repogate|outpost\\.goauthentik\\.io)/+auth'\n"
        "http-request return status 404 if is_auth_endpoint",
        "@repogate_auth path /_repogate/auth* /outpost.goauthentik.io/auth*\nrespond @repogate_auth 404   # first in the route",
        "rule: Host(`dev.example.org`) && !PathPrefix(`/_repogate/auth`) && !PathPrefix(`/outpost.goauthentik.io/auth`)",
        "{match: {prefix: /_repogate/auth}, direct_response: {status: 404}}   # before all other routes"}},
    {"path", {
        "$request_uri, never $uri, in X-Original-URL and in proxy_pass; no URI behind the address in proxy_pass; no rewrite",
        "txn.sf:url() in the question and on the way; no http-request set-path, replace-path or normalize-uri",
        "no uri, rewrite or handle_path between forward_auth and reverse_proxy, but for taking the prefix off",
        "no StripPrefix, ReplacePath or AddPrefix in front of forwardAuth",
        "path_with_escaped_slashes_action: REJECT_REQUEST   # of the connection manager"}},
    {"slashes", {
        "proxy_pass $repogate_pass;   # a location sees the merged path (merge_slashes): neither rewrite nor a URI behind the address",
        "no http-request normalize-uri path-merge-slashes",
        "no uri path_regexp /{2,} /",
        "no router or middleware that changes the path behind forwardAuth",
        "merge_slashes: false   # of the connection manager"}},
    {"identity", {
        "include repogate/repogate-workspace.conf;   # in every location that leads to a workspace: it overwrites each of these headers",
        HAPROXY_CLEAN,
        "request_header -*authentik*\nrequest_header -*repogate*   # and so on, as (repogate-clean) has it, before forward_auth\n"
        "copy_headers …   # with every name",
        "authResponseHeaders: [X-authentik-username, …]   # every name",
        "authorization_response: {allowed_upstream_headers: …}   # every name: they take the place of the client's"}},
    {"identity-aliases", ALIASES},
    {"connection", {
        "proxy_set_header Connection \"\";   # or $repogate_connection, never $http_connection",
        "http-request del-header Connection unless is_websocket",
        "request_header @repogate_no_websocket -Connection   # before forward_auth",
        "a version without CVE-2024-45410 and CVE-2026-29054",
        NULL}},
    {"framing", {
        "a supported version; no proxy_set_header of Content-Length or Transfer-Encoding from the client's",
        "no option accept-invalid-http-request",
        "a supported version",
        "a supported version",
        "http_protocol_options: {allow_chunked_length: false}   # the default"}},
    {"skipped", {
        "include repogate/repogate-workspace.conf;   # in every location that leads to a workspace: for static files, OPTIONS, health checks too",
        "no use_backend of paths, suffixes or methods before the question",
        "no reverse_proxy or file_server of paths, suffixes or methods in front of forward_auth",
        "middlewares: [repogate]   # of every router that leads to a workspace",
        "no typed_per_filter_config with ExtAuthzPerRoute {disabled: true} on routes to workspaces"}},
    {"anonymous", {
        "auth_request /_repogate/auth/nginx;   # no satisfy any, no auth_request off, no Authorization of the proxy's own in the question",
        "the workspace only after a 200, as repogate.lua has it; no credentials of the proxy's own in the question",
        "forward_auth … before every reverse_proxy; no header_up Authorization in it",
        "middlewares: [repogate]   # of every router that leads to a workspace",
        "failure_mode_allow: false   # of ext_authz"}},
    {"answers", {
        "proxy_pass http://repogate/_repogate/auth/nginx;   # no address that redirects; no proxy_intercept_errors in that location",
        "requests that are not answered 200 go to the gateway as they came, as repogate.lua has it",
        "uri /_repogate/auth/caddy",
        "address: http://repogate:8080/_repogate/auth/traefik",
        "http_service: {path_prefix: /_repogate/auth/envoy}"}},
    {"login", {
        "location ^~ /_repogate/ { include repogate/repogate-to-gateway.conf; }   # without auth_request; likewise /outpost.goauthentik.io/",
        "no question and no `return` for /_repogate/ and /outpost.goauthentik.io/",
        "no forward_auth and no respond for /_repogate/* and /outpost.goauthentik.io/*",
        "rule: Host(`dev.example.org`) && PathPrefix(`/_repogate`)   # a router to the gateway, without the middleware",
        "{match: {prefix: /_repogate}, typed_per_filter_config: {envoy.filters.http.ext_authz: … disabled: true}}"}},
    {"cache", {
        "no proxy_cache in location = /_repogate/auth/nginx and in locations that lead to the gateway; if it must be:\n"
        "proxy_cache_key $http_cookie$http_authorization$request_method$http_host$request_uri;",
        "no cache-use, and nothing that keeps an answer between requests",
        "no cache handler in front of forward_auth and the gateway",
        "no cache middleware in front of forwardAuth",
        "no cache filter in front of ext_authz"}},
    {"secrets", {
        "proxy_set_header Cookie $repogate_pass_cookie;\nproxy_set_header Authorization $repogate_pass_authorization;",
        "authorization and the gateway's cookies are taken out on the way to a workspace, as repogate.lua has it",
        "header_up -Authorization   # of the reverse_proxy that leads to a workspace\n"
        "header_up Cookie \"(?i)(^|;)\\s*(__Host-|__Secure-)?(repogate|authentik_proxy)[^;]*\" \"$9\"",
        "headers: {customRequestHeaders: {Authorization: \"\"}}   # a middleware behind forwardAuth",
        "request_headers_to_remove: [authorization]   # of routes to workspaces"}},
    {"redirects", {
        "absolute_redirect off;   # and no return or rewrite to $request_uri\n" OTHER_HOSTS_NGINX,
        OTHER_HOSTS_HAPROXY "   # and no redirect to %[path]",
        "dev.example.org { … }   # the site by its name, and no redir to {uri}",
        "rule: Host(`dev.example.org`)   # and no redirectRegex with the path in front",
        "domains: [dev.example.org]   # of the virtual host, not \"*\""}},
};

/* clang-format on */

const char *doctorcures_proxy_name(enum doctor_proxy p)
{
    static const char *const names[DOCTOR_PROXIES] = {"nginx", "haproxy", "caddy", "traefik", "envoy"};
    return names[p];
}

const char *doctorcures_find(const char *id, enum doctor_proxy p)
{
    for (size_t i = 0; i < sizeof(cures) / sizeof(cures[0]); i++)
        if (strcmp(cures[i].id, id) == 0)
            return cures[i].lines[p];
    return NULL;
}
