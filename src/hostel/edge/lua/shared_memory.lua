-- Memory that all workers share and no lock guards, mapped by the master before any worker exists. Shared dicts take a
-- lock for each look and make a string of what they find; what every request looks at stands here instead.
local ffi = require "ffi"

ffi.cdef [[
    void *mmap(void *address, size_t length, int protection, int flags, int file, long offset);
    int sem_init(void *semaphore, int is_shared, unsigned int value);
    int sem_post(void *semaphore);
    int sem_getvalue(void *semaphore, int *value);
    int pthread_spin_init(int *lock, int is_shared);
    int pthread_spin_lock(int *lock);
    int pthread_spin_unlock(int *lock);
]]

local C = ffi.C
local READ_WRITE = 1 + 2
local SHARED_ANONYMOUS = 0x01 + 0x20
local PAGE_BYTES = 4096
local LINE_BYTES = 64 -- of a processor's cache: counters of different use share none
local CELLS = 2 ^ 18 -- for each worker; takes room once it is written
local CELL_BYTES = ffi.sizeof("double")

local _M = { CELLS = CELLS }

local function map()
    local length = PAGE_BYTES + ngx.worker.count() * CELLS * CELL_BYTES
    local address = C.mmap(nil, length, READ_WRITE, SHARED_ANONYMOUS, -1, 0)
    assert(ffi.cast("intptr_t", address) ~= -1, "no memory that workers could share")
    return ffi.cast("char *", address)
end

local mapped = map()
local value = ffi.new("int[1]")

-- A number that changes by one step at a time. The C library's semaphores are just that, whoever is killed when.
local function counter(line)
    local semaphore = ffi.cast("void *", mapped + line * LINE_BYTES)
    assert(C.sem_init(semaphore, 1, 0) == 0)
    return {
        step = function()
            if C.sem_post(semaphore) ~= 0 then -- at its largest, 2^31 - 1: begin anew
                C.sem_init(semaphore, 1, 0)
            end
        end,
        read = function()
            C.sem_getvalue(semaphore, value)
            return value[0]
        end,
    }
end

_M.version = counter(0)    -- of the route table: grows after each push
_M.generation = counter(1) -- of the directory of cells (counts.lua): grows after each change of it

-- Numbers that only one worker writes, `CELLS` of them for each, one worker's after another's.
_M.cells = ffi.cast("double *", mapped + PAGE_BYTES)

local spin = ffi.new("int[1]")
C.pthread_spin_init(spin, 0)

local function fence()
    C.pthread_spin_lock(spin) -- one locked instruction
    C.pthread_spin_unlock(spin)
end

local function fence_anywhere()
    ngx.shared.workers:get("fence") -- takes the dict's lock
end

-- Nothing that is read after this is older than what was written before it, whatever processor reads.
_M.fence = ffi.arch == "x64" and fence or fence_anywhere

return _M
