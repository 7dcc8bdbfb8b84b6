-- log_by_lua: the request has ended, however it ended. The counts it holds stand in nginx variables, which, unlike
-- ngx.ctx, survive error_page and ngx.exec.
local counts = require "hostel.counts"

local var = ngx.var

local function uncount(key)
    if key and key ~= "" then
        counts.remove(key)
    end
end

return function()
    local ok, err = pcall(uncount, var.bound)
    if ok then
        ok, err = pcall(uncount, var.held)
    end
    if not ok then
        ngx.log(ngx.ERR, "log: ", err)
    end
end
