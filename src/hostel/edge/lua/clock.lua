-- Seconds that only go forward. nginx's own time (ngx.now, and when entries of shared dicts expire) is the wall clock:
-- set back by a day, it would let a request wait for a day.
local ffi = require "ffi"

ffi.cdef [[
    typedef struct { long seconds; long nanoseconds; } hostel_time;
    int clock_gettime(int clock, hostel_time *now);
]]

local C = ffi.C
local MONOTONIC = 1
local time = ffi.new("hostel_time")

return function()
    C.clock_gettime(MONOTONIC, time)
    return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end
