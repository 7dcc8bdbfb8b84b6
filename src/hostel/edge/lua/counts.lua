-- What is in flight, counted for each worker and readable by all.
--
-- A key is `<name>:<worker pid>:<class>`. Only the worker in the key writes it, so a count needs no lock, and the
-- counts of a killed worker are left out as soon as its successor has announced itself.
local complain = require "hostel.complain"

local shared = ngx.shared.counts
local workers = ngx.shared.workers

local GENERATION = "generation" -- in `workers`, beside the slots: grows whenever a worker starts

local _M = {
    PLAIN = "p",      -- requests bound to a run
    STREAMING = "s",  -- WebSockets and event streams bound to a run
    HELD = "h",       -- requests of a domain that wait
    REQUESTS = "r",   -- requests of a domain that have a place at the website (traffic.lua)
    WEBSOCKETS = "w", -- the same for WebSockets and event streams
    FILES = "f",      -- files of a domain that are being sent
    UPLOADED = "u",   -- bytes that the request bodies of a domain may take on disk
}

local mine = {}
local pid
local peers = {} -- for a key of this worker: the same of the other workers, and the generation that they belong to

local function publish(key, count)
    local ok, err = shared:safe_set(key, count)
    if not ok then
        complain("a count is lost, drains may end early", err)
    end
end

local function forget_worker(dead_pid)
    local infix = ":" .. dead_pid .. ":"
    for _, key in ipairs(shared:get_keys(0)) do
        if key:find(infix, 1, true) then
            shared:delete(key)
        end
    end
end

function _M.start()
    pid = ngx.worker.pid()
    local slot = ngx.worker.id()
    local predecessor = workers:get(slot)
    if predecessor then
        forget_worker(predecessor)
    end
    workers:set(slot, pid)
    workers:incr(GENERATION, 1, 0)
end

function _M.key(name, class)
    return name .. ":" .. pid .. ":" .. class
end

-- The name in a key; names hold no colon.
function _M.name(key)
    return key:match("^[^:]+")
end

function _M.add(key, amount)
    local count = (mine[key] or 0) + (amount or 1)
    mine[key] = count
    publish(key, count)
end

function _M.remove(key, amount)
    local count = mine[key] - (amount or 1)
    mine[key] = count
    publish(key, count)
end

-- Count what `key` counts in another class from now on; returns the new key. At no moment is it counted nowhere.
function _M.reclassify(key, class)
    local moved = key:sub(1, -2) .. class
    if moved ~= key then
        _M.add(moved)
        _M.remove(key)
    end
    return moved
end

local function find_peers(key)
    local generation = workers:get(GENERATION)
    local found = peers[key]
    if found and found.generation == generation then
        return found
    end
    local name, class = key:match("^([^:]+):%d+:(.)$")
    found = { generation = generation }
    for slot = 0, ngx.worker.count() - 1 do
        local worker = workers:get(slot)
        if worker and worker ~= pid then
            found[#found + 1] = name .. ":" .. worker .. ":" .. class
        end
    end
    peers[key] = found
    return found
end

-- What `key`, which is this worker's, counts over all workers that live. Builds no strings: every request asks.
function _M.total(key)
    local total = mine[key] or 0
    local found = find_peers(key)
    for index = 1, #found do
        total = total + (shared:get(found[index]) or 0)
    end
    return total
end

-- The sum over the workers that live.
function _M.sum(name, class)
    local total = 0
    for slot = 0, ngx.worker.count() - 1 do
        local worker = workers:get(slot)
        if worker then
            total = total + (shared:get(name .. ":" .. worker .. ":" .. class) or 0)
        end
    end
    return total
end

-- The sum of one class over all names.
function _M.sum_class(class)
    local total = 0
    for slot = 0, ngx.worker.count() - 1 do
        local worker = workers:get(slot)
        local suffix = worker and ":" .. worker .. ":" .. class
        for _, key in ipairs(worker and shared:get_keys(0) or {}) do
            if key:sub(-#suffix) == suffix then
                total = total + (shared:get(key) or 0)
            end
        end
    end
    return total
end

-- Drop this worker's zeros: runs are never reused, so their keys would pile up.
function _M.tidy()
    for key, count in pairs(mine) do
        if count == 0 then
            mine[key] = nil
            peers[key] = nil
            shared:delete(key)
        end
    end
end

return _M
