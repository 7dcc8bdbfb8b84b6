from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "hostel.panel.audit"
    label = "audit"
