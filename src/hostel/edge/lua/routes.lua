-- The route table: which record a host name has now.
--
-- The record on disk is the truth. The shared dict `routes` holds its text once somebody asked for it or the agent
-- pushed it. Each worker keeps a decoded copy, so a request decodes no JSON; it is valid while the table's version is
-- the one at which its text was compared with the dict's. A push changes the dict, then the version, then answers.
-- Unknown names live in a dict of their own, where a flood of them can push out nothing else.
local cjson = require "cjson.safe"
local clock = require "hostel.clock"
local complain = require "hostel.complain"
local counts = require "hostel.counts"
local files = require "hostel.files"
local password = require "hostel.password"
local reconnects = require "hostel.reconnects"
local settings = require "hostel.settings"
local shared_memory = require "hostel.shared_memory"

local find_in = ngx.re.find

local routes = ngx.shared.routes
local unknown = ngx.shared.unknown
local arrived = ngx.shared.arrived
local state = ngx.shared.edge_state
local version = shared_memory.version

-- As wire/names.py has it: nothing else is ever looked up, in a dict or on disk.
local DOMAIN = [[\A(?=.{1,85}\z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+\z]]
local ENOENT = 2
local LOCK_S = 2
local LOCK_STEP_S = 0.001

local STATES = {
    running = true, held = true, asleep = true, failed = true, disabled = true, suspended = true, deleted = true,
}
local TEXTS = { "domain", "website", "state", "host", "https_host", "access_log" }
local NAMES = { "website", "host", "https_host" } -- where they are empty they are `domain`
local NUMBERS = {
    "serial", "hold_s", "read_timeout_s", "websocket_timeout_s", "max_requests", "max_held", "max_websockets",
    "spread_from", "spread_s", "hsts_s", "max_body_bytes",
}

local TIMEOUTS = { "read_timeout_s", "websocket_timeout_s" }
local LARGEST = 2 ^ 53 -- up to here Lua tells each whole number from the next
local LONGEST_TIMEOUT_S = 1e6 -- nginx counts milliseconds
local SWITCHES = {
    "is_redirect", "force_https", "buffer_requests", "buffer_responses", "ignores_monitors",
}

local DEFAULTS = { __index = settings.route_defaults } -- what a record does not say, as wire/route.py has it
local NO_MAPPINGS = {}

-- Stands for a record that exists and cannot be read. Never cached.
local BROKEN = { is_broken = true, state = "failed", serial = -1, access_log = "", log_variable = "site_log" }

local _M = { BROKEN = BROKEN }

local decoded = {}

local function find_fault(record)
    for _, key in ipairs(TEXTS) do
        if type(record[key]) ~= "string" or record[key]:find("%c") then
            return key
        end
    end
    for _, key in ipairs(NUMBERS) do
        local value = record[key]
        if type(value) ~= "number" or not (value >= 0 and value <= LARGEST) then -- NaN is neither
            return key
        end
    end
    for _, key in ipairs(TIMEOUTS) do
        if record[key] < 1 or record[key] > LONGEST_TIMEOUT_S then
            return key
        end
    end
    for _, key in ipairs(SWITCHES) do
        if record[key] ~= nil and type(record[key]) ~= "boolean" then -- JSON's null would be something true
            return key
        end
    end
    if not find_in(record.domain, DOMAIN, "jo") or not find_in(record.website, DOMAIN, "jo") then
        return "domain"
    end
    if not STATES[record.state] then
        return "state"
    end
    if record.access_log ~= "" and record.access_log:sub(1, 1) ~= "/" then
        return "access_log"
    end
    if record.state == "running" then
        if type(record.run) ~= "string" or not record.run:find("^[%w_.-]+$") then
            return "run"
        end
        if type(record.endpoint) ~= "string" then
            return "endpoint"
        end
    end
end

local function split_endpoint(endpoint)
    if endpoint:find("^unix:/[^%c]+$") then
        return endpoint
    end
    local address, port = endpoint:match("^([%d.]+):(%d+)$")
    return address, tonumber(port)
end

local function compile_mappings(mappings)
    if type(mappings) ~= "table" or not mappings[1] then
        return NO_MAPPINGS
    end
    local compiled = {}
    for index, mapping in ipairs(mappings) do
        compiled[index] = type(mapping) == "table" and files.compile(mapping) or nil
        if not compiled[index] then
            return nil
        end
    end
    return compiled
end

-- Where nginx buffers as the website wants it; nil where that is as anywhere.
local function find_location(record)
    local are_read, are_taken = record.buffer_requests ~= false, record.buffer_responses == true
    if are_read and not are_taken then
        return nil
    end
    return "@requests_" .. (are_read and "on" or "off") .. "_responses_" .. (are_taken and "on" or "off")
end

-- The entry for a record's text: the record's fields, and what the phases would otherwise compute for each request.
function _M.decode(raw)
    local record, err = cjson.decode(raw)
    if type(record) ~= "table" then
        return nil, err or "not an object"
    end
    setmetatable(record, DEFAULTS)
    for _, key in ipairs(NAMES) do
        if record[key] == "" then
            record[key] = record.domain
        end
    end
    local fault = find_fault(record)
    if fault then
        return nil, "bad value of " .. fault
    end
    record.raw = raw
    if record.state == "asleep" then
        record.is_asleep, record.state = true, "held"
    end
    record.spread_until = reconnects.find_end(record)
    record.mappings = compile_mappings(record.static_files)
    if not record.mappings then
        return nil, "bad value of static_files"
    end
    record.users = password.compile(record.http_users, record.website)
    if record.users == false then
        return nil, "bad value of http_users"
    end
    record.location = find_location(record)
    record.log_variable = record.domain == settings.panel_host and "panel_log" or "site_log"
    record.files_key = counts.key(record.website, counts.FILES)
    record.requests_key = counts.key(record.website, counts.REQUESTS)
    record.websockets_key = counts.key(record.website, counts.WEBSOCKETS)
    if record.state == "running" then
        record.address, record.port = split_endpoint(record.endpoint)
        if not record.address then
            return nil, "bad value of endpoint"
        end
        record.plain_key = counts.key(record.run, counts.PLAIN)
        record.streaming_key = counts.key(record.run, counts.STREAMING)
    end
    record.static_files, record.http_users, record.endpoint = nil, nil, nil -- compiled
    return record
end

local function read_record(domain)
    local file, err, errno = io.open(settings.routes .. "/" .. domain .. ".json", "r")
    if not file then
        return nil, err, errno == ENOENT
    end
    local raw
    raw, err = file:read("*a")
    file:close()
    return raw, err
end

local function load(domain, present)
    if not find_in(domain, DOMAIN, "jo") or unknown:get(domain) == present then
        return nil
    end
    local raw, err, is_absent = read_record(domain)
    if is_absent then
        unknown:set(domain, present)
        return nil
    end
    local entry
    if raw then
        entry, err = _M.decode(raw)
    end
    if not entry or entry.domain ~= domain then
        complain("route record of " .. domain .. " cannot be used", err or "it is another domain's")
        return BROKEN
    end
    local ok
    ok, err = routes:safe_add(domain, raw)
    if err == "exists" then -- a push was faster, and newer
        return _M.find(domain)
    elseif ok then
        state:incr("routes_known", 1)
    else
        complain("route record of " .. domain .. " is not kept", err) -- served all the same, from the disk each time
    end
    entry.version = present
    decoded[domain] = entry
    return entry
end

local function compare(domain, present)
    local raw = routes:get(domain)
    if not raw then
        return load(domain, present)
    end
    local entry = decoded[domain]
    if not entry or entry.raw ~= raw then
        entry = _M.decode(raw)
        decoded[domain] = entry
    end
    entry.version = present
    return entry
end

-- The entry of `domain` as it is now; nil for an unknown name, BROKEN for a record that cannot be read.
function _M.find(domain)
    local present = version.read() -- before the dict: so no entry is older than the version it is noted for
    local entry = decoded[domain]
    if entry and entry.version == present then
        return entry
    end
    return compare(domain, present)
end

-- Count that a request for `domain` arrived, then read its record, in this order: the agent, having published a state
-- and read the count, knows that every request not counted yet will see that state. Unknown names are not counted.
function _M.arrive(domain)
    local entry = decoded[domain] or _M.find(domain)
    if not entry or entry.is_broken then
        return entry
    end
    local _, err = arrived:incr(entry.website, 1, settings.arrived_base)
    if err then
        complain("an arrival was not counted", err)
    end
    return _M.find(domain)
end

function _M.count_arrived(domain)
    return arrived:get(domain) or settings.arrived_base
end

-- The serial of the record in the dict, as it is pushed; nil where there is none.
function _M.find_serial(domain)
    local raw = routes:get(domain)
    return raw and string.format("%d", cjson.decode(raw).serial)
end

local function lock(domain)
    local deadline = clock() + LOCK_S
    while not state:add("lock:" .. domain, true, LOCK_S) do
        if clock() > deadline then
            return nil, "another push of this domain does not end"
        end
        ngx.sleep(LOCK_STEP_S)
    end
    return true
end

local function replace(entry)
    local held = _M.find(entry.domain)
    if held and held.serial >= entry.serial then
        return held
    end
    local is_new = routes:get(entry.domain) == nil
    local ok, err = routes:safe_set(entry.domain, entry.raw)
    if not ok then
        routes:delete(entry.domain) -- the next request reads the file, which the agent wrote before it pushed
        return nil, err
    end
    if is_new then
        state:incr("routes_known", 1)
    end
    return entry
end

-- Take a record from the agent. Returns the entry that is held now: an older record never replaces a newer one.
function _M.push(raw)
    local entry, err = _M.decode(raw)
    if not entry then
        return nil, err
    end
    local ok
    ok, err = lock(entry.domain)
    if not ok then
        return nil, err
    end
    local held
    held, err = replace(entry)
    decoded[entry.domain] = nil -- whoever is asked for it decodes it; thousands are published that nobody visits
    version.step()
    state:delete("lock:" .. entry.domain)
    return held, err
end

return _M
