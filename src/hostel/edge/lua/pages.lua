-- The pages a visitor sees when no website answers. None says anything about the request or the website.
local settings = require "hostel.settings"

local PAGE_OF_STATUS = {
    [400] = "bad-request",
    [404] = "coming-soon",
    [413] = "too-large",
    [414] = "address-too-long",
    [421] = "misdirected",
    [431] = "headers-too-large",
    [502] = "something-went-wrong",
    [503] = "starting",
    [504] = "too-slow",
}
local FALLBACK = "something-went-wrong"
local RETRY_AFTER_S = 5

local _M = {}

local texts = {}

local function read_page(name)
    local file = assert(io.open(settings.pages .. "/" .. name .. ".html", "r"))
    texts[name] = file:read("*a")
    file:close()
end

function _M.load()
    read_page("disabled")
    for _, name in pairs(PAGE_OF_STATUS) do
        read_page(name)
    end
end

-- Answer with `status` and end the request. `name` is for a page other than the status's usual one.
function _M.answer(status, name)
    local text = texts[name or PAGE_OF_STATUS[status] or FALLBACK]
    ngx.req.discard_body() -- an unread body must never be taken for the next request
    ngx.status = status
    local header = ngx.header
    header["Content-Type"] = "text/html; charset=utf-8"
    header["Content-Length"] = #text
    header["Cache-Control"] = "no-store"
    header["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    header["X-Content-Type-Options"] = "nosniff"
    if status == 503 and not name then
        header["Retry-After"] = RETRY_AFTER_S
    end
    ngx.print(text)
    return ngx.exit(status)
end

-- Answer for a website that is not to be reached, by the state in its record.
function _M.answer_state(state)
    if state == "failed" then
        return _M.answer(502)
    elseif state == "disabled" then
        return _M.answer(503, "disabled")
    end
    return _M.answer(404)
end

return _M
