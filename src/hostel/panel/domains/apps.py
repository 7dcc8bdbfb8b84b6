from django.apps import AppConfig


class DomainsConfig(AppConfig):
    name = "hostel.panel.domains"
    label = "domains"
