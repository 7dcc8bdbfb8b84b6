-- access_by_lua of @hold: a request waits here until its website can take it.
--
-- It comes from access.lua (the site is held), from balancer.lua (the site is held by the time the body has arrived) or
-- from nginx's own 502 (connect() was refused). The last counts once for a request, and only if nothing was sent.
local bodies = require "hostel.bodies"
local clock = require "hostel.clock"
local complain = require "hostel.complain"
local counts = require "hostel.counts"
local pages = require "hostel.pages"
local routes = require "hostel.routes"
local traffic = require "hostel.traffic"
local wake = require "hostel.wake"

local var = ngx.var
local state = ngx.shared.edge_state
local progress = ngx.shared.progress
local held_totals = ngx.shared.held_totals

local FIRST_STEP_S = 0.005
local LAST_STEP_S = 0.05
local STEP_GROWTH = 1.5
local LOOK_AFTER_S = 0.1 -- a refusing run may be about to be replaced; then nobody need look
local POOL = ":pool"     -- in $refused, where otherwise a run stands
local QUEUE_S = 60       -- how long one request may wait in all for its site's own clock to begin
local BACKLOG_STEPS_S = { 0.05, 0.2, 0.5 } -- between tries where the website's queue of connections is full
local FULL = "resource temporarily unavailable" -- how the cosocket spells EAGAIN
local PROBE_TIMEOUT_MS = 1000
local PROGRESS_AFTER_S = 1.5
local PROGRESS_PAUSE_S = 10 -- after the time for it, until it may be shown again for the same record

-- Whether nginx sent not a byte of the request: also where a pooled connection turned out to be closed by the website.
local function was_nothing_sent()
    local sent = var.upstream_bytes_sent
    return sent ~= nil and sent:match("(%d+)$") == "0"
end

-- nginx says "-" where no connection came about.
local function was_connected()
    local connect_time = var.upstream_connect_time
    return connect_time ~= nil and connect_time:match("([%d.-]+)$") ~= "-"
end

-- Whether the wait is over. A run that refused is tried again when the agent has published a record since.
local function is_ready(entry, refused)
    return entry.state == "running" and (not refused or entry.run ~= refused.run or entry.serial ~= refused.serial)
end

local function is_waiting(entry)
    return entry.state == "held" or entry.state == "running"
end

-- Whether a browser loads this as a page for somebody who looks at it: the one kind of request that need not be kept
-- waiting, for the browser asks again by itself, and nothing of it has been sent anywhere.
local function is_page_load()
    return ngx.req.get_method() == "GET" and var.http_sec_fetch_dest == "document" and not var.http_sec_purpose
        and not var.http_content_length and not var.http_transfer_encoding
end

-- Whether pages may still show that the website comes: for as long as one request would wait for this record. From then
-- on pages wait as all else does, and learn the reason.
local function is_progress_due(entry, now)
    local key = entry.domain .. ":" .. entry.serial
    if progress:add(key, now + entry.hold_s, entry.hold_s + PROGRESS_PAUSE_S) then
        return true
    end
    local ends = progress:get(key)
    return ends ~= nil and now < ends
end

-- Wait until `entry` or its successor is ready; returns the last one seen, and whether to show a page meanwhile. The
-- clock starts anew with each record: the agent publishes one when the site's own start begins, after queueing.
local function wait(entry, refused)
    local began, step = clock(), FIRST_STEP_S
    local show_after = is_page_load() and began + PROGRESS_AFTER_S or math.huge
    local give_up = began + entry.hold_s
    while is_waiting(entry) and not is_ready(entry, refused) do
        local now = clock()
        if now >= give_up then
            return entry, false
        elseif now >= show_after and is_progress_due(entry, now) then
            return entry, true
        end
        if entry.state == "held" or now >= began + LOOK_AFTER_S then
            wake(entry)
        end
        ngx.sleep(step) -- never a remainder of nothing: sleep(0) does not let nginx's clock go on
        step = math.min(step * STEP_GROWTH, LAST_STEP_S)
        local seen = routes.find(entry.domain)
        if not seen or seen.is_broken then
            return seen or routes.BROKEN, false
        end
        if seen.raw ~= entry.raw then
            entry = seen
            give_up = math.min(clock() + entry.hold_s, began + QUEUE_S + entry.hold_s)
        end
    end
    return entry, false
end

