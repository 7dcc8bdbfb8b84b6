-- init_worker_by_lua: announces this worker, so that its counts are believed and those of its dead predecessor are not.
local counts = require "hostel.counts"
local metrics = require "hostel.metrics"

local TIDY_INTERVAL_S = 60

return function()
    counts.start()
    metrics.start()
    math.randomseed(ngx.now() * 1000 + ngx.worker.pid()) -- workers are forks: else all would draw the same numbers
    local ok, err = ngx.timer.every(TIDY_INTERVAL_S, counts.tidy)
    if not ok then
        ngx.log(ngx.ERR, "zero counts will not be tidied away: ", err)
    end
end
