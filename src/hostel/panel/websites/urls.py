"""Pages below /user/<name>/websites/. `new/` and the like come before a website's own: no domain is without a dot."""

from django.urls import path

from hostel.panel.domains import pages as domain_pages
from hostel.panel.websites import (
    environment_pages,
    log_pages,
    metrics_pages,
    settings_pages,
    site,
    static_file_pages,
    views,
    wizard,
)

app_name = "websites"
urlpatterns = [
    path("", views.show_all, name="list"),
    path("new/", wizard.choose_framework, name="new"),
    path("new/<str:key>/", wizard.choose_project, name="new_project"),
    path("new/<str:key>/virtualenv/", wizard.choose_virtualenv, name="new_virtualenv"),
    path("new/<str:key>/progress/", wizard.progress, name="new_progress"),
    path("new/<str:key>/command/", wizard.command, name="new_command"),
    path("new/<str:key>/findings/", wizard.findings, name="new_findings"),
    path("<str:domain_name>/logs/<str:kind>/", log_pages.show, name="log"),
    path("<str:domain_name>/logs/<str:kind>/more/", log_pages.more, name="log_more"),
    path("<str:domain_name>/metrics/", metrics_pages.show, name="metrics"),
    path("<str:domain_name>/metrics/now/", metrics_pages.now, name="metrics_now"),
    path("<str:domain_name>/", site.show, name="show"),
    path("<str:domain_name>/progress/", site.progress, name="progress"),
    path("<str:domain_name>/reload/", site.reload, name="reload"),
    path("<str:domain_name>/switch/", site.switch, name="switch"),
    path("<str:domain_name>/command/", site.command, name="command"),
    path("<str:domain_name>/delete/", site.delete, name="delete"),
    path("<str:domain_name>/environment/", environment_pages.environment, name="environment"),
    path("<str:domain_name>/environment/import/", environment_pages.import_environment, name="import_environment"),
    path("<str:domain_name>/environment/remove/", environment_pages.remove_variable, name="remove_variable"),
    path("<str:domain_name>/static_files/", static_file_pages.static_files, name="static_files"),
    path("<str:domain_name>/static_files/remove/", static_file_pages.remove_mapping, name="remove_mapping"),
    path("<str:domain_name>/password/", settings_pages.password, name="password"),
    path("<str:domain_name>/password/remove/", settings_pages.remove_http_user, name="remove_http_user"),
    path("<str:domain_name>/settings/", settings_pages.settings, name="settings"),
    path("<str:domain_name>/domains/", domain_pages.domains, name="domains"),
    path("<str:domain_name>/domains/<str:name>/", domain_pages.show, name="domain"),
    path("<str:domain_name>/domains/<str:name>/check/", domain_pages.check, name="check"),
    path("<str:domain_name>/domains/<str:name>/change/", domain_pages.change, name="change_domain"),
    path("<str:domain_name>/domains/<str:name>/remove/", domain_pages.remove, name="remove_domain"),
    path("<str:domain_name>/domains/<str:name>/certificate/", domain_pages.certificate, name="certificate"),
]
