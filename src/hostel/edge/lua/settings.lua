-- Paths of this installation, filled once by init.lua before any worker exists. Nobody changes them afterwards.
return {
    routes = "",       -- directory of the route records
    pages = "",        -- directory of the rendered pages
    agent_socket = "", -- where the agent takes wakes
}
