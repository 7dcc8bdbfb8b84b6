-- access_by_lua of @spread: a WebSocket upgrade waits here for its turn after a switch. It counts neither as held nor
-- as bound; the balancer chooses its run afterwards, as for any request.
local complain = require "hostel.complain"
local reconnects = require "hostel.reconnects"
local routes = require "hostel.routes"

local var = ngx.var

local FIRST_S = 0.001 -- the least that nginx's timers can tell from nothing

local function wait()
    local entry = routes.find(var.host)
    local delay_s = entry and reconnects.delay_s(entry) or 0
    if delay_s >= FIRST_S then
        ngx.sleep(delay_s)
    end
    local seen = routes.find(var.host)
    if seen and seen.location then
        return ngx.exec(seen.location)
    end
end

return function()
    local ok, err = pcall(wait)
    if not ok then
        complain("spread", err) -- and the upgrade goes on without waiting
    end
end
