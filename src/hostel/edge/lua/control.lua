-- content_by_lua of the control socket, which only root can reach: the agent publishes here and asks what is in flight.
local cjson = require "cjson.safe"
local certificates = require "hostel.certificates"
local counts = require "hostel.counts"
local idleness = require "hostel.idleness"
local metrics = require "hostel.metrics"
local pages = require "hostel.pages"
local routes = require "hostel.routes"
local settings = require "hostel.settings"
local shared_memory = require "hostel.shared_memory"

local var = ngx.var
local state = ngx.shared.edge_state
local held_totals = ngx.shared.held_totals

local function answer(status, object)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.print(type(object) == "string" and object or cjson.encode(object))
    return ngx.exit(ngx.OK)
end

local function refuse(status, message)
    return answer(status, { code = "edge_refused", message = message })
end

local function read_body()
    ngx.req.read_body()
    return ngx.req.get_body_data() or ""
end

local function put_route()
    local entry, err = routes.push(read_body())
    if not entry then
        return refuse(400, "route: " .. tostring(err))
    end
    return answer(200, entry.raw)
end

local function put_certificate()
    local ok, err = certificates.put(cjson.decode(read_body()))
    if not ok then
        return refuse(400, "certificate: " .. tostring(err))
    end
    return answer(200, "{}")
end

local function delete_certificate()
    local name = var.arg_name
    if not name then
        return refuse(400, "certificate: name is missing")
    end
    certificates.remove(ngx.unescape_uri(name))
    return answer(200, "{}")
end

local function get_bound()
    local run = var.arg_run
    if not run then
        return refuse(400, "bound: run is missing")
    end
    return answer(200, { plain = counts.sum(run, counts.PLAIN), streaming = counts.sum(run, counts.STREAMING) })
end

local function get_arrived()
    local domain = var.arg_domain
    if not domain then
        return refuse(400, "arrived: domain is missing")
    end
    return answer(200, string.format('{"arrived":%d}', routes.count_arrived(domain))) -- cjson would round it
end

-- Answer with what `find` says of each name that is asked for, as a list under `key`.
local function answer_each(verb, key, find)
    local asked = cjson.decode(read_body())
    local names = type(asked) == "table" and asked[key]
    if type(names) ~= "table" then
        return refuse(400, verb .. ": " .. key .. " are missing")
    end
    local found = {}
    for _, name in ipairs(names) do
        found[name] = find(name)
    end
    return answer(200, next(found) and found or "{}") -- cjson would make a list of an empty table
end

local function count_arrivals(domain)
    return routes.count_arrived(domain) - settings.arrived_base
end

local function post_arrivals()
    return answer_each("arrivals", "domains", count_arrivals)
end

local function post_idleness()
    return answer_each("idleness", "websites", idleness.find)
end

local function take_metrics()
    return answer(200, '{"taken":[' .. table.concat(metrics.take(), ",") .. "]}")
end

-- Of records that are in memory: the others are read from disk once somebody asks for them.
local function post_serials()
    -- A predecessor of who asks may have written a record that it could not push: what is known of its name ends here.
    shared_memory.version.step()
    return answer_each("serials", "domains", routes.find_serial)
end

local function get_status()
    local domain = var.arg_domain
    local function count(class)
        return domain and counts.sum(domain, class) or counts.sum_class(class)
    end
    return answer(200, {
        requests = count(counts.REQUESTS),
        websockets = count(counts.WEBSOCKETS),
        refused = pages.count_refusals(domain),
        held = count(counts.HELD),
        held_total = domain and (held_totals:get(domain) or 0) or state:get("held_total"),
        version = shared_memory.version.read(),
        routes_known = state:get("routes_known"),
    })
end

local function get_explained()
    local found = var.arg_id and pages.find_explained(var.arg_id)
    if not found then
        return answer(404, { code = "unknown_error_id", message = "nothing is known of this id" })
    end
    return answer(200, found)
end

local VERBS = {
    ["PUT /route"] = put_route,
    ["PUT /certificate"] = put_certificate,
    ["DELETE /certificate"] = delete_certificate,
    ["GET /bound"] = get_bound,
    ["GET /arrived"] = get_arrived,
    ["POST /arrivals"] = post_arrivals,
    ["POST /serials"] = post_serials,
    ["POST /idleness"] = post_idleness,
    ["POST /metrics"] = take_metrics,
    ["GET /status"] = get_status,
    ["GET /explained"] = get_explained,
}

return function()
    local verb = VERBS[ngx.req.get_method() .. " " .. var.uri]
    if not verb then
        return refuse(404, "no such verb")
    end
    local ok, err = pcall(verb)
    if not ok then
        ngx.log(ngx.ERR, "control: ", err)
        return refuse(500, "a fault of the edge; see edge.error.log")
    end
end
