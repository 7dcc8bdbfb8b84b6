-- When each website was last sent a request: whoever decides that a website may sleep asks for it.
--
-- A worker notes it in the shared dict at most once a second for each website, so that a busy one pays no lock.
local clock = require "hostel.clock"
local complain = require "hostel.complain"
local counts = require "hostel.counts"
local monitors = require "hostel.monitors"

local seen = ngx.shared.seen

local PRECISION_S = 1

local _M = {}

local noted = {} -- by website: when this worker noted it last

function _M.note(entry)
    local now = clock()
    local last = noted[entry.website]
    if last and now - last < PRECISION_S or entry.ignores_monitors and monitors.is_one() then
        return
    end
    noted[entry.website] = now
    local ok, err = seen:safe_set(entry.website, now)
    if not ok then
        complain("a request was not noted, its website may be put to sleep early", err)
    end
end

-- What is in flight at `website`, and how long ago the last request came; -1 if none since nginx started.
function _M.find(website)
    local last = seen:get(website)
    return {
        in_flight = counts.sum(website, counts.REQUESTS) + counts.sum(website, counts.WEBSOCKETS),
        seen_s = last and math.max(0, clock() - last) or -1,
    }
end

return _M
