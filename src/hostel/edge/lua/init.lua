-- init_by_lua, in nginx's master and still as root: loads every module once, and all that workers may not read.
local cjson = require "cjson.safe"
local settings = require "hostel.settings"

local ARRIVED_PER_MS = 1000
local PHASES = { "access", "balancer", "certificate", "control", "header_filter", "hold", "log", "page", "spread" }

local function read_file(path)
    local file, err = io.open(path, "r")
    if not file then
        return nil, err
    end
    local text = file:read("*a")
    file:close()
    return text
end

local function make_secret()
    local file = assert(io.open("/dev/urandom", "rb"))
    local secret = assert(file:read(20))
    file:close()
    return secret
end

local function load_certificates(directory, index_path)
    local certificates = require "hostel.certificates"
    local index = assert(cjson.decode(assert(read_file(index_path))))
    for _, known in ipairs(index) do
        local chain, chain_err = read_file(directory .. "/" .. known.name .. ".pem")
        local key, key_err = read_file(directory .. "/" .. known.key_file)
        local ok, err = nil, chain_err or key_err
        if chain and key then
            ok, err = certificates.put({ name = known.name, names = known.names, chain = chain, key = key })
        end
        if not ok then
            ngx.log(ngx.ERR, "certificate ", known.name, " is not served: ", err)
        end
    end
end

return function(options)
    settings.routes = options.routes
    settings.route_defaults = assert(cjson.decode(assert(read_file(options.route_defaults))))
    settings.pages = options.pages
    settings.homes = options.homes
    settings.panel_host = options.panel_host
    settings.agent_socket = options.agent_socket
    settings.secret = make_secret()
    settings.shared_suffix = options.shared_suffix

    local state = ngx.shared.edge_state
    state:set("routes_known", 0)
    state:set("held_total", 0)
    -- Greater than every count of an earlier nginx, so that `arrived` of a domain never goes back.
    settings.arrived_base = math.floor(ngx.now() * 1000) * ARRIVED_PER_MS

    require("hostel.pages").load()
    load_certificates(options.certificates, options.certificate_index)
    for _, phase in ipairs(PHASES) do
        require("hostel." .. phase)
    end
end
