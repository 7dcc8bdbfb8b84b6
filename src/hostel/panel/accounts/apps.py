from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "hostel.panel.accounts"
    label = "accounts"
