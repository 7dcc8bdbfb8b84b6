from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("websites", "0005_staticmapping")]

    operations = [
        migrations.AddField("website", "http_users", models.JSONField(db_default={}, default=dict)),
    ]
