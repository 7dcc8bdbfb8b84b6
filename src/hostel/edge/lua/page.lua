-- content_by_lua of the page location: nginx itself refused the request (too large, too slow, ...).
local pages = require "hostel.pages"
local routes = require "hostel.routes"

local var = ngx.var

-- nginx may refuse before access.lua has run; the website's owner is to see that in the log all the same.
local function set_site_log()
    if var.site_log == "" then
        local entry = routes.find(var.host)
        if entry and entry.state ~= "deleted" then
            var.site_log = entry.access_log
        end
    end
end

return function()
    local ok, err = pcall(set_site_log)
    if not ok then
        ngx.log(ngx.ERR, "page: ", err)
    end
    return pages.answer(ngx.status)
end
