-- What visitors of each website were answered: how many, of which class, after what time. The agent takes it away.
--
-- A worker counts in tables of its own: a request looks one up and adds to it. Every two seconds (ten, where many
-- websites are visited) each worker puts what it has counted into a queue that all share, as text, and begins anew; so
-- what is kept here is bounded by who is visited now and by how long ago the agent was here, not by how many websites
-- there are or were. A worker that is killed takes those seconds with it.
local cjson = require "cjson.safe"
local new_table = require "table.new"
local complain = require "hostel.complain"
local counts = require "hostel.counts"
local variables = require "hostel.variables"

local get = variables.get
local log = math.log
local floor, min = math.floor, math.min
local now, start_time = ngx.now, ngx.req.start_time
local queue = ngx.shared.metrics

local QUEUE = "counted"
local FLUSH_EVERY_S = 2
local FEW = 100 -- websites; of more each text is large, and there shall be fewer of them
local MANY_WAIT = 5 -- times as long
local KEPT_S = 300 -- while no agent comes
local CLASSES = 4 -- 2xx to 5xx: places 1 to 4
local STREAMS = 5 -- WebSockets and event streams that were opened
local FIRST_TIME = 6 -- up to a millisecond; each following place ends at √2 times that, the last one has no end
local TIMES = 34
local PLACES = FIRST_TIME + TIMES - 1 -- kept in agent/series.py too
local HALF_DOUBLING = 2 / log(2)
local LEFT = 499 -- the visitor, before there was an answer
local SWITCHED = ngx.HTTP_SWITCHING_PROTOCOLS
local STREAMING = counts.STREAMING:byte() -- ends a key of that class
local NONE = string.byte("-") -- how nginx writes a time that did not come about

local _M = {}

local counted, visited = {}, 0 -- by website, since the last flush; and how many those are
local began = {} -- when the first was counted, seconds since 1970: the website may be another's since
local looks = 0 -- since then

local function open(website)
    local places = new_table(PLACES, 0)
    for place = 1, PLACES do
        places[place] = 0
    end
    counted[website], began[website] = places, now()
    visited = visited + 1
    return places
end

local function add(website, place)
    local places = counted[website] or open(website)
    places[place] = places[place] + 1
end

local function add_time(website)
    local ms = floor((now() - start_time()) * 1000 + 0.5)
    local steps = ms < 1 and 0 or min(floor(log(ms) * HALF_DOUBLING + 1e-9) + 1, TIMES - 1)
    add(website, FIRST_TIME + steps)
end

-- A website begins to answer; `is_stream` where the answer may last: a WebSocket, an event stream.
function _M.note_answer(website, is_stream)
    if is_stream then
        add(website, STREAMS)
    else
        add_time(website)
    end
end

-- Whether the request was sent to its website, or waited for it, and got no answer from there.
local function was_in_vain(bound)
    if (bound or "") == "" and get("waited") == "" then
        return false
    end
    local header_time = get("upstream_header_time")
    return not header_time or header_time == "" or header_time:byte(-1) == NONE
end

-- A request of `website` has ended with `status`; `bound` is the key under which it was in flight. Streams were counted
-- when they began.
function _M.note_end(website, status, bound)
    if bound and bound:byte(-1) == STREAMING and (status == SWITCHED or get("websocket") == "") then
        return
    end
    local class = floor(status / 100) - 1
    add(website, class >= 1 and class <= CLASSES and class or CLASSES)
    if status >= LEFT and was_in_vain(bound) then
        add_time(website)
    end
end

-- Pairs of place and number, one list for each website: most places are zero.
local function pack(taken, since)
    local websites = {}
    for website, places in pairs(taken) do
        local pairs_, length = {}, 0
        for place = 1, PLACES do
            if places[place] > 0 then
                pairs_[length + 1], pairs_[length + 2] = place, places[place]
                length = length + 2
            end
        end
        websites[website] = pairs_
    end
    return cjson.encode({ at_s = ngx.time(), began = since, websites = websites })
end

-- Make room for one more: the oldest goes, first where nobody has come for them, then where there is no room left.
local function push(text)
    local most = ngx.worker.count() * KEPT_S / FLUSH_EVERY_S
    local length, err
    repeat
        if (queue:llen(QUEUE) or 0) >= most then
            queue:lpop(QUEUE)
        end
        length, err = queue:rpush(QUEUE, text)
    until length or err ~= "no memory" or not queue:lpop(QUEUE)
    if not length then
        complain("counts of requests are lost", err)
    end
end

function _M.flush()
    if next(counted) then
        local taken, since = counted, began
        counted, began, visited, looks = {}, {}, 0, 0
        push(pack(taken, since))
    end
end

-- nginx calls its timers also when a worker ends in order: `is_ending`.
local function look(is_ending)
    looks = looks + 1
    if is_ending or visited <= FEW or looks >= MANY_WAIT then
        _M.flush()
    end
end

function _M.start()
    local ok, err = ngx.timer.every(FLUSH_EVERY_S, look)
    if not ok then
        ngx.log(ngx.ERR, "requests will not be counted: ", err)
    end
end

-- What was counted since it was taken the last time, as the texts of JSON objects; nobody gets it again.
function _M.take()
    _M.flush()
    local texts = {}
    for _ = 1, queue:llen(QUEUE) or 0 do
        texts[#texts + 1] = queue:lpop(QUEUE) -- none where another worker has made room meanwhile
    end
    return texts
end

return _M
