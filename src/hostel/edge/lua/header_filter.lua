-- header_filter_by_lua of what websites answer: drops replies that would let a website write its own next response
-- into the visitor's connection, hides a header that reaches beyond the website, and counts event streams apart.
local complain = require "hostel.complain"
local counts = require "hostel.counts"
local routes = require "hostel.routes"
local settings = require "hostel.settings"
local traffic = require "hostel.traffic"
local variables = require "hostel.variables"

local get, set = variables.get, variables.set

local EVENT_STREAM = "text/event-stream"

-- nginx passes an upstream's 1xx as if it were final and what follows it raw, and so an answer without a status line
-- (its status is 9 here). Only a 101 that the visitor asked for may pass.
local function is_forged(status)
    return status < 200 and (status ~= 101 or get("websocket") == "")
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
    if content_type and content_type:sub(1, #EVENT_STREAM):lower() == EVENT_STREAM then
        local bound = get("bound")
        if bound ~= "" then
            set("bound", counts.reclassify(bound, counts.STREAMING))
        end
        local entry = routes.find(get("host"))
        if entry and not entry.is_broken then
            traffic.note_stream(entry)
        end
    end
end

return function()
    local ok, err = pcall(filter)
    if not ok then
        complain("header filter", err)
        return ngx.exit(ngx.ERROR)
    end
end
