-- Certificates by host name: the shared dict holds them as text, each worker parses one once and again when it changes.
--
-- `certificate:<name>` is the whole certificate as JSON, so that chain and key always belong together; `host:<pattern>`
-- says which certificate covers a host name or `*.parent`; `stamp:<name>` changes whenever the certificate does: so a
-- handshake reads a number and not the whole text.
local cjson = require "cjson.safe"
local ssl = require "ngx.ssl"

local certificates = ngx.shared.certificates

local DEFAULT = "sites"

local _M = {}

local parsed = {}

local function wildcard(host)
    local _, dot = host:find(".", 1, true)
    return dot and "*" .. host:sub(dot)
end

local function forget_hosts(name, old)
    for _, pattern in ipairs(old and cjson.decode(old).names or {}) do
        if certificates:get("host:" .. pattern) == name then
            certificates:delete("host:" .. pattern)
        end
    end
end

local function find_name(host)
    if not host then
        return DEFAULT
    end
    local parent = wildcard(host)
    return certificates:get("host:" .. host) or parent and certificates:get("host:" .. parent) or DEFAULT
end

local function find_fault(certificate)
    if type(certificate) ~= "table" or type(certificate.names) ~= "table" then
        return "not a certificate message"
    end
    if type(certificate.name) ~= "string" or not certificate.name:find("^[%w.-]+$") then
        return "bad name"
    end
    local chain, chain_err = ssl.parse_pem_cert(tostring(certificate.chain))
    local key, key_err = ssl.parse_pem_priv_key(tostring(certificate.key))
    return not chain and chain_err or not key and key_err or nil
end

-- Serve `certificate` ({name, names, chain, key}) from the next handshake on.
function _M.put(certificate)
    local fault = find_fault(certificate)
    if fault then
        return nil, fault
    end
    local name = certificate.name
    forget_hosts(name, certificates:get("certificate:" .. name))
    local ok, err = certificates:safe_set("certificate:" .. name, cjson.encode(certificate))
    certificates:incr("stamp:" .. name, 1, 0)
    for _, pattern in ipairs(certificate.names) do
        if ok then
            ok, err = certificates:safe_set("host:" .. pattern, name)
        end
    end
    return ok, err
end

-- Serve it no more.
function _M.remove(name)
    forget_hosts(name, certificates:get("certificate:" .. name))
    certificates:delete("certificate:" .. name)
    certificates:incr("stamp:" .. name, 1, 0) -- never deleted: a worker may still have parsed an earlier one
end

-- The parsed certificate ({certificate, key, covers}) for a host name in lower case, or for a client that names none.
function _M.find(host)
    local name = find_name(host)
    local stamp = certificates:get("stamp:" .. name) -- first: what is read after it is as new, or newer
    local cached = parsed[name]
    if cached and cached.stamp == stamp then
        return cached
    end
    local text = certificates:get("certificate:" .. name)
    if not text then
        parsed[name] = nil
        return nil
    end
    local message = cjson.decode(text)
    local chain, chain_err = ssl.parse_pem_cert(message.chain)
    local key, key_err = ssl.parse_pem_priv_key(message.key)
    if not chain or not key then
        return nil, chain_err or key_err
    end
    local covers = {}
    for _, pattern in ipairs(message.names) do
        covers[pattern] = true
    end
    cached = { stamp = stamp, certificate = chain, key = key, covers = covers }
    parsed[name] = cached
    return cached
end

-- Whether the certificate that a client gets for `server_name` is good for `host` too.
function _M.covers(server_name, host)
    local found = _M.find(server_name:lower())
    return found ~= nil and (found.covers[host] or found.covers[wildcard(host)]) == true
end

return _M
