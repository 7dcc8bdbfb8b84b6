-- What a visitor sees when no website answers. Nothing here says anything about the request or the website. Each answer
-- has a code that never changes (docs/reference/errors.md), in a header and in the counters of refusals.
--
-- What a website's owner can mend has an id besides, by which the panel tells the owner, and nobody else, what
-- happened. As many are remembered as there is room for.
local cjson = require "cjson.safe"
local settings = require "hostel.settings"

local var = ngx.var
local refusals = ngx.shared.refusals
local explained = ngx.shared.explained

local ALL = "all" -- no host name: those have a dot
local ID = "ERROR_ID" -- stands for the id in the pages that have one
local WHY = "^(.*)<!%-%-why%-%->(.*)<!%-%-/why%-%->(.*)$"
local ID_LENGTH = 16
local REMEMBERED_S = 86400
local PATH_LENGTH = 200

local ANSWERS = {
    asleep = { status = 200, page = "asleep" },
    bad_request = { status = 400, page = "bad-request" },
    password_required = { status = 401, page = "password" },
    file_forbidden = { status = 403, page = "forbidden" },
    no_such_file = { status = 404, page = "no-such-file" },
    unknown_website = { status = 404, page = "coming-soon" },
    method_not_allowed = { status = 405, page = "bad-request" },
    length_required = { status = 411, page = "bad-request" },
    precondition_failed = { status = 412, page = "bad-request" },
    body_too_large = { status = 413, page = "too-large" },
    address_too_long = { status = 414, page = "address-too-long" },
    no_such_range = { status = 416, page = "bad-request" },
    misdirected = { status = 421, page = "misdirected" },
    too_many_guesses = { status = 429, page = "too-many", retry_after_s = 60 },
    too_many_connections = { status = 429, page = "too-many", retry_after_s = 5 },
    headers_too_large = { status = 431, page = "headers-too-large" },
    fault = { status = 500, page = "something-went-wrong" },
    unsupported_coding = { status = 501, page = "bad-request" },
    bad_answer = { status = 502, page = "something-went-wrong" },
    website_failed = { status = 502, page = "something-went-wrong" },
    website_refused = { status = 502, page = "something-went-wrong" },
    backlog_full = { status = 503, page = "starting", retry_after_s = 5 },
    not_ready = { status = 503, page = "starting", retry_after_s = 5 },
    still_starting = { status = 503, page = "progress", retry_after_s = 1, refresh_s = 1 },
    too_many_files = { status = 503, page = "too-many", retry_after_s = 30 },
    too_many_held = { status = 503, page = "starting", retry_after_s = 5 },
    too_many_requests = { status = 503, page = "too-many", retry_after_s = 5 },
    too_many_uploads = { status = 503, page = "too-many", retry_after_s = 30 },
    too_many_websockets = { status = 503, page = "too-many", retry_after_s = 30 },
    account_suspended = { status = 503, page = "suspended" },
    website_disabled = { status = 503, page = "disabled" },
    no_answer = { status = 504, page = "too-slow" },
    unsupported_version = { status = 505, page = "bad-request" },
}

-- For what nginx itself refused. A 502 of nginx's goes to @hold, which knows more.
local CODE_OF_STATUS = {
    [400] = "bad_request",
    [403] = "file_forbidden",
    [404] = "no_such_file",
    [405] = "method_not_allowed",
    [412] = "precondition_failed",
    [413] = "body_too_large",
    [414] = "address_too_long",
    [416] = "no_such_range",
    [421] = "misdirected",
    [429] = "too_many_connections",
    [431] = "headers_too_large",
    [501] = "unsupported_coding",
    [504] = "no_answer",
    [505] = "unsupported_version",
}

local CODE_OF_STATE = {
    deleted = "unknown_website",
    disabled = "website_disabled",
    failed = "website_failed",
    suspended = "account_suspended",
}

local _M = {}

local texts = {} -- by page: without an id
local pieces = {} -- by page, where it can have one: what stands around the id

local function split(text)
    local found, from = {}, 1
    local first, last = text:find(ID, from, true)
    while first do
        found[#found + 1] = text:sub(from, first - 1)
        from = last + 1
        first, last = text:find(ID, from, true)
    end
    found[#found + 1] = text:sub(from)
    return found
end

local function read_page(name)
    local file = assert(io.open(settings.pages .. "/" .. name .. ".html", "r"))
    local text = file:read("*a")
    file:close()
    local before, why, after = text:match(WHY)
    texts[name] = before and before .. after or text
    pieces[name] = before and split(before .. why .. after)
end

function _M.load()
    for _, answer in pairs(ANSWERS) do
        read_page(answer.page)
    end
end

-- Keep for the panel what is answered now. A visitor's words are kept as far as they are harmless and short; the query,
-- where secrets are, is not.
local function remember(id, website, code)
    explained:set(id, cjson.encode({
        website = website,
        code = code,
        at_s = ngx.time(),
        method = ngx.req.get_method(),
        path = (var.request_uri or "/"):match("^[^?]*"):sub(1, PATH_LENGTH):gsub("[^\32-\126]", "?"),
    }), REMEMBERED_S)
end

local function render(answer, code, website)
    local parts = pieces[answer.page]
    if not parts or not website or website == settings.panel_host then
        return texts[answer.page]
    end
    local id = var.request_id:sub(1, ID_LENGTH)
    remember(id, website, code)
    ngx.header["Hostel-Error-Id"] = id
    return table.concat(parts, id)
end

-- What was remembered of `id`, as JSON, or nil.
function _M.find_explained(id)
    return explained:get(id)
end

-- Answer with the page of `code` and end the request; `website` is nil where none is meant.
function _M.answer(code, website)
    local answer = ANSWERS[code]
    local text = render(answer, code, website)
    ngx.req.discard_body() -- an unread body must never be taken for the next request
    ngx.status = answer.status
    local header = ngx.header
    header["Content-Type"] = "text/html; charset=utf-8"
    header["Content-Length"] = #text
    header["Cache-Control"] = "no-store"
    header["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    header["X-Content-Type-Options"] = "nosniff"
    header[answer.status < 400 and "Hostel-State" or "Hostel-Error-Code"] = code
    header["Retry-After"] = answer.retry_after_s
    header["Refresh"] = answer.refresh_s
    ngx.print(text)
    return ngx.exit(answer.status)
end

-- Send the visitor to `location`.
function _M.redirect(status, location)
    ngx.req.discard_body()
    ngx.status = status
    ngx.header["Location"] = location
    ngx.header["Content-Length"] = 0
    ngx.send_headers()
    return ngx.exit(status)
end

-- The same for a website that is known, and count it.
function _M.refuse(domain, code)
    refusals:incr(domain .. ":" .. code, 1, 0)
    refusals:incr(ALL .. ":" .. code, 1, 0)
    return _M.answer(code, domain)
end

-- How often requests for `domain`, or for all websites, were refused since nginx started, by code.
function _M.count_refusals(domain)
    local found = {}
    for code in pairs(ANSWERS) do
        found[code] = refusals:get((domain or ALL) .. ":" .. code)
    end
    return found
end

function _M.find_code(status)
    return CODE_OF_STATUS[status] or "fault"
end

-- Answer for a website that is not to be reached, by the state in its record; nil stands for an unknown one.
function _M.answer_state(entry)
    local code = entry and CODE_OF_STATE[entry.state]
    return _M.answer(code or "unknown_website", code and entry.website)
end

return _M
