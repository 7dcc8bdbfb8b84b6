-- log_by_lua: the request has ended, however it ended. The counts it holds stand in nginx variables, which, unlike
-- ngx.ctx, survive error_page and ngx.exec.
local bodies = require "hostel.bodies"
local complain = require "hostel.complain"
local counts = require "hostel.counts"
local metrics = require "hostel.metrics"
local routes = require "hostel.routes"
local variables = require "hostel.variables"

local get = variables.get

local function uncount(key)
    if key and key ~= "" then
        counts.remove(key)
    end
end

local function count(bound)
    local entry = routes.find(get("host"))
    if entry and entry.website and entry.state ~= "deleted" then
        metrics.note_end(entry.website, ngx.status, bound)
    end
end

local function release(upload)
    if upload and upload ~= "" then
        bodies.release(upload)
    end
end

local function attempt(deed, value)
    local ok, err = pcall(deed, value)
    if not ok then
        complain("log", err)
    end
end

return function()
    local bound = get("bound")
    attempt(uncount, bound)
    attempt(uncount, get("place"))
    attempt(uncount, get("held"))
    attempt(release, get("upload"))
    attempt(count, bound)
end
