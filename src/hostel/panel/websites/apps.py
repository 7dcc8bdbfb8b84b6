from django.apps import AppConfig


class WebsitesConfig(AppConfig):
    name = "hostel.panel.websites"
    label = "websites"
