"""All URLs of the panel. Each ends in a slash here; `middleware.one_spelling` forgives callers that leave it out."""

from django.contrib import admin
from django.urls import include, path

from hostel.panel.accounts import history, logins, named_tokens
from hostel.panel.accounts import views as accounts
from hostel.panel.api import (
    certificates,
    command_check,
    consoles,
    domains,
    environment,
    files,
    http_users,
    logs,
    metrics,
    static_files,
    status,
    tokens,
)
from hostel.panel.api import views as api
from hostel.panel.wanted import views as wanted
from hostel.panel.websites import dashboard
from hostel.panel.websites import views as websites
from hostel.panel.websites.why import why

_ACCOUNT = "api/v1/user/<str:username>/"
_WEBSITES = "api/v1/user/<str:username>/websites/"
_CONSOLES = "api/v0/user/<str:username>/consoles/"
_FILES = "api/v0/user/<str:username>/files/"

urlpatterns = [
    path("", websites.home, name="home"),
    path("operator/", admin.site.urls),
    path("login/", accounts.log_in, name="login"),
    path("logout/", accounts.log_out, name="logout"),
    path("user/<str:username>/", dashboard.show, name="dashboard"),
    path("user/<str:username>/at_a_glance/", dashboard.at_a_glance, name="at_a_glance"),
    path("user/<str:username>/websites/", include("hostel.panel.websites.urls")),
    path("user/<str:username>/files/", include("hostel.panel.files.urls")),
    path("user/<str:username>/consoles/", include("hostel.panel.consoles.urls")),
    path("user/<str:username>/account/", accounts.account, name="account"),
    path("user/<str:username>/account/api_token/", accounts.api_token, name="api_token"),
    path("user/<str:username>/account/api_token/new_token/", accounts.new_token, name="new_token"),
    path("user/<str:username>/account/api_token/revoke_token/", accounts.revoke_token, name="revoke_token"),
    path("why/<str:error_id>/", why, name="why"),
    path("user/<str:username>/account/tokens/<int:token_id>/revoke/", named_tokens.revoke, name="revoke_named_token"),
    path("user/<str:username>/account/tokens/new/", named_tokens.create, name="new_named_token"),
    path("user/<str:username>/account/logins/", logins.show, name="logins"),
    path("user/<str:username>/account/logins/end/", logins.end, name="end_login"),
    path("user/<str:username>/account/history/", history.show, name="history"),
    path(_WEBSITES, api.Websites.as_view(), name="websites"),
    path(_WEBSITES + "check/", command_check.CommandChecks.as_view(), name="command_check"),
    path(_WEBSITES + "<str:domain_name>/", api.WebsiteDetail.as_view(), name="website"),
    path(_WEBSITES + "<str:domain_name>/reload/", api.WebsiteReload.as_view(), name="reload"),
    path(_CONSOLES, consoles.Consoles.as_view(), name="consoles"),
    path(_CONSOLES + "shared_with_you/", consoles.SharedConsoles.as_view(), name="shared_consoles"),
    path(_CONSOLES + "<int:number>/", consoles.Console.as_view(), name="console"),
    path(_CONSOLES + "<int:number>/get_latest_output/", consoles.ConsoleOutput.as_view(), name="console_output"),
    path(_CONSOLES + "<int:number>/send_input/", consoles.ConsoleInputs.as_view(), name="console_input"),
    path(_FILES + "path/<path:path>/", files.FilePath.as_view(), name="files"),
    path(_FILES + "tree/", files.FileTree.as_view(), name="tree"),
    path(_WEBSITES + "<str:domain_name>/environment/", environment.Environment.as_view(), name="environment"),
    path(_WEBSITES + "<str:domain_name>/environment/import/", environment.Import.as_view(), name="environment_import"),
    path(_WEBSITES + "<str:domain_name>/environment/<str:name>/", environment.One.as_view(), name="variable"),
    path(_WEBSITES + "<str:domain_name>/http_users/", http_users.HttpUsers.as_view(), name="http_users"),
    path(_WEBSITES + "<str:domain_name>/http_users/<str:name>/", http_users.One.as_view(), name="http_user"),
    path(_WEBSITES + "<str:domain_name>/static_files/", static_files.StaticFiles.as_view(), name="static_files"),
    path(
        _WEBSITES + "<str:domain_name>/static_files/<int:mapping_id>/", static_files.One.as_view(), name="static_file"
    ),
    path(_WEBSITES + "<str:domain_name>/logs/<str:kind>/", logs.WebsiteLog.as_view(), name="log"),
    path(_WEBSITES + "<str:domain_name>/domains/", domains.Domains.as_view(), name="domains"),
    path(_WEBSITES + "<str:domain_name>/domains/<str:name>/", domains.DomainDetail.as_view(), name="domain"),
    path(_WEBSITES + "<str:domain_name>/domains/<str:name>/check/", domains.DomainCheck.as_view(), name="check"),
    path(_ACCOUNT + "tokens/", tokens.Tokens.as_view(), name="tokens"),
    path(_ACCOUNT + "tokens/<int:token_id>/", tokens.Token.as_view(), name="token"),
    path(_ACCOUNT + "audit/", tokens.Audit.as_view(), name="audit"),
    path(_WEBSITES + "<str:domain_name>/metrics/", metrics.Metrics.as_view(), name="metrics"),
    path(_WEBSITES + "<str:domain_name>/status/", status.WebsiteStatus.as_view(), name="status"),
    path(
        "api/v1/user/<str:username>/domains/<str:domain_name>/ssl/",
        certificates.DomainCertificate.as_view(),
        name="certificate",
    ),
    path("api/schema/", api.Schema.as_view(), name="schema"),
    path("api/docs/", api.Docs.as_view(), name="docs"),
    path("api/<str:version>/user/<str:username>/<path:rest>", api.UnknownOfUser.as_view()),
    path("api/<path:rest>", api.Unknown.as_view()),
    path("agent/wanted/", wanted.wanted, name="wanted"),
]

handler400 = "hostel.panel.faults.bad_request"
handler403 = "hostel.panel.faults.forbidden"
handler404 = "hostel.panel.faults.not_found"
handler500 = "hostel.panel.faults.server_error"
