-- Paths of this installation, filled once by init.lua before any worker exists. Nobody changes them afterwards.
return {
    routes = "",       -- directory of the route records
    route_defaults = {}, -- what a record means by a key that it does not have
    pages = "",        -- directory of the rendered pages
    homes = "",        -- directory of the users' homes, which is root's
    agent_socket = "", -- where the agent takes wakes
    arrived_base = 0,  -- from where `arrived` of a domain is counted
    secret = "",       -- keys what this nginx alone remembers
    panel_host = "",   -- the panel's own name
    shared_suffix = "", -- names that end so share cookies in browsers; "" where the sites domain is a public suffix
}
