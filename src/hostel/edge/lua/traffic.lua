-- How much of the edge one website may take: requests in flight, and WebSockets, counted apart and over all workers.
-- (Those that wait for it are counted by hold.lua.)
--
-- A request takes its place when its body has arrived, so that slow visitors take none from others, and has none while
-- it is held. log.lua gives it back. A request that finds no place is never sent to the website.
local bodies = require "hostel.bodies"
local counts = require "hostel.counts"
local idleness = require "hostel.idleness"
local pages = require "hostel.pages"
local reconnects = require "hostel.reconnects"
local variables = require "hostel.variables"

local get, set = variables.get, variables.set

local _M = {}

-- Receive the body, of `length` bytes at most, unless its website wants it as it comes; then take a place at the
-- running website of `entry`, or end the request.
local function enter(entry, length)
    if entry.buffer_requests ~= false then
        bodies.receive(entry.website, length)
    elseif length > 0 and get("unread") == "" then
        set("unread", "yes")
    end
    local is_websocket = get("websocket") ~= ""
    local key = is_websocket and entry.websockets_key or entry.requests_key
    if counts.total(key) >= (is_websocket and entry.max_websockets or entry.max_requests) then
        return pages.refuse(entry.website, is_websocket and "too_many_websockets" or "too_many_requests")
    end
    counts.add(key)
    set("place", key)
    idleness.note(entry)
end

-- Send the request on to the running website of `entry`, or end it. Where `is_spread`, a WebSocket that comes back
-- after a switch waits for its turn first.
function _M.pass(entry, length, is_spread)
    set("site_host", get("visitor_scheme") == "https" and entry.https_host or entry.host)
    enter(entry, length)
    if is_spread and reconnects.is_due(entry) then
        return ngx.exec("@spread")
    elseif entry.location then
        return ngx.exec(entry.location)
    end
end

-- Note that a file is about to be sent, or end the request: a slow visitor may take long, as with a WebSocket.
function _M.enter_files(entry)
    local key = entry.files_key
    if counts.total(key) >= entry.max_websockets then
        return pages.refuse(entry.website, "too_many_files")
    end
    counts.add(key)
    set("place", key)
end

function _M.leave()
    local place = get("place")
    if place ~= "" then
        set("place", "")
        counts.remove(place)
    end
end

-- The response turned out to be an event stream: count it with the WebSockets, unless those are as many as may be.
function _M.note_stream(entry)
    local place = get("place")
    if place == entry.requests_key and counts.total(entry.websockets_key) < entry.max_websockets then
        set("place", counts.reclassify(place, counts.WEBSOCKETS))
    end
end

return _M
