from django.apps import AppConfig


class WantedConfig(AppConfig):
    name = "hostel.panel.wanted"
    label = "wanted"
