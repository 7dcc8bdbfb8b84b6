"""Pages below /user/<name>/websites/. `new/` and the like come before a website's own: no domain is without a dot."""

from django.urls import path

from hostel.panel.websites import views

app_name = "websites"
urlpatterns = [
    path("", views.show_all, name="list"),
]
