-- A website's HTTP password. A right one is remembered, so that its hash is computed once; how many may be computed is
-- limited, for each visitor who guesses, each website and all together, because nginx does nothing else meanwhile
-- (1.2 ms for each where it was measured).
local clock = require "hostel.clock"
local ffi = require "ffi"
local pages = require "hostel.pages"
local settings = require "hostel.settings"

local guesses = ngx.shared.guesses
local passwords = ngx.shared.passwords
local var = ngx.var
local hmac_sha1 = ngx.hmac_sha1
local sha1_bin = ngx.sha1_bin

ffi.cdef [[
char *crypt_rn(const char *phrase, const char *setting, void *data, int size);
]]
local libcrypt = ffi.load("libcrypt.so.1")

local WORKSPACE_BYTES = 32768 -- sizeof(struct crypt_data), crypt(3)
local workspace = ffi.new("char[?]", WORKSPACE_BYTES)

local KNOWN_S = 3600
local WRONG_A_MINUTE = 10      -- of one address, or network of IPv6, at one website
local HASHES_A_SECOND = 10     -- of one website
local ALL_HASHES_A_SECOND = 30
local ALL = "all"              -- no host name: those have a dot
local LONGEST_NAME, LONGEST_PASSWORD = 64, 128 -- as wire/http_users.py has it
-- For a name that nobody has: an answer that came sooner would tell.
local NOBODY = "$6$hostelhostel$" .. ("x"):rep(86)

local _M = {}

-- What stands for the users of a record, for `check`; nil where there are none, false where a value is none.
function _M.compile(users, website)
    if users == nil then
        return nil
    elseif type(users) ~= "table" then
        return false
    end
    local lines = {}
    for name, hash in pairs(users) do
        if type(name) ~= "string" or type(hash) ~= "string" or hash:sub(1, 3) ~= "$6$" then
            return false
        end
        lines[#lines + 1] = name .. ":" .. hash
    end
    if not lines[1] then
        return nil
    end
    table.sort(lines)
    return { hashes = users, digest = sha1_bin(website .. "\0" .. table.concat(lines, "\0")) }
end

local function is_right(password, hash)
    local made = libcrypt.crypt_rn(password, hash, workspace, WORKSPACE_BYTES)
    return made ~= nil and ffi.string(made) == hash
end

local function split(authorization)
    local encoded = authorization:match("^[Bb][Aa][Ss][Ii][Cc] +([%w+/]+=*) *$")
    local text = encoded and ngx.decode_base64(encoded)
    if not text then
        return nil
    end
    local name, password = text:match("^([^:]*):(.*)$")
    if name and #name <= LONGEST_NAME and #password <= LONGEST_PASSWORD and not password:find("\0", 1, true) then
        return name, password
    end
end

-- One of `limit` in the window of `seconds` that it is now; false where there is none left.
local function take(key, limit, seconds)
    local count = guesses:incr(key .. "\0" .. math.floor(clock() / seconds), 1, 0, 2 * seconds)
    return not count or count <= limit
end

local function is_left(key, limit, seconds)
    return (guesses:get(key .. "\0" .. math.floor(clock() / seconds)) or 0) < limit
end

local function visitor()
    local address = var.binary_remote_addr
    return #address == 16 and address:sub(1, 8) or address -- a network of IPv6, which one visitor has as a whole
end

local function ask(entry, code)
    ngx.header["WWW-Authenticate"] = 'Basic realm="' .. var.host .. '", charset="UTF-8"'
    return pages.refuse(entry.website, code)
end

local function guess(entry, name, password)
    local website = entry.website
    local wrong_key = "wrong\0" .. website .. "\0" .. visitor()
    if not is_left(wrong_key, WRONG_A_MINUTE, 60)
        or not take(website, HASHES_A_SECOND, 1)
        or not take(ALL, ALL_HASHES_A_SECOND, 1)
    then
        return pages.refuse(website, "too_many_guesses")
    end
    local hash = entry.users.hashes[name]
    if not is_right(password, hash or NOBODY) or not hash then
        take(wrong_key, WRONG_A_MINUTE, 60)
        return ask(entry, "password_required")
    end
    return true
end

-- Let a visitor pass who knows a name and its password, or end the request. The website does not get to see them.
function _M.check(entry)
    local authorization = var.http_authorization
    if not authorization then
        return ask(entry, "password_required")
    end
    local key = hmac_sha1(settings.secret, entry.users.digest .. authorization)
    local ends = passwords:get(key)
    if not ends or ends < clock() then
        local name, password = split(authorization)
        if not name then
            return ask(entry, "password_required")
        end
        guess(entry, name, password)
        passwords:set(key, clock() + KNOWN_S, KNOWN_S)
    end
    local _ = var.remote_user -- nginx remembers it, for the log
    ngx.req.clear_header("Authorization")
end

return _M
