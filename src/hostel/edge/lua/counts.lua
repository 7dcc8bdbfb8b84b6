-- What is in flight, counted for each worker and readable by all.
--
-- A key is `<name>:<worker pid>:<class>`. Only the worker in the key writes it, so a count needs no lock, and the
-- counts of a killed worker are left out as soon as its successor has announced itself.
local shared = ngx.shared.counts
local workers = ngx.shared.workers

local _M = {
    PLAIN = "p",     -- requests bound to a run
    STREAMING = "s", -- WebSockets and event streams bound to a run
    HELD = "h",      -- requests of a domain that wait
}

local mine = {}
local pid

local function publish(key, count)
    local ok, err = shared:safe_set(key, count)
    if not ok then
        ngx.log(ngx.ERR, "a count is lost, drains may end early: ", err)
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
end

function _M.key(name, class)
    return name .. ":" .. pid .. ":" .. class
end

-- The name in a key; names hold no colon.
function _M.name(key)
    return key:match("^[^:]+")
end

function _M.add(key)
    local count = (mine[key] or 0) + 1
    mine[key] = count
    publish(key, count)
end

function _M.remove(key)
    local count = mine[key] - 1
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
            shared:delete(key)
        end
    end
end

return _M
