"""Pages below /user/<name>/consoles/. `stream/` below a console's own is its WebSocket: see tab.py."""

from django.urls import path

from hostel.panel.consoles import views

app_name = "consoles"
urlpatterns = [
    path("", views.show_all, name="list"),
    path("<int:number>/", views.show, name="one"),
    path("<int:number>/frame/", views.show, name="frame"),
    path("<int:number>/end/", views.end, name="end"),
]
