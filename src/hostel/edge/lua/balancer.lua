-- balancer_by_lua: which run gets the request. Decided now, after the body has been read, which may have taken minutes.
local balancer = require "ngx.balancer"
local complain = require "hostel.complain"
local counts = require "hostel.counts"
local routes = require "hostel.routes"
local shared_memory = require "hostel.shared_memory"
local variables = require "hostel.variables"

local get, set = variables.get, variables.set

local ATTEMPTS = 100
local DEFAULT_READ_TIMEOUT_S = 300 -- as proxy_read_timeout in nginx.conf

-- Count first, then read the record again: the agent, having published another run and found nothing bound to the old
-- one, knows that nothing will be.
local function bind(domain, is_websocket)
    local entry = routes.find(domain)
    for _ = 1, ATTEMPTS do
        if not entry or entry.state ~= "running" then
            return nil
        end
        local key = is_websocket and entry.streaming_key or entry.plain_key
        counts.add(key)
        shared_memory.fence()
        local seen = routes.find(domain)
        if seen and seen.raw == entry.raw then
            set("bound", key)
            return entry
        end
        counts.remove(key)
        entry = seen
    end
end

local function balance()
    local is_websocket = get("websocket") ~= ""
    local entry = bind(get("host"), is_websocket)
    if not entry then
        return ngx.exit(ngx.DECLINED) -- nginx makes a 502 of it, and error_page sends that to @hold
    end
    local ok, err = balancer.set_current_peer(entry.address, entry.port)
    if ok and is_websocket then
        ok, err = balancer.set_timeouts(nil, entry.websocket_timeout_s, entry.websocket_timeout_s)
    elseif ok and entry.read_timeout_s ~= DEFAULT_READ_TIMEOUT_S then
        ok, err = balancer.set_timeouts(nil, nil, entry.read_timeout_s)
    end
    if not ok then
        complain("balancer", err)
        return ngx.exit(ngx.ERROR)
    end
end

return function()
    local ok, err = pcall(balance)
    if not ok then
        complain("balancer", err)
        return ngx.exit(ngx.ERROR)
    end
end
