from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_own_limits")]

    operations = [
        migrations.AddField("User", "suspended_at", models.DateTimeField(default=None, null=True)),
        migrations.AddField("User", "suspended_reason", models.TextField(blank=True, db_default="", default="")),
    ]
