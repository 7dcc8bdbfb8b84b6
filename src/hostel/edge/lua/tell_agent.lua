-- One message to the agent: POST `path`, without a body. Returns true once the agent has taken it, else nil and why.
local settings = require "hostel.settings"

local ANSWER_TIMEOUT_MS = 5000

return function(path)
    local socket = ngx.socket.tcp()
    socket:settimeout(ANSWER_TIMEOUT_MS)
    local ok, err = socket:connect("unix:" .. settings.agent_socket)
    if not ok then
        return nil, err
    end
    ok, err = socket:send({
        "POST ", path, " HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    })
    local line
    if ok then
        line, err = socket:receive("*l")
    end
    socket:close()
    if line and not line:find("^HTTP/1%.[01] 2%d%d") then
        return nil, line
    end
    return line and true, err
end
