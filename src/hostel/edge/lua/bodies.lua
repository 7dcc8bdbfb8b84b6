-- Receives a request's body, with bounds that nginx does not have: a rate that a visitor must keep up, and how much of
-- the disk the bodies of one website and of all together may take while they are under way.
local clock = require "hostel.clock"
local complain = require "hostel.complain"
local counts = require "hostel.counts"
local pages = require "hostel.pages"
local variables = require "hostel.variables"

local sleep = ngx.sleep
local spawn = ngx.thread.spawn
local get, set = variables.get, variables.set

-- The visitor has 20 seconds, and one more for each 500 bytes that have arrived; never more than an hour.
local FIRST_S = 20
local LONGEST_S = 3600
local BYTES_PER_S = 500
local LOOK_EVERY_S = 5
local REQUEST_TIMEOUT = 408

local MEMORY_BYTES = 64 * 1024          -- client_body_buffer_size in nginx.conf: less stays in memory
local LARGEST_BYTES = 100 * 1024 * 1024 -- client_max_body_size: taken for a body that does not say its length
local WEBSITE_BYTES = 512 * 1024 * 1024
local ALL_BYTES = 4 * 1024 * 1024 * 1024
local ALL = "all" -- no host name: those have a dot

local HAS_ONE = { POST = true, PUT = true, PATCH = true }
local HAS_NONE = { GET = true, HEAD = true }

local _M = {}

local function is_http_2()
    return get("server_protocol") == "HTTP/2.0"
end

-- How long the body may be; 0 where there is none.
function _M.find_length()
    local said = tonumber(get("content_length"))
    if said then
        return said
    elseif get("http_transfer_encoding") then
        return LARGEST_BYTES
    end
    -- Over HTTP/2 a body needs no header; one of a GET is left to client_body_timeout.
    return is_http_2() and not HAS_NONE[get("request_method")] and LARGEST_BYTES or 0
end

local function watch(began_bytes)
    local began = clock()
    while true do
        sleep(LOOK_EVERY_S)
        local took_s = clock() - began
        local received = get("request_length") - began_bytes
        if took_s > math.min(FIRST_S + received / BYTES_PER_S, LONGEST_S) then
            return ngx.exit(REQUEST_TIMEOUT)
        end
    end
end

local function receive_watched()
    local watcher = spawn(watch, tonumber(get("request_length")))
    local ok, err = pcall(ngx.req.read_body)
    ngx.thread.kill(watcher)
    if not ok then -- some releases of the Lua module leave certain bodies of HTTP/2 to nginx
        complain("a body is received unwatched", err)
    end
end

-- Note that a body of `length` may take room on disk until the request ends. Returns false where there is no room.
local function reserve(domain, length)
    local own, all = counts.key(domain, counts.UPLOADED), counts.key(ALL, counts.UPLOADED)
    if counts.total(own) + length > WEBSITE_BYTES or counts.total(all) + length > ALL_BYTES then
        return false
    end
    counts.add(own, length)
    counts.add(all, length)
    set("upload", domain .. "=" .. length)
    return true
end

-- End a request whose body is longer than its website takes; else return how long it may be. Over HTTP/2 nothing says
-- whether there is one; with other methods there hardly is.
function _M.check(entry)
    local limit, said = entry.max_body_bytes, tonumber(get("content_length"))
    if said and said > limit then
        return pages.refuse(entry.website, "body_too_large")
    elseif not said and limit < LARGEST_BYTES
        and (get("http_transfer_encoding") or is_http_2() and HAS_ONE[get("request_method")]) then
        return pages.refuse(entry.website, "length_required")
    end
    return said or _M.find_length()
end

-- Wait for the body of this request, if it has one: of `length` bytes at most.
function _M.receive(domain, length)
    if length == 0 then
        return
    end
    if length > MEMORY_BYTES and get("upload") == "" and not reserve(domain, length) then
        return pages.refuse(domain, "too_many_uploads")
    end
    return receive_watched()
end

-- The request has ended: what it reserved, as `$upload` has it, is free.
function _M.release(upload)
    local domain, length = upload:match("^(.+)=(%d+)$")
    counts.remove(counts.key(domain, counts.UPLOADED), tonumber(length))
    counts.remove(counts.key(ALL, counts.UPLOADED), tonumber(length))
end

return _M
