from django.apps import AppConfig


class ConsolesConfig(AppConfig):
    name = "hostel.panel.consoles"
    label = "consoles"
