-- access_by_lua: which website is meant, and may the request go on to it?
local bodies = require "hostel.bodies"
local certificates = require "hostel.certificates"
local complain = require "hostel.complain"
local files = require "hostel.files"
local monitors = require "hostel.monitors"
local pages = require "hostel.pages"
local password = require "hostel.password"
local routes = require "hostel.routes"
local traffic = require "hostel.traffic"
local variables = require "hostel.variables"
local wake = require "hostel.wake"

local get, set = variables.get, variables.set

local VERSIONS = { [""] = 0.9, ["HTTP/1.0"] = 1.0, ["HTTP/1.1"] = 1.1, ["HTTP/2.0"] = 2.0 }
local CLOSE = 444
local PERMANENT_REDIRECT = 308 -- with the same method and body

-- A client may use one connection for all names of its certificate, and for no others.
local function is_misdirected(domain)
    local server_name = get("ssl_server_name")
    return server_name and server_name ~= domain and not certificates.covers(server_name, domain)
end

-- Where visitors of this name are sent instead, if they are; what they asked for is kept.
local function find_redirect(entry, is_https)
    local origin
    if entry.is_redirect and not (is_https or entry.force_https) then
        origin = "http://" .. entry.host
    elseif entry.is_redirect or entry.force_https and not is_https then
        origin = "https://" .. entry.https_host
    else
        return nil
    end
    local path = get("request_uri")
    return origin .. (path:sub(1, 1) == "/" and path or "/")
end

local function access()
    local is_https = get("visitor_scheme") == "https"
    local version = VERSIONS[get("server_protocol") or ""]
    if not version then -- HTTP/1.2, say
        return pages.answer("unsupported_version")
    elseif version < 1.0 then
        return ngx.exit(CLOSE)
    end
    local domain = get("host") -- lower case, without port and trailing dot
    if is_https and is_misdirected(domain) then
        return pages.answer("misdirected")
    end
    local entry = routes.arrive(domain)
    if not entry or entry.state == "deleted" then
        return pages.answer("unknown_website")
    end
    set(entry.log_variable, entry.access_log)
    if entry.is_broken then
        return pages.answer_state(entry)
    end
    local target = find_redirect(entry, is_https)
    if target then
        return pages.redirect(PERMANENT_REDIRECT, target)
    end
    if is_https and entry.hsts_s > 0 then
        set("hsts", "max-age=" .. string.format("%d", entry.hsts_s))
    end
    if entry.users then
        password.check(entry)
    end
    if entry.mappings[1] then
        files.serve(entry)
    end
    local length = bodies.check(entry)
    if entry.state == "running" then
        return traffic.pass(entry, length, true)
    end
    if entry.state == "held" then
        if entry.is_asleep and entry.ignores_monitors and monitors.is_one() then
            return pages.answer("asleep")
        end
        wake(entry)
        bodies.receive(entry.website, length) -- nginx sees that a visitor has left only where nothing is left to read
        set("unread", "no")
        return ngx.exec("@hold")
    end
    return pages.answer_state(entry)
end

return function()
    local ok, err = pcall(access)
    if not ok then
        complain("access", err)
        return pages.answer("fault")
    end
end
