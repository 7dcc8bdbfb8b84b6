from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("websites", "0006_http_users")]

    operations = [
        migrations.AddField("website", "working_directory", models.TextField(db_default="", default="")),
        migrations.AddField("website", "buffer_requests", models.BooleanField(db_default=True, default=True)),
        migrations.AddField("website", "buffer_responses", models.BooleanField(db_default=False, default=False)),
        migrations.AddField("website", "max_body_mb", models.IntegerField(db_default=100, default=100)),
        migrations.AddField("website", "memory_mb", models.IntegerField(default=None, null=True)),
        migrations.AddField("website", "pids", models.IntegerField(default=None, null=True)),
        migrations.AddField("website", "cpu", models.FloatField(default=None, null=True)),
    ]
