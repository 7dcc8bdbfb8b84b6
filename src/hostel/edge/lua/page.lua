-- content_by_lua of the page location: nginx itself refused the request (too large, too slow, ...).
local complain = require "hostel.complain"
local pages = require "hostel.pages"
local routes = require "hostel.routes"

local var = ngx.var

-- nginx may refuse before access.lua has run; the website's owner is to see that in the log all the same.
local function answer(code)
    local entry = routes.find(var.host)
    if not entry or entry.state == "deleted" then
        return pages.answer(code)
    end
    if var.site_log == "" then
        var.site_log = entry.access_log
    end
    return pages.refuse(entry.website or var.host, code)
end

return function()
    local ok, err = pcall(answer, pages.find_code(ngx.status))
    if not ok then
        complain("page", err)
        return pages.answer("fault")
    end
end
