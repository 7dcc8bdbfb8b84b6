-- ssl_certificate_by_lua: the certificate for the name the client asks for.
-- Whatever fails here, nginx goes on with the certificate of the sites domain, which stands in nginx.conf.
local certificates = require "hostel.certificates"
local complain = require "hostel.complain"
local ssl = require "ngx.ssl"

local function choose()
    local server_name = ssl.server_name()
    local found, err = certificates.find(server_name and server_name:lower())
    if not found then
        return err
    end
    local ok
    ok, err = ssl.clear_certs()
    if ok then
        ok, err = ssl.set_cert(found.certificate)
    end
    if ok then
        ok, err = ssl.set_priv_key(found.key)
    end
    return not ok and err or nil
end

return function()
    local ok, err = pcall(choose)
    if not ok or err then
        complain("certificate", err)
    end
end
