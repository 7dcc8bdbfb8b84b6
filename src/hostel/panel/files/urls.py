"""Pages below /user/<name>/files/: the rest of the address is the path in the home, or of a log."""

from django.urls import path, register_converter

from hostel.panel.files import views
from hostel.panel.files.paths import AnyPath

register_converter(AnyPath, "anypath")

app_name = "files"
urlpatterns = [
    path("", views.home, name="home"),
    path("<anypath:path>/", views.place, name="place"),
]
