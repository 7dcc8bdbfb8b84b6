"""Pages below /user/<name>/websites/. `new/` and the like come before a website's own: no domain is without a dot."""

from django.urls import path

from hostel.panel.websites import log_pages, views

app_name = "websites"
urlpatterns = [
    path("", views.show_all, name="list"),
    path("<str:domain_name>/logs/<str:kind>/", log_pages.show, name="log"),
    path("<str:domain_name>/logs/<str:kind>/more/", log_pages.more, name="log_more"),
]
