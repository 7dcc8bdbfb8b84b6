-- Tells the agent that somebody waits for a website: one message for each site at a time, repeated while it waits.
local clock = require "hostel.clock"
local settings = require "hostel.settings"

local wakes = ngx.shared.wakes

local ANSWER_TIMEOUT_MS = 5000
local AGAIN_S = 2          -- the agent has heard: remind it this much later, should the site still be held
local AGAIN_UNHEARD_S = 0.25
local COMPLAIN_EVERY_S = 10

local function post(domain)
    local socket = ngx.socket.tcp()
    socket:settimeout(ANSWER_TIMEOUT_MS)
    local ok, err = socket:connect("unix:" .. settings.agent_socket)
    if not ok then
        return nil, err
    end
    ok, err = socket:send({
        "POST /wake/", domain, " HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    })
    local line
    if ok then
        line, err = socket:receive("*l")
    end
    socket:close()
    if line and not line:find("^HTTP/1%.[01] 2%d%d") then
        return nil, line
    end
    return line, err
end

local function wake(premature, domain)
    if premature then
        return
    end
    local ok, err = post(domain)
    local again_s = ok and AGAIN_S or AGAIN_UNHEARD_S
    wakes:set(domain, clock() + again_s, again_s)
    if not ok and wakes:add("complained", true, COMPLAIN_EVERY_S) then
        ngx.log(ngx.ERR, "the agent was not told to wake ", domain, ", will try again: ", err)
    end
end

-- Whether it is time for a message; if so, no other is sent while it is under way. The dict forgets by the wall clock,
-- which may be set back, so each entry says when it ends.
local function take_turn(domain)
    local now, underway_s = clock(), ANSWER_TIMEOUT_MS / 1000
    if wakes:add(domain, now + underway_s, underway_s) then
        return true
    end
    local ends = wakes:get(domain)
    if ends and ends > now then
        return false
    end
    wakes:set(domain, now + underway_s, underway_s)
    return true
end

-- Returns at once: a visitor who leaves takes no wake along, and a slow agent delays nobody.
return function(domain)
    if not take_turn(domain) then
        return
    end
    local ok, err = ngx.timer.at(0, wake, domain)
    if not ok then
        wakes:delete(domain)
        ngx.log(ngx.ERR, "no timer for a wake: ", err)
    end
end
