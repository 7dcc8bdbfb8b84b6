from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "hostel.panel.api"
    label = "api"
