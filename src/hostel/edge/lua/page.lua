-- content_by_lua of the page location: nginx itself refused the request (too large, too slow, ...).
local complain = require "hostel.complain"
local files = require "hostel.files"
local pages = require "hostel.pages"
local routes = require "hostel.routes"

local var = ngx.var

-- nginx found a file that may not be read, or a directory, where it was to answer with a file.
local function answer_for_files(status)
    if status == ngx.HTTP_MOVED_PERMANENTLY then
        return files.move()
    elseif status == ngx.HTTP_FORBIDDEN then
        local entry = routes.find(var.host)
        if entry and entry.mappings then
            files.note_refusal(entry)
        end
    end
end

-- nginx may refuse before access.lua has run; the website's owner is to see that in the log all the same.
local function answer(status)
    if var.files_for ~= "" then
        answer_for_files(status)
    end
    local code = pages.find_code(status)
    local entry = routes.find(var.host)
    if not entry or entry.state == "deleted" then
        return pages.answer(code)
    end
    if var[entry.log_variable] == "" then
        var[entry.log_variable] = entry.access_log
    end
    return pages.refuse(entry.website or var.host, code)
end

return function()
    local ok, err = pcall(answer, ngx.status)
    if not ok then
        complain("page", err)
        return pages.answer("fault")
    end
end
