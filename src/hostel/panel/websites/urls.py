"""Pages below /user/<name>/websites/. `new/` and the like come before a website's own: no domain is without a dot."""

from django.urls import path

from hostel.panel.websites import log_pages, site, views

app_name = "websites"
urlpatterns = [
    path("", views.show_all, name="list"),
    path("<str:domain_name>/logs/<str:kind>/", log_pages.show, name="log"),
    path("<str:domain_name>/logs/<str:kind>/more/", log_pages.more, name="log_more"),
    path("<str:domain_name>/", site.show, name="show"),
    path("<str:domain_name>/progress/", site.progress, name="progress"),
    path("<str:domain_name>/reload/", site.reload, name="reload"),
    path("<str:domain_name>/switch/", site.switch, name="switch"),
    path("<str:domain_name>/command/", site.command, name="command"),
    path("<str:domain_name>/delete/", site.delete, name="delete"),
]
