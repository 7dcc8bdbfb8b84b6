-- WebSockets that a switch closed all come back in the same second. For a while after it each upgrade waits for a
-- random part of the time that is left, so that their number a second is even and the new run is not overrun.
local variables = require "hostel.variables"

local get = variables.get
local now = ngx.now
local random = math.random

local _M = {}

-- The end of the time in which upgrades are spread, for a decoded record; nil where none has to wait.
function _M.find_end(record)
    if record.spread_s > 0 then
        return record.spread_from + record.spread_s
    end
end

-- Whether this request is to wait in @spread: near the switch, on either side, for the clock may have been set back.
function _M.is_due(entry)
    return entry.spread_until ~= nil and math.abs(now() - entry.spread_from) < entry.spread_s and get("websocket") ~= ""
end

-- How long; never longer than the whole time, also where a clock was set back since the record was written.
function _M.delay_s(entry)
    local spread_until = entry.spread_until
    if not spread_until then
        return 0
    end
    return random() * math.max(0, math.min(spread_until - now(), entry.spread_s))
end

return _M
