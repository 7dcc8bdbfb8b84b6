-- Tells the agent that somebody waits for a website: one message for each site at a time, repeated while it waits.
local clock = require "hostel.clock"
local complain = require "hostel.complain"
local tell_agent = require "hostel.tell_agent"

local wakes = ngx.shared.wakes

local UNDERWAY_S = 5       -- as long as the agent may take to answer (tell_agent.lua)
local AGAIN_S = 2          -- the agent has heard: remind it this much later, should the site still be held
local AGAIN_UNHEARD_S = 0.25

local function wake(premature, domain, turn)
    if premature then
        return
    end
    local ok, err = tell_agent("/wake/" .. domain)
    local again_s = ok and AGAIN_S or AGAIN_UNHEARD_S
    wakes:set(turn, clock() + again_s, again_s)
    if not ok then
        complain("the agent was not told of a visitor and will be again", domain, ": ", err)
    end
end

-- Whether it is time for a message; if so, no other is sent while it is under way. The dict forgets by the wall clock,
-- which may be set back, so each entry says when it ends.
local function take_turn(turn)
    local now = clock()
    if wakes:add(turn, now + UNDERWAY_S, UNDERWAY_S) then
        return true
    end
    local ends = wakes:get(turn)
    if ends and ends > now then
        return false
    end
    wakes:set(turn, now + UNDERWAY_S, UNDERWAY_S)
    return true
end

-- Returns at once: a visitor who leaves takes no wake along, and a slow agent delays nobody. `entry` is the record by
-- which the website is asleep: with the next one, what the agent heard before is over.
return function(entry)
    local turn = entry.website .. ":" .. entry.serial
    if not take_turn(turn) then
        return
    end
    local ok, err = ngx.timer.at(0, wake, entry.website, turn)
    if not ok then
        wakes:delete(turn)
        complain("no timer for a wake", err)
    end
end
