-- Services that look every few minutes whether a website is up, by what they call themselves. They wake no website and
-- keep none awake, unless its owner wants them to: else a website that is watched would never sleep.
local find_in = ngx.re.find
local var = ngx.var

-- Kept in docs/reference/api.md too.
local KNOWN = "(?i)" .. table.concat({
    "uptimerobot", "pingdom", "statuscake", "better ?(?:uptime|stack)", "site24x7", "hetrixtools", "freshping",
    "updown\\.io", "uptime-kuma", "nodeping", "datadog/synthetics", "datadogsynthetics", "checkly", "cronitor",
    "newrelicsynthetics", "new relic synthetics", "googlestackdrivermonitoring", "amazon-route53-health-check",
    "blackbox[ -]exporter", "check_http/", "wasitup", "oh ?dear", "montastic", "uptimia", "gatus/", "uptime\\.com",
}, "|")

local _M = {}

function _M.is_one()
    local name = var.http_user_agent
    return name ~= nil and find_in(name, KNOWN, "jo") ~= nil
end

return _M
