-- One line in the edge's error log for a fault of the edge: at most one for each `key` in ten seconds, because whoever
-- makes the edge fail may do so with every request. The servers of websites log nothing below "alert" (nginx.conf).
local complaints = ngx.shared.complaints

local EVERY_S = 10

return function(key, ...)
    if complaints:add(key, true, EVERY_S) then
        ngx.log(ngx.ALERT, key, ": ", ...)
    end
end
