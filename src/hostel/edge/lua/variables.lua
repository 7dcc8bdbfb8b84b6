-- nginx's variables, as `ngx.var` has them. LuaJIT compiles nothing that reaches the metamethods of that one, so what
-- every request reads and writes goes through these functions.
local base = require "resty.core.base"
local ffi = require "ffi"
require "resty.core.var" -- declares to the FFI what nginx offers

local C = ffi.C
local get_request = base.get_request
local to_string = ffi.string

local OK = 0
local ERROR = -1
local LONGEST_NAME = 64
local FAULT_BYTES = 256

local lowered, lowered_for_set = ffi.new("char[?]", LONGEST_NAME), ffi.new("unsigned char[?]", LONGEST_NAME)
local value, length = ffi.new("char *[1]"), ffi.new("size_t[1]")
local fault = ffi.new("char *[1]")
local fault_text, fault_length = ffi.new("unsigned char[?]", FAULT_BYTES), ffi.new("size_t[1]")

local _M = {}

-- The text of a variable; nil where it has none. Names are literals of this program, shorter than `LONGEST_NAME`.
function _M.get(name)
    local code = C.ngx_http_lua_ffi_var_get(get_request(), name, #name, lowered, 0, value, length, fault)
    if code == OK then
        local text = to_string(value[0], length[0]) -- a tail call would end LuaJIT's trace
        return text
    elseif code == ERROR then
        error(to_string(fault[0]))
    end
    return nil
end

function _M.set(name, text)
    fault_length[0] = FAULT_BYTES
    local code = C.ngx_http_lua_ffi_var_set(
        get_request(), name, #name, lowered_for_set, text, #text, fault_text, fault_length
    )
    if code == ERROR then
        error(to_string(fault_text, fault_length[0]))
    end
end

return _M
