-- header_filter_by_lua of what websites answer: drops replies that would let a website write its own next response
-- into the visitor's connection, hides a header that reaches beyond the website, counts event streams apart, and notes
-- when the answer began.
local complain = require "hostel.complain"
local counts = require "hostel.counts"
local metrics = require "hostel.metrics"
local routes = require "hostel.routes"
local settings = require "hostel.settings"
local traffic = require "hostel.traffic"
local variables = require "hostel.variables"

local get, set = variables.get, variables.set

local EVENT_STREAM = "text/event-stream"
local SWITCHED = ngx.HTTP_SWITCHING_PROTOCOLS

-- nginx passes an upstream's 1xx as if it were final and what follows it raw, and so an answer without a status line
-- (its status is 9 here). Only a 101 that the visitor asked for may pass.
local function is_forged(status)
    return status < 200 and (status ~= SWITCHED or get("websocket") == "")
end

-- "cookies" clears those of the whole registrable domain: one website would log everybody out of the others.
local function hide_clear_site_data()
    local suffix = settings.shared_suffix
    if suffix ~= "" and get("sent_http_clear_site_data") and get("host"):sub(-#suffix) == suffix then
        ngx.header.clear_site_data = nil
    end
end

local function filter()
    if is_forged(ngx.status) then
        return ngx.exit(ngx.ERROR)
    end
    hide_clear_site_data()
    local hsts = get("hsts")
    if hsts and hsts ~= "" then
        ngx.header.strict_transport_security = hsts
    end
    local content_type = get("sent_http_content_type")
    local is_event_stream = content_type and content_type:sub(1, #EVENT_STREAM):lower() == EVENT_STREAM
    local entry, bound = routes.find(get("host")), get("bound")
    local is_answer = (bound or "") ~= "" -- the website's own: a page of the edge comes by here too
    if is_event_stream then
        if is_answer then
            set("bound", counts.reclassify(bound, counts.STREAMING))
        end
        if entry and not entry.is_broken then
            traffic.note_stream(entry)
        end
    end
    if is_answer and entry and not entry.is_broken then
        metrics.note_answer(entry.website, is_event_stream or ngx.status == SWITCHED)
    end
end

return function()
    local ok, err = pcall(filter)
    if not ok then
        complain("header filter", err)
        return ngx.exit(ngx.ERROR)
    end
end
