-- Repogate behind HAProxy, topology "HAProxy routes": asks the gateway about a request, and if it may go straight to its workspace, says where that
-- is and turns the request into the one that the workspace gets. Loaded by repogate-auth-request.cfg; needs HAProxy 2.6 (core.httpclient).
--
-- This only ever shortens the way: whatever is not a plain 200 with an address (nobody known, refused, the gateway does not answer, something
-- is not understood) leaves the request as it came, and it goes to the gateway, which judges it on its own route.

local GATEWAY = os.getenv("REPOGATE_GATEWAY")
local SECRET_FILE = os.getenv("REPOGATE_PROXY_SECRET_FILE")

-- What the decision may depend on, besides URL, method and address.
local ASKED_WITH = {"cookie", "authorization", "user-agent", "accept", "origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "traceparent"}

-- Sent to the workspace as the gateway answers them.
local IDENTITY = {
    "x-authentik-username", "x-authentik-groups", "x-authentik-entitlements", "x-authentik-email", "x-authentik-name", "x-authentik-uid",
    "x-authentik-user", "x-request-path", "x-github-repo", "x-repogate-repo", "x-repogate-decision-id", "x-repogate-assertion", "traceparent",
}
local IDENTITY_PREFIX = "x-policy-"

-- Names with everything but letters and digits left out. Never from a client to a workspace: ours, what says something about the client or the
-- original request, credentials, hop-by-hop fields, Knative's controls.
local REMOVED_PREFIXES = {"xauthentik", "xrepogate", "xpolicy", "xforwarded", "xoriginal", "xenvoy", "knativeserving"}
local REMOVED = {}
for _, name in ipairs({
    "xgithubrepo", "xrequestpath", "xrealip", "xrewriteurl", "forwarded", "traceparent", "tracestate", "proxy",
    "authorization", "proxyauthorization", "proxyauthenticate", "proxyconnection", "connection", "keepalive", "te", "trailer", "trailers",
    "upgrade", "http2settings",
    "knetworkprobe", "knetworkhash", "kproxyrequest", "koriginalhost", "kpassthroughlb", "kkubeletprobe",
}) do
    REMOVED[name] = true
end
-- Never from a workspace to a browser: they reach beyond its own pages.
local REACHING = {}
for _, name in ipairs({
    "stricttransportsecurity", "clearsitedata", "serviceworkerallowed", "altsvc", "publickeypins", "nel", "reportto",
}) do
    REACHING[name] = true
end

local function fold(name)
    return (name:lower():gsub("[^a-z0-9]", ""))
end

local function is_removed(folded)
    if REMOVED[folded] then
        return true
    end
    for _, prefix in ipairs(REMOVED_PREFIXES) do
        if folded:sub(1, #prefix) == prefix then
            return true
        end
    end
    return false
end

local function is_our_cookie(name)
    name = name:lower():gsub("^__host%-", ""):gsub("^__secure%-", "")
    return name:sub(1, 8) == "repogate" or name:sub(1, 15) == "authentik_proxy"
end

local function read_secret()
    if not SECRET_FILE then
        return nil
    end
    local file = assert(io.open(SECRET_FILE, "r"))
    local text = file:read("a"):gsub("%s+$", "")
    file:close()
    return text
end
local secret = read_secret()

-- The values of a header, in order. HAProxy 2.6 counts them from 0, in the answers of httpclient too, for which others count from 1.
local function values_of(headers, name)
    local list, values = {}, headers[name]
    for i = 0, values and #values or -1 do
        list[#list + 1] = values[i]
    end
    return list
end

local function only(headers, name)
    local list = values_of(headers, name)
    return #list == 1 and list[1] or nil
end

local function question_about(txn, headers, url)
    local scheme = txn.sf:ssl_fc() == 1 and "https" or "http"
    local asked = {
        ["x-original-url"] = {scheme .. "://" .. only(headers, "host") .. url},
        ["x-original-method"] = {txn.sf:method()},
        ["x-real-ip"] = {txn.sf:src()},
    }
    for _, name in ipairs(ASKED_WITH) do
        local values = values_of(headers, name)
        if #values > 0 then
            asked[name] = values
        end
    end
    if secret then
        asked["x-repogate-proxy-secret"] = {secret}
    end
    return asked
end

-- http://host:port[/base]: host, port, base; nil for anything else.
local function parse_upstream(text)
    local host, port, base = text:match("^http://([%w.-]+):(%d+)(.*)$")
    if not host then
        host, port, base = text:match("^http://%[([%x:.]+)%]:(%d+)(.*)$")
    end
    if not host or not (base == "" or base:match("^/[^?#]*$")) then
        return nil
    end
    return host, tonumber(port), base:gsub("/$", "")
end

-- Judges; afterwards txn.repogate_host is set if the request may go to a workspace.
core.register_action("repogate_ask", {"http-req"}, function(txn)
    local headers = txn.http:req_get_headers()
    local url = txn.sf:url()
    local prefix = url:match("^/[^/?]+/[^/?]+/[^/?]+")
    local rest = prefix and url:sub(#prefix + 1)
    -- Not a path inside a workspace; nested groups (/-/ws/), whose depth is not ours to know; upgrades, which the gateway carries itself; and bodies
    -- in chunks, because trailers may follow them, which HAProxy would pass on.
    if not rest or rest:sub(1, 1) ~= "/" or (url:match("^[^?]*") .. "/"):find("/-/ws/", 1, true) or not only(headers, "host") or headers["upgrade"] or
        headers["transfer-encoding"] then
        return
    end
    local response = core.httpclient():head({
        url = "http://" .. GATEWAY .. "/_repogate/auth/haproxy",
        headers = question_about(txn, headers, url),
        timeout = 30000,
    })
    if not response or response.status ~= 200 then
        return
    end
    local upstream, upstream_host = only(response.headers, "x-repogate-upstream"), only(response.headers, "x-repogate-upstream-host")
    if not upstream or not upstream_host then
        return
    end
    local host, port, base = parse_upstream(upstream)
    if not host then
        return
    end
    txn:set_priv({headers = response.headers, uri = base .. rest, host = upstream_host})
    txn:set_var("txn.repogate_host", host)
    txn:set_var("txn.repogate_port", port)
end, 0)

local function cookies_left(values)
    local left = {}
    for _, value in ipairs(values) do
        for pair in value:gmatch("[^;]+") do
            pair = pair:match("^%s*(.-)%s*$")
            if pair ~= "" and not is_our_cookie(pair:match("^[^=]*"):match("^(.-)%s*$")) then
                left[#left + 1] = pair
            end
        end
    end
    return table.concat(left, "; ")
end

-- Turns the request into the workspace's.
core.register_action("repogate_send", {"http-req"}, function(txn)
    local judged = txn:get_priv()
    local headers = txn.http:req_get_headers()
    local host = only(headers, "host")
    local proto = txn.sf:ssl_fc() == 1 and "https" or "http"
    for name in pairs(headers) do
        if is_removed(fold(name)) or name:find("[^a-z0-9-]") then
            txn.http:req_del_header(name)
        end
    end
    for name in pairs(judged.headers) do
        if name:sub(1, #IDENTITY_PREFIX) == IDENTITY_PREFIX then
            txn.http:req_set_header(name, only(judged.headers, name) or "")
        end
    end
    for _, name in ipairs(IDENTITY) do
        txn.http:req_set_header(name, only(judged.headers, name) or "")
    end
    txn.http:req_set_header("x-forwarded-for", txn.sf:src())
    txn.http:req_set_header("x-real-ip", txn.sf:src())
    txn.http:req_set_header("x-forwarded-host", host)
    txn.http:req_set_header("x-forwarded-proto", proto)
    local cookies = cookies_left(values_of(headers, "cookie"))
    if cookies == "" then
        txn.http:req_del_header("cookie")
    else
        txn.http:req_set_header("cookie", cookies)
    end
    -- Knative's queue-proxy leaves such requests out of its count of activity.
    for _, agent in ipairs(values_of(headers, "user-agent")) do
        if agent:lower():find("^kube%-probe/") then
            txn.http:req_del_header("user-agent")
        end
    end
    txn.http:req_set_header("host", judged.host)
    txn.http:req_set_uri(judged.uri)
    -- Last: had anything above failed, the request would go to the gateway.
    txn:set_var("txn.repogate_ready", true)
end, 0)

-- What a workspace may not do: set our cookies or any for a whole domain, name who is asking, or reach beyond its own pages.
core.register_action("repogate_answer", {"http-res"}, function(txn)
    local headers = txn.http:res_get_headers()
    for name in pairs(headers) do
        local folded = fold(name)
        if REACHING[folded] or folded:find("^xauthentik") or folded:find("^xrepogate") or folded:find("^xaccel") then
            txn.http:res_del_header(name)
        end
    end
    local cookies = values_of(headers, "set-cookie")
    txn.http:res_del_header("set-cookie")
    for _, line in ipairs(cookies) do
        local name = line:match("^%s*([^=;]-)%s*=")
        if name and name ~= "" and not is_our_cookie(name) and not line:lower():find(";%s*domain%s*=") then
            txn.http:res_add_header("set-cookie", line)
        end
    end
end, 0)
