-- Static mappings: requests that are answered with files of the website's owner, whether the website runs or not.
--
-- Decides by the record and the address alone. nginx itself, as www-data, finds out what lies there (@files in
-- nginx.conf): it follows no link to what is another's, and reads what its mode lets everybody read.
local pages = require "hostel.pages"
local settings = require "hostel.settings"
local tell_agent = require "hostel.tell_agent"
local traffic = require "hostel.traffic"
local variables = require "hostel.variables"

local complaints = ngx.shared.complaints
local exec = ngx.exec
local set_uri = ngx.req.set_uri
local get, set = variables.get, variables.set

local SLASH = 47
local INDEX = "index.html"
local SHOWN = "/.well-known/"
local SHOWN_IN = { running = true, held = true, failed = true } -- a website that is switched off has no files either
local SAY_AGAIN_S = 60

local _M = {}

-- How far nobody but root can have changed what `path` leads to.
local function find_home(path)
    local homes = settings.homes
    local _, last = path:find("^/[^/]+/", #homes + 1)
    return path:sub(1, #homes) == homes and last and path:sub(1, last - 1) or homes
end

-- What `find` looks at, for the mapping of a record; nil where it is none.
function _M.compile(mapping)
    local url, path = mapping.url, mapping.path
    if type(url) ~= "string" or type(path) ~= "string" or url:byte() ~= SLASH or (url .. path):find("%c") then
        return nil
    end
    local parent, base = path:match("^(/.*)(/[^/]+)$")
    local prefix = url:gsub("/$", "")
    local home = find_home(path)
    return base and { prefix = prefix, length = #prefix, path = path, parent = parent, base = base, home = home }
end

-- Where the file for `uri` would lie: the home, a directory, and the rest of the path below it. Nil where no mapping
-- fits.
local function find(mappings, uri)
    for index = 1, #mappings do
        local mapping = mappings[index]
        local length = mapping.length
        if uri:sub(1, length) == mapping.prefix then
            local following = uri:byte(length + 1)
            if following == SLASH then
                return mapping.home, mapping.path, uri:sub(length + 1)
            elseif not following then
                return mapping.home, mapping.parent, mapping.base, true
            end
        end
    end
end

-- Whether a part of `path` begins with a dot: .git and .env are not for visitors, and `..` leads out.
local function is_hidden(path)
    local place = path:find("/.", 1, true)
    while place do
        if path:sub(place, place + #SHOWN - 1) ~= SHOWN then
            return true
        end
        place = path:find("/.", place + 1, true)
    end
    return false
end

-- Answer with a file if a static mapping of `entry` says so; returns where none does.
function _M.serve(entry)
    if not SHOWN_IN[entry.state] then
        return
    end
    local uri = get("uri") -- decoded, without `..` and doubled slashes
    local home, directory, path, is_whole = find(entry.mappings, uri)
    if not home then
        return
    elseif not is_whole and is_hidden(path) then
        return pages.refuse(entry.website, "no_such_file")
    end
    traffic.enter_files(entry)
    set("files_home", home)
    set("files_in", directory)
    set("files_for", uri)
    set_uri(path:byte(-1) == SLASH and path .. INDEX or path, false, true)
    return exec("@files")
end

-- The file turned out to be a directory: its pages would lead elsewhere without the slash at the end.
function _M.move()
    local query = get("request_uri"):match("%?.*$") or ""
    ngx.header["Cache-Control"] = "no-store" -- it may become a file
    return pages.redirect(ngx.HTTP_MOVED_PERMANENTLY, ngx.escape_uri(get("files_for"), 0) .. "/" .. query)
end

local function tell(premature, website, path)
    if not premature then
        tell_agent("/refused_file/" .. website .. "?path=" .. ngx.escape_uri(path))
    end
end

-- The file may not be read: have its owner told, once in a while. The agent looks why, and writes it in the error log.
function _M.note_refusal(entry)
    local home, directory, path = find(entry.mappings, get("files_for"))
    if not home then -- the mappings have changed since
        return
    end
    local file = directory .. (path:byte(-1) == SLASH and path .. INDEX or path)
    if complaints:add("files of " .. entry.website, true, 1) and complaints:add(file, true, SAY_AGAIN_S) then
        ngx.timer.at(0, tell, entry.website, file)
    end
end

return _M
