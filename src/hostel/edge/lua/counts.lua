-- What is in flight, counted for each worker and readable by all.
--
-- A key is `<name>:<worker pid>:<class>`. Only the worker in the key writes its count, so a count needs no lock, and
-- the counts of a killed worker are left out as soon as its successor has announced itself. The count stands in a cell
-- of the worker (shared_memory.lua); the shared dict `counts` is the directory that says in which.
local complain = require "hostel.complain"
local shared_memory = require "hostel.shared_memory"

local directory = ngx.shared.counts
local workers = ngx.shared.workers
local cells, generation = shared_memory.cells, shared_memory.generation

local CELLS = shared_memory.CELLS

local _M = {
    PLAIN = "p",      -- requests bound to a run
    STREAMING = "s",  -- WebSockets and event streams bound to a run
    HELD = "h",       -- requests of a domain that wait
    REQUESTS = "r",   -- requests of a domain that have a place at the website (traffic.lua)
    WEBSOCKETS = "w", -- the same for WebSockets and event streams
    FILES = "f",      -- files of a domain that are being sent
    UPLOADED = "u",   -- bytes that the request bodies of a domain may take on disk
}

local pid
local base -- this worker's first cell
local mine = {} -- the cell of each key of this worker
local unused, used = {}, 0 -- cells that were given back, and how many were ever given out
local resting = {} -- given back, and perhaps still read by a worker that has just looked where a key stands
local peers = {} -- for a key of this worker: the other workers' cells, and the generation that they belong to

local function forget_worker(dead_pid)
    local infix = ":" .. dead_pid .. ":"
    for _, key in ipairs(directory:get_keys(0)) do
        if key:find(infix, 1, true) then
            directory:delete(key)
        end
    end
end

function _M.start()
    pid = ngx.worker.pid()
    local slot = ngx.worker.id()
    base = slot * CELLS
    local predecessor = workers:get(slot)
    if predecessor then
        forget_worker(predecessor)
    end
    workers:set(slot, pid)
    generation.step()
end

-- Give `key` a cell, and say in the directory which.
local function open(key)
    local cell = table.remove(unused)
    if not cell then
        assert(used < CELLS, "no cell is left")
        cell = base + used
        used = used + 1
    end
    cells[cell] = 0
    mine[key] = cell
    local ok, err = directory:safe_set(key, cell)
    if not ok then
        complain("a count is lost, drains may end early", err)
    end
    generation.step()
    return cell
end

function _M.key(name, class)
    return name .. ":" .. pid .. ":" .. class
end

-- The name in a key; names hold no colon.
function _M.name(key)
    return key:match("^[^:]+")
end

function _M.add(key, amount)
    local cell = mine[key] or open(key)
    cells[cell] = cells[cell] + (amount or 1)
end

function _M.remove(key, amount)
    local cell = mine[key]
    cells[cell] = cells[cell] - (amount or 1)
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
    local present = generation.read() -- first: what is looked up after it is as new, or newer
    local found = peers[key]
    if found and found.generation == present then
        return found
    end
    local name, class = key:match("^([^:]+):%d+:(.)$")
    found = { generation = present }
    for slot = 0, ngx.worker.count() - 1 do
        local worker = workers:get(slot)
        if worker and worker ~= pid then
            found[#found + 1] = directory:get(name .. ":" .. worker .. ":" .. class)
        end
    end
    peers[key] = found
    return found
end

-- What `key`, which is this worker's, counts over all workers that live. Builds no strings: every request asks.
function _M.total(key)
    local cell = mine[key]
    local total = cell and cells[cell] or 0
    local found = find_peers(key)
    for index = 1, #found do
        total = total + cells[found[index]]
    end
    return total
end

local function read(key)
    local cell = directory:get(key)
    return cell and cells[cell] or 0
end

-- The sum over the workers that live.
function _M.sum(name, class)
    local total = 0
    for slot = 0, ngx.worker.count() - 1 do
        local worker = workers:get(slot)
        if worker then
            total = total + read(name .. ":" .. worker .. ":" .. class)
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
        for _, key in ipairs(worker and directory:get_keys(0) or {}) do
            if key:sub(-#suffix) == suffix then
                total = total + read(key)
            end
        end
    end
    return total
end

-- Drop this worker's zeros: runs are never reused, so their keys would pile up. Their cells rest until the next time.
function _M.tidy()
    for _, cell in ipairs(resting) do
        unused[#unused + 1] = cell
    end
    resting = {}
    for key, cell in pairs(mine) do
        if cells[cell] == 0 then
            mine[key] = nil
            peers[key] = nil
            directory:delete(key)
            resting[#resting + 1] = cell
        end
    end
    if resting[1] then
        generation.step()
    end
end

return _M