-- Call `deed(...)`, which waits, with this request counted among those that the website holds. Returns nothing
-- where as many are held as may be.
local function call_counted(entry, deed, ...)
    if counts.sum(entry.website, counts.HELD) >= entry.max_held then
        return nil
    end
    local key = counts.key(entry.website, counts.HELD)
    counts.add(key)
    var.held = key -- log.lua takes it from here if the visitor leaves
    state:incr("held_total", 1)
    held_totals:incr(entry.website, 1, 0)
    local result, more = deed(...)
    counts.remove(key)
    var.held = ""
    return result, more
end

-- Whether connect() fails because the website accepts nothing at the moment. nginx does not say why it failed.
local function is_backlog_full(entry)
    local socket = ngx.socket.tcp()
    socket:settimeout(PROBE_TIMEOUT_MS)
    local ok, err
    if entry.port then
        ok, err = socket:connect(entry.address, entry.port)
    else
        ok, err = socket:connect(entry.address)
    end
    if ok then
        socket:close()
    end
    return ok or err == FULL -- if it can be connected to now, it could not a moment ago
end

local function pause(step_s)
    ngx.sleep(step_s)
    return routes.find(var.host) or routes.BROKEN
end

-- Wait a moment for a website that does not keep up with accepting; returns its entry then. Not for long: whoever
-- accepts nothing would soon hold as many requests as may be.
local function wait_for_backlog(entry)
    local tries = (tonumber(var.backlog) or 0) + 1
    local step_s = BACKLOG_STEPS_S[tries]
    var.backlog = tries
    local seen = step_s and call_counted(entry, pause, step_s)
    if not seen then
        return pages.refuse(entry.website, "backlog_full")
    end
    return seen
end

-- The website had closed a pooled connection, so the run itself refused nothing: try again at once, but only once, and
-- after nginx has heard of the other connections that were closed with this one.
local function find_pool_refusal(refused)
    if refused ~= "" then
        return false
    end
    var.refused = POOL
    ngx.sleep(FIRST_STEP_S)
    return nil
end

-- What refused the request before it came here, at the run `run`: nil if nothing did, false if it must not be tried
-- again.
local function take_refusal(entry, run)
    local refused = var.refused
    if not was_nothing_sent() then
        return false
    elseif was_connected() then
        return find_pool_refusal(refused)
    elseif refused ~= "" and refused ~= POOL then
        return false
    end
    var.refused = run
    return { run = run, serial = entry.serial }
end

local function take_bound()
    local bound = var.bound
    if bound == "" then
        return nil
    end
    var.bound = ""
    counts.remove(bound)
    return counts.name(bound)
end

-- Whether it was the present run's full queue of connections that refused the request.
local function is_overrun(entry, run)
    return entry.state == "running" and entry.run == run and was_nothing_sent() and not was_connected()
        and is_backlog_full(entry)
end

local function hold()
    local entry = routes.find(var.host)
    if not entry or entry.is_broken then
        return pages.answer_state(entry)
    end
    var.waited = "yes"
    traffic.leave()
    local run, refused = take_bound(), nil
    if var.unread == "yes" then -- part of the body may be gone: nobody can send it again
        return pages.refuse(entry.website, (not run or was_nothing_sent()) and "website_refused" or "bad_answer")
    elseif run and is_overrun(entry, run) then
        entry = wait_for_backlog(entry)
    elseif run then
        refused = take_refusal(entry, run)
        if refused == false then
            return pages.refuse(entry.website, was_nothing_sent() and "website_refused" or "bad_answer")
        end
    end
    local must_wait = not is_ready(entry, refused) and is_waiting(entry)
    if must_wait then
        local found, is_page_due = call_counted(entry, wait, entry, refused)
        if not found then
            return pages.refuse(entry.website, "too_many_held")
        elseif is_page_due then
            return pages.refuse(entry.website, "still_starting")
        end
        entry = found
    end
    if entry.state == "held" then
        return pages.refuse(entry.website, "not_ready")
    elseif entry.state ~= "running" then
        return pages.answer_state(entry)
    end
    -- Running, or refusing still: then the last attempt decides, and its refusal is the 502.
    return traffic.pass(entry, bodies.find_length(), must_wait)
end

return function()
    local ok, err = pcall(hold)
    if not ok then
        complain("hold", err)
        return pages.answer("fault")
    end
end
